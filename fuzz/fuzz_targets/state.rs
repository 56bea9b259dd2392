//! Fuzz target: see `fuzz::state` for the invariant.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::state(data));
