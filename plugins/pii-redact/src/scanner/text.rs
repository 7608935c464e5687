//! Text of any kind: most words are skipped, the others are shown to the detectors.

use super::json::last_quote;
use super::{Blocked, Chunk, Place, Scanner, Step};
use crate::decode::{Edge, Syntax, Window};
use crate::detect::announce::{self, Said};
use crate::detect::credential::Rest;
use crate::detect::{self, Before, Candidate, NeedMore, credential, email, order};
use crate::replace::{self, Encoding, Pseudonyms};
use crate::rules::{Action, Category, class, start};

/// A word is examined in pieces of this size, so that a body without spaces needs no more memory than any other.
const PIECE: usize = 512;

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
        let class = |byte: &u8| classes[usize::from(*byte)];
        let word_before = |end: usize| {
            let from = at.max(end.saturating_sub(PIECE));
            raw[from..end].iter().rposition(|byte| class(byte) == class::BREAK).map_or(from, |found| from + found + 1)
        };
        let mut from = at;
        let found = loop {
            let found = raw[from..].iter().position(|byte| class(byte) >= class::SLOW).map(|found| from + found);
            match found {
                Some(found) if class(&raw[found]) == class::SLOW && self.is_harmless(chunk, found) => from = found + 1,
                found => break found,
            }
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
        let piece = &raw[found..raw.len().min(found + PIECE)];
        let end = piece.iter().position(|byte| !matches!(class(byte), class::WORD | class::SLOW));
        self.examine(chunk, word_before(found), found + end.unwrap_or(piece.len()), syntax)
    }

    /// Whether a byte that may make a word a value doesn't, by what stands beside it: most colons, hyphens and quotes are
    /// told apart here from those that come before a password, a private key and an address.
    fn is_harmless<P>(&self, chunk: &Chunk<'_, P>, at: usize) -> bool {
        let (byte, behind) = (chunk.raw[at], &chunk.raw[at + 1..]);
        if !matches!(byte, b':' | b'-' | b'"') || chunk.rules.starts(byte) & (start::CUSTOM | start::IP) != 0 {
            return false;
        }
        match byte {
            b':' => !credential::ends_user(&self.before_at(chunk, at)),
            b'-' => behind.first().is_some_and(|next| !matches!(next, b'-' | b'\\' | b'%')),
            _ => match behind.iter().take(email::LONGEST_QUOTED).position(|byte| b"\"\\%\r\n".contains(byte)) {
                Some(end) if behind[end] == b'"' => {
                    behind.get(end + 1).is_some_and(|next| !matches!(next, b'@' | b'\\' | b'%'))
                }
                Some(end) => matches!(behind[end], b'\r' | b'\n'),
                None => behind.len() >= email::LONGEST_QUOTED,
            },
        }
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
        self.before = Before::NOTHING;
        (chunk.copied, chunk.mark, chunk.plain) = (next, next, next);
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
        let before = self.before_at(chunk, word);
        let mut window = Window::new(chunk.raw, word, chunk.plain, syntax, chunk.last, buffers);
        let step = self.examine_window(chunk, &mut window, before, limit, syntax);
        chunk.plain = window.plain();
        self.buffers = window.into_buffers();
        step
    }

    fn examine_window<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        window: &mut Window<'_>,
        mut far: Before,
        limit: usize,
        syntax: Syntax,
    ) -> Result<Step, Blocked> {
        let mut position = 0;
        // Of the window, `far` is followed by what is from here on.
        let mut fresh = 0;
        let mut letter = far.is_letter();
        // Positions before this one can't start an address.
        let mut barren = 0;
        loop {
            if position == window.bytes().len() && !window.extend() {
                let next = window.next();
                self.before = far.followed_by(&window.bytes()[fresh..position]);
                chunk.mark = next;
                // A cut escape waits as well.
                let starved = window.edge() == Edge::Starved && next < chunk.raw.len();
                return Ok(if starved { Step::Hold(next) } else { Step::To(next) });
            }
            let Some(&byte) = window.bytes().get(position) else { continue };
            let raw_start = window.start(position);
            if raw_start >= limit {
                self.before = far.followed_by(&window.bytes()[fresh..position]);
                chunk.mark = raw_start;
                return Ok(Step::To(raw_start));
            }
            let mut wants = chunk.rules.starts(byte);
            let previous = if position > fresh { window.bytes()[position - 1] } else { far.at(0) };
            if previous == b':' && chunk.rules.action(Category::Credential).is_some() {
                wants |= start::CREDENTIAL;
            }
            if position < barren {
                wants &= !start::EMAIL;
            }
            if letter {
                wants &= start::CUSTOM;
            }
            if wants != 0 {
                let before = far.followed_by(&window.bytes()[fresh..position]);
                match self.detect(chunk, window, position, before, wants) {
                    Err(NeedMore) => {
                        self.before = before;
                        chunk.mark = raw_start;
                        return Ok(Step::Hold(raw_start));
                    }
                    Ok(Some((category, length))) => {
                        position += length;
                        self.redact(chunk, window, position - length, position, category, syntax)?;
                        if matches!(chunk.rules.kind(category), Some(Category::Credential | Category::Token)) {
                            self.rest = Rest::of(&before, &window.bytes()[position - length..position]);
                        }
                        if self.rest.is_some() {
                            chunk.mark = window.end(position - 1);
                            return Ok(Step::To(chunk.mark));
                        }
                        // What is gone says nothing of what follows, but that it is no part of the same word.
                        (far, fresh) = (Before::NOTHING, position - 1);
                        letter = far.followed_by(&window.bytes()[fresh..position]).is_letter();
                        continue;
                    }
                    Ok(None) if wants & start::EMAIL != 0 => {
                        let complete = window.edge() == Edge::Closed;
                        let candidate = Candidate { text: &window.bytes()[position..], complete, before };
                        barren = barren.max(position + email::barren(&candidate));
                    }
                    Ok(None) => {}
                }
            }
            letter = detect::is_alphanumeric(byte) || detect::continues(previous, byte);
            position += 1;
        }
    }

    /// The first category, in the order of detectors, that has a value at the position.
    fn detect<P>(
        &self,
        chunk: &Chunk<'_, P>,
        window: &mut Window<'_>,
        position: usize,
        before: Before,
        wants: u8,
    ) -> Result<Option<(usize, usize)>, NeedMore> {
        let raw_start = window.start(position);
        let said = || self.said(chunk, raw_start);
        for detector in order::asked(chunk.rules, wants) {
            loop {
                let complete = window.edge() == Edge::Closed;
                let candidate = Candidate { text: &window.bytes()[position..], complete, before };
                match order::ask(chunk.rules, detector, &candidate, &said) {
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
        let or_else = |text: Said, name: &dyn Fn() -> Said| if text.is_silent() { name() } else { text };
        match self.place {
            Place::JsonString => or_else(announce::by_text(from(last_quote(&context))), &|| self.json.said()),
            Place::Form => {
                let value = from(context.iter().rposition(|byte| matches!(byte, b'&' | b'=')));
                or_else(announce::by_text(value), &|| announce::by_key(&self.name))
            }
            _ => announce::by_text(&context),
        }
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
        let mut text =
            replace::replacement(action, rules.kind(category), rules.name(category), value, chunk.pseudonyms);
        // Members whose names have become the same would be one to most readers. Pseudonyms differ as the values did.
        if self.place == Place::JsonString
            && self.json.name
            && !matches!(action, Action::Hash { .. } | Action::Pseudonymise { .. })
        {
            self.json.names = self.json.names.saturating_add(1);
            if self.json.names > 1 {
                text.push_str(&format!("-{}", self.json.names));
            }
        }
        chunk.cut(raw_start, raw_end);
        replace::write(&text, encoding, chunk.out);
        Ok(())
    }
}
