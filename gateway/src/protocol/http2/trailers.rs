//! Trailers with pseudo-header fields, which make a request malformed (RFC 9113 section 8.1). h2 drops those fields without a
//! word, so header blocks are looked at before it reads them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use smallvec::SmallVec;

use super::frames::{CONTINUATION, HEADERS, Head, Seen};
use super::hpack::{Skimmer, Unreadable};
use crate::sensitive::no_content;

const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Streams whose trailers are known to be malformed and were not asked for, at most. A client that has more is none.
const MOST: usize = 128;

/// Streams whose trailers are malformed.
#[derive(Debug, Default)]
pub(crate) struct Malformed {
    streams: RefCell<SmallVec<[u32; 4]>>,
    unreadable: Cell<bool>,
}

impl Malformed {
    /// Whether those of this stream are. It is not asked about again.
    pub(crate) fn take(&self, stream: u32) -> bool {
        let mut streams = self.streams.borrow_mut();
        let place = streams.iter().position(|known| *known == stream);
        place.map(|place| streams.swap_remove(place)).is_some()
    }

    /// Whether nothing can be told of the connection any more: it has to end.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.unreadable.get()
    }

    fn add(&self, stream: u32) {
        let mut streams = self.streams.borrow_mut();
        if streams.len() < MOST {
            streams.push(stream);
        } else {
            self.unreadable.set(true);
        }
    }
}

/// What is read of the block that is coming.
#[derive(Clone, Copy, Debug)]
struct Block {
    stream: u32,
    /// Not the first of its stream.
    trailers: bool,
}

/// What comes before the block in a HEADERS frame: the length of its padding, and a priority.
#[derive(Clone, Copy, Default)]
struct Prefix {
    bytes: [u8; 6],
    known: usize,
    length: usize,
}

no_content!(Prefix);

/// Reads the header blocks of a client.
#[derive(Debug)]
pub(crate) struct Trailers {
    skimmer: Skimmer,
    block: Option<Block>,
    prefix: Prefix,
    /// Bytes of the frame that belong to the block, where its prefix is known, and bytes of the frame that have not come.
    fields: usize,
    left: usize,
    /// The highest stream that there was. Ids only grow (RFC 9113 section 5.1.1), so a block on one that is not higher is not
    /// its first; on one that was never opened h2 ends the connection.
    highest: u32,
    malformed: Rc<Malformed>,
}

impl Trailers {
    /// At the beginning of a connection.
    pub(crate) fn new(malformed: Rc<Malformed>) -> Box<Self> {
        let (block, prefix) = (None, Prefix::default());
        Box::new(Self { skimmer: Skimmer::new(), block, prefix, fields: 0, left: 0, highest: 0, malformed })
    }

    /// Reads what comes. What can't be read h2 can't read either; should it, the connection ends all the same.
    pub(crate) fn see(&mut self, seen: Seen<'_>) {
        if self.malformed.is_unreadable() {
            return;
        }
        let read = match seen {
            Seen::Head(head) => self.begin(head),
            Seen::Fields(head, bytes) => self.read(head, bytes),
        };
        if read.is_err() {
            self.malformed.unreadable.set(true);
        }
    }

    /// What reads the blocks.
    #[cfg(test)]
    pub(crate) const fn skimmer(&self) -> &Skimmer {
        &self.skimmer
    }

    fn begin(&mut self, head: Head) -> Result<(), Unreadable> {
        match (head.kind, self.block) {
            (HEADERS, None) => {
                let trailers = head.stream <= self.highest;
                self.highest = self.highest.max(head.stream);
                self.block = Some(Block { stream: head.stream, trailers });
                let length = usize::from(head.flags & PADDED != 0) + if head.flags & PRIORITY != 0 { 5 } else { 0 };
                self.prefix = Prefix { length, ..Prefix::default() };
                self.fields = head.length.checked_sub(length).ok_or(Unreadable)?;
            }
            (CONTINUATION, Some(block)) if block.stream == head.stream => {
                self.prefix = Prefix::default();
                self.fields = head.length;
            }
            // RFC 9113 section 4.3: nothing comes between the frames of a block.
            (_, Some(_)) | (CONTINUATION, None) => return Err(Unreadable),
            (_, None) => return Ok(()),
        }
        self.left = head.length;
        if self.left == 0 { self.end_frame(head) } else { Ok(()) }
    }

    fn read(&mut self, head: Head, bytes: &[u8]) -> Result<(), Unreadable> {
        self.left -= bytes.len();
        let Prefix { known, length, .. } = self.prefix;
        let (prefix, bytes) = bytes.split_at((length - known).min(bytes.len()));
        if !prefix.is_empty() {
            self.prefix.bytes[known..known + prefix.len()].copy_from_slice(prefix);
            self.prefix.known += prefix.len();
            if self.prefix.known == length {
                self.end_prefix(head)?;
            }
        }
        let fields = &bytes[..self.fields.min(bytes.len())];
        self.fields -= fields.len();
        if self.block.is_some() {
            self.skimmer.feed(fields)?;
        }
        if self.left == 0 { self.end_frame(head) } else { Ok(()) }
    }

    fn end_prefix(&mut self, head: Head) -> Result<(), Unreadable> {
        let mut bytes = &self.prefix.bytes[..self.prefix.length];
        if head.flags & PADDED != 0
            && let [padding, rest @ ..] = bytes
        {
            self.fields = self.fields.checked_sub(usize::from(*padding)).ok_or(Unreadable)?;
            bytes = rest;
        }
        if let [a, b, c, d, _] = *bytes
            && u32::from_be_bytes([a & 0x7f, b, c, d]) == head.stream
        {
            // h2 resets a stream that depends on itself, and does not read the block.
            self.block = None;
        }
        Ok(())
    }

    fn end_frame(&mut self, head: Head) -> Result<(), Unreadable> {
        if head.flags & END_HEADERS != 0
            && let Some(block) = self.block.take()
            && self.skimmer.end()?
            && block.trailers
        {
            self.malformed.add(block.stream);
        }
        Ok(())
    }
}
