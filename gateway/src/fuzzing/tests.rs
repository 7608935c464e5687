//! Each target over its corpus and over seeded mutations of it.

use std::path::Path;

#[path = "../../fuzz/smoke.rs"]
mod smoke;

/// `FUZZ_TIMES` makes of it a longer look, with more mutations of the same sequence.
fn smoke(target: &str, mutations: usize, run: fn(&[u8])) {
    let times = std::env::var("FUZZ_TIMES").map_or(1, |times| times.parse().expect("FUZZ_TIMES is a number"));
    let mutations = mutations * times;
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    smoke::run(&corpus, mutations, run);
}

#[test]
fn codings() {
    smoke("codings", 1_500, super::codings::run);
}

#[test]
fn componentize() {
    smoke("componentize", 1_500, super::componentize::run);
}

#[test]
fn config() {
    smoke("config", 3_000, super::config::run);
}

#[test]
fn forwarding() {
    smoke("forwarding", 8_000, super::forwarding::run);
}

#[test]
fn host_args() {
    smoke("host_args", 8_000, super::host_args::run);
}

#[test]
fn hpack() {
    smoke("hpack", 10_000, super::hpack::run);
}

#[test]
fn http1_request() {
    smoke("http1_request", 10_000, super::http1_request::run);
}

#[test]
fn http1_response() {
    smoke("http1_response", 10_000, super::http1_response::run);
}

#[test]
fn http3_frames() {
    smoke("http3_frames", 8_000, super::http3_frames::run);
}

#[test]
fn normalize() {
    smoke("normalize", 10_000, super::normalize::run);
}

#[test]
fn route() {
    smoke("route", 3_000, super::route::run);
}

#[test]
fn stored() {
    smoke("stored", 8_000, super::stored::run);
}

#[test]
fn trace() {
    smoke("trace", 8_000, super::trace::run);
}
