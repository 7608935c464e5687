//! Reads a stream, replaces what the rules say, and holds back only what may still become a value.
//!
//! Every decision is made at one position from what follows it, and never from where a chunk happens to end: where a detector
//! needs more, the bytes from that position on wait for the next chunk. So the result doesn't depend on how the network cuts
//! the stream, and no more waits than the longest value: [`Scanner::held`] stays under [`MOST_HELD`].
//!
//! Most bytes are never decoded. A word (a run of letters and the like) is looked at only where a byte in it could make it a
//! value: a digit, `@`, `+`, an escape, the first byte of a custom pattern.

use serde::{Deserialize, Serialize};

use crate::content::Format;
use crate::decode::{Edge, Syntax, Window};
use crate::detect::{self, Candidate, NeedMore, Verdict, card, email, fodselsnummer, iban, ip, kontonummer, phone};
use crate::replace::{self, Encoding, Pseudonyms};
use crate::rules::{Action, CATEGORIES, Category, NewRule, Rules, class, start};

/// Raw bytes that a scanner may hold back: the longest value of 512 decoded bytes, each written as `\u0040`, and one escape.
pub const MOST_HELD: usize = 6 * 520;
/// A word is examined in pieces of this size, so that a body without spaces needs no more memory than any other.
const PIECE: usize = 512;
/// A longer JSON number is nobody's.
const LONGEST_NUMBER: usize = 64;
/// Raw bytes before the held ones that stay known: for the words that announce a phone number, and for names of fields.
const TAIL: usize = 64;

/// A value was found that must not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The name of its category.
    pub category: String,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It can go on as it is: nothing was replaced, held back or released. Nothing was written.
    Unchanged,
    /// What was written goes on in its place.
    Rewritten,
}

/// Where in the stream the scanner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    Text,
    Form,
    JsonOutside,
    JsonString,
    /// At the start of a line of an event stream.
    Line,
    /// In a string, token or form value that is replaced whatever it holds. `true`: behind a backslash.
    SwallowString(bool),
    SwallowToken,
    SwallowForm,
}

/// The state of one stream. Small, and serialisable: it can wait with the host between two chunks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scanner {
    format: Format,
    place: Place,
    held: Vec<u8>,
    tail: Vec<u8>,
    /// The two decoded bytes before the next one.
    before: [u8; 2],
    /// The next JSON value belongs to a listed field.
    field: bool,
    /// Depth below the container that is the value of a listed field, and which levels are objects.
    depth: u32,
    objects: u64,
    counts: Vec<u32>,
}

/// The next thing to do.
enum Step {
    /// Go on here.
    To(usize),
    /// The bytes from here on wait.
    Hold(usize),
}

/// One call's view of the chunk.
struct Chunk<'a, P> {
    rules: &'a Rules,
    pseudonyms: &'a P,
    raw: &'a [u8],
    last: bool,
    out: &'a mut Vec<u8>,
    /// Raw bytes up to here are in `out`, or replaced.
    copied: usize,
    /// Where `Scanner::before` holds.
    mark: usize,
}

impl<P> Chunk<'_, P> {
    /// Writes what stands before `from`, then leaves out the bytes up to `to`.
    fn cut(&mut self, from: usize, to: usize) {
        self.out.extend_from_slice(&self.raw[self.copied..from]);
        self.copied = to;
    }
}

impl Scanner {
    /// A scanner at the start of a stream.
    pub fn new(format: Format) -> Self {
        let place = match format {
            Format::Text => Place::Text,
            Format::Form => Place::Form,
            Format::Json => Place::JsonOutside,
            Format::Events => Place::Line,
        };
        // A form's first name has no `&` before it; pretending that it has makes it like the others.
        let tail = if format == Format::Form { b"&".to_vec() } else { Vec::new() };
        Self {
            format,
            place,
            held: Vec::new(),
            tail,
            before: [b' '; 2],
            field: false,
            depth: 0,
            objects: 0,
            counts: Vec::new(),
        }
    }

