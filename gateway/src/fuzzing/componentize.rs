//! Any bytes as a plugin file: a component comes out, or a refusal.

use wasmparser::{Validator, WasmFeatures};

use crate::plugin::componentize::componentize;

/// Input: the file. The corpus holds a module of the contract, so that mutations get past the header.
///
/// # Panics
/// Where what comes out is not a valid component, or a refusal says nothing.
pub fn run(data: &[u8]) {
    match componentize(data) {
        Ok(component) => {
            assert!(component.starts_with(b"\0asm\x0d\0\x01\0"), "no component came out");
            // A component is the engine's to validate; what is made here is valid.
            if component != data {
                let validated = Validator::new_with_features(WasmFeatures::all()).validate_all(&component);
                assert!(validated.is_ok(), "the component is invalid: {:?}", validated.err());
            }
            let again = componentize(&component);
            assert!(again.is_ok_and(|again| again == component), "a component did not pass as it is");
        }
        Err(refusal) => {
            let message = refusal.to_string();
            assert!(!message.is_empty() && message.len() < 2_000 && !message.contains('\n'), "{message}");
        }
    }
}
