//! What the head of a message or of a part says of its body.

use serde::{Deserialize, Serialize};

use super::charset::Label;
use super::head;
use super::parameters::{until, value};
use super::sniff::Binary;
use crate::content::Format;

/// The longest boundary that is looked for; RFC 2046 section 5.1.1 allows 70.
const LONGEST_BOUNDARY: usize = 128;

/// How a type says that a body is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Text of a format that the scanner reads.
    Read(Format),
    /// `text/plain`, which may be a message as it was stored or sent.
    Plain,
    /// Lines of cells, with this between them; `None`: what the first line shows.
    Table(Option<u8>),
    /// Text with columns in it.
    Columns(Layout),
    /// Parts with this boundary between them; `digest`: they are messages where they don't say what they are.
    #[expect(missing_docs, reason = "said above")]
    Multipart { boundary: Vec<u8>, digest: bool },
    /// Header fields and a body.
    Message,
    /// The type says nothing: the first bytes have to.
    Sniffed,
    /// Binary content of this kind, which the first bytes have to confirm.
    Binary(Binary),
    /// Nothing here can read it.
    Unreadable,
}

/// Text in which the names of columns stand before their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// Tables of HTML.
    Html,
    /// `INSERT` and `COPY` statements.
    Sql,
}

/// A body's type and charset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// Its type.
    pub kind: Kind,
    /// What its `charset` says.
    pub label: Label,
}

impl Declared {
    /// A body without a type.
    pub const NOTHING: Self = Self { kind: Kind::Sniffed, label: Label::Ascii };

    /// Text in UTF-8 of a format.
    pub fn of_format(format: Format) -> Self {
        let kind = if format == Format::Unlabelled { Kind::Sniffed } else { Kind::Read(format) };
        Self { kind, label: Label::Ascii }
    }

    /// What the `Content-Type` fields of a message say. Who reads the message takes the first, the last or none of several that
    /// differ; so they count as none.
    pub fn of<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut declared: Option<Self> = None;
        for field in fields {
            let mut from = 0;
            while from <= field.len() {
                let end = until(field, from, b',');
                let one = Self::of_one(&field[from..end]);
                if declared.as_ref().is_some_and(|declared| *declared != one) {
                    return Self::NOTHING;
                }
                declared = Some(one);
                from = end + 1;
            }
        }
        declared.unwrap_or(Self::NOTHING)
    }

    fn of_one(field: &[u8]) -> Self {
        let essence = &field[..until(field, 0, b';')];
        let essence = String::from_utf8_lossy(essence).trim().to_ascii_lowercase();
        let label = value(field, "charset").map_or(Label::Ascii, |label| Label::of(&String::from_utf8_lossy(&label)));
        let Some((kind, subtype)) = essence.split_once('/') else { return Self { kind: Kind::Sniffed, label } };
        let boundary = || value(field, "boundary").filter(|it| (1..=LONGEST_BOUNDARY).contains(&it.len()));
        let kind = match (kind, subtype) {
            ("multipart", _) => boundary().map_or(Kind::Sniffed, |boundary| {
                let digest = subtype == "digest";
                Kind::Multipart { boundary, digest }
            }),
            _ if label == Label::Unreadable => Kind::Unreadable,
            ("message", _) | ("application", "http") => Kind::Message,
            ("text", "plain") => Kind::Plain,
            ("text", "html") | ("application", "xhtml+xml") => Kind::Columns(Layout::Html),
            ("application", "sql") | (_, "x-sql") => Kind::Columns(Layout::Sql),
            ("text", "tab-separated-values") => Kind::Table(Some(b'\t')),
            (_, "csv" | "x-csv" | "comma-separated-values" | "x-comma-separated-values") => Kind::Table(None),
            _ => match Format::of_type(kind, subtype) {
                Some(format) => Kind::Read(format),
                None => of_binary(kind, subtype),
            },
        };
        // Each part has a charset of its own.
        let parted = matches!(kind, Kind::Multipart { .. } | Kind::Message);
        Self { kind, label: if parted { Label::Ascii } else { label } }
    }

    /// The same of a file that a `Content-Disposition` names.
    pub fn of_attachment(self, disposition: &[u8]) -> Self {
        let file = head::parameter(disposition, "filename").unwrap_or_default();
        self.of_file(&file)
    }

    /// The same of a file with this name. Systems call a table what opens it, which often is a spreadsheet's type or none.
    pub(super) fn of_file(self, name: &[u8]) -> Self {
        let name = name.to_ascii_lowercase();
        let kind = match self.kind {
            Kind::Sniffed | Kind::Plain if name.ends_with(b".csv") => Kind::Table(None),
            Kind::Sniffed | Kind::Plain if name.ends_with(b".tsv") || name.ends_with(b".tab") => {
                Kind::Table(Some(b'\t'))
            }
            kind => kind,
        };
        Self { kind, ..self }
    }

    /// Whether nothing of it has to be seen to know that nothing can be read.
    pub fn is_unreadable(&self) -> bool {
        self.kind == Kind::Unreadable
    }
}