    /// How many raw bytes wait for what comes next.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Values found so far, by category number.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Reads the next chunk and appends what may go on to `out`. `last`: nothing follows, so nothing is held back.
    pub fn push(
        &mut self,
        rules: &Rules,
        pseudonyms: &impl Pseudonyms,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Blocked> {
        let held = std::mem::take(&mut self.held);
        let joined = if held.is_empty() { None } else { Some([&held[..], chunk].concat()) };
        let raw = joined.as_deref().unwrap_or(chunk);
        let mut chunk = Chunk { rules, pseudonyms, raw, last, out, copied: 0, mark: 0 };
        let written = chunk.out.len();
        let mut at = 0;
        while at < raw.len() {
            match self.step(&mut chunk, at)? {
                Step::To(next) => at = next,
                Step::Hold(from) => {
                    at = from;
                    break;
                }
            }
        }
        self.before = self.before_at(&chunk, at);
        if joined.is_none() && at == raw.len() && chunk.copied == 0 && chunk.out.len() == written {
            self.remember(&raw[..at]);
            return Ok(Outcome::Unchanged);
        }
        if chunk.copied < at {
            chunk.out.extend_from_slice(&raw[chunk.copied..at]);
        }
        self.held = raw[at..].to_vec();
        self.remember(&raw[..at]);
        Ok(Outcome::Rewritten)
    }

    fn remember(&mut self, passed: &[u8]) {
        if passed.len() >= TAIL {
            self.tail.clear();
            self.tail.extend_from_slice(&passed[passed.len() - TAIL..]);
        } else {
            self.tail.extend_from_slice(passed);
            self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        }
    }

    /// The raw bytes before a position, up to `TAIL` of them, whatever chunk they came in.
    fn context(&self, raw: &[u8], at: usize) -> Vec<u8> {
        let near = &raw[at.saturating_sub(TAIL)..at];
        let far = &self.tail[self.tail.len().saturating_sub(TAIL - near.len())..];
        [far, near].concat()
    }

    /// The two bytes before a position. Behind `mark` all bytes stand for themselves: escapes are examined, and move it.
    fn before_at<P>(&self, chunk: &Chunk<'_, P>, at: usize) -> [u8; 2] {
        match at - chunk.mark {
            0 => self.before,
            1 => [self.before[1], chunk.raw[at - 1]],
            _ => [chunk.raw[at - 2], chunk.raw[at - 1]],
        }
    }

    /// Enters a place at a position, with nothing before it that matters.
    fn enter<P>(&mut self, chunk: &mut Chunk<'_, P>, place: Place, at: usize) {
        self.place = place;
        self.before = [b' '; 2];
        chunk.mark = at;
    }

    fn step<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Result<Step, Blocked> {
        match self.place {
            Place::Text => self.value(chunk, at, Syntax::Text),
            Place::Form => self.value(chunk, at, Syntax::Form),
            Place::JsonString => self.value(chunk, at, Syntax::Json),
            Place::JsonOutside => self.outside(chunk, at),
            Place::Line => Ok(self.line(chunk, at)),
            Place::SwallowString(_) | Place::SwallowToken | Place::SwallowForm => Ok(self.swallow(chunk, at)),
        }
    }

    /// The start of a line of an event stream: `data:` with an object or array is read as JSON, all else as text.
    fn line<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Step {
        let rest = &chunk.raw[at..];
        self.field = false;
        self.depth = 0;
        if matches!(rest[0], b'\n' | b'\r') {
            self.enter(chunk, Place::Line, at + 1);
            return Step::To(at + 1);
        }
        let name = b"data:";
        let common = rest.iter().zip(name).take_while(|(byte, name)| byte == name).count();
        let behind = if rest.get(5) == Some(&b' ') { 6 } else { 5 };
        if !chunk.last && (common == rest.len() || (common == 5 && rest.len() <= behind)) {
            return Step::Hold(at);
        }
        let json = common == 5 && matches!(rest.get(behind), Some(b'{' | b'['));
        let at = if common == 5 { at + behind.min(rest.len()) } else { at };
        self.enter(chunk, if json { Place::JsonOutside } else { Place::Text }, at);
        Step::To(at)
    }

    /// Between JSON strings: numbers are values, the rest is structure.
    fn outside<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, mut at: usize) -> Result<Step, Blocked> {
        while let Some(&byte) = chunk.raw.get(at) {
            match byte {
                b'"' if self.field => return self.swallow_string(chunk, at),
                b'"' => {
                    self.enter(chunk, Place::JsonString, at + 1);
                    return Ok(Step::To(at + 1));
                }
                b'\n' | b'\r' if self.format == Format::Events => {
                    self.enter(chunk, Place::Line, at + 1);
                    return Ok(Step::To(at + 1));
                }
                b':' => {
                    self.field = self.depth > 0 || self.is_field(chunk, at);
                    at += 1;
                }
                b'{' | b'[' | b'}' | b']' | b',' => {
                    self.structure(byte);
                    at += 1;
                }
                b'-' | b'0'..=b'9' | b'a'..=b'z' if self.field => {
                    self.field = false;
                    return self.swallow_token(chunk, at);
                }
                b'-' | b'0'..=b'9' if !is_number(self.before_at(chunk, at)[1]) => return self.number(chunk, at),
                _ => at += 1,
            }
        }
        Ok(Step::To(at))
    }

