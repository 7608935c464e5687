//! See `gateway::fuzzing::normalize`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway::fuzzing::normalize::run(data));
