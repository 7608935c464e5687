//! An index beside each segment: what questions ask of its records, in rows of fixed length, and where in the segment each
//! record lies. It is made from the segment, and made anew where it is missing or of another state of the segment; who asks
//! need not be able to write it.
//!
//! An index makes answers fast and proves nothing: what is shown is read from the segments, and verification reads those
//! alone.

mod build;
mod file;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::head::ChainName;
use crate::layout::{self, INDEX, SEGMENT, Start};
use crate::record::{Pseudonym, RequestId, Route, Upstream};
use crate::time::Timestamp;
use crate::vocabulary::{Action, Category, Outcome, Place};

/// What was seen of personal data in an exchange, without counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Of what kind it was.
    pub(crate) category: Category,
    /// What was done with it.
    pub(crate) action: Action,
    /// Where it was.
    pub(crate) place: Place,
}

/// What rows name by number. Equal values have one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tables {
    pub(crate) routes: Vec<Route>,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) seen: Vec<Vec<Seen>>,
}

/// What a row says by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Opening { route: u32, upstream: Option<u32> },
    Closing { seen: u32, outcome: Outcome, status: u16 },
}

/// A record of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) time: Timestamp,
    /// Where its line begins in the segment.
    pub(crate) offset: u64,
    pub(crate) request: RequestId,
    pub(crate) caller: Option<Pseudonym>,
    pub(crate) kind: Kind,
}

/// Of which state of a segment an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    length: u64,
    /// When the segment was last written, in nanoseconds since 1970.
    modified: u64,
    /// Records behind this one were never confirmed, and count for nothing.
    last_seq: Option<u64>,
}

/// The index of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) state: State,
    pub(crate) tables: Tables,
    pub(crate) rows: Vec<Row>,
}

impl Index {
    /// When the first and the last exchange began; backwards where none did.
    fn span(&self) -> (Timestamp, Timestamp) {
        let begun = self.rows.iter().filter(|row| matches!(row.kind, Kind::Opening { .. }));
        let empty = (Timestamp::MAX, Timestamp::default());
        begun.fold(empty, |(first, last), row| (first.min(row.time), last.max(row.time)))
    }
}

/// A segment of a ledger.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) chain: ChainName,
    /// Its file.
    pub(crate) path: PathBuf,
    /// Records behind this one were never confirmed, as the next segment says.
    last_seq: Option<u64>,
}

/// The segments of every chain below a directory: chain by chain, each in its order.
pub(crate) fn segments(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut found: Vec<Segment> = Vec::new();
    for chain in layout::chains(directory)? {
        let path = layout::chain(directory, &chain);
        let mut of_chain: Vec<Segment> = Vec::new();
        for number in layout::segments(&path)? {
            let path = layout::file(&path, number, SEGMENT);
            let start = layout::start(&path)?;
            if let (Some(before), Some(Start { record, segment })) = (of_chain.last_mut(), &start) {
                before.last_seq = segment.unconfirmed.and_then(|_| record.seq.checked_sub(1));
            }
            of_chain.push(Segment { chain: chain.clone(), path, last_seq: None });
        }
        found.append(&mut of_chain);
    }
    Ok(found)
}

impl Segment {
    /// Its index: the one beside it, or one that is made of it, and left there if that can be done.
    pub(crate) fn index(&self) -> io::Result<Index> {
        let state = self.state()?;
        let beside = self.path.with_extension(INDEX);
        if let Some(index) = fs::read(&beside).ok().and_then(|bytes| file::read(&bytes, &state)) {
            return Ok(index);
        }
        let index = build::index(&self.path, state)?;
        // Who may only read has to make it again the next time.
        let _ = file::write(&beside, &index);
        Ok(index)
    }

    /// Whether no exchange began in it from one time up to another, by an index that is there already.
    pub(crate) fn has_none_between(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> io::Result<bool> {
        if from.is_none() && to.is_none() {
            return Ok(false);
        }
        let span = file::span(&self.path.with_extension(INDEX), &self.state()?);
        Ok(span.is_some_and(|(first, last)| from.is_some_and(|from| last < from) || to.is_some_and(|to| first >= to)))
    }

    fn state(&self) -> io::Result<State> {
        let metadata = fs::metadata(&self.path)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX);
        Ok(State { length: metadata.len(), modified, last_seq: self.last_seq })
    }
}

/// Gives equal values of several segments one number.
#[derive(Clone, Debug)]
pub(crate) struct Interner<T>(HashMap<T, u32, rustc_hash::FxBuildHasher>, Vec<T>);

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self(HashMap::default(), Vec::new())
    }
}

impl<T: Clone + Eq + std::hash::Hash> Interner<T> {
    pub(crate) fn number(&mut self, value: &T) -> u32 {
        if let Some(number) = self.0.get(value) {
            return *number;
        }
        let number = u32::try_from(self.1.len()).unwrap_or(u32::MAX);
        self.0.insert(value.clone(), number);
        self.1.push(value.clone());
        number
    }

    pub(crate) fn values(&self) -> &[T] {
        &self.1
    }

    pub(crate) fn into_values(self) -> Vec<T> {
        self.1
    }
}

#[cfg(test)]
mod tests;
