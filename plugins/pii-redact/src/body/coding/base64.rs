//! Base64 in lines (RFC 2045 section 6.8).

use serde::{Deserialize, Serialize};

use super::Unit;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Characters that are decoded at a time where lines are longer.
const MOST: usize = 1024;
/// Raw bytes that are looked through for the end of a unit.
const LONGEST: usize = 2 * MOST;
/// Characters on a line where the lines so far don't say.
const WIDTH: usize = 76;

/// What has to be remembered to read and to write it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Base64 {
    /// Bits of a byte that isn't complete, and how many characters they came from.
    bits: u32,
    characters: u8,
    /// Bytes that don't fill a group of three, on the way back.
    rest: Vec<u8>,
    /// Characters on the line that is being written.
    column: usize,
    /// Characters on the first line.
    width: Option<usize>,
    /// Lines end with a line feed alone.
    bare: bool,
    /// What was read last ended a line.
    ended: bool,
}

impl Base64 {
    /// A unit ends with a line where that doesn't cut a group of four, or after so many characters.
    pub(super) fn unit(raw: &[u8], last: bool) -> Unit {
        let mut count = 0;
        for (at, &byte) in raw.iter().take(LONGEST).enumerate() {
            match byte {
                b'\n' if count > 0 && count % 4 == 0 => return Unit::Whole(at + 1),
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'=' => count += 1,
                byte if value(byte).is_some() => count += 1,
                _ => return Unit::Broken,
            }
            if count == MOST {
                return Unit::Whole(at + 1);
            }
        }
        match raw.len() {
            LONGEST.. if count % 4 == 0 => Unit::Whole(LONGEST),
            LONGEST.. => Unit::Open(LONGEST),
            length if last => Unit::Whole(length),
            _ => Unit::Cut,
        }
    }

    pub(super) fn decode(&mut self, unit: &[u8], last: bool, plain: &mut Vec<u8>) {
        self.learn(unit);
        for &byte in unit {
            if let Some(value) = value(byte) {
                self.bits = self.bits << 6 | value;
                self.characters += 1;
                if self.characters == 4 {
                    self.flush(plain);
                }
            } else if byte == b'=' {
                self.flush(plain);
            }
        }
        if last {
            self.flush(plain);
        }
    }

    /// The bytes of up to four characters: one less.
    fn flush(&mut self, plain: &mut Vec<u8>) {
        let count = usize::from(self.characters);
        let bits = self.bits << (6 * (4 - count));
        plain.extend_from_slice(&bits.to_be_bytes()[1..][..count.saturating_sub(1)]);
        (self.bits, self.characters) = (0, 0);
    }

    /// Appends what a text stands for.
    pub(crate) fn decode_all(text: &[u8], plain: &mut Vec<u8>) {
        Self::default().decode(text, true, plain);
    }

    /// Appends the text of some bytes, on one line.
    pub(crate) fn encode_all(plain: &[u8], out: &mut Vec<u8>) {
        let mut state = Self { width: Some(usize::MAX), ..Self::default() };
        state.encode(plain, out);
        state.finish(out);
    }

    /// Notes how lines are written.
    fn learn(&mut self, unit: &[u8]) {
        let characters = |line: &[u8]| line.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
        let first = unit.trim_ascii_start();
        if self.width.is_none() && !first.is_empty() {
            let end = first.iter().position(|byte| *byte == b'\n');
            self.width = Some(end.map_or(usize::MAX, |end| characters(&first[..end])));
        }
        if let Some(end) = unit.iter().position(|byte| *byte == b'\n') {
            self.bare = !unit[..end].ends_with(b"\r");
        }
        if !unit.is_empty() {
            self.ended = unit.ends_with(b"\n");
        }
    }

    pub(super) fn passed(&mut self, unit: &[u8]) {
        for &byte in unit {
            match byte {
                b'\n' => self.column = 0,
                b'\r' => {}
                _ => self.column += 1,
            }
        }
    }

    pub(super) fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        for &byte in plain {
            self.rest.push(byte);
            if self.rest.len() == 3 {
                self.group(out);
            }
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.rest.is_empty() {
            self.group(out);
        }
        if self.ended && self.column > 0 {
            self.end_line(out);
        }
    }

    fn group(&mut self, out: &mut Vec<u8>) {
        if self.column >= self.width.unwrap_or(WIDTH) {
            self.end_line(out);
        }
        let bytes = [0, 1, 2].map(|at| u32::from(self.rest.get(at).copied().unwrap_or(0)));
        let bits = bytes[0] << 16 | bytes[1] << 8 | bytes[2];
        for at in 0..4 {
            let byte = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= self.rest.len() { byte } else { b'=' });
        }
        self.column += 4;
        self.rest.clear();
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.bare { b"\n" } else { b"\r\n" });
        self.column = 0;
    }
}

fn value(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for length in 0..200 {
            let plain: Vec<u8> = (0..length).collect();
            let (mut raw, mut back) = (Vec::new(), Vec::new());
            let mut state = Base64::default();
            plain.chunks(5).for_each(|part| state.encode(part, &mut raw));
            state.finish(&mut raw);
            assert!(raw.split(|byte| *byte == b'\n').all(|line| line.len() <= 77));
            Base64::default().decode(&raw, true, &mut back);
            assert_eq!(back, plain);
        }
    }

    /// RFC 4648 section 10.
    #[test]
    fn vectors() {
        for (plain, expected) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut raw = Vec::new();
            let mut state = Base64 { width: Some(usize::MAX), ..Base64::default() };
            state.encode(plain.as_bytes(), &mut raw);
            state.finish(&mut raw);
            assert_eq!(String::from_utf8(raw).unwrap().trim_end(), expected);
        }
    }

    #[test]
    fn units() {
        assert_eq!(Base64::unit(b"Zm9v\r\nZm9v", false), Unit::Whole(6));
        assert_eq!(Base64::unit(b"Zm9vY\r\nmFy", false), Unit::Cut);
        assert_eq!(Base64::unit(b"Zm9v.", false), Unit::Broken);
        assert_eq!(Base64::unit(&[b' '; LONGEST], false), Unit::Whole(LONGEST));
        assert_eq!(Base64::unit(&[b"A".as_slice(), &[b' '; LONGEST]].concat(), false), Unit::Open(LONGEST));
    }
}
