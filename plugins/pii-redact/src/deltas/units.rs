//! Where an event ends: at the blank line of an event stream (HTML standard, section 9.2.5), or at the end of the line.

use serde::{Deserialize, Serialize};

/// What is known of the lines up to a position.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Units {
    /// A blank line ends an event, not every line.
    pub(super) lines: bool,
    /// The line has nothing so far.
    blank: bool,
    /// The last byte was a carriage return, of whose break a line feed may be the rest.
    after_return: bool,
    /// The event has nothing so far.
    fresh: bool,
}

impl Units {
    pub(super) fn new(lines: bool) -> Self {
        Self { lines, blank: true, after_return: false, fresh: true }
    }

    /// Reads on: how many of the bytes belong to the event, where it ends among them.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.lines {
            return bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        }
        let mut at = 0;
        while let Some(found) = bytes[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            if found > 0 {
                self.text();
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
            if std::mem::replace(&mut self.blank, true) {
                self.fresh = true;
                return Some(at);
            }
        }
        if at < bytes.len() {
            self.text();
        }
        None
    }

    fn text(&mut self) {
        (self.blank, self.after_return, self.fresh) = (false, false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, size: usize, lines: bool) -> Vec<String> {
        let mut units = Units::new(lines);
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
    fn events_end_at_blank_lines_however_they_are_cut() {
        for (text, expected) in [
            ("data: a\nid: b\n\n\ndata: c\n\nd", vec!["data: a\nid: b\n\n", "\n", "data: c\n\n", "d"]),
            ("data: a\r\rdata: b\r\r", vec!["data: a\r\r", "data: b\r\r", ""]),
            ("data: a\r\n\r\n: b\r\n\r\n", vec!["data: a\r\n\r", "\n", ": b\r\n\r", "\n", ""]),
        ] {
            for size in 1..=text.len() {
                assert_eq!(units(text, size, true), expected, "{text:?} by {size}");
            }
        }
        assert_eq!(units("a\r\nb\n\nc", 3, false), ["a\r\n", "b\n", "\n", "c"]);
    }
}
