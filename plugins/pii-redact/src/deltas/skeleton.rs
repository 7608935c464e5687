//! An event without its text, to carry what of the text is left when no further event of it comes.

use std::ops::Range;

use super::json::{Cursor, Stop};
use super::units::Framing;

/// Bytes of a skeleton. A larger one goes without the members that only describe the event.
pub(super) const MOST: usize = 1_024;
/// Bytes of a member that is taken along.
const LONGEST: usize = 128;

/// The skeleton for a text of an event, and where in it the text goes. It holds the arrays and objects that the text is in, and
/// of their other members those that are no containers: so it reads as one more event of the same kind. None where even the
/// containers alone are too large.
pub(super) fn skeleton(event: &[u8], framing: Framing, text: usize, others: &[usize]) -> Option<(Vec<u8>, usize)> {
    [false, true].into_iter().find_map(|bare| {
        let mut made = Skeleton { cursor: Cursor::new(event, framing), text, others, out: Vec::new(), hole: 0 };
        if framing == Framing::Fields {
            if let Some(name) = event_name(event) {
                made.out.extend_from_slice(name);
                made.out.push(b'\n');
            }
            made.out.extend_from_slice(b"data: ");
        }
        let complete = made.container(bare);
        // It is closed even where the event is cut.
        let closed = complete.is_ok() || complete == Err(Stop::Cut);
        (closed && made.hole > 0 && made.out.len() <= MOST).then_some((made.out, made.hole))
    })
}

/// The line with the event's name.
fn event_name(event: &[u8]) -> Option<&[u8]> {
    let mut lines = event.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.find(|line| line.starts_with(b"event:") && line.len() <= LONGEST)
}

struct Skeleton<'a> {
    cursor: Cursor<'a>,
    text: usize,
    others: &'a [usize],
    out: Vec<u8>,
    hole: usize,
}

impl Skeleton<'_> {
    /// The object or array at the cursor, which holds the text. In what is `bare`, members that describe are left out: in a
    /// `delta` clients append what they are given to what they have.
    fn container(&mut self, bare: bool) -> Result<(), Stop> {
        let object = self.cursor.peek()? == b'{';
        self.cursor.at += 1;
        self.out.push(if object { b'{' } else { b'[' });
        let read = self.elements(object, bare);
        self.out.push(if object { b'}' } else { b']' });
        read
    }

    fn elements(&mut self, object: bool, bare: bool) -> Result<(), Stop> {
        let mut first = true;
        loop {
            let name = if object { self.cursor.string()? } else { (0, 0) };
            if object && !self.cursor.eat(b':')? {
                return Err(Stop::Not);
            }
            self.cursor.peek()?;
            let start = self.cursor.at;
            let read = self.cursor.skip();
            let value = start..self.cursor.at;
            let holds = start < self.text && (read == Err(Stop::Cut) || self.text <= value.end);
            let raw = self.cursor.raw;
            if holds || (object && self.is_kept(&raw[name.0..name.1], &value, bare)) {
                if !std::mem::replace(&mut first, false) {
                    self.out.push(b',');
                }
                if object {
                    self.out.extend_from_slice(&raw[name.0 - 1..name.1 + 1]);
                    self.out.push(b':');
                }
                match (holds, raw[start]) {
                    (true, b'"') => {
                        self.hole = self.out.len() + 1;
                        self.out.extend_from_slice(b"\"\"");
                    }
                    (true, _) => {
                        self.cursor.at = start;
                        self.container(bare || &raw[name.0..name.1] == b"delta")?;
                    }
                    (false, _) => self.out.extend_from_slice(&raw[value]),
                }
            }
            if holds && raw[start] != b'"' {
                // Reading went on behind it already.
            } else {
                read?;
            }
            if !self.cursor.eat(b',')? {
                return if self.cursor.eat(if object { b'}' } else { b']' })? { Ok(()) } else { Err(Stop::Not) };
            }
        }
    }

    fn is_kept(&self, name: &[u8], value: &Range<usize>, bare: bool) -> bool {
        let raw = &self.cursor.raw[value.clone()];
        let scalar = !matches!(raw.first(), None | Some(b'{' | b'[')) && raw.len() <= LONGEST && name.len() <= LONGEST;
        let wanted = !bare || matches!(name, b"index" | b"type");
        scalar && wanted && !self.others.contains(&(value.start + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(event: &str, framing: Framing, text: &str) -> Option<String> {
        let (mut out, hole) = skeleton(event.as_bytes(), framing, event.find(text).unwrap(), &[])?;
        out.splice(hole..hole, *b"T");
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_describes_an_event_is_kept_and_what_is_appended_is_not() {
        assert_eq!(
            made(
                r#"{"id":"c","usage":{"a":1},"choices":[{"x":1},{"index":1,"delta":{"role":"assistant","content":"text"},"logprobs":[1],"finish_reason":null}],"n":1}"#,
                Framing::Lines,
                "text"
            )
            .unwrap(),
            r#"{"id":"c","choices":[{"index":1,"delta":{"content":"T"},"finish_reason":null}],"n":1}"#
        );
        assert_eq!(
            made("id: 4\nevent: block\ndata: {\"type\":\ndata: \"d\", \"delta\": {\"type\": \"t\", \"text\": \"hei\"}}\n\n", Framing::Fields, "hei").unwrap(),
            "event: block\ndata: {\"type\":\"d\",\"delta\":{\"type\":\"t\",\"text\":\"T\"}}"
        );
    }

    #[test]
    fn it_is_closed_where_the_event_is_cut_and_bounded() {
        assert_eq!(
            made(r#"{"a":[{"b":1,"c":"text and mo"#, Framing::Lines, "text").unwrap(),
            r#"{"a":[{"b":1,"c":"T"}]}"#
        );
        let many: String = (0..200).map(|index| format!("\"m{index}\":{index},")).collect();
        assert_eq!(made(&format!("{{{many}\"c\":\"text\"}}"), Framing::Lines, "text").unwrap(), r#"{"c":"T"}"#);
        assert_eq!(made(&format!("{{\"{}\":\"text\"}}", "c".repeat(MOST)), Framing::Lines, "text"), None);
    }
}
