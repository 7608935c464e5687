//! Text of any kind: most words are skipped, the others are shown to the detectors.

use std::cell::OnceCell;
use std::ops::Range;

use super::json::last_quote;
use super::look::Look;
use super::{Blocked, Chunk, Mark, Place, Scanner, Step, prefilter};
use crate::decode::{Edge, Syntax, Window};
use crate::detect::announce::{self, Said};
use crate::detect::credential::Rest;
use crate::detect::{Before, Kept, NeedMore, order};
use crate::replace::{self, Encoding, Pseudonyms};
use crate::rules::{Action, Category, class, start};

/// A word is examined in pieces of this size, so that a body without spaces needs no more memory than any other.
pub(super) const PIECE: usize = 512;

impl Scanner {
    /// Words are skipped unless a byte in them says that they need a look.
    pub(super) fn value<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        at: usize,
        syntax: Syntax,
    ) -> Result<Step, Blocked> {
        if let Some(rest) = self.rest {
            return Ok(self.leave_out(chunk, at, syntax, rest));
        }
        let classes = chunk.rules.classes(syntax);
        let raw = chunk.raw;
        let class = |byte: &u8| classes.of(*byte);
        // A password in a URL starts at once, with any byte, and what tells of it may be far behind a byte that parts words.
        let before = Before::new(&self.before, &[]);
        if at == chunk.mark
            && matches!(before.at(0), b':' | b'/')
            && raw.get(at).is_some_and(|it| class(it) != class::STOP)
        {
            if let Some(name) = self.lists_before(chunk, at) {
                return self.list(chunk, at, name);
            }
            let word = raw[at..].iter().take(PIECE).take_while(|it| matches!(class(it), class::WORD | class::SLOW));
            let limit = self.before_list(chunk, at..at + word.count().max(1));
            return self.examine(chunk, at, limit, syntax);
        }
        let mut from = at;
        let found = loop {
            let found = prefilter::stop(raw, from, classes);
            match found {
                Some(found) if class(&raw[found]) == class::SLOW => match self.harmless(chunk, found, syntax) {
                    Some(next) => from = next,
                    None => break Some(found),
                },
                found => break found,
            }
        };
        let start = at.max(chunk.mark);
        let word_before = |end: usize| {
            let from = start.max(end.saturating_sub(PIECE));
            raw[from..end].iter().rposition(|byte| class(byte) == class::BREAK).map_or(from, |found| from + found + 1)
        };
        let Some(found) = found else {
            // The last word may go on, and prove to be one that needs a look.
            let word = word_before(raw.len());
            let examine = word < raw.len() && !chunk.last;
            return if examine { self.examine(chunk, word, raw.len(), syntax) } else { Ok(Step::To(raw.len())) };
        };
        if class(&raw[found]) == class::STOP {
            return self.stop(chunk, found);
        }
        if let Some(name) = self.lists_before(chunk, found) {
            return self.list(chunk, found, name);
        }
        let piece = &raw[found..raw.len().min(found + PIECE)];
        let end = piece.iter().position(|byte| !matches!(class(byte), class::WORD | class::SLOW));
        let limit = self.before_list(chunk, found..found + end.unwrap_or(piece.len()));
        self.examine(chunk, word_before(found), limit, syntax)
    }

    /// Where to go on behind a byte that may make a word a value and doesn't, by what stands beside it. Most are told apart
    /// here from those before a password, in a private key, an address, a number.
    fn harmless<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize, syntax: Syntax) -> Option<usize> {
        let (raw, byte) = (chunk.raw, chunk.raw[at]);
        if !chunk.rules.fields().is_empty() && self.lists_before(chunk, at).is_some() {
            return None;
        }
        let starts = chunk.rules.starts(byte);
        if starts & start::CUSTOM != 0 || !chunk.rules.prefilters() {
            return None;
        }
        // What stands before the bytes at hand may be a part of the word, or announce it.
        let before = Before::new(&self.before, &[]);
        let open = before.at(0) != b' ' || before.at(1).eq_ignore_ascii_case(&b'r');
        match byte {
            b'0'..=b'9' if chunk.rules.glances() => prefilter::digits(raw, at, chunk.mark.min(at), open),
            b':' if starts & start::IP == 0 => prefilter::colon(raw, at, chunk.mark, open),
            b'(' => prefilter::parenthesis(raw, at),
            // Known not to be behind the name of a listed field.
            b'=' | b'>' => Some(at + 1),
            b'-' | b'_' | b'.' if at > chunk.mark => prefilter::affix(raw, at, chunk.mark, open),
            b'"' => prefilter::quote(raw, at),
            b'&' | b'%' | 0xC2 | 0xE2 | 0xE3 | 0xEF => prefilter::no_escape(raw, at, syntax, chunk.last),
            b'\t' => Some(self.pass_break(chunk, at, 1, b' ')),
            b'\\' if at == chunk.mark || raw[at - 1] != b'\\' => match raw.get(at + 1) {
                Some(b'n') => Some(self.pass_break(chunk, at, 2, b'\n')),
                Some(b'r') => Some(self.pass_break(chunk, at, 2, b'\r')),
                _ => None,
            },
            _ => None,
        }
    }

    /// Passes what stands for a byte that parts words.
    fn pass_break<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize, length: usize, byte: u8) -> usize {
        self.before = Before::new(&self.before_at(chunk, at).keep(), &[byte]).keep();
        chunk.mark = at + length;
        chunk.mark
    }

    /// Leaves out what still belongs to a credential. Its end is where a byte does not.
    fn leave_out<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize, syntax: Syntax, mut rest: Rest) -> Step {
        let buffers = std::mem::take(&mut self.buffers);
        let mut window = Window::new(chunk.raw, at, at, syntax, chunk.last, buffers);
        let mut index = 0;
        let (next, goes_on) = loop {
            if index == window.bytes().len() && (index >= PIECE || !window.extend()) {
                let next = window.next();
                let closed = window.edge() == Edge::Closed;
                break match chunk.raw.get(next) {
                    Some(&byte @ (b'\n' | b'\r')) if closed && rest.crosses_lines() && !self.ends_strings(byte) => {
                        let taken = rest.takes(byte);
                        (next + usize::from(taken), taken)
                    }
                    _ => (next, !closed),
                };
            }
            match window.bytes().get(index) {
                Some(byte) if !rest.takes(*byte) => break (window.start(index), false),
                Some(_) => index += 1,
                None => {}
            }
        };
        let starved = goes_on && window.edge() == Edge::Starved && next < chunk.raw.len();
        self.buffers = window.into_buffers();
        self.rest = goes_on.then_some(rest);
        self.before = Kept::NOTHING;
        chunk.edits.cut(at, next);
        (chunk.mark, chunk.plain) = (next, next);
        if starved { Step::Hold(next) } else { Step::To(next) }
    }

    /// A byte that ends a value.
    fn stop<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Result<Step, Blocked> {
        Ok(match (chunk.raw[at], self.place) {
            (b'"', Place::JsonString) => self.string_ends(chunk, at),
            (b'"', Place::Loose) => self.loose_quote(chunk, at),
            (b'=', Place::Form) => return self.form_name(chunk, at),
            (b'&', Place::Form) => {
                self.name.clear();
                self.enter(chunk, Place::Form, at + 1)
            }
            (_, place) => {
                // No JSON string holds a raw line break: either it wasn't closed, or this is something else.
                let broken = place == Place::JsonString;
                self.json.broken |= broken;
                match self.line_break(chunk, at) {
                    Some(step) => step,
                    None if broken => self.loosen(chunk, at + 1),
                    None => self.enter(chunk, place, at + 1),
                }
            }
        })
    }

    /// Asks the detectors at every position of the raw bytes `word..limit`.
    fn examine<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        word: usize,
        limit: usize,
        syntax: Syntax,
    ) -> Result<Step, Blocked> {
        let buffers = std::mem::take(&mut self.buffers);
        let mut look = Look::behind(self.before_at(chunk, word).keep());
        let mut window = Window::new(chunk.raw, word, chunk.plain, syntax, chunk.last, buffers);
        let step = self.examine_window(chunk, &mut window, &mut look, limit, syntax);
        chunk.plain = window.plain();
        self.buffers = window.into_buffers();
        step
    }

    fn examine_window<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        window: &mut Window<'_>,
        look: &mut Look,
        limit: usize,
        syntax: Syntax,
    ) -> Result<Step, Blocked> {
        let addresses = prefilter::may_hold_address(chunk.raw, window.start(0), limit, chunk.last);
        let passwords = chunk.rules.action(Category::Credential).is_some();
        loop {
            if look.position == window.bytes().len() && !window.extend() {
                // A cut escape waits as well.
                let starved = window.edge() == Edge::Starved && window.next() < chunk.raw.len();
                let next = self.leave(chunk, look, window, window.next());
                return Ok(if starved { Step::Hold(next) } else { Step::To(next) });
            }
            let Some(&byte) = window.bytes().get(look.position) else { continue };
            let raw_start = window.start(look.position);
            if raw_start >= limit {
                return Ok(Step::To(self.leave(chunk, look, window, raw_start)));
            }
            let mut wants = chunk.rules.starts(byte);
            let previous = look.before(window).at(0);
            if previous == b':' && passwords {
                wants |= start::CREDENTIAL;
            }
            if look.position < look.barren || !addresses && byte != b'"' {
                wants &= !start::EMAIL;
            }
            if look.letter {
                wants &= start::CUSTOM;
            }
            let found = if wants == 0 { Ok(None) } else { self.detect(chunk, window, look, wants) };
            let Ok(found) = found else { return Ok(Step::Hold(self.leave(chunk, look, window, raw_start))) };
            let Some((category, length)) = found else {
                look.pass(window, byte, previous, wants);
                continue;
            };
            let value = look.position..look.position + length;
            self.redact(chunk, window, value.clone(), category, syntax)?;
            if matches!(chunk.rules.kind(category), Some(Category::Credential | Category::Token)) {
                self.rest = Rest::of(&look.before(window), &window.bytes()[value.clone()]);
            }
            if self.rest.is_some() {
                chunk.mark = window.end(value.end - 1);
                return Ok(Step::To(chunk.mark));
            }
            look.jump(window, value.end);
        }
    }

    /// Remembers what stands before the position.
    fn leave<P>(&mut self, chunk: &mut Chunk<'_, P>, look: &Look, window: &Window<'_>, next: usize) -> usize {
        self.before = look.before(window).keep();
        chunk.mark = next;
        next
    }

    /// The first category, in the order of detectors, that has a value at the position.
    fn detect<P>(
        &self,
        chunk: &Chunk<'_, P>,
        window: &mut Window<'_>,
        look: &Look,
        wants: u8,
    ) -> Result<Option<(usize, usize)>, NeedMore> {
        let raw_start = window.start(look.position);
        let once = OnceCell::new();
        let said = || *once.get_or_init(|| self.said(chunk, raw_start));
        let digits = loop {
            let digits = order::most_digits(&look.candidate(window));
            if digits < usize::MAX || !window.extend() {
                break digits;
            }
        };
        let glances =
            chunk.rules.glances() && wants & (start::NUMBER | start::PHONE) != 0 && digits >= prefilter::FEWEST_DIGITS;
        let lone = if glances { order::lone_digits(&look.candidate(window)) } else { None };
        let bare = lone.filter(|count| *count > 0 && said().is_silent());
        for detector in order::asked(chunk.rules, wants, digits, bare) {
            loop {
                match order::ask(chunk.rules, detector, &look.candidate(window), &said) {
                    Ok(Some(length)) => return Ok(Some((order::category_of(chunk.rules, detector), length))),
                    Ok(None) => break,
                    Err(NeedMore) if window.extend() => {}
                    Err(NeedMore) => return Err(NeedMore),
                }
            }
        }
        Ok(None)
    }

    /// What the words before a position say of a number there, or else the name of the value that it is in.
    fn said<P>(&self, chunk: &Chunk<'_, P>, at: usize) -> Said {
        let context = self.context(chunk.raw, at);
        let from = |start: Option<usize>| &context[start.map_or(0, |start| start + 1)..];
        let announced = || Said::of_bits(self.announced);
        let or_else = |text: Said, name: &dyn Fn() -> Said| if text.is_silent() { name() } else { text };
        match self.place {
            Place::JsonString => {
                or_else(announce::by_text(from(last_quote(&context))), &|| self.said_of_value(chunk.raw))
            }
            Place::Form => {
                let value = from(context.iter().rposition(|byte| matches!(byte, b'&' | b'=')));
                or_else(announce::by_text(value), &|| or_else(announce::by_key(&self.name), &announced))
            }
            _ => match self.marks_up_to(at).last() {
                Some(&Mark { at: start, said: Some(said) }) => {
                    let near = usize::try_from(at as i64 - start).unwrap_or(context.len()).min(context.len());
                    or_else(announce::by_text(&context[context.len() - near..]), &|| Said::of_bits(said))
                }
                _ => or_else(announce::by_text(&context), &announced),
            },
        }
    }

    fn redact<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        window: &Window<'_>,
        place: Range<usize>,
        category: usize,
        syntax: Syntax,
    ) -> Result<(), Blocked> {
        let rules = chunk.rules;
        let action = self.count(rules, category)?;
        let (raw_start, raw_end) = (window.start(place.start), window.end(place.end - 1));
        let value = &window.bytes()[place];
        let percent = chunk.raw[raw_start..raw_end].contains(&b'%') && !value.contains(&b'%');
        let encoding = match syntax {
            Syntax::Form => Encoding::Percent,
            _ if percent => Encoding::Percent,
            Syntax::Json => Encoding::Json,
            Syntax::Text => Encoding::Plain,
        };
        let mut text =
            replace::replacement(action, rules.kind(category), rules.name(category), value, chunk.pseudonyms);
        // Members whose names have become the same would be one to most readers. Pseudonyms differ as the values did.
        if self.place == Place::JsonString
            && self.json.name
            && !matches!(action, Action::Hash { .. } | Action::Pseudonymise { .. })
        {
            self.json.names = self.json.names.saturating_add(1);
            if self.json.names > 1 {
                text.to_mut().push_str(&format!("-{}", self.json.names));
            }
        }
        replace::write(&text, encoding, chunk.edits.cut(raw_start, raw_end));
        Ok(())
    }
}
