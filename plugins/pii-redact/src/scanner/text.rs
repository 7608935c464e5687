//! Text of any kind: most words are skipped, the others are shown to the detectors.

use super::json::last_quote;
use super::{Blocked, Chunk, Place, Scanner, Step};
use crate::decode::{Edge, Syntax, Window};
use crate::detect::announce::{self, Topic};
use crate::detect::{self, Candidate, NeedMore, email, order};
use crate::replace::{self, Encoding, Pseudonyms};
use crate::rules::{class, start};

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
        let classes = chunk.rules.classes(syntax);
        let raw = chunk.raw;
        let class = |byte: &u8| classes[usize::from(*byte)];
        let word_before = |end: usize| {
            let from = at.max(end.saturating_sub(PIECE));
            raw[from..end].iter().rposition(|byte| class(byte) == class::BREAK).map_or(from, |found| from + found + 1)
        };
        let Some(found) = raw[at..].iter().position(|byte| class(byte) >= class::SLOW) else {
            // The last word may go on, and prove to be one that needs a look.
            let word = word_before(raw.len());
            let examine = word < raw.len() && !chunk.last;
            return if examine { self.examine(chunk, word, raw.len(), syntax) } else { Ok(Step::To(raw.len())) };
        };
        let found = at + found;
        if class(&raw[found]) == class::STOP {
            return self.stop(chunk, found);
        }
        let piece = &raw[found..raw.len().min(found + PIECE)];
        let end = piece.iter().position(|byte| !matches!(class(byte), class::WORD | class::SLOW));
        self.examine(chunk, word_before(found), found + end.unwrap_or(piece.len()), syntax)
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
        mut before: [u8; 2],
        limit: usize,
        syntax: Syntax,
    ) -> Result<Step, Blocked> {
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
            if wants & !start::CUSTOM != 0 && detect::is_alphanumeric(before[1]) {
                wants &= start::CUSTOM;
            }
            if wants != 0 {
                match self.detect(chunk, window, position, before, wants) {
                    Err(NeedMore) => {
                        self.before = before;
                        chunk.mark = raw_start;
                        return Ok(Step::Hold(raw_start));
                    }
                    Ok(Some((category, length))) => {
                        let end = position + length;
                        self.redact(chunk, window, position, end, category, syntax)?;
                        before = [if length > 1 { window.bytes()[end - 2] } else { byte }, window.bytes()[end - 1]];
                        position = end;
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
            // The second byte of a two-byte letter is as much of a letter as the first.
            let continues = matches!(byte, 0x80..=0xBF) && matches!(before[1], 0xC3..=0xDF);
            before = [before[1], if continues { b'a' } else { byte }];
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
        let announced = |topic| self.announced(chunk, raw_start, topic);
        for detector in order::asked(chunk.rules, wants) {
            loop {
                let complete = window.edge() == Edge::Closed;
                let candidate = Candidate { text: &window.bytes()[position..], complete, before };
                match order::ask(chunk.rules, detector, &candidate, &announced) {
                    Ok(Some(length)) => return Ok(Some((order::category_of(chunk.rules, detector), length))),
                    Ok(None) => break,
                    Err(NeedMore) if window.extend() => {}
                    Err(NeedMore) => return Err(NeedMore),
                }
            }
        }
        Ok(None)
    }

    /// Whether the name of the value at a position, or the words before it there, announce the topic.
    fn announced<P>(&self, chunk: &Chunk<'_, P>, at: usize, topic: Topic) -> bool {
        let context = self.context(chunk.raw, at);
        let from = |start: Option<usize>| &context[start.map_or(0, |start| start + 1)..];
        match self.place {
            Place::JsonString => self.json.announces(topic) || announce::by_text(topic, from(last_quote(&context))),
            Place::Form => {
                let value = from(context.iter().rposition(|byte| matches!(byte, b'&' | b'=')));
                announce::by_key(topic, &self.name) || announce::by_text(topic, value)
            }
            _ => announce::by_text(topic, &context),
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
        let text = replace::replacement(action, rules.kind(category), rules.name(category), value, chunk.pseudonyms);
        chunk.cut(raw_start, raw_end);
        replace::write(&text, encoding, chunk.out);
        Ok(())
    }
}
