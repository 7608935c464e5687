//! Just enough of JSON (RFC 8259) to find strings in an event where they stand, and to write others in their place.
//!
//! The data of an event may be parted over several lines (HTML standard, section 9.2.6). A string can't be, because it has
//! no raw line break; so the lines and fields between are white space here, and every position is one of the raw event.

use std::borrow::Cow;

use super::units::Framing;

const DATA: &[u8] = b"data:";
/// The two ends of the code points U+D800 to U+DFFF, as UTF-8 would write them if it could.
const SURROGATE: u8 = 0xED;

/// Why reading ended before the value did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end here.
    Cut,
    /// This isn't JSON.
    Not,
}

/// A position in an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    pub(super) raw: &'a [u8],
    pub(super) at: usize,
    lines: bool,
}

impl<'a> Cursor<'a> {
    /// The start of the data of an event.
    pub(super) fn new(raw: &'a [u8], framing: Framing) -> Self {
        let lines = framing == Framing::Fields;
        let mut cursor = Self { raw, at: 0, lines };
        if raw.starts_with(b"\xEF\xBB\xBF") {
            cursor.at = 3;
        }
        if lines {
            cursor.find_data();
        }
        cursor
    }

    /// From the start of a line to the data of this or of a later one.
    fn find_data(&mut self) {
        while let Some(rest) = self.raw.get(self.at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with(DATA) {
                self.at += DATA.len();
                return;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            self.at += end.map_or(rest.len(), |end| end + 1);
        }
    }

    /// The next byte that isn't white space.
    pub(super) fn peek(&mut self) -> Result<u8, Stop> {
        loop {
            match self.raw.get(self.at) {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\n' | b'\r') => {
                    self.at += 1;
                    if self.lines {
                        self.find_data();
                    }
                }
                Some(&byte) => return Ok(byte),
                None => return Err(Stop::Cut),
            }
        }
    }

    /// Whether this byte comes next; then the cursor is behind it.
    pub(super) fn eat(&mut self, expected: u8) -> Result<bool, Stop> {
        let found = self.peek()? == expected;
        self.at += usize::from(found);
        Ok(found)
    }

    /// A string: where its content starts and ends. The cursor is behind it, or where it ran out of bytes.
    pub(super) fn string(&mut self) -> Result<(usize, usize), Stop> {
        if !self.eat(b'"')? {
            return Err(Stop::Not);
        }
        let start = self.at;
        loop {
            let rest = &self.raw[self.at..];
            let Some(found) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r')) else {
                self.at = self.raw.len();
                return Err(Stop::Cut);
            };
            self.at += found;
            match rest[found] {
                b'"' => {
                    self.at += 1;
                    return Ok((start, self.at - 1));
                }
                b'\\' if self.at + 1 < self.raw.len() => self.at += 2,
                b'\\' => {
                    self.at = self.raw.len();
                    return Err(Stop::Cut);
                }
                _ => return Err(Stop::Not),
            }
        }
    }

    /// Any value, with its start; what it looks like inside isn't checked further than to find its end.
    pub(super) fn skip(&mut self) -> Result<usize, Stop> {
        let first = self.peek()?;
        let start = self.at;
        let mut depth = 0_u32;
        let mut byte = first;
        loop {
            match byte {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                _ if is_literal(byte) => {
                    let length = self.raw[self.at..].iter().take_while(|byte| is_literal(**byte)).count();
                    self.at += length;
                }
                _ => return Err(Stop::Not),
            }
            if depth == 0 {
                return Ok(start);
            }
            byte = self.peek()?;
        }
    }
}

fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

/// Reads the content of a string as it comes. Escapes may be cut: what is left of one waits in `cut`.
///
/// Half of a surrogate pair, which may come alone where a sender parts text by UTF-16 units, becomes three bytes as UTF-8
/// would have them; [`encode`] writes its escape again.
pub(super) fn decode<'a>(content: &'a [u8], cut: &mut Vec<u8>) -> Cow<'a, [u8]> {
    if cut.is_empty() && !content.contains(&b'\\') {
        return Cow::Borrowed(content);
    }
    let joined = [std::mem::take(cut), content.to_vec()].concat();
    let mut text = Vec::with_capacity(joined.len());
    let mut at = 0;
    while let Some(&byte) = joined.get(at) {
        if byte != b'\\' {
            text.push(byte);
            at += 1;
            continue;
        }
        let length = if joined.get(at + 1) == Some(&b'u') { 6 } else { 2 };
        let Some(escape) = joined.get(at..at + length) else {
            cut.extend_from_slice(&joined[at..]);
            break;
        };
        match unescaped(escape) {
            Some(unit) => push_unit(unit, &mut text),
            None => text.extend_from_slice(escape),
        }
        at += length;
    }
    Cow::Owned(text)
}

