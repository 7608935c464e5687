//! The logical view of raw bytes: JSON and percent escapes decoded, each decoded byte with the raw span it came from.

/// What surrounds a value, and so which escapes and ends it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Text: escapes of embedded JSON and URLs are understood, a line break ends a value.
    Text,
    /// Inside a JSON string.
    Json,
    /// A form's name or value, where `+` is a space.
    Form,
}

/// One decoded unit.
enum Unit {
    /// Up to four bytes from `1` raw bytes.
    Bytes([u8; 4], usize, usize),
    /// The value ends before this raw byte.
    Stop,
    /// The unit's raw bytes aren't all there.
    Starved,
}

/// Why a window can't grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// It can.
    Open,
    /// The value ends here.
    Closed,
    /// The raw bytes end here for now.
    Starved,
}

/// The memory of a window, kept from one to the next.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    bytes: Vec<u8>,
    spans: Vec<(usize, usize)>,
}

/// The decoded bytes from a raw position on, decoded as far as somebody asked.
#[derive(Debug)]
pub struct Window<'a> {
    raw: &'a [u8],
    next: usize,
    syntax: Syntax,
    last: bool,
    edge: Edge,
    bytes: Vec<u8>,
    spans: Vec<(usize, usize)>,
}

/// Units decoded at a time.
const STEP: usize = 24;

impl<'a> Window<'a> {
    /// A window that starts at `start`; `last` says that nothing follows `raw`.
    pub fn new(raw: &'a [u8], start: usize, syntax: Syntax, last: bool, buffers: Buffers) -> Self {
        let Buffers { mut bytes, mut spans } = buffers;
        bytes.clear();
        spans.clear();
        Self { raw, next: start, syntax, last, edge: Edge::Open, bytes, spans }
    }

    /// Gives the memory back.
    pub fn into_buffers(self) -> Buffers {
        Buffers { bytes: self.bytes, spans: self.spans }
    }

    /// The decoded bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The raw start of a decoded byte.
    pub fn start(&self, index: usize) -> usize {
        self.spans[index].0
    }

    /// The raw end of a decoded byte.
    pub fn end(&self, index: usize) -> usize {
        self.spans[index].1
    }

    /// The raw position behind all that is decoded.
    pub fn next(&self) -> usize {
        self.next
    }

    /// Whether the window can grow, and if not, why.
    pub fn edge(&self) -> Edge {
        self.edge
    }

    /// Decodes some more. False where nothing changed.
    pub fn extend(&mut self) -> bool {
        if self.edge != Edge::Open {
            return false;
        }
        for _ in 0..STEP {
            match unit(self.raw, self.next, self.syntax, self.last) {
                Unit::Bytes(bytes, count, length) => {
                    let span = (self.next, self.next + length);
                    self.next += length;
                    self.bytes.extend_from_slice(&bytes[..count]);
                    self.spans.extend(std::iter::repeat_n(span, count));
                }
                Unit::Stop => {
                    self.edge = Edge::Closed;
                    break;
                }
                Unit::Starved => {
                    self.edge = Edge::Starved;
                    break;
                }
            }
        }
        true
    }
}

fn unit(raw: &[u8], at: usize, syntax: Syntax, last: bool) -> Unit {
    let plain = |byte| Unit::Bytes([byte, 0, 0, 0], 1, 1);
    let Some(&byte) = raw.get(at) else { return if last { Unit::Stop } else { Unit::Starved } };
    match (byte, syntax) {
        (b'\n' | b'\r', _) | (b'"', Syntax::Json) | (b'&' | b'=', Syntax::Form) => Unit::Stop,
        (b'+', Syntax::Form) => plain(b' '),
        (b'%', _) => match hex(raw, at + 1, 2, last) {
            Hex::Value(value) => Unit::Bytes([value as u8, 0, 0, 0], 1, 3),
            Hex::Not => plain(b'%'),
            Hex::Starved => Unit::Starved,
        },
        (b'\\', Syntax::Text | Syntax::Json) => backslash(raw, at, last),
        (byte, _) => plain(byte),
    }
}