/// Types that aren't text. What nobody knows is read as what it looks like.
fn of_binary(kind: &str, subtype: &str) -> Kind {
    let office = ["vnd.openxmlformats-officedocument.", "vnd.oasis.opendocument."];
    let framed = ["grpc", "connect+", "grpc-web"];
    match (kind, subtype) {
        ("image", _) => Kind::Binary(Binary::Image),
        ("audio" | "video", _) | ("application", "ogg" | "mp4" | "x-matroska") => Kind::Binary(Binary::Media),
        ("font", _)
        | ("application", "font-woff" | "font-sfnt" | "x-font-ttf" | "x-font-woff" | "vnd.ms-fontobject") => {
            Kind::Binary(Binary::Font)
        }
        ("application", "wasm") => Kind::Binary(Binary::Wasm),
        ("application", "pdf" | "x-pdf") => Kind::Binary(Binary::Pdf),
        ("application", "zip" | "x-zip-compressed" | "epub+zip" | "java-archive") => Kind::Binary(Binary::Zip),
        ("application", _) if office.iter().any(|start| subtype.starts_with(start)) => Kind::Binary(Binary::Zip),
        // Lengths, and encodings in which numbers and the lengths of texts are bytes between the text.
        ("application", _) if framed.iter().any(|start| subtype.starts_with(start)) => Kind::Unreadable,
        (
            "application",
            "x-protobuf"
            | "protobuf"
            | "vnd.google.protobuf"
            | "cbor"
            | "cose"
            | "msgpack"
            | "x-msgpack"
            | "vnd.msgpack"
            | "avro"
            | "x-thrift"
            | "pgp-encrypted"
            | "pkcs7-mime"
            | "x-pkcs7-mime",
        ) => Kind::Unreadable,
        (_, subtype) if subtype.ends_with("+cbor") || subtype.ends_with("+protobuf") => Kind::Unreadable,
        _ => Kind::Sniffed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::charset::Charset;

    fn kind(field: &str) -> Kind {
        Declared::of([field.as_bytes()]).kind
    }

    #[test]
    fn types() {
        for (field, expected) in [
            ("application/json; charset=utf-8", Kind::Read(Format::Json)),
            ("text/csv; header=present", Kind::Table(None)),
            ("text/tab-separated-values", Kind::Table(Some(b'\t'))),
            ("multipart/form-data; boundary=\"a b\"", Kind::Multipart { boundary: b"a b".to_vec(), digest: false }),
            ("multipart/form-data", Kind::Sniffed),
            ("message/rfc822", Kind::Message),
            ("image/png", Kind::Binary(Binary::Image)),
            ("image/svg+xml", Kind::Read(Format::Text)),
            ("application/octet-stream", Kind::Sniffed),
            ("application/vnd.example.thing", Kind::Sniffed),
            ("*/*", Kind::Sniffed),
            ("json", Kind::Sniffed),
            ("", Kind::Sniffed),
            ("application/grpc+proto", Kind::Unreadable),
            ("text/plain; charset=utf-7", Kind::Unreadable),
            ("text/html, text/html", Kind::Columns(Layout::Html)),
            ("application/sql", Kind::Columns(Layout::Sql)),
            ("text/plain", Kind::Plain),
            ("text/html, application/json", Kind::Sniffed),
        ] {
            assert_eq!(kind(field), expected, "{field}");
        }
    }

    #[test]
    fn fields_that_differ_say_nothing() {
        let of = |fields: &[&str]| Declared::of(fields.iter().map(|field| field.as_bytes()));
        assert_eq!(of(&["image/png", "application/json"]), Declared::NOTHING);
        assert_eq!(of(&["application/json", "Application/JSON"]).kind, Kind::Read(Format::Json));
        assert_eq!(of(&[]), Declared::NOTHING);
    }

    #[test]
    fn charsets() {
        let label = |field: &str| Declared::of([field.as_bytes()]).label;
        assert_eq!(label("text/plain; Charset=\"ISO-8859-1\""), Label::Known(Charset::Windows1252));
        assert_eq!(label("text/plain;charset=utf-16"), Label::Unordered { wide: false });
    }
}
