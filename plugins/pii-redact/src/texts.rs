//! What reads text of a format: one text, or many that go on from event to event.

use serde::{Deserialize, Serialize};

use crate::content::Format;
use crate::deltas::Deltas;
use crate::reader::Reader;
use crate::replace::Pseudonyms;
use crate::rules::Rules;
use crate::scanner::{Blocked, Outcome};

/// Reads text as its format asks for; used as [`crate::scanner::Scanner`] is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Texts {
    /// One text.
    Whole(Box<Reader>),
    /// Events, over which texts may be parted.
    Events(Box<Deltas>),
}

impl Texts {
    /// At the start; `restores`: values return to it in the place of their placeholders.
    pub fn new(format: Format, restores: bool) -> Self {
        if Deltas::reads(format) {
            Self::Events(Box::new(Deltas::new(format, restores)))
        } else {
            Self::Whole(Box::new(Reader::new(format, restores.then_some(format))))
        }
    }

    /// See [`crate::scanner::Scanner::set_name`].
    pub fn set_name(&mut self, name: &[u8]) {
        match self {
            Self::Whole(reader) => reader.set_name(name),
            Self::Events(deltas) => deltas.set_name(name),
        }
    }

    /// See [`crate::scanner::Scanner::announce_from`]; events have no columns.
    pub fn announce_from(&mut self, at: usize, said: Option<u8>) {
        if let Self::Whole(reader) = self {
            reader.announce_from(at, said);
        }
    }

    /// How many bytes wait for what comes next.
    pub fn held(&self) -> usize {
        match self {
            Self::Whole(reader) => reader.held(),
            Self::Events(deltas) => deltas.held(),
        }
    }

    /// Values found since the last call, by category number; empty where none was.
    pub fn take_counts(&mut self) -> Vec<u32> {
        match self {
            Self::Whole(reader) => reader.take_counts(),
            Self::Events(deltas) => deltas.take_counts(),
        }
    }

    /// Reads the next chunk and appends what may go on to `out`. `last`: nothing follows, so nothing is held back.
    ///
    /// # Errors
    /// Where a value was found that must not pass.
    pub fn push(
        &mut self,
        rules: &Rules,
        pseudonyms: &impl Pseudonyms,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Blocked> {
        match self {
            Self::Whole(reader) => reader.push(rules, pseudonyms, chunk, last, out),
            Self::Events(deltas) => deltas.push(rules, pseudonyms, chunk, last, out),
        }
    }
}
