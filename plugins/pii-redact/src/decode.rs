//! The logical view of raw bytes: escapes decoded and characters that are others in all but their looks made one ([`mod@unit`]),
//! each decoded byte with the raw span it came from.

mod unescaped;
mod unit;

pub(crate) use unescaped::{Unescaped, unescaped};
pub(crate) use unit::is_plain;
use unit::{Unit, unit};

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
        let most = STEP.max(self.bytes().len());
        if !self.escaped {
            let plain = self.raw[self.next..].iter().take(most).take_while(|byte| unit::always_plain(**byte)).count();
            self.next += plain;
            if plain > 0 {
                return true;
            }
        }
        for _ in 0..most {
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
        assert_eq!(decoded(r#"Fnr:\\n30\\\\t\\u0040 \\\"x\\"#, Syntax::Text).0, "Fnr:\n30 @ \"x\\");
        assert_eq!(decoded("a&#64;b&commat;c&nbsp;1&#x202f;2 R&D &amp; &x;", Syntax::Text).0, "a@b@c 1 2 R&D & &x;");
        assert_eq!(decoded("１２＠ 1\u{a0}2\u{202f}3\u{200b}4–5\t6", Syntax::Text).0, "12@ 1 2 34-5 6");
        assert_eq!(decoded("a%C3%B8%40%C2%A0b", Syntax::Form).0, "aø@ b");
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
