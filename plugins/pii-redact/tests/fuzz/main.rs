//! The fuzz targets over their corpus and over seeded mutations of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

#[path = "../../../../gateway/fuzz/smoke.rs"]
mod smoke;
mod targets;

#[test]
fn scanner() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gateway/fuzz/corpus/pii_scanner");
    smoke::run(&corpus, 5_000, targets::scanner);
}

#[test]
fn body() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gateway/fuzz/corpus/pii_body");
    smoke::run(&corpus, 5_000, targets::body);
}
