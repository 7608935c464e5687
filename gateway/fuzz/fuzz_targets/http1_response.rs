//! See `gateway::fuzzing::http1_response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway::fuzzing::http1_response::run(data));
