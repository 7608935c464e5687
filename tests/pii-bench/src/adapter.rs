//! The one place that calls the plugin's library: a message goes in as chunks, and comes out as a client would get it.

use pii_redact::body::declared::Declared;
use pii_redact::body::{Body, Unreadable};
use pii_redact::config::Config;
use pii_redact::rules::{CATEGORIES, Rules};
use pii_redact::scanner::Outcome;

/// The rules of the measurement: the plugin's defaults, tokens as well, and each value replaced by a mark that names its
/// category, so that it can be told what was taken for what.
pub(crate) fn rules() -> Result<Rules, String> {
    let on = |category: &str| {
        (category.to_owned(), serde_json::json!({"action": "replace", "with": format!("{OPEN}{category}{CLOSE}")}))
    };
    let categories: serde_json::Map<_, _> =
        CATEGORIES.iter().map(|(_, name)| *name).filter(|name| !matches!(*name, "ip" | "field")).map(on).collect();
    let config: Config =
        serde_json::from_value(serde_json::json!({ "categories": categories })).map_err(|error| error.to_string())?;
    Ok(config.compile().map_err(|mistakes| format!("{mistakes:?}"))?.rules)
}

/// A message as it goes on. What isn't read passes as it is.
pub(crate) fn redact(rules: &Rules, content_type: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let mut body = Body::new(Declared::of([content_type.as_bytes()]), Unreadable::Pass, false);
    let mut out = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        let mut written = Vec::new();
        let keys = |_: &str, _: &[u8]| None;
        match body.push(rules, &keys, chunk, index + 1 == chunks.len(), &mut written) {
            Ok(Outcome::Unchanged) => out.extend_from_slice(chunk),
            Ok(Outcome::Rewritten) => out.append(&mut written),
            // No category of these rules blocks.
            Err(_) => return Vec::new(),
        }
    }
    out
}

/// What stands around the name of a category in a mark: characters that no format escapes and no document
/// begins with.
const OPEN: &str = "(~";
const CLOSE: &str = "~)";

/// The marks of a text, each with where it is, what it names, and its length.
pub(crate) fn marks(text: &str) -> impl Iterator<Item = (usize, &'static str, usize)> {
    text.match_indices(OPEN).filter_map(|(at, _)| {
        let inside = &text[at + OPEN.len()..];
        let names = |name: &&str| inside.strip_prefix(*name).is_some_and(|rest| rest.starts_with(CLOSE));
        let name = CATEGORIES.iter().map(|(_, name)| *name).find(names)?;
        Some((at, name, OPEN.len() + name.len() + CLOSE.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_is_marked() {
        let out = redact(&rules().unwrap(), "text/plain", &[b"[x] kari@exam", b"ple.no."]);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, "[x] (~email~).");
        assert_eq!(marks(&out).collect::<Vec<_>>(), [(4, "email", 9)]);
    }
}