    /// Follows containers below a listed field, so that every value in them is found and no key is.
    fn structure(&mut self, byte: u8) {
        if self.depth == 0 && !self.field {
            return;
        }
        match byte {
            b'{' | b'[' => {
                self.depth += 1;
                self.objects = self.objects << 1 | u64::from(byte == b'{');
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.objects >>= 1;
            }
            _ => {}
        }
        self.field = self.depth > 0 && self.objects & 1 == 0 && !matches!(byte, b'}' | b']');
    }

    /// Whether the name before a `:` (or a form's `=`) is a listed one.
    fn is_field<P>(&self, chunk: &Chunk<'_, P>, at: usize) -> bool {
        if chunk.rules.fields().is_empty() {
            return false;
        }
        let context = self.context(chunk.raw, at);
        if self.place == Place::Form {
            return chunk.rules.fields().iter().any(|field| {
                context.strip_suffix(field.as_bytes()).is_some_and(|before| before.last() == Some(&b'&'))
            });
        }
        let Some(quoted) = context.trim_ascii_end().strip_suffix(b"\"") else { return false };
        chunk.rules.fields().iter().any(|field| {
            let before = quoted.strip_suffix(field.as_bytes()).and_then(|before| before.strip_suffix(b"\""));
            before.is_some_and(|before| before.last() != Some(&b'\\'))
        })
    }

    /// A JSON number is a value only as a whole, and becomes a string: `***` is no number.
    fn number<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Result<Step, Blocked> {
        let rest = &chunk.raw[at..];
        let length = rest.iter().take_while(|byte| is_number(**byte)).count();
        if length == rest.len() && !chunk.last && length <= LONGEST_NUMBER {
            return Ok(Step::Hold(at));
        }
        if length > LONGEST_NUMBER {
            return Ok(Step::To(at + length));
        }
        let text = &rest[..length];
        let candidate = Candidate { text, complete: true, before: [b' '; 2] };
        let wants = chunk.rules.starts(text[0]);
        let announced = || phone::announced(&self.context(chunk.raw, at));
        for detector in 0..detectors(chunk.rules) {
            // A candidate that is complete never needs more.
            let found = ask(chunk.rules, detector, wants, &candidate, &announced).unwrap_or(None);
            if found == Some(length) {
                let category = category_of(chunk.rules, detector);
                let action = self.count(chunk.rules, category)?;
                chunk.cut(at, at + length);
                if matches!(action, Action::Drop) {
                    chunk.out.extend_from_slice(b"null");
                } else {
                    let name = chunk.rules.name(category);
                    let text = replace::replacement(action, name, text, chunk.pseudonyms);
                    chunk.out.push(b'"');
                    replace::write(&text, Encoding::Json, chunk.out);
                    chunk.out.push(b'"');
                }
                break;
            }
        }
        Ok(Step::To(at + length))
    }

