//! Fuzz target: see `fuzz::access` for the invariant.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::access(data));
