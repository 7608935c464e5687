//! See `gateway::fuzzing::http3_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway::fuzzing::http3_frames::run(data));
