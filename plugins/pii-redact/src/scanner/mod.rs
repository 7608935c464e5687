//! Reads a stream, replaces what the rules say, and holds back only what may still become a value.
//!
//! Every decision is made at one position from what follows it, and never from where a chunk happens to end: where a detector
//! needs more, the bytes from that position on wait for the next chunk. So the result doesn't depend on how the network cuts
//! the stream, and no more waits than the longest value: [`Scanner::held`] stays under [`MOST_HELD`].
//!
//! Most bytes are never decoded. A word (a run of letters and the like) is looked at only where a byte in it could make it a
//! value: a digit, `@`, `+`, an escape, the first byte of a custom pattern.
//!
//! What JSON has to look like is checked as it passes ([`json`]); where a body isn't what its type says, it is read as text
//! with quotes in it ([`loose`]), so that nothing is skipped as structure that a client may show to somebody. A document inside a
//! JSON string is read by a scanner of its own ([`nested`]).

mod edits;
mod events;
mod fields;
mod json;
mod levels;
mod listed;
mod look;
mod loose;
mod names;
mod nested;
mod prefilter;
mod text;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::content::{self, Format};
use crate::decode::{Buffers, Syntax};
use crate::detect::announce::{self, Said};
use crate::detect::credential::Rest;
use crate::detect::{Before, Kept};
use crate::replace::Pseudonyms;
use crate::rules::{Action, Rules};
use edits::Edits;

/// Raw bytes that a scanner may hold back: the longest value of 512 decoded bytes, each written as `\u0040`, and one escape.
pub const MOST_HELD: usize = 6 * 520;
/// Raw bytes before the held ones that stay known: for the words that announce a number, and for names of fields.
const TAIL: usize = 128;
/// Bytes that say what an unlabelled body is.
const SNIFFED: usize = 4;

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
    /// Before the bytes that say what an unlabelled body is, and before the first line of events.
    Start,
    Binary,
    Text,
    Form,
    /// Before the first token of a JSON text, where marks may stand that aren't JSON.
    JsonStart,
    JsonOutside,
    JsonString,
    /// At the start of a string that is a value.
    StringStart,
    /// In a document inside a string, behind so many bytes of the character there.
    Nested(u8),
    /// What was read as such a document is none from here on.
    Left,
    /// In what was announced as JSON and isn't.
    Loose,
    /// There, behind the name of a listed field; `true`: and its colon.
    LooseName(bool),
    /// At the start of a line of an event stream; `true`: behind a carriage return.
    Line(bool),
    /// In a string, token or form value that is replaced whatever it holds. `true`: behind a backslash.
    SwallowString(bool),
    SwallowToken,
    SwallowForm,
    /// In the value of a listed field in text.
    Listed(listed::Until),
}

/// The state of one stream. Between chunks the host keeps it, so it is small: what is held, and a few dozen bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scanner {
    format: Format,
    place: Place,
    held: Vec<u8>,
    tail: Vec<u8>,
    /// The decoded bytes before the next one.
    before: Kept,
    json: json::State,
    /// What of a credential is still to come, and goes.
    rest: Option<Rest>,
    /// The document inside the string.
    nested: Option<Box<Self>>,
    /// How many documents this one is inside of.
    depth: u8,
    /// What is said of all values that nothing here says more of, see [`Said::bits`].
    announced: u8,
    /// What is said of text from a place on, in the order of places.
    marks: Vec<Mark>,
    /// The name of the value in a form.
    name: Vec<u8>,
    counts: Vec<u32>,
    /// Only to be faster.
    #[serde(skip)]
    buffers: Buffers,
}

/// A place in a text from which on its column is known, or no longer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Mark {
    /// Counted from the first byte that is held or comes next.
    at: i64,
    /// What the name of the column says, see [`Said::bits`].
    said: Option<u8>,
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
    edits: &'a mut Edits,
    /// Where the JSON string starts that is being read, unless that was in an earlier chunk.
    string: Option<usize>,
    /// Where `Scanner::before` holds.
    mark: usize,
    /// Raw bytes up to here stand for themselves in the value that is being read.
    plain: usize,
}

