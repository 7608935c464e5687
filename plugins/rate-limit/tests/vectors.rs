//! The plugin's test vectors, natively. `tests/it/vectors.rs` runs the same file on the built wasm in a gateway.

#[test]
fn vectors_hold() {
    plugin_sdk::testing::run_cases::<rate_limit::RateLimit>(include_str!("vectors.json"));
}
