//! What stands in the place of a value: made from the action, written in the syntax that surrounds it.

use std::borrow::Cow;

use crate::pseudonym::HASH;
use crate::rules::{Action, Category};

const MASK: &str = "***";

/// How the replacement has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Plain,
    /// Inside a JSON string.
    Json,
    /// Percent-encoded, as the value was.
    Percent,
}

/// Makes pseudonyms of values: a keyed hash. The gateway's keys stay in the gateway, so this is the host's work.
pub trait Pseudonyms {
    /// The hash of a value under a secret, in hexadecimal; `None` where the secret can't be had.
    fn pseudonym(&self, secret: &str, value: &[u8]) -> Option<String>;

    /// The placeholder of a value, made under a secret from its one spelling `canonical`, by which it can be restored. `None`
    /// where there are none: outside of requests.
    fn placeholder(&self, _secret: &str, _category: &str, _canonical: &[u8], _value: &[u8]) -> Option<String> {
        None
    }

    /// The value of a placeholder with these letters that may be restored here.
    fn original(&self, _letters: &[u8; HASH]) -> Option<Vec<u8>> {
        None
    }

    /// Whether values are restored in links too.
    fn in_links(&self) -> bool {
        false
    }
}

impl<F: Fn(&str, &[u8]) -> Option<String>> Pseudonyms for F {
    fn pseudonym(&self, secret: &str, value: &[u8]) -> Option<String> {
        self(secret, value)
    }
}

/// The text that replaces a value of the `kind` that is called `category`; custom ones have no kind. [`Action::Block`] has
/// no replacement: it is dealt with before.
pub(crate) fn replacement<'r>(
    action: &'r Action,
    kind: Option<Category>,
    category: &str,
    value: &[u8],
    pseudonyms: &impl Pseudonyms,
) -> Cow<'r, str> {
    match action {
        Action::Mask { keep_last: 0 } => MASK.into(),
        Action::Mask { keep_last } => masked(value, *keep_last).into(),
        Action::Replace { with } => with.into(),
        Action::Hash { secret } => match pseudonyms.pseudonym(secret, &canonical(kind, value)) {
            Some(hash) => format!("{category}-{}", hash.get(..16).unwrap_or(&hash)).into(),
            // Without its key the value must not stay readable.
            None => MASK.into(),
        },
        Action::Pseudonymise { secret } => pseudonyms
            .placeholder(secret, category, &canonical(kind, value), value)
            // What can't be restored is masked.
            .map_or_else(|| MASK.into(), Cow::Owned),
        Action::Drop | Action::Block => "".into(),
    }
}

fn masked(value: &[u8], keep_last: usize) -> String {
    let kept: Vec<char> =
        String::from_utf8_lossy(value).chars().filter(|character| character.is_alphanumeric()).collect();
    // Never more than half of it.
    let keep = keep_last.min(kept.len() / 2);
    let mut text = MASK.to_owned();
    text.extend(&kept[kept.len() - keep..]);
    text
}

/// One spelling for equal values, and never one for different ones: numbers lose their separators, and letters become
/// lower case where case means nothing. What an operator's own pattern means is unknown, so it stays as it is.
fn canonical(kind: Option<Category>, value: &[u8]) -> Vec<u8> {
    let Some(kind) = kind else { return value.to_vec() };
    let mut canonical = value.to_ascii_lowercase();
    match kind {
        Category::Phone
        | Category::Card
        | Category::Fodselsnummer
        | Category::Personnummer
        | Category::Cpr
        | Category::Hetu
        | Category::Organisation
        | Category::Kontonummer => {
            canonical.retain(|byte| byte.is_ascii_alphanumeric() || *byte == b'+');
        }
        Category::Iban => {
            canonical.retain(u8::is_ascii_alphanumeric);
            if canonical.starts_with(b"iban") {
                canonical.drain(..4);
            }
        }
        Category::Email | Category::Ip | Category::Credential | Category::Token | Category::Field => {}
    }
    canonical
}

/// Appends `text` in the given encoding.
pub(crate) fn write(text: &str, encoding: Encoding, out: &mut Vec<u8>) {
    write_bytes(text.as_bytes(), encoding, out);
}

/// Appends `text` as a JSON string.
pub(crate) fn write_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    write(text, Encoding::Json, out);
    out.push(b'"');
}

/// The same as [`write()`], of what mostly is UTF-8.
pub(crate) fn write_bytes(text: &[u8], encoding: Encoding, out: &mut Vec<u8>) {
    for &byte in text {
        match (encoding, byte) {
            (Encoding::Plain, _) => out.push(byte),
            (Encoding::Json, b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            (Encoding::Json, 0..0x20) => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            (Encoding::Json, _) => out.push(byte),
            // `*` is safe in a form and in a query, and far easier to read in a log than `%2A`.
            (Encoding::Percent, b'-' | b'.' | b'_' | b'~' | b'*') => out.push(byte),
            (Encoding::Percent, _) if byte.is_ascii_alphanumeric() => out.push(byte),
            (Encoding::Percent, _) => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_at_most_half() {
        assert_eq!(masked(b"4111 1111 1111 1234", 4), "***1234");
        assert_eq!(masked(b"abc", 4), "***c");
        assert_eq!(masked("blåbær".as_bytes(), 3), "***bær");
        assert_eq!(masked(b"x", 0), "***");
    }

    #[test]
    fn equal_values_and_only_those_have_equal_pseudonyms() {
        let hash = |kind, value: &[u8]| {
            let action = Action::Hash { secret: "key".to_owned() };
            let pseudonyms = |secret: &str, value: &[u8]| Some(format!("{secret}{}", String::from_utf8_lossy(value)));
            replacement(&action, kind, "x", value, &pseudonyms).into_owned()
        };
        assert_eq!(hash(Some(Category::Card), b"4111 1111-1111 1111"), "x-key4111111111111");
        assert_eq!(hash(Some(Category::Iban), b"IBANNO93 8601"), hash(Some(Category::Iban), b"no938601"));
        assert_eq!(hash(Some(Category::Phone), b"+47 987 65 432"), "x-key+4798765432");
        assert_eq!(hash(Some(Category::Email), b"Kari@Example.no"), "x-keykari@example.");
        assert_ne!(hash(Some(Category::Ip), b"1.23.4.5"), hash(Some(Category::Ip), b"12.3.4.5"));
        assert_ne!(hash(None, b"K-1.2"), hash(None, b"K-12"));
        assert_ne!(hash(None, b"Ab"), hash(None, b"aB"));
    }

    #[test]
    fn a_missing_key_hides_the_value() {
        let action = Action::Hash { secret: "key".to_owned() };
        assert_eq!(replacement(&action, Some(Category::Card), "card", b"4111", &|_: &str, _: &[u8]| None), "***");
    }

    #[test]
    fn encodings() {
        let written = |encoding| {
            let mut out = Vec::new();
            write("[a \"b\"]\n", encoding, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(Encoding::Plain), "[a \"b\"]\n");
        assert_eq!(written(Encoding::Json), "[a \\\"b\\\"]\\u000a");
        assert_eq!(written(Encoding::Percent), "%5Ba%20%22b%22%5D%0A");
    }
}
