//! Forms (WHATWG URL standard, `application/x-www-form-urlencoded`).

use super::{Container, any};
use crate::item::Item;

pub(super) const ALL: &[Container] = &[Container {
    name: "form",
    content_type: "application/x-www-form-urlencoded",
    holds: any,
    write: |_, items| pairs(items).into_bytes(),
    read,
}];

/// The items as the pairs of a form.
pub(super) fn pairs(items: &[Item]) -> String {
    let pair = |item: &Item| format!("{}={}", item.name.key, encoded(&item.whole()));
    items.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// A value as browsers write it.
pub(super) fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// Names and values, each on a line.
pub(super) fn read(bytes: &[u8]) -> Result<String, String> {
    let mut out = Vec::new();
    for part in bytes.split(|byte| matches!(byte, b'&' | b'=')) {
        let mut at = 0;
        while let Some(&byte) = part.get(at) {
            let escape = part.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
            match (byte, escape.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
                (b'%', Some(decoded)) => {
                    out.push(decoded);
                    at += 2;
                }
                (b'+', _) => out.push(b' '),
                _ => out.push(byte),
            }
            at += 1;
        }
        out.push(b'\n');
    }
    String::from_utf8(out).map_err(|error| error.to_string())
}
