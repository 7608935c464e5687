//! The plugin's test vectors, natively.

#[path = "../../vectors.rs"]
mod vectors;

#[test]
fn vectors_hold() {
    vectors::run::<auth::Auth>(include_str!("vectors.json"));
}
