//! Fuzz target: see `fuzz::packet` for the invariant.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::packet(data));
