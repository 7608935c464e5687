//! Reads a body by what its head says and by its first bytes, with the scanner at the bottom.
//!
//! A body is a tree of readers ([`Node`]): what parts it, or has it in another encoding, hands what it holds to the next one, and
//! writes what comes back in the same encoding. Each says the same however its bytes come, so all of them together do. Only one
//! path of the tree is alive at a time, and so bounded in memory: see [`MOST_DEPTH`].

pub mod charset;
mod choice;
mod coding;
mod columns;
pub mod declared;
mod field;
mod form;
mod head;
mod message;
mod multipart;
mod node;
mod parameters;
mod recoded;
pub mod sniff;
mod table;
mod transcoded;
mod words;

use serde::{Deserialize, Serialize};

use crate::content::Format;
use crate::replace::Pseudonyms;
use crate::rules::Rules;
use crate::scanner::{Blocked, Outcome};
use declared::Declared;
use node::{Node, Place, Run};

/// Readers within readers; what is deeper is read as text. A part of a multipart body is two deep, so that bodies of parts may
/// be nested eight times.
pub const MOST_DEPTH: u8 = 16;
/// Transfer encodings within transfer encodings that are decoded.
const MOST_CODINGS: u8 = 2;

/// Bytes that a body may hold back, all readers together: two transfer encodings, each with a unit and what waits for the reader
/// below, one head or the first line of a table, and what the scanner holds.
pub const MOST_HELD: usize = 40 << 10;
/// Bytes that a container is given at a time.
const SLICE: usize = 64 << 10;

/// What happens to a body, or a part of one, that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unreadable {
    /// It goes on as it is.
    Pass,
    /// The message is refused.
    Block,
}

/// Why a message must not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A value in it is of a category that blocks.
    Value(Blocked),
    /// It can't be read, and what can't be read is refused.
    Unreadable,
}

impl From<Blocked> for Refused {
    fn from(blocked: Blocked) -> Self {
        Self::Value(blocked)
    }
}

/// The state of one body. The host keeps it between chunks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Body {
    node: Node,
    counts: Vec<u32>,
    unreadable: Unreadable,
}

impl Body {
    /// A body at its start; `restores`: values return to it in the place of their placeholders.
    pub fn new(declared: Declared, unreadable: Unreadable, restores: bool) -> Self {
        Self { node: Node::new(declared, &Place::top(unreadable, restores)), counts: Vec::new(), unreadable }
    }

    /// Text that is known to be UTF-8 of a format, such as a query or the value of a header field.
    pub fn of_format(format: Format) -> Self {
        Self {
            node: Node::of_format(format, &Place::top(Unreadable::Pass, false)),
            counts: Vec::new(),
            unreadable: Unreadable::Pass,
        }
    }

    /// How many bytes wait for what comes next.
    pub fn held(&self) -> usize {
        self.node.held()
    }

    /// Values found since the last call, by category number; empty where none was.
    pub fn take_counts(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.counts)
    }

    /// Reads the next chunk and appends what may go on to `out`. `last`: nothing follows, so nothing is held back.
    ///
    /// # Errors
    /// The message must not pass.
    pub fn push(
        &mut self,
        rules: &Rules,
        pseudonyms: &impl Pseudonyms,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refused> {
        let refuses = self.unreadable == Unreadable::Block;
        let mut run = Run { rules, pseudonyms, counts: &mut self.counts, refuses };
        if let Node::Scanned(_) | Node::Unread = self.node {
            return self.node.push(&mut run, chunk, last, out);
        }
        // Bytes of the chunk that have come out as they went in: what holds nothing goes on without a copy, also where it had
        // to be taken apart to see that.
        let mut same = Some(0);
        let mut piece = Vec::new();
        for (at, slice) in slices(chunk) {
            piece.clear();
            self.node.append(&mut run, slice, last && at == chunk.len(), &mut piece)?;
            match same {
                Some(length) if chunk[length..].starts_with(&piece) => same = Some(length + piece.len()),
                _ => {
                    out.extend_from_slice(&chunk[..same.take().unwrap_or(0)]);
                    out.extend_from_slice(&piece);
                }
            }
        }
        match same {
            Some(length) if length == chunk.len() => return Ok(Outcome::Unchanged),
            Some(length) => out.extend_from_slice(&chunk[..length]),
            None => {}
        }
        Ok(Outcome::Rewritten)
    }
}

/// A chunk in pieces that are taken apart one after the other, so that a body that is there as a whole needs no memory for
/// several copies; each with its end. Of an empty chunk there is one.
fn slices(chunk: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let empty = chunk.is_empty().then_some((0, chunk));
    let slices = chunk.chunks(SLICE).enumerate();
    empty.into_iter().chain(slices.map(|(index, slice)| (index * SLICE + slice.len(), slice)))
}
