//! See `gateway::fuzzing::codings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway::fuzzing::codings::run(data));
