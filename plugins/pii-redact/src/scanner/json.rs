//! JSON between its strings, which is structure only as long as it keeps to the grammar (RFC 8259).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Blocked, Chunk, Place, Scanner, Step};
use crate::content::Format;
use crate::detect::announce::{self, Said};
use crate::detect::{Before, Candidate, fodselsnummer, order};
use crate::replace::{self, Encoding, Pseudonyms};
use crate::rules::{Action, Category, Rules};

pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// What may stand before a JSON text: a byte order mark, and guards against inclusion as a script.
const PREFIXES: [&[u8]; 4] = [BYTE_ORDER_MARK, b")]}'", b"while(1);", b"for(;;);"];
/// Python writes the last three.
const LITERALS: [&[u8]; 6] = [b"true", b"false", b"null", b"NaN", b"Infinity", b"-Infinity"];
const LONGEST_LITERAL: usize = 9;
/// A longer JSON number is nobody's.
const LONGEST_NUMBER: usize = 64;
/// Parts the texts of a JSON text sequence (RFC 7464).
const RECORD_SEPARATOR: u8 = 0x1E;

/// What is known of the JSON text at a position.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The next value belongs to a listed field.
    pub(super) field: bool,
    /// Depth below the container that is the value of a listed field.
    depth: u32,
    /// For each open container, the innermost in the lowest bit: whether it is an object, and what the elements of an
    /// array are announced as. Levels beyond 64 are forgotten, and count as arrays of nothing special.
    objects: u64,
    arrays: [u64; Said::BITS],
    /// The raw name of the value.
    key: Vec<u8>,
    /// The value is an element of an array.
    element: bool,
    /// The last token was a string, so that a colon may follow.
    string: bool,
    /// A string that comes now is the name of a member.
    pub(super) name: bool,
    /// Names of members in which something was replaced.
    pub(super) names: u32,
    /// The text didn't keep to the grammar.
    pub(super) broken: bool,
    /// The data of an event began as JSON.
    pub(super) begun: bool,
}

impl State {
    /// What the name of the value says of it: its own, or that of the arrays that it is in.
    pub(super) fn said(&self) -> Said {
        if !self.element {
            return announce::by_key(&self.key);
        }
        let bits = self.arrays.iter().enumerate().fold(0, |bits, (index, levels)| bits | ((levels & 1) as u8) << index);
        Said::of_bits(bits)
    }

    /// Names the outermost value.
    pub(super) fn set_name(&mut self, name: &[u8]) {
        name.clone_into(&mut self.key);
    }

    fn structure(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => {
                let array = byte == b'[';
                let said = if array { self.said().bits() } else { 0 };
                self.objects = self.objects << 1 | u64::from(!array);
                for (index, levels) in self.arrays.iter_mut().enumerate() {
                    *levels = *levels << 1 | u64::from(said >> index & 1);
                }
                self.depth += u32::from(self.depth > 0 || self.field);
            }
            b'}' | b']' => {
                self.objects >>= 1;
                self.arrays.iter_mut().for_each(|levels| *levels >>= 1);
                self.depth = self.depth.saturating_sub(1);
                // Nobody's members any more: those of the next object are its own.
                if self.objects == 0 {
                    self.names = 0;
                }
            }
            _ => {}
        }
        self.name = matches!(byte, b'{' | b',') && self.objects & 1 == 1;
        // Elements of an array have its name, members of an object their own.
        self.key.clear();
        self.element = self.objects & 1 == 0;
        self.field = self.depth > 0 && self.element && !matches!(byte, b'}' | b']');
    }
}

impl Scanner {
    /// The start of a JSON text.
    pub(super) fn json_start<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Step {
        let rest = &chunk.raw[at..];
        for prefix in PREFIXES {
            if rest.starts_with(prefix) {
                return Step::To(at + prefix.len());
            }
            if prefix.starts_with(rest) && !chunk.last {
                return Step::Hold(at);
            }
        }
        self.enter(chunk, Place::JsonOutside, at)
    }

