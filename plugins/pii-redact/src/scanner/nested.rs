//! A document inside a JSON string: JSON, as in the arguments of tool calls and the messages of queues, or the values of a
//! form. A scanner of its own reads what the string holds without its escapes; what that replaces is written with them.

use super::edits::Edits;
use super::{Blocked, Chunk, Place, Scanner, Step};
use crate::content::Format;
use crate::decode::Unescaped;
use crate::replace::{self, Encoding, Pseudonyms};

/// Documents inside one another; deeper ones are read as text.
const DEEPEST: u8 = 3;
/// White space before a document, in raw bytes.
const LONGEST_INDENT: usize = 32;
/// The name and the value of a form's first pair, in raw bytes: behind them, another name is looked for.
const LONGEST_PAIR: usize = 128;

/// What a string looks like by its first raw bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Document(Format),
    Plain,
    /// There aren't enough of them.
    Unknown,
}

impl Scanner {
    /// The start of a JSON string that is a value.
    pub(super) fn string_start<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Step {
        let looks = if self.depth < DEEPEST { looks(&chunk.raw[at..], chunk.last) } else { Looks::Plain };
        match looks {
            Looks::Unknown => Step::Hold(at),
            Looks::Plain => self.enter(chunk, Place::JsonString, at),
            Looks::Document(format) => {
                let mut inner = Self::new(format);
                inner.depth = self.depth + 1;
                inner.announced = self.said_of_value(chunk.raw).bits();
                self.nested = Some(Box::new(inner));
                self.enter(chunk, Place::Nested(0), at)
            }
        }
    }

    /// More of the document. `skip`: bytes of the first character that are read already.
    pub(super) fn nested<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        at: usize,
        skip: u8,
    ) -> Result<Step, Blocked> {
        let Some(mut inner) = self.nested.take() else { return Ok(self.enter(chunk, Place::JsonString, at)) };
        let text = Unescaped::new(chunk.raw, at, chunk.last);
        let skip = usize::from(skip);
        let mut edits = Edits::default();
        let unread = &text.bytes()[skip.min(text.bytes().len())..];
        let read = inner.scan(chunk.rules, chunk.pseudonyms, unread, text.is_whole(), &mut edits);
        self.add_counts(&inner.take_counts());
        let read = skip + read?;
        for (from, to, new) in edits.iter() {
            let place = (text.start(skip + from), text.end(skip + to));
            replace::write_bytes(new, Encoding::Json, chunk.edits.cut(place.0, place.1));
        }
        let next = text.start(read);
        if inner.place == Place::Left || (text.is_whole() && read == text.bytes().len()) {
            return Ok(self.enter(chunk, Place::JsonString, next));
        }
        self.nested = Some(inner);
        self.enter(chunk, Place::Nested(text.offset(read)), next);
        Ok(Step::Hold(next))
    }
}

fn looks(rest: &[u8], last: bool) -> Looks {
    let unknown = if last { Looks::Plain } else { Looks::Unknown };
    let mut at = 0;
    while at < LONGEST_INDENT {
        match (rest.get(at), rest.get(at + 1)) {
            (Some(b'{' | b'['), _) => return Looks::Document(Format::Json),
            (Some(b' '), _) => at += 1,
            (Some(b'\\'), Some(b'n' | b'r' | b't')) => at += 2,
            (None, _) | (Some(b'\\'), None) => return unknown,
            (Some(byte), _) if at == 0 && byte.is_ascii_alphabetic() => return looks_like_form(rest, unknown),
            _ => return Looks::Plain,
        }
    }
    Looks::Plain
}

/// `name=value&name=`: a form has two pairs, and no spaces.
fn looks_like_form(rest: &[u8], unknown: Looks) -> Looks {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-[]%".contains(&byte);
    let mut equals = 0;
    let mut start = 0;
    for (at, &byte) in rest.iter().enumerate().take(LONGEST_PAIR) {
        match byte {
            b'=' if equals % 2 == 0 && at > start => equals += 1,
            b'&' if equals == 1 => (equals, start) = (2, at + 1),
            _ if equals % 2 == 0 && is_name(byte) => {}
            b'!'..=b'~' if equals == 1 && !b"\"\\=<>".contains(&byte) => {}
            _ => return Looks::Plain,
        }
        if equals == 3 {
            return Looks::Document(Format::Form);
        }
    }
    if rest.len() < LONGEST_PAIR { unknown } else { Looks::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strings_look_like() {
        let json = Looks::Document(Format::Json);
        for (text, expected) in [
            ("{\\\"a\\\":1}\"", json),
            (" \\n[1]\"", json),
            ("a=1&b=2\"", Looks::Document(Format::Form)),
            ("kunde[navn]=Kari+N&b=\"", Looks::Document(Format::Form)),
            ("a=1\"", Looks::Plain),
            ("a == b && c\"", Looks::Plain),
            ("Kari Nordmann\"", Looks::Plain),
            ("\\n", Looks::Unknown),
            ("a=1&b", Looks::Unknown),
            ("", Looks::Unknown),
            ("\"", Looks::Plain),
        ] {
            assert_eq!(looks(text.as_bytes(), false), expected, "{text}");
        }
        assert_eq!(looks(b"a=1&b", true), Looks::Plain);
    }
}
