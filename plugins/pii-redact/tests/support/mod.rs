//! The vectors, and the rules that their configs stand for.

#![allow(clippy::unwrap_used, dead_code, reason = "a test fails by panicking; not every test uses all of this")]

pub(crate) mod streams;

use pii_redact::config::Config;
use pii_redact::rules::Rules;
use serde::Deserialize;

/// One case: what goes in, under which config, and what has to come out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    /// Names the case in a failure.
    pub(crate) name: String,
    /// The plugin's config, defaults where it is missing.
    #[serde(default = "empty")]
    pub(crate) config: serde_json::Value,
    /// The body's `Content-Type`.
    pub(crate) content_type: String,
    /// The body.
    pub(crate) input: String,
    /// The body that goes on, or `blocked: CATEGORY`.
    pub(crate) output: String,
}

fn empty() -> serde_json::Value {
    serde_json::json!({})
}

/// All vectors of `vectors.json`; the same file runs against the built wasm binary.
pub(crate) fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../vectors.json")).unwrap()
}

/// The rules of a config.
pub(crate) fn rules(config: &serde_json::Value) -> Rules {
    let config: Config = serde_json::from_value(config.clone()).unwrap();
    config.compile().unwrap().rules
}

/// A stand-in for the host's keyed hash (FNV-1a): only its being a function of key and value matters here.
pub(crate) fn pseudonym(secret: &str, value: &[u8]) -> Option<String> {
    let hash = secret
        .bytes()
        .chain(value.iter().copied())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Some(format!("{hash:016x}"))
}
