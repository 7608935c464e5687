//! See `gateway::fuzzing::componentize`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway::fuzzing::componentize::run(data));
