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
    /// A byte that stands for itself.
    Plain,
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
///
/// As long as no escape comes, the decoded bytes are the raw ones, and nothing is written down.
#[derive(Debug)]
pub struct Window<'a> {
    raw: &'a [u8],
    from: usize,
    next: usize,
    syntax: Syntax,
    last: bool,
    edge: Edge,
    /// The decoded bytes and their spans, from the first escape on; before it there are none.
    escaped: bool,
    buffers: Buffers,
}

/// Units decoded at a time: at least so many, and as many as there are already, because who asks begins anew with each.
const STEP: usize = 24;

impl<'a> Window<'a> {
    /// A window that starts at `start`; `last` says that nothing follows `raw`. Bytes before `plain` are known to stand for
    /// themselves, from an earlier window.
    pub fn new(raw: &'a [u8], start: usize, plain: usize, syntax: Syntax, last: bool, buffers: Buffers) -> Self {
        Self { raw, from: start, next: start.max(plain), syntax, last, edge: Edge::Open, escaped: false, buffers }
    }

    /// Gives the memory back.
    pub fn into_buffers(self) -> Buffers {
        self.buffers
    }

    /// The decoded bytes so far.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        if self.escaped { &self.buffers.bytes } else { &self.raw[self.from..self.next] }
    }

    /// The raw start of a decoded byte.
    #[inline]
    pub fn start(&self, index: usize) -> usize {
        if self.escaped { self.buffers.spans[index].0 } else { self.from + index }
    }

    /// The raw end of a decoded byte.
    #[inline]
    pub fn end(&self, index: usize) -> usize {
        if self.escaped { self.buffers.spans[index].1 } else { self.from + index + 1 }
    }

    /// The raw position behind all that is decoded.
    pub fn next(&self) -> usize {
        self.next
    }

    /// The raw position up to which all bytes stand for themselves, where that is known.
    pub fn plain(&self) -> usize {
        if self.escaped { self.from } else { self.next }
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
        for _ in 0..STEP.max(self.bytes().len()) {
            match unit(self.raw, self.next, self.syntax, self.last) {
                Unit::Plain if !self.escaped => self.next += 1,
                Unit::Plain => self.push(&[self.raw[self.next]], 1),
                Unit::Bytes(bytes, count, length) => {
                    self.write_down();
                    self.push(&bytes[..count], length);
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

    /// From here on decoded bytes differ from the raw ones.
    fn write_down(&mut self) {
        if !self.escaped {
            self.escaped = true;
            self.buffers.bytes.clear();
            self.buffers.bytes.extend_from_slice(&self.raw[self.from..self.next]);
            self.buffers.spans.clear();
            self.buffers.spans.extend((self.from..self.next).map(|at| (at, at + 1)));
        }
    }

    fn push(&mut self, bytes: &[u8], length: usize) {
        let span = (self.next, self.next + length);
        self.next += length;
        self.buffers.bytes.extend_from_slice(bytes);
        self.buffers.spans.extend(std::iter::repeat_n(span, bytes.len()));
    }
}

fn unit(raw: &[u8], at: usize, syntax: Syntax, last: bool) -> Unit {
    let Some(&byte) = raw.get(at) else { return if last { Unit::Stop } else { Unit::Starved } };
    match (byte, syntax) {
        (b'\n' | b'\r', _) | (b'"', Syntax::Json) | (b'&' | b'=', Syntax::Form) => Unit::Stop,
        (b'+', Syntax::Form) => Unit::Bytes([b' ', 0, 0, 0], 1, 1),
        (b'%', _) => match hex(raw, at + 1, 2, last) {
            Hex::Value(value) => Unit::Bytes([value as u8, 0, 0, 0], 1, 3),
            Hex::Not => Unit::Plain,
            Hex::Starved => Unit::Starved,
        },
        (b'\\', Syntax::Text | Syntax::Json) => backslash(raw, at, last),
        _ => Unit::Plain,
    }
}

/// RFC 8259 section 7. What isn't an escape is a backslash.
fn backslash(raw: &[u8], at: usize, last: bool) -> Unit {
    let pair = |byte| Unit::Bytes([byte, 0, 0, 0], 1, 2);
    match raw.get(at + 1) {
        None if last => Unit::Plain,
        None => Unit::Starved,
        Some(&byte @ (b'"' | b'\\' | b'/')) => pair(byte),
        Some(b'n') => pair(b'\n'),
        Some(b'r') => pair(b'\r'),
        Some(b't') => pair(b'\t'),
        Some(b'b' | b'f') => pair(b' '),
        Some(b'u') => match hex(raw, at + 2, 4, last) {
            Hex::Not => Unit::Plain,
            Hex::Starved => Unit::Starved,
            Hex::Value(high @ 0xD800..=0xDBFF) => match low_surrogate(raw, at + 6, last) {
                Hex::Value(low) => character(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00), 12),
                Hex::Not => character(high, 6),
                Hex::Starved => Unit::Starved,
            },
            Hex::Value(value) => character(value, 6),
        },
        Some(_) => Unit::Plain,
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
        let mut window = Window::new(raw.as_bytes(), 0, 0, syntax, true, Buffers::default());
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
            let mut window = Window::new(raw.as_bytes(), 0, 0, Syntax::Json, false, Buffers::default());
            while window.extend() {}
            assert_eq!((window.bytes(), window.edge(), window.next()), (&b"a"[..], Edge::Starved, 1), "{raw}");
        }
    }
}