/// RFC 8259 section 7. What isn't an escape is a backslash.
fn backslash(raw: &[u8], at: usize, last: bool) -> Unit {
    let plain = |byte, length| Unit::Bytes([byte, 0, 0, 0], 1, length);
    match raw.get(at + 1) {
        None if last => plain(b'\\', 1),
        None => Unit::Starved,
        Some(&byte @ (b'"' | b'\\' | b'/')) => plain(byte, 2),
        Some(b'n') => plain(b'\n', 2),
        Some(b'r') => plain(b'\r', 2),
        Some(b't') => plain(b'\t', 2),
        Some(b'b' | b'f') => plain(b' ', 2),
        Some(b'u') => match hex(raw, at + 2, 4, last) {
            Hex::Not => plain(b'\\', 1),
            Hex::Starved => Unit::Starved,
            Hex::Value(high @ 0xD800..=0xDBFF) => match low_surrogate(raw, at + 6, last) {
                Hex::Value(low) => character(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00), 12),
                Hex::Not => character(high, 6),
                Hex::Starved => Unit::Starved,
            },
            Hex::Value(value) => character(value, 6),
        },
        Some(_) => plain(b'\\', 1),
    }
}

/// What `length` raw bytes stand for. Half of a surrogate pair alone stands for no character.
fn character(value: u32, length: usize) -> Unit {
    let mut bytes = [0; 4];
    let count = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut bytes).len();
    Unit::Bytes(bytes, count, length)
}

/// The escape of the second half of a surrogate pair.
fn low_surrogate(raw: &[u8], at: usize, last: bool) -> Hex {
    for (offset, expected) in [b'\\', b'u'].into_iter().enumerate() {
        match raw.get(at + offset) {
            Some(&byte) if byte == expected => {}
            None if !last => return Hex::Starved,
            _ => return Hex::Not,
        }
    }
    match hex(raw, at + 2, 4, last) {
        Hex::Value(value) if !(0xDC00..=0xDFFF).contains(&value) => Hex::Not,
        hex => hex,
    }
}

enum Hex {
    Value(u32),
    Not,
    Starved,
}

fn hex(raw: &[u8], at: usize, count: usize, last: bool) -> Hex {
    let mut value = 0;
    for index in at..at + count {
        match raw.get(index).map(|&byte| char::from(byte).to_digit(16)) {
            Some(Some(digit)) => value = value * 16 + digit,
            Some(None) => return Hex::Not,
            None if last => return Hex::Not,
            None => return Hex::Starved,
        }
    }
    Hex::Value(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(raw: &str, syntax: Syntax) -> (String, Edge) {
        let mut window = Window::new(raw.as_bytes(), 0, syntax, true, Buffers::default());
        while window.extend() {}
        (String::from_utf8(window.bytes().to_vec()).unwrap(), window.edge())
    }

    #[test]
    fn escapes() {
        assert_eq!(decoded(r#"a\u0040b\/c\"d\u00f8%40\x%4"z"#, Syntax::Json).0, r#"a@b/c"dø@\x%4"#);
        assert_eq!(decoded("a+b%40c&d", Syntax::Form).0, "a b@c");
        assert_eq!(decoded(r"\ud83d\ude00 \ud83d\u0041 \ude00", Syntax::Json).0, "😀 \u{fffd}A \u{fffd}");
        assert_eq!(decoded("C:\\dir \\u0040 100% \\ud83d\nz", Syntax::Text).0, "C:\\dir @ 100% \u{fffd}");
    }

    #[test]
    fn an_escape_that_is_cut_waits() {
        for raw in ["a\\", "a\\u00", "a%", "a%4", "a\\ud83d", "a\\ud83d\\", "a\\ud83d\\ude0"] {
            let mut window = Window::new(raw.as_bytes(), 0, Syntax::Json, false, Buffers::default());
            while window.extend() {}
            assert_eq!((window.bytes(), window.edge(), window.next()), (&b"a"[..], Edge::Starved, 1), "{raw}");
        }
    }
}
