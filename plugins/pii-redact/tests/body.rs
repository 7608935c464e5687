//! Bodies in containers and charsets: what is found, what comes out, and that no cut makes a difference.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pii_redact::config::Settings;
use serde_json::json;

mod support;
use support::{read, settings};

#[path = "body/cases.rs"]
mod cases;
#[path = "body/limits.rs"]
mod limits;
#[path = "body/properties.rs"]
mod properties;

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\n", "\\n\n")
}

/// Reads a body as a whole, cut at every offset (of a long one at fewer), byte by byte and with empty pieces, and gives what all of them gave.
fn all_ways(settings: &Settings, content_type: &str, input: &[u8]) -> Vec<u8> {
    let (whole, _) = read(settings, content_type, [input]);
    for cut in (0..=input.len()).step_by(1 + input.len().pow(2) / 1_500_000) {
        let (out, _) = read(settings, content_type, [&input[..cut], &input[cut..]]);
        assert_eq!(shown(&out), shown(&whole), "cut at {cut}");
    }
    let (out, _) = read(settings, content_type, input.chunks(1).chain([&b""[..]]));
    assert_eq!(shown(&out), shown(&whole), "byte by byte");
    let (out, _) = read(settings, content_type, input.chunks(7).flat_map(|piece| [piece, b""]));
    assert_eq!(shown(&out), shown(&whole), "in sevens");
    whole
}

/// What comes out in all ways, under a config.
fn expect(config: serde_json::Value, content_type: &str, input: &[u8], output: &[u8]) {
    let out = all_ways(&settings(&config), content_type, input);
    assert_eq!(shown(&out), shown(output), "{content_type}");
}

/// The same with the defaults and texts.
fn becomes(content_type: &str, input: &str, output: &str) {
    expect(json!({}), content_type, input.as_bytes(), output.as_bytes());
}

/// Base64 in lines of this width.
fn base64(text: &[u8], width: usize) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in text.chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        let characters = (0..4).map(|at| alphabet[(bits >> (18 - 6 * at) & 63) as usize]);
        out.extend(characters.take(group.len() + 1).map(char::from));
        (group.len()..3).for_each(|_| out.push('='));
    }
    let lines: Vec<_> = out.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join("\r\n")
}