impl Scanner {
    /// A scanner at the start of a stream.
    pub fn new(format: Format) -> Self {
        let place = match format {
            Format::Text => Place::Text,
            Format::Form => Place::Form,
            Format::Json | Format::JsonLines => Place::JsonStart,
            Format::Events | Format::Unlabelled => Place::Start,
        };
        // A form's first name has no `&` before it; pretending that it has makes it like the others.
        let tail = if format == Format::Form { b"&".to_vec() } else { Vec::new() };
        Self {
            format,
            place,
            held: Vec::new(),
            tail,
            before: Kept::NOTHING,
            json: json::State::default(),
            rest: None,
            nested: None,
            depth: 0,
            announced: 0,
            marks: Vec::new(),
            name: Vec::new(),
            counts: Vec::new(),
            buffers: Buffers::default(),
        }
    }

    /// Names the value that comes, as the part of a form or the column of a table does: that announces what is in it where
    /// nothing in the text says more, as the name of a JSON member would.
    pub fn set_name(&mut self, name: &[u8]) {
        self.announced = announce::by_key(name).bits();
    }

    /// Says of text what the name of its column does ([`Said::bits`]), from `at` bytes behind the start of the next chunk on; what
    /// stands before that place announces nothing behind it. `None`: no column is known there. Places come in their order.
    pub fn announce_from(&mut self, at: usize, said: Option<u8>) {
        let at = i64::try_from(self.held.len() + at).unwrap_or(i64::MAX);
        self.marks.push(Mark { at, said });
    }

