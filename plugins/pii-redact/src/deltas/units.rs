//! Where an event ends: at the blank line of an event stream (HTML standard, section 9.2.5), at the end of the line, or with
//! the element of an array.

use serde::{Deserialize, Serialize};

use crate::content::Format;

/// How a stream parts its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Framing {
    /// By blank lines; the data stands behind `data:`.
    Fields,
    /// Each has a line.
    Lines,
    /// They are the elements of an array. What stands between them counts as an event too, and so does its end.
    Array,
}

impl Framing {
    /// The framing of a format.
    pub(super) fn of(format: Format) -> Self {
        match format {
            Format::Events => Self::Fields,
            Format::Json => Self::Array,
            _ => Self::Lines,
        }
    }

    /// What an event that is put before another one has to have before and behind it.
    pub(super) fn around(self, next: &[u8]) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Fields => (b"", b"\n\n"),
            Self::Lines => (b"", b"\n"),
            Self::Array if next.starts_with(b"{") => (b"", b","),
            Self::Array => (b",", b""),
        }
    }
}

/// What is known of the bytes up to a position.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Units {
    pub(super) framing: Framing,
    /// The line has nothing so far.
    blank: bool,
    /// The last byte was a carriage return, of whose break a line feed may be the rest.
    after_return: bool,
    /// The event has nothing so far.
    fresh: bool,
    /// It has a comment so far, which keeps a connection alive and waits for no event.
    comment: bool,
    /// Containers of an element that are open, and whether a string is, and in it an escape.
    depth: u32,
    string: bool,
    escape: bool,
}

impl Units {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            blank: true,
            after_return: false,
            fresh: true,
            comment: false,
            depth: 0,
            string: false,
            escape: false,
        }
    }

    /// Reads on: how many of the bytes belong to the event, where it ends among them.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        match self.framing {
            Framing::Fields => self.blank_line(bytes),
            Framing::Lines => bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1),
            Framing::Array => self.element(bytes),
        }
    }

    fn blank_line(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(found) = bytes[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            if found > 0 {
                self.text(bytes[at]);
            }
            let byte = bytes[at + found];
            at += found + 1;
            let was_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            if was_return && byte == b'\n' {
                // Behind an event that the carriage return has ended it stands alone.
                if self.fresh {
                    return Some(at);
                }
                continue;
            }
            if std::mem::replace(&mut self.blank, true) || std::mem::take(&mut self.comment) {
                self.fresh = true;
                return Some(at);
            }
        }
        if let Some(first) = bytes.get(at) {
            self.text(*first);
        }
        None
    }

    fn text(&mut self, first: u8) {
        self.comment |= self.fresh && first == b':';
        (self.blank, self.after_return, self.fresh) = (false, false, false);
    }

    fn element(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.string {
                self.string = *byte != b'"' || self.escape;
                self.escape = *byte == b'\\' && !self.escape;
                continue;
            }
            match byte {
                b'{' if self.depth == 0 && !std::mem::replace(&mut self.fresh, true) => return Some(at),
                b'"' => self.string = self.depth > 0,
                b'{' | b'[' if self.depth > 0 || *byte == b'{' => self.depth += 1,
                b']' if self.depth == 0 => {
                    self.fresh = true;
                    return Some(at + 1);
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        self.fresh = true;
                        return Some(at + 1);
                    }
                }
                _ if self.depth == 0 => self.fresh = false,
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, size: usize, framing: Framing) -> Vec<String> {
        let mut units = Units::new(framing);
        let mut all = vec![String::new()];
        for chunk in text.as_bytes().chunks(size) {
            let mut rest = chunk;
            while let Some(end) = units.end(rest) {
                all.last_mut().unwrap().push_str(std::str::from_utf8(&rest[..end]).unwrap());
                all.push(String::new());
                rest = &rest[end..];
            }
            all.last_mut().unwrap().push_str(std::str::from_utf8(rest).unwrap());
        }
        all
    }

    #[test]
    fn events_end_where_they_end_however_they_are_cut() {
        for (framing, text, expected) in [
            (Framing::Fields, "data: a\nid: b\n\n\ndata: c\n\nd", vec!["data: a\nid: b\n\n", "\n", "data: c\n\n", "d"]),
            (Framing::Fields, "data: a\r\rdata: b\r\r", vec!["data: a\r\r", "data: b\r\r", ""]),
            (Framing::Fields, "data: a\r\n\r\n: b\r\n\r\n", vec!["data: a\r\n\r", "\n", ": b\r", "\n", "\r", "\n", ""]),
            (Framing::Fields, ": a\n:\ndata: b\n: c\n\n", vec![": a\n", ":\n", "data: b\n: c\n\n", ""]),
            (Framing::Lines, "a\r\nb\n\nc", vec!["a\r\n", "b\n", "\n", "c"]),
            (
                Framing::Array,
                "[{\"a\":[{}, \"}\\\"]\"]}\n,\n{},{}]\n",
                vec!["[", "{\"a\":[{}, \"}\\\"]\"]}", "\n,\n", "{}", ",", "{}", "]", "\n"],
            ),
            (Framing::Array, "{}]", vec!["{}", "]", ""]),
        ] {
            for size in 1..=text.len() {
                assert_eq!(units(text, size, framing), expected, "{text:?} by {size}");
            }
        }
    }
}
