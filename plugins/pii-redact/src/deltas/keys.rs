//! The texts of a stream that go on: each with a scanner of its own, and all together within a bound.

use serde::{Deserialize, Serialize};

use super::json;
use super::skeleton;
use super::walk::Id;
use crate::content::Format;
use crate::reader::Reader;
use crate::replace::Pseudonyms;
use crate::rules::Rules;
use crate::scanner::{Blocked, Outcome};

/// Bytes that all texts may take as a state.
pub(super) const BUDGET: usize = 24 << 10;
/// What one takes of it beside what it holds back, and what one has to have left to begin.
const EACH: usize = 384;
const ROOM: usize = EACH + skeleton::MOST;
/// What one takes that has ended.
const ENDED: usize = 64;
/// Stands for text that can't be kept.
const MASK: &[u8] = b"***";

/// All texts that go on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Keys {
    list: Vec<Key>,
    /// A text went on behind its finish reason: in this stream, every event has one.
    endless: bool,
    /// Values return in the place of their placeholders.
    restores: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Key {
    id: Id,
    /// None before the first byte that says what the text is, and once it has ended.
    reader: Option<Reader>,
    /// The start of a character of which the rest is held back.
    begun: Vec<u8>,
    skeleton: Vec<u8>,
    hole: usize,
    ended: bool,
    restores: bool,
}

/// What every call has.
pub(super) struct Call<'a, P> {
    pub(super) rules: &'a Rules,
    pub(super) pseudonyms: &'a P,
    pub(super) out: &'a mut Vec<u8>,
}

impl Keys {
    /// None yet.
    pub(super) fn new(restores: bool) -> Self {
        Self { restores, ..Self::default() }
    }

    /// Whether a finish reason ends a text.
    pub(super) fn believes_finish(&self) -> bool {
        !self.endless
    }

    /// Some text comes of this one. Where it had ended, an end isn't one in this stream.
    pub(super) fn continues(&mut self, id: &Id) {
        if let Some(key) = self.list.iter_mut().find(|key| key.ended && key.id == *id) {
            key.ended = false;
            self.endless = true;
        }
    }

    /// Whether some text may have something left.
    pub(super) fn is_idle(&self) -> bool {
        self.list.iter().all(|key| key.ended)
    }

    /// How many bytes wait.
    pub(super) fn held(&self) -> usize {
        self.list.iter().map(Key::held).sum()
    }

    /// The texts that go on.
    pub(super) fn open(&self) -> impl Iterator<Item = &Id> {
        self.list.iter().filter(|key| !key.ended).map(|key| &key.id)
    }

    /// Reads on in a text, and gives what may go out of it. `last`: it ends here.
    pub(super) fn push<P: Pseudonyms>(
        &mut self,
        call: &Call<'_, P>,
        id: &Id,
        text: &[u8],
        last: bool,
        counts: &mut Vec<u32>,
    ) -> Result<Vec<u8>, Blocked> {
        let known = self.list.iter().position(|key| key.id == *id);
        let index = match known {
            Some(index) => index,
            None if text.is_empty() => return Ok(Vec::new()),
            None if !self.make_room() => return Ok(masked(text)),
            None => {
                self.list.push(Key::new(id.clone(), self.restores));
                self.list.len() - 1
            }
        };
        let key = &mut self.list[index];
        if key.ended && text.is_empty() {
            return Ok(Vec::new());
        }
        key.ended = false;
        let mut released = key.push(call, text, last, counts)?;
        if self.size() > BUDGET {
            self.list[index].forget();
            released.extend_from_slice(MASK);
        }
        Ok(released)
    }

    /// Remembers an event as the one that can carry what is left of its texts. `make` is asked with each text that goes on and
    /// what of it waits: none where the event doesn't have it, and otherwise the skeleton, if one is wanted and can be made.
    pub(super) fn remember(&mut self, mut make: impl FnMut(&Id, usize) -> Option<Option<(Vec<u8>, usize)>>) {
        for key in self.list.iter_mut().filter(|key| !key.ended) {
            let held = key.held();
            if let Some(made) = make(&key.id, held) {
                (key.skeleton, key.hole) = made.unwrap_or_default();
            }
        }
    }