    /// Text of any kind: words are skipped unless a byte in them says that they need a look.
    fn value<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, at: usize, syntax: Syntax) -> Result<Step, Blocked> {
        let classes = chunk.rules.classes(syntax);
        let raw = chunk.raw;
        let (mut word, mut index, mut slow) = (at, at, false);
        loop {
            let Some(&byte) = raw.get(index) else {
                let examine = word < index && (slow || !chunk.last);
                return if examine { self.examine(chunk, word, index, syntax) } else { Ok(Step::To(index)) };
            };
            match classes[usize::from(byte)] {
                class::WORD => index += 1,
                class::SLOW => {
                    slow = true;
                    index += 1;
                }
                _ if slow => return self.examine(chunk, word, index, syntax),
                class::STOP => return self.stop(chunk, index, byte),
                _ => {
                    index += 1;
                    word = index;
                }
            }
            if index - word >= PIECE {
                return self.examine(chunk, word, index, syntax);
            }
        }
    }

    /// A byte that ends a value.
    fn stop<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, at: usize, byte: u8) -> Result<Step, Blocked> {
        match (byte, self.place) {
            (b'"', Place::JsonString) => self.enter(chunk, Place::JsonOutside, at + 1),
            (b'\n' | b'\r', _) if self.format == Format::Events => self.enter(chunk, Place::Line, at + 1),
            (b'=', Place::Form) if self.is_field(chunk, at) => {
                let text = self.field_replacement(chunk)?;
                chunk.cut(at + 1, at + 1);
                replace::write(&text, Encoding::Percent, chunk.out);
                self.enter(chunk, Place::SwallowForm, at + 1);
            }
            (_, place) => self.enter(chunk, place, at + 1),
        }
        Ok(Step::To(at + 1))
    }

    /// Asks the detectors at every position of the raw bytes `word..limit`.
    fn examine<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        word: usize,
        limit: usize,
        syntax: Syntax,
    ) -> Result<Step, Blocked> {
        let mut window = Window::new(chunk.raw, word, syntax, chunk.last);
        let mut before = self.before_at(chunk, word);
        let mut position = 0;
        // Positions before this one can't start an address.
        let mut barren = 0;
        loop {
            if position == window.bytes().len() && !window.extend() {
                let next = window.next();
                self.before = before;
                chunk.mark = next;
                // A cut escape waits as well.
                let starved = window.edge() == Edge::Starved && next < chunk.raw.len();
                return Ok(if starved { Step::Hold(next) } else { Step::To(next) });
            }
            let Some(&byte) = window.bytes().get(position) else { continue };
            let raw_start = window.start(position);
            if raw_start >= limit {
                self.before = before;
                chunk.mark = raw_start;
                return Ok(Step::To(raw_start));
            }
            let mut wants = chunk.rules.starts(byte);
            if position < barren {
                wants &= !start::EMAIL;
            }
            if wants & !start::CUSTOM != 0 && detect::is_word(before[1]) {
                wants &= start::CUSTOM;
            }
            if wants != 0 {
                match self.detect(chunk, &mut window, position, before, wants) {
                    Err(NeedMore) => {
                        self.before = before;
                        chunk.mark = raw_start;
                        return Ok(Step::Hold(raw_start));
                    }
                    Ok(Some((category, length))) => {
                        let end = position + length;
                        self.redact(chunk, &window, position, end, category, syntax)?;
                        before = [if length > 1 { window.bytes()[end - 2] } else { byte }, window.bytes()[end - 1]];
                        position = end;
                        continue;
                    }
                    Ok(None) if wants & start::EMAIL != 0 => {
                        let text = &window.bytes()[position..];
                        let candidate = Candidate { text, complete: false, before };
                        barren = barren.max(position + email::barren(&candidate));
                    }
                    Ok(None) => {}
                }
            }
            // The second byte of a two-byte letter is as much of a letter as the first.
            let continues = matches!(byte, 0x80..=0xBF) && matches!(before[1], 0xC3..=0xDF);
            before = [before[1], if continues { b'_' } else { byte }];
            position += 1;
        }
    }

    /// The first category, in the order of detectors, that has a value at the position.
    fn detect<P>(
        &self,
        chunk: &Chunk<'_, P>,
        window: &mut Window<'_>,
        position: usize,
        before: [u8; 2],
        wants: u8,
    ) -> Result<Option<(usize, usize)>, NeedMore> {
        let raw_start = window.start(position);
        let announced = || phone::announced(&self.context(chunk.raw, raw_start));
        for detector in 0..detectors(chunk.rules) {
            loop {
                let complete = window.edge() == Edge::Closed;
                let candidate = Candidate { text: &window.bytes()[position..], complete, before };
                match ask(chunk.rules, detector, wants, &candidate, &announced) {
                    Ok(Some(length)) => return Ok(Some((category_of(chunk.rules, detector), length))),
                    Ok(None) => break,
                    Err(NeedMore) if window.extend() => {}
                    Err(NeedMore) => return Err(NeedMore),
                }
            }
        }
        Ok(None)
    }

    fn redact<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        window: &Window<'_>,
        from: usize,
        to: usize,
        category: usize,
        syntax: Syntax,
    ) -> Result<(), Blocked> {
        let rules = chunk.rules;
        let action = self.count(rules, category)?;
        let value = &window.bytes()[from..to];
        let (raw_start, raw_end) = (window.start(from), window.end(to - 1));
        let percent = chunk.raw[raw_start..raw_end].contains(&b'%') && !value.contains(&b'%');
        let encoding = match syntax {
            Syntax::Form => Encoding::Percent,
            _ if percent => Encoding::Percent,
            Syntax::Json => Encoding::Json,
            Syntax::Text => Encoding::Plain,
        };
        let text = replace::replacement(action, rules.name(category), value, chunk.pseudonyms);
        chunk.cut(raw_start, raw_end);
        replace::write(&text, encoding, chunk.out);
        Ok(())
    }

    /// Counts a value and gives its action.
    fn count<'r>(&mut self, rules: &'r Rules, category: usize) -> Result<&'r Action, Blocked> {
        self.counts.resize(rules.categories(), 0);
        self.counts[category] += 1;
        match rules.action_at(category) {
            Some(Action::Block) => Err(Blocked { category: rules.name(category).to_owned() }),
            Some(action) => Ok(action),
            None => Ok(&Action::Drop),
        }
    }

    /// What stands for the value of a listed field, which isn't read: its length is nobody's business either.
    fn field_replacement<P: Pseudonyms>(&mut self, chunk: &Chunk<'_, P>) -> Result<String, Blocked> {
        let category = Category::Field as usize;
        let action = self.count(chunk.rules, category)?;
        Ok(replace::replacement(action, chunk.rules.name(category), b"", chunk.pseudonyms))
    }

    fn swallow_string<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Result<Step, Blocked> {
        self.field = false;
        let text = self.field_replacement(chunk)?;
        chunk.cut(at + 1, at + 1);
        replace::write(&text, Encoding::Json, chunk.out);
        self.enter(chunk, Place::SwallowString(false), at + 1);
        Ok(Step::To(at + 1))
    }

    fn swallow_token<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Result<Step, Blocked> {
        let text = self.field_replacement(chunk)?;
        chunk.cut(at, at);
        if text.is_empty() {
            chunk.out.extend_from_slice(b"null");
        } else {
            chunk.out.push(b'"');
            replace::write(&text, Encoding::Json, chunk.out);
            chunk.out.push(b'"');
        }
        self.enter(chunk, Place::SwallowToken, at);
        Ok(Step::To(at))
    }

    /// Leaves out the rest of a listed field's value.
    fn swallow<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Step {
        let mut place = self.place;
        let events = self.format == Format::Events;
        let end = chunk.raw[at..].iter().position(|&byte| match &mut place {
            // A line ends the event's string, closed or not.
            Place::SwallowString(_) if events && matches!(byte, b'\n' | b'\r') => true,
            Place::SwallowString(escaped) => {
                let ends = byte == b'"' && !*escaped;
                *escaped = byte == b'\\' && !*escaped;
                ends
            }
            Place::SwallowForm => byte == b'&',
            _ => !is_number(byte) && !byte.is_ascii_alphabetic(),
        });
        let next = end.map_or(chunk.raw.len(), |end| at + end);
        chunk.copied = next;
        let (place, skip) = match (end, place) {
            (None, place) => (place, 0),
            (Some(_), Place::SwallowForm) => (Place::Form, 0),
            (Some(_), Place::SwallowString(_)) if chunk.raw[next] == b'"' => (Place::JsonOutside, 1),
            (Some(_), _) => (Place::JsonOutside, 0),
        };
        self.enter(chunk, place, next + skip);
        Step::To(next + skip)
    }
}

