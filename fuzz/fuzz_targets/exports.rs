//! Fuzz target: see `fuzz::exports` for the invariant.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::exports(data));