    /// Ends a text: the event, up to its end, that carries what was left of it, and where the text in it stands.
    pub(super) fn finish<P: Pseudonyms>(
        &mut self,
        call: &Call<'_, P>,
        id: &Id,
        counts: &mut Vec<u32>,
    ) -> Result<Option<Tail>, Blocked> {
        let Some(key) = self.list.iter_mut().find(|key| key.id == *id) else { return Ok(None) };
        let (skeleton, hole) = (std::mem::take(&mut key.skeleton), key.hole);
        let text = key.push(call, b"", true, counts)?;
        Ok((!text.is_empty() && hole > 0).then_some(Tail { skeleton, hole, text }))
    }

    fn size(&self) -> usize {
        self.list.iter().map(Key::size).sum()
    }

    /// Whether one more text can be kept.
    fn make_room(&mut self) -> bool {
        if self.size() + ROOM > BUDGET {
            self.list.retain(|key| !key.ended);
        }
        self.size() + ROOM <= BUDGET
    }
}

/// What is left of a text, and the event for it.
pub(super) struct Tail {
    skeleton: Vec<u8>,
    hole: usize,
    text: Vec<u8>,
}

impl Tail {
    /// Writes the event, between what has to stand around it. What it repeats of the event that it was made from is read by
    /// the same rules, and was counted there.
    pub(super) fn write<P: Pseudonyms>(
        self,
        call: &mut Call<'_, P>,
        format: Format,
        (before, behind): (&[u8], &[u8]),
    ) -> Result<(), Blocked> {
        // Nothing returns to it but what was in the text: the rest of it is short and describes the event.
        let mut reader = Reader::new(format, None);
        let (head, foot) = self.skeleton.split_at(self.hole);
        call.out.extend_from_slice(before);
        push(&mut reader, call, head, false)?;
        json::encode(&self.text, call.out);
        push(&mut reader, call, &[foot, behind].concat(), true)
    }
}

/// Lets a reader write what it makes of some bytes.
pub(super) fn push<P: Pseudonyms>(
    reader: &mut Reader,
    call: &mut Call<'_, P>,
    bytes: &[u8],
    last: bool,
) -> Result<(), Blocked> {
    if reader.push(call.rules, call.pseudonyms, bytes, last, call.out)? == Outcome::Unchanged {
        call.out.extend_from_slice(bytes);
    }
    Ok(())
}

impl Key {
    fn new(id: Id, restores: bool) -> Self {
        Self { id, restores, reader: None, begun: Vec::new(), skeleton: Vec::new(), hole: 0, ended: false }
    }

    fn held(&self) -> usize {
        self.begun.len() + self.reader.as_ref().map_or(0, Reader::held)
    }

    fn size(&self) -> usize {
        if self.ended { ENDED } else { EACH + self.held() + self.skeleton.len() }
    }

    /// Lets what is held back go, and begins anew.
    fn forget(&mut self) {
        *self = Self::new(std::mem::take(&mut self.id), self.restores);
    }

    fn push<P: Pseudonyms>(
        &mut self,
        call: &Call<'_, P>,
        text: &[u8],
        last: bool,
        counts: &mut Vec<u32>,
    ) -> Result<Vec<u8>, Blocked> {
        let mut out = std::mem::take(&mut self.begun);
        if self.reader.is_none() {
            self.reader = text.iter().find(|byte| !byte.is_ascii_whitespace()).map(|first| {
                // Arguments of tools and structured answers are documents: they stay what they are.
                let format = if matches!(first, b'{' | b'[') { Format::Json } else { Format::Text };
                // What a model writes may look like JSON and be shown as text; but arguments go to a tool.
                let shown = if self.id.document { format } else { Format::Text };
                Reader::new(format, self.restores.then_some(shown))
            });
        }
        match &mut self.reader {
            None => out.extend_from_slice(text),
            Some(reader) => {
                let mut released = Vec::new();
                let outcome = reader.push(call.rules, call.pseudonyms, text, last, &mut released);
                add(counts, &reader.take_counts());
                out.extend_from_slice(if outcome? == Outcome::Unchanged { text } else { &released });
            }
        }
        if last {
            self.forget();
            self.ended = true;
        } else {
            self.begun = out.split_off(out.len() - json::begun_character(&out));
        }
        Ok(out)
    }
}

/// Adds up counts by category.
pub(super) fn add(counts: &mut Vec<u32>, more: &[u32]) {
    counts.resize(counts.len().max(more.len()), 0);
    counts.iter_mut().zip(more).for_each(|(count, more)| *count = count.saturating_add(*more));
}

fn masked(text: &[u8]) -> Vec<u8> {
    if text.trim_ascii().is_empty() { text.to_vec() } else { MASK.to_vec() }
}
