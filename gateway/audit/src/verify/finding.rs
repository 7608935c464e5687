//! What verification finds, and where.

use serde::Serialize;

use crate::head::ChainName;
use crate::line::LineError;
use crate::text::as_display;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A line is none, or was changed.
    #[error("the line {0}")]
    Line(#[from] LineError),
    /// The last line has no end.
    #[error("the last line has no end: it was cut, or the gateway was killed and has not been started since")]
    Torn,
    /// Records between two that are there are not.
    #[error("records {from} to {to} are missing")]
    Missing {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// A record stands where another one should.
    #[error("the record has the number {found} where {expected} should be: it was moved, repeated or inserted")]
    OutOfOrder {
        /// The number that comes next.
        expected: u64,
        /// The number that it has.
        found: u64,
    },
    /// The number fits, the hash of the one before does not.
    #[error("the record does not follow the one before it: one of them was replaced")]
    Unlinked,
    /// A segment without its first record.
    #[error("the segment does not begin with its start")]
    NoStart,
    /// The start of a segment within one.
    #[error("the start of a segment stands within one")]
    Misplaced,
    /// A segment of something else.
    #[error("the segment belongs to another chain")]
    OtherChain,
    /// Segments between two that are there are not.
    #[error("segments {from} to {to} are missing")]
    MissingSegments {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// The first segments are not there, and no record says why.
    #[error("segments 1 to {to} are missing, and no record says that they were deleted")]
    Undeclared {
        /// The last of them.
        to: u64,
    },
    /// A signature is of another key or content.
    #[error("the signature is wrong, or of another key")]
    Signature,
    /// A head of a signed chain has no signature.
    #[error("the head is not signed")]
    Unsigned,
    /// The end of a signed chain has no head.
    #[error("no signed head covers the last {0} records")]
    Uncovered(u64),
    /// More records than were said to be unconfirmed.
    #[error("more records follow than the next segment says were not confirmed")]
    Unconfirmed,
    /// The expected head is behind the chain's end.
    #[error("the end is missing: the chain ends at record {last}, and record {expected} was there")]
    Tail {
        /// The last record that is there.
        last: u64,
        /// The record that was expected.
        expected: u64,
    },
    /// The expected record is there with another hash.
    #[error("record {0} is another one than was expected: the chain was written anew")]
    Rewritten(u64),
    /// The expected record lies before all that is there.
    #[error("record {0}, which was expected, lies in segments that are not there any more")]
    Before(u64),
    /// Nothing is there of a chain that was expected.
    #[error("the chain is missing")]
    NoChain,
}
as_display!(Problem);

/// A problem and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// In which chain.
    pub chain: ChainName,
    /// In which file, below the ledger's directory.
    pub file: Option<String>,
    /// In which line of it, from 1.
    pub line: Option<u64>,
    /// Which record, by its number, where that is known.
    pub seq: Option<u64>,
    /// What is wrong.
    pub problem: Problem,
}

/// The most problems that are told of one chain: whoever mixes two shall not fill the screen.
pub(super) const MOST: usize = 100;
