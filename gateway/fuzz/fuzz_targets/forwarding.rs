//! See `gateway::fuzzing::forwarding`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway::fuzzing::forwarding::run(data));
