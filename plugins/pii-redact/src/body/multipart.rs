//! Bodies of several parts (RFC 2046 section 5.1, RFC 7578), read as tolerantly as servers do: lines may end with a line feed
//! alone, text may stand before the first and behind the last part, and the end may be missing.

use serde::{Deserialize, Serialize};

use super::Refused;
use super::message::{Default, Message};
use super::node::{Node, Place, Run};
use crate::content::Format;
use crate::replace::Pseudonyms;

/// White space that may follow a delimiter on its line.
const LONGEST_PADDING: usize = 256;

/// Where in it the reader stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum At {
    /// Before the first part, or behind the last one.
    Around(Box<Node>),
    Part(Box<Message>),
}

/// The state of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Multipart {
    /// `--` and the boundary.
    delimiter: Vec<u8>,
    place: Place,
    default: Default,
    at: At,
    ended: bool,
    /// What comes next begins a line.
    line: bool,
    held: Vec<u8>,
}

/// A delimiter in some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Where the line break before it begins, and where its line ends. `closes`: no part follows.
    Delimiter { start: usize, end: usize, closes: bool },
    /// From here on, bytes may be one, and more are needed.
    Cut(usize),
    /// There is none.
    None,
}

impl Multipart {
    pub(super) fn new(boundary: &[u8], default: Default, place: &Place) -> Self {
        let around = Node::of_format(Format::Text, place);
        Self {
            delimiter: [b"--", boundary].concat(),
            place: place.clone(),
            default,
            at: At::Around(Box::new(around)),
            ended: false,
            line: true,
            held: Vec::new(),
        }
    }

    pub(super) fn held(&self) -> usize {
        let inner = match &self.at {
            At::Around(node) => node.held(),
            At::Part(part) => part.held(),
        };
        self.held.len() + inner
    }

    pub(super) fn push<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let mut raw = std::mem::take(&mut self.held);
        raw.extend_from_slice(chunk);
        let mut at = 0;
        while !self.ended {
            match find(&raw[at..], self.line, &self.delimiter, last) {
                Found::Delimiter { start, end, closes } => {
                    self.feed(run, &raw[at..at + start], true, out)?;
                    out.extend_from_slice(&raw[at + start..at + end]);
                    self.line = true;
                    self.ended = closes;
                    self.at = if closes {
                        At::Around(Box::new(Node::of_format(Format::Text, &self.place)))
                    } else {
                        At::Part(Box::new(Message::new(self.default, &self.place)))
                    };
                    at += end;
                }
                Found::Cut(start) => {
                    let data = &raw[at..at + start];
                    self.line = data.last().map_or(self.line, |byte| *byte == b'\n');
                    self.feed(run, data, false, out)?;
                    self.held = raw.split_off(at + start);
                    return Ok(());
                }
                Found::None => {
                    self.line = raw[at..].last().map_or(self.line, |byte| *byte == b'\n');
                    break;
                }
            }
        }
        self.feed(run, &raw[at..], last, out)
    }

    fn feed<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        data: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        match &mut self.at {
            At::Around(node) => node.append(run, data, last, out),
            At::Part(part) => {
                let mut data = data;
                // Some readers take for a delimiter what only begins like one. In content that isn't read, that would hide a part.
                while let Some(from) = line_of(data, &self.delimiter) {
                    part.push(run, &data[..from], false, out)?;
                    part.doubt(run, out)?;
                    data = &data[from..];
                }
                part.push(run, data, last, out)
            }
        }
    }
}

/// The first line that begins with a delimiter, and isn't one.
fn line_of(data: &[u8], delimiter: &[u8]) -> Option<usize> {
    let mut lines = data.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    lines.find(|from| data[*from..].starts_with(delimiter))
}

/// The first delimiter. `line`: the bytes begin a line.
fn find(raw: &[u8], line: bool, delimiter: &[u8], last: bool) -> Found {
    let breaks = raw.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    for from in line.then_some(0).into_iter().chain(breaks) {
        let start = match &raw[..from] {
            [.., b'\r', b'\n'] => from - 2,
            [.., b'\n'] => from - 1,
            _ => from,
        };
        match delimits(&raw[from..], delimiter, last) {
            Some(Some((length, closes))) => return Found::Delimiter { start, end: from + length, closes },
            Some(None) => return Found::Cut(start),
            None => {}
        }
    }
    if raw.ends_with(b"\r") && !last { Found::Cut(raw.len() - 1) } else { Found::None }
}

/// Whether a line is a delimiter: its length and whether it closes, `Some(None)` where more is needed to know.
fn delimits(line: &[u8], delimiter: &[u8], last: bool) -> Option<Option<(usize, bool)>> {
    let cut = || if last { None } else { Some(None) };
    let Some(rest) = line.strip_prefix(delimiter) else {
        return if delimiter.starts_with(line) { cut() } else { None };
    };
    match rest {
        [b'-', b'-', ..] => return Some(Some((delimiter.len() + 2, true))),
        [b'-'] => return cut(),
        _ => {}
    }
    let padding = rest.iter().take(LONGEST_PADDING).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let whole = |ending: usize| Some(Some((delimiter.len() + padding + ending, false)));
    match &rest[padding..] {
        [b'\n', ..] => whole(1),
        [b'\r', b'\n', ..] => whole(2),
        [] | [b'\r'] if last => whole(rest.len() - padding),
        [] | [b'\r'] if padding < LONGEST_PADDING => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters() {
        let of = |line: &str, last| delimits(line.as_bytes(), b"--b", last);
        for (line, found) in [
            ("--b\r\nx", Some(Some((5, false)))),
            ("--b \t\nx", Some(Some((6, false)))),
            ("--b--x", Some(Some((5, true)))),
            ("--b", Some(None)),
            ("--", Some(None)),
            ("", Some(None)),
            ("--b-", Some(None)),
            ("--bc\n", None),
            ("--b-c\n", None),
            ("-x", None),
        ] {
            assert_eq!(of(line, false), found, "{line:?}");
        }
        assert_eq!((of("--b", true), of("--", true), of("", true)), (Some(Some((3, false))), None, None));
    }

    #[test]
    fn line_breaks_belong_to_the_delimiter() {
        assert_eq!(find(b"a\r\n--b\n", false, b"--b", false), Found::Delimiter { start: 1, end: 7, closes: false });
        assert_eq!(find(b"--b\n", false, b"--b", false), Found::Cut(3));
        assert_eq!(find(b"a\r\n\n--", false, b"--b", false), Found::Cut(3));
        assert_eq!(find(b"a\r", false, b"--b", false), Found::Cut(1));
    }
}
