//! The plugin's test vectors, natively.

#[path = "../../vectors.rs"]
mod vectors;

#[test]
fn vectors_hold() {
    vectors::run::<circuit_breaker::CircuitBreaker>(include_str!("vectors.json"));
}
