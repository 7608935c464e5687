//! The fuzz targets over their corpus and over seeded mutations of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

#[path = "../../../../gateway/fuzz/smoke.rs"]
mod smoke;
mod targets;

fn smoke(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gateway/fuzz/corpus").join(target);
    smoke::run(&corpus, 5_000, run);
}

#[test]
fn token() {
    smoke("auth_token", targets::token);
}

#[test]
fn keys() {
    smoke("auth_keys", targets::keys);
}
