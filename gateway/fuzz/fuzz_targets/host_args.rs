//! See `gateway::fuzzing::host_args`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway::fuzzing::host_args::run(data));
