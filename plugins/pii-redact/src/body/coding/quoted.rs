//! Quoted-printable (RFC 2045 section 6.7).

use serde::{Deserialize, Serialize};

use super::Unit;
use super::percent::hex;

/// A line is read in pieces of this size; the RFC allows 76.
const LONGEST: usize = 1024;
/// Characters on a line that is written, without the `=` that continues it.
const WIDTH: usize = 75;

/// What has to be remembered to write it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Quoted {
    /// Lines end with a line feed alone.
    bare: bool,
    /// Characters on the line that is being written.
    column: usize,
    /// A space, tab or carriage return, which is written as it is or not by what follows it.
    pending: Option<u8>,
}

impl Quoted {
    pub(super) fn unit(raw: &[u8], last: bool) -> Unit {
        let line = &raw[..raw.len().min(LONGEST)];
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            return Unit::Whole(end + 1);
        }
        if raw.len() < LONGEST {
            return if last { Unit::Whole(raw.len()) } else { Unit::Cut };
        }
        // Not inside an escape, and not before white space that may end the line.
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
        let mut end = line.iter().rposition(|byte| !blank(byte)).map_or(line.len(), |at| at + 1);
        if let Some(at) = line[end.saturating_sub(3)..end].iter().rposition(|byte| *byte == b'=') {
            end = end.saturating_sub(3) + at;
        }
        Unit::Whole(if end == 0 { line.len() } else { end })
    }

    pub(super) fn decode(&mut self, unit: &[u8], plain: &mut Vec<u8>) {
        let content = unit.strip_suffix(b"\n").unwrap_or(unit);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        let line_break = &unit[content.len()..];
        if !line_break.is_empty() {
            self.bare = line_break.len() == 1;
        }
        // White space before a line break was added on the way.
        let content = if line_break.is_empty() { content } else { content.trim_ascii_end() };
        let (content, soft) = match content.strip_suffix(b"=") {
            Some(content) if !line_break.is_empty() => (content, true),
            _ => (content, false),
        };
        let mut at = 0;
        while at < content.len() {
            match (content[at], hex(&content[at + 1..])) {
                (b'=', Some(byte)) => {
                    plain.push(byte);
                    at += 3;
                }
                (byte, _) => {
                    plain.push(byte);
                    at += 1;
                }
            }
        }
        if !soft {
            plain.extend_from_slice(line_break);
        }
    }

    pub(super) fn passed(&mut self, unit: &[u8]) {
        if unit.ends_with(b"\n") {
            self.column = 0;
        } else {
            self.column += unit.len();
        }
    }

    pub(super) fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        for &byte in plain {
            match (self.pending.take(), byte) {
                (Some(b'\r'), b'\n') if !self.bare => {
                    self.end_line(b"\r\n", out);
                    continue;
                }
                (Some(blank), b'\r' | b'\n') | (Some(blank @ b'\r'), _) => self.escape(blank, out),
                (Some(blank), _) => self.put(&[blank], out),
                (None, _) => {}
            }
            match byte {
                // Only what its readers see as a line break is written as one.
                b'\n' if self.bare => self.end_line(b"\n", out),
                b' ' | b'\t' | b'\r' => self.pending = Some(byte),
                b'!'..=b'~' if byte != b'=' => self.put(&[byte], out),
                byte => self.escape(byte, out),
            }
        }
    }

    pub(super) fn finish(&mut self, last: bool, out: &mut Vec<u8>) {
        if let Some(blank) = self.pending.take() {
            self.escape(blank, out);
        }
        if !last && self.column > 0 {
            self.end_line(if self.bare { b"=\n" } else { b"=\r\n" }, out);
        }
    }

    fn escape(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.put(format!("={byte:02X}").as_bytes(), out);
    }

    fn put(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if self.column + text.len() > WIDTH {
            self.end_line(if self.bare { b"=\n" } else { b"=\r\n" }, out);
        }
        out.extend_from_slice(text);
        self.column += text.len();
    }

    fn end_line(&mut self, with: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(with);
        self.column = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(raw: &[u8]) -> Vec<u8> {
        let (mut at, mut plain) = (0, Vec::new());
        while at < raw.len() {
            let Unit::Whole(length) = Quoted::unit(&raw[at..], true) else { panic!("a unit") };
            Quoted::default().decode(&raw[at..at + length], &mut plain);
            at += length;
        }
        plain
    }

    #[test]
    fn decodes() {
        assert_eq!(decoded(b"bl=C3=A5b=c3=a6r  \r\nsom=\r\n mer= \nx=4"), "blåbær\r\nsom merx=4".as_bytes());
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        let text = "blåbær = bær \r\n\t\r\r\n  \n".repeat(20) + &"x y ".repeat(2_000);
        let mut raw = Vec::new();
        let mut state = Quoted::default();
        text.as_bytes().chunks(7).for_each(|part| state.encode(part, &mut raw));
        state.finish(true, &mut raw);
        assert!(raw.split(|byte| *byte == b'\n').all(|line| line.len() <= 77));
        assert_eq!(String::from_utf8(decoded(&raw)).unwrap(), text);
    }
}