fn is_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Custom patterns come first, being what the operator asked for by name; then the built-in ones in their order.
fn detectors(rules: &Rules) -> usize {
    rules.customs().len() + ORDER.len()
}

/// An address may start with any number; a fødselsnummer passes as an account, and either may pass as a card or phone.
const ORDER: [Category; 7] = [
    Category::Email,
    Category::Ip,
    Category::Fodselsnummer,
    Category::Kontonummer,
    Category::Card,
    Category::Iban,
    Category::Phone,
];

/// The category's number: built-in ones come first there, see [`CATEGORIES`], and custom ones in the order of detectors.
fn category_of(rules: &Rules, detector: usize) -> usize {
    match detector.checked_sub(rules.customs().len()) {
        Some(built_in) => ORDER[built_in] as usize,
        None => CATEGORIES.len() + detector,
    }
}

fn ask(rules: &Rules, detector: usize, wants: u8, candidate: &Candidate<'_>, announced: &impl Fn() -> bool) -> Verdict {
    let Some(built_in) = detector.checked_sub(rules.customs().len()) else {
        return if wants & start::CUSTOM == 0 { Ok(None) } else { rules.customs()[detector].pattern.find(candidate) };
    };
    let category = ORDER[built_in];
    let wanted = match category {
        Category::Email => start::EMAIL,
        Category::Ip => start::IP,
        Category::Iban => start::IBAN,
        Category::Phone => start::PHONE,
        _ => start::NUMBER,
    };
    if wants & wanted == 0 || rules.action(category).is_none() {
        return Ok(None);
    }
    match category {
        Category::Email => email::find(candidate),
        Category::Ip => ip::find(candidate),
        Category::Fodselsnummer => Ok(fodselsnummer::find(candidate)?
            .filter(|(_, rule)| *rule == fodselsnummer::Rule::Current || rules.new_rule == NewRule::On)
            .map(|(length, _)| length)),
        Category::Kontonummer => kontonummer::find(candidate),
        Category::Card => card::find(candidate),
        Category::Iban => iban::find(candidate),
        Category::Phone => phone::find(candidate, announced),
        Category::Field => Ok(None),
    }
}
