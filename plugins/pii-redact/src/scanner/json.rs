//! JSON between its strings, which is structure only as long as it keeps to the grammar (RFC 8259).

use std::borrow::Cow;
use std::cell::OnceCell;

use serde::{Deserialize, Serialize};

use super::levels::Levels;
use super::names::{self, Name};
use super::{Blocked, Chunk, Place, Scanner, Step, prefilter};
use crate::content::Format;
use crate::decode::Syntax;
use crate::detect::announce::Said;
use crate::detect::{Before, Candidate, fodselsnummer, order};
use crate::replace::{self, Pseudonyms};
use crate::rules::{Action, Category, Rules, start};

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
    levels: Levels,
    /// The last string, which may prove to be a name.
    last: Name,
    /// The name of the value.
    key: Name,
    /// How far the paths of listed fields lead to the value.
    paths: u64,
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
    /// What is said of the value: by its own name, or where that says nothing by what it is in.
    pub(super) fn said(&self, raw: &[u8]) -> Said {
        let key = if self.element || self.name { &b""[..] } else { self.key.bytes(raw) };
        let own = names::said(key);
        if !own.is_silent() || !names::is_generic(key) {
            return own;
        }
        self.levels.said(raw)
    }

    /// The raw bytes at hand go.
    pub(super) fn settle(&mut self, raw: &[u8]) {
        self.levels.settle(raw);
        self.last.settle(raw);
        self.key.settle(raw);
    }

    #[inline]
    fn structure(&mut self, byte: u8, raw: &[u8]) {
        match byte {
            b'{' | b'[' => self.open(byte == b'{', raw),
            b'}' | b']' => {
                self.levels.close();
                self.depth = self.depth.saturating_sub(1);
                // Nobody's members any more: those of the next object are its own.
                if self.names > 0 && !self.levels.has_object() {
                    self.names = 0;
                }
            }
            _ => self.levels.next(),
        }
        let object = self.levels.in_object();
        self.name = object && matches!(byte, b'{' | b',');
        // Elements of an array have its name, members of an object their own.
        self.key.clear();
        self.element = !object;
        self.paths = self.levels.innermost().map_or(0, |level| level.paths);
        self.field = self.depth > 0 && self.element && !matches!(byte, b'}' | b']');
    }

    #[inline(never)]
    fn open(&mut self, object: bool, raw: &[u8]) {
        let key = if self.element { None } else { Some(&self.key) };
        self.levels.open(object, key, self.paths, raw);
        self.depth += u32::from(self.depth > 0 || self.field);
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

    /// Between JSON strings: numbers are values, the rest is structure, and what is neither isn't JSON. Strings that hold
    /// nothing to look at are passed here too.
    pub(super) fn outside<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, mut at: usize) -> Result<Step, Blocked> {
        let raw = chunk.raw;
        let classes = chunk.rules.classes(Syntax::Json);
        while let Some(&byte) = raw.get(at) {
            match byte {
                b'"' if self.json.field => return self.swallow_string(chunk, at),
                b'"' => {
                    at += 1;
                    chunk.string = Some(at);
                    match prefilter::plain_string(raw, at, classes, chunk.rules.glances()) {
                        Some(end) => {
                            self.string_ended(chunk, end);
                            at = end + 1;
                        }
                        None => return Ok(self.enter(chunk, self.string_place(), at)),
                    }
                }
                b' ' | b'\t' => at += 1,
                b',' | b'{' | b'[' | b'}' | b']' => {
                    self.json.string = false;
                    self.json.structure(byte, raw);
                    at += 1;
                }
                b':' if self.json.string => {
                    self.json.string = false;
                    self.named(chunk);
                    at += 1;
                }
                b'\n' | b'\r' => match self.line_break(chunk, at) {
                    Some(step) => return Ok(step),
                    None => at += 1,
                },
                RECORD_SEPARATOR => {
                    self.json = State::default();
                    at += 1;
                }
                _ if self.json.field => return self.swallow_token(chunk, at),
                b'-' | b'0'..=b'9' => match prefilter::plain_number(raw, at) {
                    Some(next) => {
                        self.json.string = false;
                        at = next;
                    }
                    None => match self.signed(chunk, at)? {
                        Step::To(next) if self.place == Place::JsonOutside => at = next,
                        step => return Ok(step),
                    },
                },
                b't' | b'f' | b'n' | b'N' | b'I' => match self.literal(chunk, at) {
                    Step::To(next) if self.place == Place::JsonOutside => at = next,
                    step => return Ok(step),
                },
                _ => return Ok(self.loosen(chunk, at)),
            }
        }
        Ok(Step::To(at))
    }

    /// Where a string is read that needs a look: as a value it may be a document of its own.
    fn string_place(&self) -> Place {
        if self.json.name { Place::JsonString } else { Place::StringStart }
    }

    /// A number, or the infinity below.
    #[inline(never)]
    fn signed<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Result<Step, Blocked> {
        match (chunk.raw[at], chunk.raw.get(at + 1)) {
            (b'-', None) if !chunk.last => Ok(Step::Hold(at)),
            (b'-', Some(b'I')) => Ok(self.literal(chunk, at)),
            _ => self.number(chunk, at),
        }
    }

    /// A string has ended at the quote there. Its text says what others are, or proves to be a name.
    #[inline]
    fn string_ended<P>(&mut self, chunk: &mut Chunk<'_, P>, end: usize) {
        match chunk.string.take() {
            Some(start) => {
                self.json.last.set(start, end);
                if !self.json.name {
                    self.json.levels.text(self.json.key.bytes(chunk.raw), start, end, chunk.raw);
                }
            }
            None => self.cut_string_ended(chunk, end),
        }
        self.json.string = true;
        self.json.name = false;
    }

    /// The same for a string that began in an earlier chunk.
    #[inline(never)]
    fn cut_string_ended<P>(&mut self, chunk: &Chunk<'_, P>, end: usize) {
        let context = self.context(chunk.raw, end);
        let text = last_quote(&context).map_or(&context[..], |quote| &context[quote + 1..]);
        self.json.last.keep(text);
        if !self.json.name {
            let text = self.json.last.bytes(b"");
            self.json.levels.cut_text(self.json.key.bytes(chunk.raw), text, chunk.raw);
        }
    }

    /// Whether a path of listed fields leads to the value of this name.
    #[inline(never)]
    fn follow_paths<P>(&mut self, chunk: &Chunk<'_, P>) {
        let outer = self.json.levels.innermost().map_or(0, |level| level.paths);
        let key = self.json.key.bytes(chunk.raw);
        let (paths, listed) = names::with_decoded(key, |key| chunk.rules.fields().step(outer, key));
        (self.json.paths, self.json.field) = (paths, listed);
    }

    /// A colon behind a string: that was a name.
    fn named<P>(&mut self, chunk: &Chunk<'_, P>) {
        self.json.key.take(&mut self.json.last);
        if !chunk.rules.fields().is_empty() {
            self.follow_paths(chunk);
        }
        self.json.field |= self.json.depth > 0;
        self.json.element = false;
        self.json.name = false;
    }

    #[inline(never)]
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
        if chunk.rules.glances() && !text.iter().all(u8::is_ascii_digit) {
            // Only whole numbers are anybody's.
            return Ok(Step::To(at + length));
        }
        let candidate = Candidate { text, complete: true, before: Before::NOTHING };
        let once = OnceCell::new();
        let said = || *once.get_or_init(|| self.said_of_value(chunk.raw));
        let wants = chunk.rules.starts(text[0]) & !start::WORDS;
        let digits = order::most_digits(&candidate);
        let bare = order::lone_digits(&candidate).filter(|_| chunk.rules.glances() && said().is_silent());
        let found = order::asked(chunk.rules, wants, digits, bare)
            // A candidate that is complete never needs more.
            .find(|&detector| order::ask(chunk.rules, detector, &candidate, &said) == Ok(Some(length)))
            .map(|detector| (order::category_of(chunk.rules, detector), Cow::Borrowed(text)))
            .or_else(|| lost_zero(chunk.rules, text));
        if let Some((category, value)) = found {
            let action = self.count(chunk.rules, category)?;
            let out = chunk.edits.cut(at, at + length);
            if matches!(action, Action::Drop) {
                out.extend_from_slice(b"null");
            } else {
                let (kind, name) = (chunk.rules.kind(category), chunk.rules.name(category));
                let text = replace::replacement(action, kind, name, &value, chunk.pseudonyms);
                replace::write_json_string(&text, out);
            }
        }
        Ok(Step::To(at + length))
    }

    /// A string that was looked at has ended.
    pub(super) fn string_ends<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Step {
        self.string_ended(chunk, at);
        self.enter(chunk, Place::JsonOutside, at + 1)
    }

    /// What comes isn't JSON. In a format of lines, that holds to the end of the line.
    pub(super) fn loosen<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Step {
        self.json = State { broken: true, begun: self.json.begun, ..State::default() };
        self.enter(chunk, if self.depth > 0 { Place::Left } else { Place::Loose }, at)
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
