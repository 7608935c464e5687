//! See the function that it calls.
#![no_main]
#![allow(dead_code, reason = "one file has the targets of the plugin")]

#[path = "../../../plugins/pii-redact/tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::body(data));
