//! What fuzzing runs of this plugin: any bytes as a body, in any pieces.

use pii_redact::body::declared::Declared;
use pii_redact::body::{self, Body, Unreadable};
use pii_redact::config::Config;
use pii_redact::content::Format;
use pii_redact::deltas::{self, Deltas};
use pii_redact::pseudonym::restore;
use pii_redact::rules::Rules;
use pii_redact::scanner::{MOST_HELD, Outcome};
use pii_redact::texts::Texts;

const FORMATS: [Format; 6] =
    [Format::Text, Format::Json, Format::JsonLines, Format::Form, Format::Events, Format::Unlabelled];

const TYPES: [&str; 14] = [
    "multipart/form-data; boundary=x",
    "multipart/digest; boundary=\"x y\"",
    "message/rfc822",
    "text/csv",
    "text/tab-separated-values",
    "application/x-www-form-urlencoded",
    "text/plain; charset=utf-16",
    "text/csv; charset=iso-8859-1",
    "application/json; charset=utf-32be",
    "application/json",
    "text/event-stream",
    "image/png",
    "application/octet-stream",
    "",
];

thread_local! {
    static RULES: Rules = rules();
}

fn rules() -> Rules {
    let config = serde_json::json!({
        "categories": {"ip": "mask", "token": "mask", "card": {"action": "mask", "keep_last": 4}, "email": {"action": "hash", "secret": "s"}},
        "fields": ["secret"],
        "custom": [{"name": "customer", "pattern": "\\bK-[0-9]{6}\\b", "action": "replace", "with": "\"C\""}],
    });
    let config: Config = serde_json::from_value(config).expect("a config");
    config.compile().unwrap_or_else(|mistakes| panic!("{mistakes:?}")).rules
}

/// Input: a byte for the format, one for the size of pieces, then the body.
///
/// # Panics
/// Where the pieces make a difference, more is held than may be, or valid JSON comes out broken.
pub(crate) fn scanner(data: &[u8]) {
    let Some((&[format, size], body)) = data.split_first_chunk::<2>() else { return };
    let format = FORMATS[usize::from(format) % FORMATS.len()];
    let whole = scan(format, [body], false);
    assert_eq!(shown(&scan(format, [body], true)), shown(&whole), "without placeholders nothing returns");
    let size = usize::from(size).max(1);
    assert_eq!(shown(&scan(format, body.chunks(size), size % 2 == 0)), shown(&whole), "in pieces of {size}");
    let halves = body.split_at(size.min(body.len()));
    assert_eq!(shown(&scan(format, [halves.0, halves.1], false)), shown(&whole), "in halves at {size}");
    if let (Format::Json, Some(whole)) = (format, &whole)
        && serde_json::from_slice::<serde_json::Value>(body).is_ok()
    {
        let read = serde_json::from_slice::<serde_json::Value>(whole);
        assert!(read.is_ok(), "broken: {}", whole.escape_ascii());
    }
}

/// Input: a byte for the `Content-Type`, one for the size of pieces, then the body.
///
/// # Panics
/// Where the pieces make a difference, or more is held than may be.
pub(crate) fn body(data: &[u8]) {
    let Some((&[content_type, size], body)) = data.split_first_chunk::<2>() else { return };
    let content_type = TYPES[usize::from(content_type) % TYPES.len()];
    let unreadable = if size % 2 == 0 { Unreadable::Pass } else { Unreadable::Block };
    let whole = read(content_type, unreadable, [body]);
    let size = usize::from(size).max(1);
    assert_eq!(shown(&read(content_type, unreadable, body.chunks(size))), shown(&whole), "in pieces of {size}");
    let halves = body.split_at(size.min(body.len()));
    assert_eq!(shown(&read(content_type, unreadable, [halves.0, halves.1])), shown(&whole), "in halves at {size}");
}

/// What comes out; `None` where the body is refused.
fn read<'a>(content_type: &str, unreadable: Unreadable, pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut state = Body::new(Declared::of([content_type.as_bytes()]), unreadable, false);
    let mut out = Vec::new();
    for (piece, last) in pieces.into_iter().map(|piece| (piece, false)).chain([(&[][..], true)]) {
        let mut written = Vec::new();
        match RULES.with(|rules| state.push(rules, &pseudonym, piece, last, &mut written)) {
            Ok(Outcome::Unchanged) => {
                assert!(written.is_empty());
                out.extend_from_slice(piece);
            }
            Ok(Outcome::Rewritten) => out.extend_from_slice(&written),
            Err(_) => return None,
        }
        assert!(state.held() <= body::MOST_HELD, "{} bytes are held", state.held());
    }
    assert_eq!(state.held(), 0, "held at the end");
    Some(out)
}

fn shown(out: &Option<Vec<u8>>) -> String {
    out.as_ref().map_or_else(|| "blocked".to_owned(), |out| out.escape_ascii().to_string())
}

/// What comes out; `None` where the body is blocked.
fn scan<'a>(format: Format, pieces: impl IntoIterator<Item = &'a [u8]>, restores: bool) -> Option<Vec<u8>> {
    let mut body = Texts::new(format, restores);
    let bound = restore::MOST_HELD + if Deltas::reads(format) { deltas::MOST_HELD } else { MOST_HELD };
    let mut out = Vec::new();
    for (piece, last) in pieces.into_iter().map(|piece| (piece, false)).chain([(&[][..], true)]) {
        let mut written = Vec::new();
        match RULES.with(|rules| body.push(rules, &pseudonym, piece, last, &mut written)) {
            Ok(Outcome::Unchanged) => {
                assert!(written.is_empty());
                out.extend_from_slice(piece);
            }
            Ok(Outcome::Rewritten) => out.extend_from_slice(&written),
            Err(_) => return None,
        }
        assert!(body.held() <= bound, "{} bytes are held", body.held());
    }
    assert_eq!(body.held(), 0, "held at the end");
    Some(out)
}

/// A stand-in for the host's keyed hash: only its being a function of key and value matters here.
fn pseudonym(_: &str, value: &[u8]) -> Option<String> {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    Some(format!("{:016x}", value.iter().fold(0xcbf2_9ce4_8422_2325, step)))
}
