//! The vectors, and the rules that their configs stand for.

#![allow(clippy::unwrap_used, dead_code, reason = "a test fails by panicking; not every test uses all of this")]

pub(crate) mod streams;

use pii_redact::body::declared::Declared;
use pii_redact::body::{Body, MOST_HELD, Refused};
use pii_redact::config::{Config, Settings};
use pii_redact::rules::Rules;
use pii_redact::scanner::Outcome;
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

/// A config that was checked.
pub(crate) fn settings(config: &serde_json::Value) -> Settings {
    let config: Config = serde_json::from_value(config.clone()).unwrap();
    config.compile().unwrap()
}

/// The rules of a config.
pub(crate) fn rules(config: &serde_json::Value) -> Rules {
    settings(config).rules
}

/// Bytes of state that may be kept between chunks.
pub(crate) const MOST_STATE: usize = 48 << 10;

/// Reads a body in pieces, as the host hands them over: the state travels as bytes from each to the next. `blocked: CATEGORY` and
/// `unreadable` stand for a refusal. With it comes whether every piece went on without a copy.
pub(crate) fn read<'a>(
    settings: &Settings,
    content_type: &str,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, bool) {
    let declared = Declared::of([content_type.as_bytes()]);
    let mut state = postcard::to_allocvec(&Body::new(declared, settings.unreadable, false)).unwrap();
    let (mut out, mut unchanged) = (Vec::new(), true);
    let mut pieces = pieces.into_iter().peekable();
    while let Some(piece) = pieces.next() {
        let mut body: Body = postcard::from_bytes(&state).unwrap();
        let mut written = Vec::new();
        match body.push(&settings.rules, &pseudonym, piece, pieces.peek().is_none(), &mut written) {
            Ok(Outcome::Unchanged) => {
                assert!(written.is_empty());
                out.extend_from_slice(piece);
            }
            Ok(Outcome::Rewritten) => {
                out.extend_from_slice(&written);
                unchanged = false;
            }
            Err(Refused::Value(blocked)) => return (format!("blocked: {}", blocked.category).into_bytes(), false),
            Err(Refused::Unreadable) => return (b"unreadable".to_vec(), false),
        }
        if pieces.peek().is_none() {
            assert_eq!(body.held(), 0, "held at the end");
        }
        state = postcard::to_allocvec(&body).unwrap();
        assert!(state.len() <= MOST_STATE && body.held() <= MOST_HELD, "{} bytes of state", state.len());
    }
    (out, unchanged)
}

/// A stand-in for the host's keyed hash (FNV-1a): only its being a function of key and value matters here.
pub(crate) fn pseudonym(secret: &str, value: &[u8]) -> Option<String> {
    let hash = secret
        .bytes()
        .chain(value.iter().copied())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Some(format!("{hash:016x}"))
}
