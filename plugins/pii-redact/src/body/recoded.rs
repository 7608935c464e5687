//! What is in an encoding: read decoded, and encoded again where something in it changed.
//!
//! Units wait in their encoded form until the reader below has let go of what they stand for; where that is what it was, they go
//! on as they came. Where it isn't, what comes back is encoded until nothing waits below.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Refused;
use super::coding::{Coding, Unit};
use super::declared::Declared;
use super::node::{Node, Place, Run};
use crate::content::Format;
use crate::replace::Pseudonyms;

/// Units that may wait, and their decoded and encoded bytes; where more would, all is encoded anew.
const MOST_UNITS: usize = 512;
const MOST_DECODED: usize = 2 << 10;
const MOST_ENCODED: usize = 6 << 10;

/// The state of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recoded {
    coding: Coding,
    place: Place,
    inner: Node,
    /// Encoded bytes that aren't a unit yet.
    raw: Vec<u8>,
    /// Units that wait: their encoded and their decoded lengths, and the bytes.
    units: VecDeque<(usize, usize)>,
    encoded: Vec<u8>,
    decoded: Vec<u8>,
    /// What came back and isn't a whole unit yet.
    back: Vec<u8>,
    /// What comes back is encoded.
    anew: bool,
    /// Nothing waits any more, so that the next unit may go on as it came.
    returns: bool,
    /// It was no encoding after all: what follows is text.
    broken: bool,
}

impl Recoded {
    pub(super) fn new(coding: Coding, place: &Place, inner: Node) -> Self {
        Self {
            coding,
            place: place.clone(),
            inner,
            raw: Vec::new(),
            units: VecDeque::new(),
            encoded: Vec::new(),
            decoded: Vec::new(),
            back: Vec::new(),
            anew: false,
            returns: false,
            broken: false,
        }
    }

    pub(super) fn held(&self) -> usize {
        self.raw.len() + self.encoded.len() + self.back.len() + self.inner.held()
    }

    pub(super) fn push<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        if self.broken {
            return self.inner.append(run, chunk, last, out);
        }
        let mut raw = std::mem::take(&mut self.raw);
        raw.extend_from_slice(chunk);
        let mut at = 0;
        while at < raw.len() {
            let (length, open) = match self.coding.unit(&raw[at..], last) {
                Unit::Cut => break,
                Unit::Whole(length) => (length, false),
                Unit::Open(length) => (length, true),
                Unit::Broken => {
                    self.end(run, b"", out)?;
                    self.broken = true;
                    self.inner = Node::new(Declared::of_format(Format::Text), &self.place);
                    return self.inner.append(run, &raw[at..], last, out);
                }
            };
            if open && !self.anew {
                self.write_anew(out);
            }
            let unit = &raw[at..at + length];
            at += length;
            if last && at == raw.len() {
                return self.end(run, unit, out);
            }
            self.unit(run, unit, false, out)?;
        }
        self.raw = raw.split_off(at);
        if last { self.end(run, b"", out) } else { Ok(()) }
    }

    /// The last unit.
    fn end<P: Pseudonyms>(&mut self, run: &mut Run<'_, P>, unit: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        self.unit(run, unit, true, out)?;
        if self.anew {
            self.coding.finish(true, out);
        }
        Ok(())
    }

    fn unit<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        unit: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        if self.returns && !unit.is_empty() {
            self.coding.finish(false, out);
            (self.anew, self.returns) = (false, false);
        }
        let mut decoded = Vec::new();
        self.coding.decode(unit, last, &mut decoded);
        if !self.anew {
            self.units.push_back((unit.len(), decoded.len()));
            self.encoded.extend_from_slice(unit);
            self.decoded.extend_from_slice(&decoded);
        }
        let mut back = std::mem::take(&mut self.back);
        self.inner.append(run, &decoded, last, &mut back)?;
        self.back = back;
        let empty = last || self.inner.held() == 0;
        if !self.anew {
            self.release(out);
            let same = self.decoded.starts_with(&self.back);
            let fits = self.decoded.len() <= MOST_DECODED && self.encoded.len() <= MOST_ENCODED;
            if !same || !fits || self.units.len() > MOST_UNITS || empty && !self.units.is_empty() {
                self.write_anew(out);
            }
        }
        if self.anew {
            let back = std::mem::take(&mut self.back);
            self.coding.encode(&back, out);
            self.returns = empty && self.coding.can_return();
        }
        Ok(())
    }

    /// Lets units go whose content came back as it was.
    fn release(&mut self, out: &mut Vec<u8>) {
        let (mut encoded, mut decoded) = (0, 0);
        while let Some(&(raw, plain)) = self.units.front() {
            let expected = &self.decoded[decoded..decoded + plain];
            if !self.back[decoded..].starts_with(expected) {
                break;
            }
            self.coding.passed(&self.encoded[encoded..encoded + raw]);
            encoded += raw;
            decoded += plain;
            self.units.pop_front();
        }
        out.extend(self.encoded.drain(..encoded));
        self.decoded.drain(..decoded);
        self.back.drain(..decoded);
    }

    /// From here on, what comes back is encoded. It stands for all that waits.
    fn write_anew(&mut self, out: &mut Vec<u8>) {
        self.anew = true;
        self.units.clear();
        self.encoded.clear();
        self.decoded.clear();
        let back = std::mem::take(&mut self.back);
        self.coding.encode(&back, out);
    }
}
