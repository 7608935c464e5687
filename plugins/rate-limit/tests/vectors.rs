//! The plugin's test vectors, natively.

#[path = "../../vectors.rs"]
mod vectors;

#[test]
fn vectors_hold() {
    vectors::run::<rate_limit::RateLimit>(include_str!("vectors.json"));
}
