//! Values of listed fields in text: of XML elements and attributes, in YAML, and wherever else a name and a colon or an
//! equals sign stand before them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Blocked, Chunk, Place, Scanner, Step};
use crate::replace::{self, Encoding, Pseudonyms};
use crate::rules::Fields;

/// Where a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Until {
    /// It hasn't begun: behind a colon or an equals sign.
    Begun(u8),
    /// At this quote.
    Quote(u8),
    /// At the end of the line.
    Line,
    /// At the end of the word.
    Word,
    /// At the end tag of the element, whose name is the scanner's.
    Element,
}

impl Scanner {
    /// Whether the byte there parts the name of a listed field from its value; the name, where it is an element's.
    pub(super) fn lists_before<P>(&self, chunk: &Chunk<'_, P>, at: usize) -> Option<Vec<u8>> {
        if self.place != Place::Text || !matches!(chunk.raw[at], b':' | b'=' | b'>') {
            return None;
        }
        listed(chunk.rules.fields(), &self.context(chunk.raw, at), chunk.raw[at])
    }

    /// The end of a word, or what parts the name of a listed field in it from its value.
    pub(super) fn before_list<P>(&self, chunk: &Chunk<'_, P>, word: Range<usize>) -> usize {
        if chunk.rules.fields().is_empty() {
            return word.end;
        }
        word.clone().find(|at| self.lists_before(chunk, *at).is_some()).unwrap_or(word.end)
    }

    /// The value of a listed field comes.
    pub(super) fn list<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        at: usize,
        name: Vec<u8>,
    ) -> Result<Step, Blocked> {
        let mark = chunk.raw[at];
        let step = self.enter(chunk, Place::Listed(Until::Begun(mark)), at + 1);
        if mark == b'>' {
            self.name = name;
            return self.begin_listed(chunk, at + 1, Until::Element);
        }
        Ok(step)
    }

    fn begin_listed<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        at: usize,
        until: Until,
    ) -> Result<Step, Blocked> {
        let text = self.field_replacement(chunk)?;
        replace::write(&text, Encoding::Plain, chunk.edits.cut(at, at));
        Ok(self.enter(chunk, Place::Listed(until), at))
    }

    /// More of such a value.
    pub(super) fn listed<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        at: usize,
        until: Until,
    ) -> Result<Step, Blocked> {
        let rest = &chunk.raw[at..];
        let end = match until {
            Until::Begun(mark) => {
                return match rest[0] {
                    b' ' | b'\t' => Ok(Step::To(at + 1)),
                    quote @ (b'"' | b'\'') => self.begin_listed(chunk, at + 1, Until::Quote(quote)),
                    b'\n' | b'\r' => Ok(self.enter(chunk, Place::Text, at)),
                    _ => self.begin_listed(chunk, at, if mark == b':' { Until::Line } else { Until::Word }),
                };
            }
            Until::Quote(quote) => rest.iter().position(|byte| *byte == quote || matches!(byte, b'\n' | b'\r')),
            Until::Line => rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')),
            Until::Word => rest.iter().position(|byte| byte.is_ascii_whitespace() || b"&;,<>\"'".contains(byte)),
            Until::Element => match end_tag(rest, &self.name, chunk.last) {
                EndTag::At(end) => Some(end),
                EndTag::None => None,
                EndTag::Cut(end) => {
                    self.leave_listed(chunk, at, at + end, Place::Listed(until));
                    return Ok(Step::Hold(at + end));
                }
            },
        };
        Ok(match end {
            Some(end) => {
                self.name.clear();
                self.leave_listed(chunk, at, at + end, Place::Text)
            }
            None => self.leave_listed(chunk, at, chunk.raw.len(), Place::Listed(until)),
        })
    }

    /// Leaves out `from..to`, and goes on there.
    fn leave_listed<P>(&mut self, chunk: &mut Chunk<'_, P>, from: usize, to: usize, place: Place) -> Step {
        if from < to {
            chunk.edits.cut(from, to);
        }
        self.enter(chunk, place, to)
    }
}

/// Where an element ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndTag {
    At(usize),
    /// Perhaps there: the bytes end too early.
    Cut(usize),
    None,
}

fn end_tag(rest: &[u8], name: &[u8], last: bool) -> EndTag {
    for (at, _) in rest.iter().enumerate().filter(|(_, byte)| **byte == b'<') {
        let tag = &rest[at + 1..];
        let known = tag.len().min(1 + name.len());
        let fits = tag[..known].iter().zip(b"/".iter().chain(name)).all(|(byte, expected)| byte == expected);
        match (fits, known == 1 + name.len()) {
            (true, true) => return EndTag::At(at),
            (true, false) if !last => return EndTag::Cut(at),
            _ => {}
        }
    }
    EndTag::None
}

/// The name before `mark`, if it is listed: that of an element for `>`, otherwise the word.
fn listed(fields: &Fields, before: &[u8], mark: u8) -> Option<Vec<u8>> {
    if mark == b'>' {
        let tag = &before[before.iter().rposition(|byte| *byte == b'<')? + 1..];
        let name = tag.split(u8::is_ascii_whitespace).next()?;
        let closed = tag.ends_with(b"/") || matches!(tag.first(), Some(b'/' | b'!' | b'?') | None);
        let local = name.rsplit(|byte| *byte == b':').next()?;
        return (!closed && (fields.lists(name) || fields.lists(local))).then(|| name.to_vec());
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || *byte >= 0x80;
    let before = before.trim_ascii_end();
    let before = before.strip_suffix(b"\"").or_else(|| before.strip_suffix(b"'")).unwrap_or(before);
    let name = &before[before.iter().rposition(|byte| !is_name(byte)).map_or(0, |index| index + 1)..];
    fields.lists_form_name(name).then(Vec::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_before_values() {
        let fields = Fields::new(&["password".to_owned(), "pin".to_owned()]);
        for (before, mark) in [
            ("<password", b'>'),
            ("<ns:Password a=\"b\"", b'>'),
            ("a\n  password", b':'),
            ("'pin'", b':'),
            ("<a pin", b'='),
            ("user.pin ", b'='),
        ] {
            assert!(listed(&fields, before.as_bytes(), mark).is_some(), "{before}");
        }
        for (before, mark) in
            [("</password", b'>'), ("<password/", b'>'), ("<a", b'>'), ("passwords", b':'), ("", b'=')]
        {
            assert!(listed(&fields, before.as_bytes(), mark).is_none(), "{before}");
        }
    }
}
