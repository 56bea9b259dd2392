//! Fuzz target: see `fuzz::capture` for the invariant.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::capture(data));