    /// Between JSON strings: numbers are values, the rest is structure, and what is neither isn't JSON.
    pub(super) fn outside<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, mut at: usize) -> Result<Step, Blocked> {
        while let Some(&byte) = chunk.raw.get(at) {
            match byte {
                b' ' | b'\t' => at += 1,
                b'\n' | b'\r' => match self.line_break(chunk, at) {
                    Some(step) => return Ok(step),
                    None => at += 1,
                },
                RECORD_SEPARATOR => {
                    self.json = State::default();
                    at += 1;
                }
                b'{' | b'[' | b'}' | b']' | b',' => {
                    self.json.string = false;
                    self.json.structure(byte);
                    at += 1;
                }
                b':' if self.json.string => {
                    self.json.string = false;
                    self.named(chunk, at);
                    at += 1;
                }
                b'"' if self.json.field => return self.swallow_string(chunk, at),
                b'"' => return Ok(self.enter(chunk, Place::JsonString, at + 1)),
                _ if self.json.field => return self.swallow_token(chunk, at),
                b'-' if at + 1 == chunk.raw.len() && !chunk.last => return Ok(Step::Hold(at)),
                b'-' if chunk.raw.get(at + 1) == Some(&b'I') => match self.literal(chunk, at) {
                    Step::To(next) => at = next,
                    hold @ Step::Hold(_) => return Ok(hold),
                },
                b'-' | b'0'..=b'9' => return self.number(chunk, at),
                b't' | b'f' | b'n' | b'N' | b'I' => match self.literal(chunk, at) {
                    Step::To(next) => at = next,
                    hold @ Step::Hold(_) => return Ok(hold),
                },
                _ => return Ok(self.loosen(chunk, at)),
            }
            if self.place != Place::JsonOutside {
                return Ok(Step::To(at));
            }
        }
        Ok(Step::To(at))
    }

    /// A colon behind a string: that was a name.
    fn named<P>(&mut self, chunk: &Chunk<'_, P>, at: usize) {
        let context = self.context(chunk.raw, at);
        let key = last_string(&context);
        self.json.field = self.json.depth > 0 || key.is_some_and(|key| chunk.rules.is_field(key));
        self.json.element = false;
        self.json.name = false;
        self.json.key.clear();
        // A name that is longer than what is remembered ends in what it is about.
        self.json.key.extend_from_slice(key.unwrap_or(&context));
    }

    fn literal<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Step {
        self.json.string = false;
        let rest = &chunk.raw[at..];
        let sign = usize::from(rest[0] == b'-');
        let length = sign + rest[sign..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if length == rest.len() && length <= LONGEST_LITERAL && !chunk.last {
            return Step::Hold(at);
        }
        let ends = rest.get(length).is_none_or(|byte| is_delimiter(*byte));
        if ends && LITERALS.contains(&&rest[..length]) { Step::To(at + length) } else { self.loosen(chunk, at) }
    }

    /// A JSON number is a value only as a whole, and becomes a string: `***` is no number.
    fn number<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Result<Step, Blocked> {
        self.json.string = false;
        let rest = &chunk.raw[at..];
        if is_number(self.before_at(chunk, at).at(0)) {
            // The rest of a long one.
            return Ok(Step::To(at + 1));
        }
        let length = rest.iter().take(LONGEST_NUMBER + 1).take_while(|byte| is_number(**byte)).count();
        if length > LONGEST_NUMBER {
            let long = shape(&rest[..length]) != Shape::Not;
            return Ok(if long { Step::To(at + length) } else { self.loosen(chunk, at) });
        }
        // Groups of a number in prose have a single space between them.
        let follows = match (rest.get(length), rest.get(length + 1)) {
            (None, _) | (Some(b' ' | b'\t'), None) if !chunk.last => return Ok(Step::Hold(at)),
            (Some(b' ' | b'\t'), Some(byte)) => is_delimiter(*byte),
            (Some(byte), _) => is_delimiter(*byte),
            (None, _) => true,
        };
        let text = &rest[..length];
        if !follows || shape(text) != Shape::Whole {
            return Ok(self.loosen(chunk, at));
        }
        let candidate = Candidate { text, complete: true, before: Before::NOTHING };
        let said = || self.json.said();
        let found = order::asked(chunk.rules, chunk.rules.starts(text[0]))
            // A candidate that is complete never needs more.
            .find(|&detector| order::ask(chunk.rules, detector, &candidate, &said) == Ok(Some(length)))
            .map(|detector| (order::category_of(chunk.rules, detector), Cow::Borrowed(text)))
            .or_else(|| lost_zero(chunk.rules, text));
        if let Some((category, value)) = found {
            let action = self.count(chunk.rules, category)?;
            chunk.cut(at, at + length);
            if matches!(action, Action::Drop) {
                chunk.out.extend_from_slice(b"null");
            } else {
                let (kind, name) = (chunk.rules.kind(category), chunk.rules.name(category));
                let text = replace::replacement(action, kind, name, &value, chunk.pseudonyms);
                chunk.out.push(b'"');
                replace::write(&text, Encoding::Json, chunk.out);
                chunk.out.push(b'"');
            }
        }
        Ok(Step::To(at + length))
    }

    /// A string has ended.
    pub(super) fn string_ends<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Step {
        self.json.string = true;
        self.json.name = false;
        self.enter(chunk, Place::JsonOutside, at + 1)
    }

    /// What comes isn't JSON. In a format of lines, that holds to the end of the line.
    pub(super) fn loosen<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Step {
        self.json = State { broken: true, begun: self.json.begun, ..State::default() };
        self.enter(chunk, Place::Loose, at)
    }

    /// Where JSON goes on behind a value.
    pub(super) fn json_place(&self) -> Place {
        if self.json.broken { Place::Loose } else { Place::JsonOutside }
    }

    /// Whether a line break ends a string that isn't closed.
    pub(super) fn ends_strings(&self, byte: u8) -> bool {
        matches!(byte, b'\n' | b'\r') && matches!(self.format, Format::Events | Format::JsonLines)
    }
}

