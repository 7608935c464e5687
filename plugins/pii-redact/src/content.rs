//! Which bodies are read, and as what.

use serde::{Deserialize, Serialize};

/// How the bytes of a message are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Plain text, XML, HTML and the like, header values and log fields.
    Text,
    /// JSON, also several values in a row (JSON text sequences).
    Json,
    /// A JSON value in each line (NDJSON): what is wrong in one line ends with it.
    JsonLines,
    /// `application/x-www-form-urlencoded`, and the query of a target.
    Form,
    /// `text/event-stream`: text by lines, where a `data:` line may hold JSON.
    Events,
    /// Nothing says what it is: its first bytes have to.
    Unlabelled,
}

impl Format {
    /// The format that a type names whose text extends ASCII; `None` of all others. A type of no kind is [`Format::Unlabelled`].
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.split_once('/') {
            Some((kind, subtype)) => Self::of_type(kind, subtype),
            None => Some(Self::Unlabelled),
        }
    }

    /// The same of a type in lower case.
    pub(crate) fn of_type(kind: &str, subtype: &str) -> Option<Self> {
        let suffix = subtype.rsplit_once('+').map_or("", |(_, suffix)| suffix);
        match (kind, subtype, suffix) {
            ("text", "event-stream", _) => Some(Self::Events),
            (_, "x-ndjson" | "ndjson" | "x-jsonl" | "jsonl" | "x-jsonlines" | "jsonlines", _) => Some(Self::JsonLines),
            (_, "json" | "x-json" | "json-seq" | "json5" | "csp-report", _) => Some(Self::Json),
            (_, _, "json" | "json-seq") => Some(Self::Json),
            ("application", "x-www-form-urlencoded", _) => Some(Self::Form),
            ("text", _, _) | (_, _, "xml" | "yaml") => Some(Self::Text),
            (
                "application",
                "xml" | "xhtml" | "javascript" | "ecmascript" | "x-javascript" | "graphql" | "yaml" | "x-yaml" | "toml"
                | "sql" | "rtf" | "jwt" | "xml-dtd" | "x-sh",
                _,
            ) => Some(Self::Text),
            _ => None,
        }
    }
}

/// A query as it may stand in a target: clients may send bytes there that nobody may send on.
pub(crate) fn canonical_query(query: &[u8]) -> String {
    let mut out = String::with_capacity(query.len());
    for (at, &byte) in query.iter().enumerate() {
        let escape = || query.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        if byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\') && (byte != b'%' || escape()) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What the first bytes of an unlabelled body, white space aside, say it is. `None`: binary.
pub(crate) fn sniffed(start: &[u8]) -> Option<Format> {
    // Control characters are in no text, and in the magic numbers of most binary formats; so are bytes that UTF-8
    // doesn't start with.
    let control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    match start.first()? {
        b'{' | b'[' => Some(Format::Json),
        0x80..=0xC1 | 0xF5.. => None,
        _ if start.iter().any(control) => None,
        _ => Some(Format::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for (content_type, format) in [
            ("application/json", Some(Format::Json)),
            ("Application/Problem+JSON; charset=utf-8", Some(Format::Json)),
            ("application/x-ndjson", Some(Format::JsonLines)),
            ("text/event-stream;charset=UTF-8", Some(Format::Events)),
            ("application/x-www-form-urlencoded", Some(Format::Form)),
            ("text/html; charset=iso-8859-1", Some(Format::Text)),
            ("image/svg+xml", Some(Format::Text)),
            ("application/octet-stream", None),
            ("application/grpc", None),
            ("image/png", None),
            ("multipart/form-data; boundary=x", None),
            ("", Some(Format::Unlabelled)),
            ("json", Some(Format::Unlabelled)),
        ] {
            assert_eq!(Format::of(content_type), format, "{content_type}");
        }
    }
    #[test]
    fn a_query_keeps_its_escapes_and_gets_those_that_it_lacks() {
        assert_eq!(canonical_query("q=100%&a=%40b%4&c=\\ø".as_bytes()), "q=100%25&a=%40b%254&c=%5C%C3%B8");
    }

    #[test]
    fn first_bytes() {
        for (start, format) in [
            ("{\"a\"", Some(Format::Json)),
            ("[1", Some(Format::Json)),
            ("Hei ", Some(Format::Text)),
            ("øl", Some(Format::Text)),
            ("PK\u{3}\u{4}", None),
            ("\0\0\0", None),
        ] {
            assert_eq!(sniffed(start.as_bytes()), format, "{start:?}");
        }
        assert_eq!(sniffed(b"\x89PNG"), None);
        assert_eq!(sniffed(b"\xff\xd8\xff"), None);
    }
}
