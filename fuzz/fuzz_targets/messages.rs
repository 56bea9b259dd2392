//! Fuzz target: see `fuzz::messages` for the invariant.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::messages(data));
