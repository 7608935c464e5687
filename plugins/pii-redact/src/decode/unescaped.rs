//! The text of a JSON string, exactly (RFC 8259 section 7), and where each byte of it stands in the raw ones.

use super::unit::{Hex, hex};

/// The text of a string, up to its closing quote, a raw line break, or where the bytes at hand end.
#[derive(Debug)]
pub(crate) struct Unescaped {
    bytes: Vec<u8>,
    /// The raw start of each byte's unit, and behind the last one where the raw bytes go on.
    starts: Vec<usize>,
    whole: bool,
}

impl Unescaped {
    /// Reads from `at`. `last`: nothing follows `raw`.
    pub(crate) fn new(raw: &[u8], mut at: usize, last: bool) -> Self {
        let rest = raw.len() - at;
        let mut text = Self { bytes: Vec::with_capacity(rest), starts: Vec::with_capacity(rest + 1), whole: false };
        while let Some(&byte) = raw.get(at) {
            let (character, length) = match byte {
                b'"' | b'\n' | b'\r' => {
                    text.whole = true;
                    break;
                }
                b'\\' => match escape(raw, at, last) {
                    Some(escape) => escape,
                    None => break,
                },
                _ => {
                    text.bytes.push(byte);
                    text.starts.push(at);
                    at += 1;
                    continue;
                }
            };
            let mut buffer = [0; 4];
            let encoded = character.encode_utf8(&mut buffer).as_bytes();
            text.bytes.extend_from_slice(encoded);
            text.starts.extend(std::iter::repeat_n(at, encoded.len()));
            at += length;
        }
        text.whole |= last && at == raw.len();
        text.starts.push(at);
        text
    }

    /// The text.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing follows it.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The raw start of the unit that the byte at `index` belongs to; behind the last one, where the raw bytes go on.
    pub(crate) fn start(&self, index: usize) -> usize {
        self.starts[index.min(self.bytes.len())]
    }

    /// The raw end of what comes before `index`.
    pub(crate) fn end(&self, index: usize) -> usize {
        let index = index.min(self.bytes.len());
        let inside = (index..self.bytes.len()).take_while(|at| index > 0 && self.starts[*at] == self.starts[index - 1]);
        self.starts[index + inside.count()]
    }

    /// How many bytes of the same unit come before `index`.
    pub(crate) fn offset(&self, index: usize) -> u8 {
        let index = index.min(self.bytes.len());
        (0..index).rev().take_while(|at| self.starts[*at] == self.starts[index]).count() as u8
    }
}

/// The character that an escape stands for, and its length; what is none stands for its backslash. `None`: it isn't all
/// there.
fn escape(raw: &[u8], at: usize, last: bool) -> Option<(char, usize)> {
    let plain = Some(('\\', 1));
    let simple = match raw.get(at + 1) {
        None => return if last { plain } else { None },
        Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => {
            return match code_unit(raw, at, last) {
                Hex::Not => plain,
                Hex::Starved => None,
                Hex::Value(high @ 0xD800..0xDC00) => match code_unit(raw, at + 6, last) {
                    Hex::Value(low @ 0xDC00..0xE000) => {
                        Some((character(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), 12))
                    }
                    Hex::Starved => None,
                    _ => Some((char::REPLACEMENT_CHARACTER, 6)),
                },
                Hex::Value(value) => Some((character(value), 6)),
            };
        }
        Some(_) => return plain,
    };
    Some((simple, 2))
}

/// The value of `\uXXXX`.
fn code_unit(raw: &[u8], at: usize, last: bool) -> Hex {
    match (raw.get(at), raw.get(at + 1)) {
        (Some(b'\\'), Some(b'u')) => hex(raw, at + 2, 4, last),
        (Some(b'\\') | None, None) if !last => Hex::Starved,
        _ => Hex::Not,
    }
}

fn character(value: u32) -> char {
    char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The text of a whole string without its quotes.
pub(crate) fn unescaped(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        if byte == b'\\' {
            let (character, length) = escape(raw, at, true).unwrap_or(('\\', 1));
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            at += length;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_what_escapes_stand_for() {
        let text = Unescaped::new(br#"a\\"b"#, 0, false);
        assert_eq!((text.bytes(), text.is_whole(), text.start(1), text.end(2)), (&b"a\\"[..], true, 1, 3));
        let text = Unescaped::new(br"\u00f8b\ud83d\ude00", 0, true);
        assert_eq!(text.bytes(), "øb😀".as_bytes());
        assert_eq!((text.start(1), text.end(1), text.offset(1), text.start(2), text.end(4)), (0, 6, 1, 6, 19));
    }

    #[test]
    fn an_escape_that_is_cut_waits() {
        for raw in ["a\\", "a\\u00", "a\\ud83d", "a\\ud83d\\", "a\\ud83d\\ude0"] {
            let text = Unescaped::new(raw.as_bytes(), 0, false);
            assert_eq!((text.bytes(), text.is_whole(), text.start(1)), (&b"a"[..], false, 1), "{raw}");
        }
    }
}