fn unescaped(escape: &[u8]) -> Option<u16> {
    match escape[1] {
        b'u' => {
            let digits = std::str::from_utf8(&escape[2..]).ok()?;
            if digits.starts_with('+') { None } else { u16::from_str_radix(digits, 16).ok() }
        }
        b'n' => Some(0x0A),
        b'r' => Some(0x0D),
        b't' => Some(0x09),
        b'b' => Some(0x08),
        b'f' => Some(0x0C),
        byte @ (b'"' | b'\\' | b'/') => Some(u16::from(byte)),
        _ => None,
    }
}

/// Appends a UTF-16 unit. The second half of a pair joins the first.
fn push_unit(unit: u16, text: &mut Vec<u8>) {
    if let (0xDC00..=0xDFFF, [.., SURROGATE, second @ 0xA0..=0xAF, third]) = (unit, &text[..]) {
        let high = u32::from(second & 0x0F) << 6 | u32::from(third & 0x3F);
        let code = 0x10000 + (high << 10) + u32::from(unit - 0xDC00);
        if let Some(character) = char::from_u32(code) {
            text.truncate(text.len() - 3);
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
    }
    match char::from_u32(u32::from(unit)) {
        Some(character) => text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let low = (unit & 0x3F) as u8 | 0x80;
            text.extend_from_slice(&[SURROGATE, (unit >> 6 & 0x3F) as u8 | 0x80, low]);
        }
    }
}

/// Writes text as the content of a string.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let mut length = 1;
        match (byte, text.get(at + 1), text.get(at + 2)) {
            (b'"' | b'\\', ..) => out.extend_from_slice(&[b'\\', byte]),
            (b'\n', ..) => out.extend_from_slice(b"\\n"),
            (b'\r', ..) => out.extend_from_slice(b"\\r"),
            (b'\t', ..) => out.extend_from_slice(b"\\t"),
            (0..=0x1F, ..) => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            (SURROGATE, Some(second @ 0xA0..=0xBF), Some(third)) => {
                let unit = 0xD000 | u16::from(second & 0x3F) << 6 | u16::from(third & 0x3F);
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                length = 3;
            }
            _ => out.push(byte),
        }
        at += length;
    }
}

/// How many bytes at the end of a text are the start of a character whose other bytes aren't there.
pub(super) fn begun_character(text: &[u8]) -> usize {
    let Some(back) = text.iter().rev().take(3).position(|byte| *byte >= 0xC0) else { return 0 };
    let needed = match text[text.len() - 1 - back] {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        _ => 4,
    };
    if back + 1 < needed { back + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_over_lines() {
        let raw = b": note\nevent: a\ndata: {\"a\":\ndata:[1, \"x\\\"\"],\nid: 4\ndata: \"b\": -1.5e3}\n\n";
        let mut cursor = Cursor::new(raw, Framing::Fields);
        let start = cursor.skip().unwrap();
        assert!(raw[start..cursor.at].starts_with(b"{\"a\"") && raw[..cursor.at].ends_with(b"-1.5e3}"));
        assert_eq!(cursor.peek(), Err(Stop::Cut));
        for (text, stop) in [("{\"a\": [1", Stop::Cut), ("{\"a\n\"", Stop::Not), ("hei", Stop::Cut), ("<", Stop::Not)] {
            let mut cursor = Cursor::new(text.as_bytes(), Framing::Lines);
            assert!(cursor.skip().is_err_and(|found| found == stop) || text == "hei", "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_as_the_same() {
        let content = r#"a\"b\\\/\n\u0001ø\u00f8\ud83d\ude00 \ud83d x \ude00"#.as_bytes();
        let text = decode(content, &mut Vec::new()).into_owned();
        let mut written = Vec::new();
        encode(&text, &mut written);
        assert_eq!(written, r#"a\"b\\/\n\u0001øø😀 \ud83d x \ude00"#.as_bytes());
        assert_eq!(decode(&written, &mut Vec::new()), text);
        let (mut cut, mut pieces) = (Vec::new(), Vec::new());
        for byte in content.chunks(1) {
            pieces.extend_from_slice(&decode(byte, &mut cut));
        }
        let mut again = Vec::new();
        encode(&pieces, &mut again);
        // The halves of a pair that came apart stay two escapes, which any reader joins.
        assert_eq!(again, r#"a\"b\\/\n\u0001øø\ud83d\ude00 \ud83d x \ude00"#.as_bytes());
        assert!(cut.is_empty());
    }

    #[test]
    fn a_character_is_not_parted() {
        for (text, begun) in [(&b"abc"[..], 0), (b"\xC3", 1), (b"a\xE2\x82", 2), (b"\xF0\x9F\x98", 3), (b"\xC3\xB8", 0)]
        {
            assert_eq!(begun_character(text), begun, "{text:?}");
        }
    }
}
