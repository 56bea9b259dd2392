//! Fuzz target: see `fuzz::atlas` for the invariant.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::atlas(data));