    /// How many raw bytes wait for what comes next.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Values found since the last call, by category number; empty where none was.
    pub fn take_counts(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.counts)
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
        let mut edits = Edits::default();
        let at = self.scan(rules, pseudonyms, raw, last, &mut edits)?;
        if joined.is_none() && at == raw.len() && edits.is_empty() {
            return Ok(Outcome::Unchanged);
        }
        edits.apply(&raw[..at], out);
        self.held = raw[at..].to_vec();
        Ok(Outcome::Rewritten)
    }

    /// Reads raw bytes, and gives how many of them are decided. The others have to come again, with more behind them.
    fn scan(
        &mut self,
        rules: &Rules,
        pseudonyms: &impl Pseudonyms,
        raw: &[u8],
        last: bool,
        edits: &mut Edits,
    ) -> Result<usize, Blocked> {
        let mut chunk = Chunk { rules, pseudonyms, raw, last, edits, string: None, mark: 0, plain: 0 };
        let mut at = 0;
        while at < raw.len() && self.place != Place::Left {
            match self.step(&mut chunk, at) {
                Ok(Step::To(next)) => at = next,
                Ok(Step::Hold(from)) => {
                    at = from;
                    break;
                }
                Err(blocked) => {
                    // Whoever goes on all the same finds nothing that points into bytes that are gone.
                    self.json.settle(raw);
                    self.marks.clear();
                    return Err(blocked);
                }
            }
        }
        self.before = self.before_at(&chunk, at).keep();
        self.json.settle(raw);
        self.remember(&raw[..at]);
        self.pass_marks(at);
        Ok(at)
    }

    /// Moves the marks back by bytes that have passed, and drops those that others come after.
    fn pass_marks(&mut self, passed: usize) {
        let last = self.marks_up_to(passed).len();
        self.marks.drain(..last.saturating_sub(1));
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        // One that is farther away than what is remembered is as good as any.
        self.marks.iter_mut().for_each(|mark| mark.at = (mark.at - passed).max(-(TAIL as i64)));
    }

    /// The marks that aren't behind a position; the last one counts there.
    fn marks_up_to(&self, at: usize) -> &[Mark] {
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        &self.marks[..self.marks.partition_point(|mark| mark.at <= at)]
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
    fn context<'r>(&self, raw: &'r [u8], at: usize) -> Cow<'r, [u8]> {
        let near = &raw[at.saturating_sub(TAIL)..at];
        let far = &self.tail[self.tail.len().saturating_sub(TAIL - near.len())..];
        if far.is_empty() { Cow::Borrowed(near) } else { Cow::Owned([far, near].concat()) }
    }

    /// The bytes before a position. Behind `mark` all bytes stand for themselves: escapes are examined, and move it.
    fn before_at<'b, P>(&'b self, chunk: &Chunk<'b, P>, at: usize) -> Before<'b> {
        Before::new(&self.before, &chunk.raw[chunk.mark..at])
    }

    /// Enters a place at a position, with nothing before it that matters.
    fn enter<P>(&mut self, chunk: &mut Chunk<'_, P>, place: Place, at: usize) -> Step {
        self.place = place;
        self.before = Kept::NOTHING;
        chunk.mark = at;
        chunk.plain = at;
        Step::To(at)
    }

    fn step<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Result<Step, Blocked> {
        match self.place {
            Place::Start => Ok(self.start(chunk, at)),
            Place::Binary => Ok(Step::To(chunk.raw.len())),
            Place::Text => self.value(chunk, at, Syntax::Text),
            Place::Form => self.value(chunk, at, Syntax::Form),
            Place::JsonString | Place::Loose => self.value(chunk, at, Syntax::Json),
            Place::LooseName(colon) => self.loose_name(chunk, at, colon),
            Place::JsonStart => Ok(self.json_start(chunk, at)),
            Place::StringStart => Ok(self.string_start(chunk, at)),
            Place::Nested(skip) => self.nested(chunk, at, skip),
            Place::Left => Ok(Step::Hold(at)),
            Place::JsonOutside => self.outside(chunk, at),
            Place::Line(after_return) => Ok(self.line(chunk, at, after_return)),
            Place::Listed(until) => self.listed(chunk, at, until),
            Place::SwallowString(_) | Place::SwallowToken | Place::SwallowForm => Ok(self.swallow(chunk, at)),
        }
    }

    /// An unlabelled body is what its first bytes behind white space look like; an event stream may begin with a byte order
    /// mark (HTML standard, section 9.2.5).
    fn start<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Step {
        let rest = &chunk.raw[at..];
        if rest.starts_with(json::BYTE_ORDER_MARK) {
            return Step::To(at + json::BYTE_ORDER_MARK.len());
        }
        if self.format == Format::Events {
            let waits = json::BYTE_ORDER_MARK.starts_with(rest) && !chunk.last;
            return if waits { Step::Hold(at) } else { self.enter(chunk, Place::Line(false), at) };
        }
        if rest[0].is_ascii_whitespace() {
            return Step::To(at + 1);
        }
        if rest.len() < SNIFFED && !chunk.last {
            return Step::Hold(at);
        }
        let place = match content::sniffed(&rest[..rest.len().min(SNIFFED)]) {
            Some(format) => {
                self.format = format;
                if format == Format::Json { Place::JsonOutside } else { Place::Text }
            }
            None => Place::Binary,
        };
        self.enter(chunk, place, at)
    }

    /// A line break in a format that is made of lines: what was begun before it ends there, finished or not.
    fn line_break<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Option<Step> {
        match self.format {
            Format::Events => Some(self.enter(chunk, Place::Line(chunk.raw[at] == b'\r'), at + 1)),
            Format::JsonLines => {
                self.json = json::State::default();
                Some(self.enter(chunk, Place::JsonOutside, at + 1))
            }
            Format::Text | Format::Json | Format::Form | Format::Unlabelled => None,
        }
    }

    /// What is said of the JSON value that is being read, where its text says nothing.
    fn said_of_value(&self, raw: &[u8]) -> Said {
        let said = self.json.said(raw);
        if said.is_silent() { Said::of_bits(self.announced) } else { said }
    }

    fn add_counts(&mut self, counts: &[u32]) {
        self.counts.resize(self.counts.len().max(counts.len()), 0);
        self.counts.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
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
}