/// The raw content of the string that ends `context`, white space aside; `None` where its start isn't there.
pub(super) fn last_string(context: &[u8]) -> Option<&[u8]> {
    let content = context.trim_ascii_end().strip_suffix(b"\"")?;
    let quote = last_quote(content)?;
    Some(&content[quote + 1..])
}

/// The last quote that no backslash escapes.
pub(super) fn last_quote(text: &[u8]) -> Option<usize> {
    let escaped = |at: usize| text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    (0..text.len()).rev().find(|&at| text[at] == b'"' && !escaped(at))
}

/// A fødselsnummer that was written as a number, and so without its zero; with it, it is the same value as elsewhere. An
/// account's single check digit is too little for that: one in eleven of all numbers of ten digits would pass.
fn lost_zero(rules: &Rules, text: &[u8]) -> Option<(usize, Cow<'static, [u8]>)> {
    let category = Category::Fodselsnummer;
    rules.action(category)?;
    let (whole, rule) = fodselsnummer::with_lost_zero(text)?;
    rules.counts(rule).then(|| (category as usize, Cow::Owned(whole.to_vec())))
}

/// What may follow a number or literal.
fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}' | RECORD_SEPARATOR)
}

pub(super) fn is_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

/// How far a text is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Whole,
    /// It is the start of one.
    Start,
    Not,
}

/// RFC 8259 section 6, but that zeros may lead: systems write identity numbers as numbers.
fn shape(text: &[u8]) -> Shape {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    for (marks, signs) in [(&b""[..], &b""[..]), (b".", b""), (b"eE", b"+-")] {
        if let [first, behind @ ..] = rest
            && !marks.is_empty()
        {
            if !marks.contains(first) {
                continue;
            }
            rest = behind;
            if let [sign, behind @ ..] = rest
                && signs.contains(sign)
            {
                rest = behind;
            }
        } else if !marks.is_empty() {
            break;
        }
        match digits(rest) {
            0 if rest.is_empty() => return Shape::Start,
            0 => return Shape::Not,
            count => rest = &rest[count..],
        }
    }
    if rest.is_empty() { Shape::Whole } else { Shape::Not }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_numbers() {
        for whole in ["0", "-1", "02013299997", "1.5", "1e9", "1.5E-9", "30108299920"] {
            assert_eq!(shape(whole.as_bytes()), Shape::Whole, "{whole}");
        }
        for start in ["-", "1.", "1e", "1.5e+"] {
            assert_eq!(shape(start.as_bytes()), Shape::Start, "{start}");
        }
        for not in ["--1", "1-2", "192.0.2.1", "2026-01-02", "1e5.5", "-.5", "1+1", "1ee"] {
            assert_eq!(shape(not.as_bytes()), Shape::Not, "{not}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(last_string(br#"{"a" : 1, "b" "#), Some(&b"b"[..]));
        assert_eq!(last_string(br#"{"a\"b""#), Some(&br#"a\"b"#[..]));
        assert_eq!(last_string(br#"tail of a name""#), None);
    }
}
