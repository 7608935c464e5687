//! Which bodies are read, and as what.

use serde::{Deserialize, Serialize};

/// How the bytes of a message are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Plain text, XML, HTML and the like, header values and log fields.
    Text,
    /// JSON, also several values in a row (NDJSON, JSON text sequences).
    Json,
    /// `application/x-www-form-urlencoded`, and the query of a target.
    Form,
    /// `text/event-stream`: text by lines, where a `data:` line may hold JSON.
    Events,
}

impl Format {
    /// The format of a `Content-Type`, or `None` where a body is binary, or in an encoding that isn't a superset of ASCII.
    pub fn of(content_type: &str) -> Option<Self> {
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let essence = essence.trim().to_ascii_lowercase();
        let parameters = parameters.to_ascii_lowercase();
        if ["utf-16", "utf-32", "utf-7", "ebcdic"].iter().any(|charset| parameters.contains(charset)) {
            return None;
        }
        let (kind, subtype) = essence.split_once('/')?;
        let suffix = subtype.rsplit_once('+').map_or("", |(_, suffix)| suffix);
        match (kind, subtype, suffix) {
            ("text", "event-stream", _) => Some(Self::Events),
            (_, "json" | "x-ndjson" | "ndjson" | "jsonl" | "jsonlines" | "json-seq", _) => Some(Self::Json),
            (_, _, "json" | "json-seq") => Some(Self::Json),
            ("application", "x-www-form-urlencoded", _) => Some(Self::Form),
            ("text", _, _) | (_, _, "xml" | "yaml") => Some(Self::Text),
            (
                "application",
                "xml" | "xhtml" | "javascript" | "ecmascript" | "graphql" | "yaml" | "x-yaml" | "toml" | "sql" | "rtf",
                _,
            ) => Some(Self::Text),
            _ => None,
        }
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
            ("application/x-ndjson", Some(Format::Json)),
            ("text/event-stream;charset=UTF-8", Some(Format::Events)),
            ("application/x-www-form-urlencoded", Some(Format::Form)),
            ("text/html; charset=iso-8859-1", Some(Format::Text)),
            ("image/svg+xml", Some(Format::Text)),
            ("text/plain; charset=utf-16", None),
            ("application/octet-stream", None),
            ("application/grpc", None),
            ("image/png", None),
            ("multipart/form-data; boundary=x", None),
            ("", None),
        ] {
            assert_eq!(Format::of(content_type), format, "{content_type}");
        }
    }
}
