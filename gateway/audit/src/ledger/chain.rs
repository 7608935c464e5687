//! A chain that is being written: its records linked, put into segments, and confirmed.
//!
//! What was written and what was confirmed are two places in the chain. A failure takes the chain back to the latter: the
//! segment is never written again, the next one follows the last confirmed record and says how many behind it were not.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::recovery::{self, Standing};
use crate::head::{ChainName, Head, Statement};
use crate::hex::Hash;
use crate::keys::SigningKey;
use crate::layout::{self, INDEX, SEGMENT, SHIPPED};
use crate::line::{self, Link};
use crate::record::{Body, ChainId, Deletion, HeadMark, Pseudonym, Recovery, SegmentStart};
use crate::storage::{Appender, Storage};
use crate::time::Timestamp;

/// Who may read a segment: its owner and the owner's group, for example those who audit.
const MODE: u32 = 0o640;

/// What all chains of a gateway have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) directory: PathBuf,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) signing_key: Option<SigningKey>,
    pub(super) segment_bytes: u64,
    pub(super) segment_age: Duration,
    pub(super) keep_until_shipped: bool,
}

/// A record that has no place in the chain yet.
#[derive(Clone, Debug)]
pub(super) struct Unlinked<'a> {
    pub(super) body: &'a [u8],
    pub(super) caller: Option<Pseudonym>,
    pub(super) time: Timestamp,
}

/// A place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    seq: u64,
    hash: Hash,
}

#[derive(Debug)]
struct OpenSegment {
    file: Box<dyn Appender>,
    bytes: u64,
    started: Timestamp,
    /// Whether anything but its start is in it.
    used: bool,
}

#[derive(Debug)]
pub(super) struct Chain {
    name: ChainName,
    id: ChainId,
    path: PathBuf,
    written: Position,
    confirmed: Position,
    /// The number of the last segment.
    number: u64,
    segment: Option<OpenSegment>,
    /// Records behind the confirmed ones in the last segment, after a failure.
    unconfirmed: Option<u64>,
    /// When each segment that is there began.
    starts: VecDeque<(u64, Timestamp)>,
    buffer: Vec<u8>,
    /// The signed note of what is written, and of what is confirmed.
    notes: [Option<String>; 2],
}

impl Chain {
    /// Opens a chain, or begins one. A torn end is cut; what is to be said of that comes back, and is not written yet.
    pub(super) fn open(name: ChainName, common: &Common) -> io::Result<(Self, Option<Recovery>)> {
        let path = layout::chain(&common.directory, &name);
        common.storage.make_directory(&path)?;
        let Standing { id, segment, seq, hash, starts, recovery } = recovery::recover(&path, &*common.storage)?;
        let at = Position { seq, hash };
        let chain = Self {
            name,
            id,
            path,
            written: at,
            confirmed: at,
            number: segment,
            segment: None,
            unconfirmed: None,
            starts: starts.into(),
            buffer: Vec::new(),
            notes: [None, None],
        };
        Ok((chain, recovery))
    }

    /// The last record that is on disk for sure; none in an empty chain.
    pub(super) fn head(&self) -> Option<Head> {
        let Position { seq, hash } = self.confirmed;
        (seq > 0).then(|| Head { chain: self.name.clone(), seq, hash })
    }

    /// The signed note of the last confirmed head.
    pub(super) fn note(&self) -> Option<&String> {
        self.notes[1].as_ref()
    }

    /// How many records of the last segment were never confirmed, where it has failed.
    pub(super) fn unconfirmed(&self) -> u64 {
        self.unconfirmed.unwrap_or(0)
    }

    /// Writes a group of records with a head behind them, which is not on disk before [`Self::sync`]. Returns how many bytes
    /// that took.
    pub(super) fn write(&mut self, group: &[Unlinked<'_>], now: Timestamp, common: &Common) -> io::Result<u64> {
        let full = |segment: &OpenSegment| {
            segment.used && (segment.bytes >= common.segment_bytes || now.since(segment.started) >= common.segment_age)
        };
        if self.segment.as_ref().is_some_and(full) {
            self.finish_segment()?;
        }
        self.begin_segment(now, common)?;
        self.buffer.clear();
        let mut at = self.written;
        for record in group {
            at = push(&mut self.buffer, record, at);
        }
        let head = self.head_mark(at, now, common)?;
        at = push(&mut self.buffer, &Unlinked { body: &head, caller: None, time: now }, at);
        let Some(segment) = &mut self.segment else { return Err(io::ErrorKind::NotFound.into()) };
        let result = segment.file.write_all(&self.buffer);
        let bytes = self.buffer.len() as u64;
        segment.bytes += bytes;
        segment.used = true;
        self.written = at;
        self.or_fail(result)?;
        Ok(bytes)
    }

    /// Returns when everything that was written is on disk; whether that took a sync.
    pub(super) fn sync(&mut self) -> io::Result<bool> {
        if self.written == self.confirmed {
            return Ok(false);
        }
        let Some(segment) = &mut self.segment else { return Ok(false) };
        let result = segment.file.sync();
        self.or_fail(result)?;
        self.confirmed = self.written;
        let [written, confirmed] = &mut self.notes;
        confirmed.clone_from(written);
        Ok(true)
    }

    /// After a failure: tries whether a new segment can be begun.
    pub(super) fn probe(&mut self, now: Timestamp, common: &Common) -> io::Result<()> {
        self.begin_segment(now, common)
    }

    /// Begins a new segment where the current one is old, so that it can be shipped and deleted.
    pub(super) fn rotate(&mut self, now: Timestamp, common: &Common) -> io::Result<()> {
        let old = |segment: &OpenSegment| segment.used && now.since(segment.started) >= common.segment_age;
        if self.segment.as_ref().is_some_and(old) {
            self.finish_segment()?;
            self.begin_segment(now, common)?;
        }
        Ok(())
    }

    fn finish_segment(&mut self) -> io::Result<()> {
        self.sync()?;
        self.segment = None;
        Ok(())
    }

    /// Takes the chain back to what is confirmed where an operation on the segment failed.
    fn or_fail(&mut self, result: io::Result<()>) -> io::Result<()> {
        if result.is_err() {
            self.unconfirmed = Some(self.written.seq - self.confirmed.seq);
            self.written = self.confirmed;
            self.segment = None;
        }
        result
    }

    /// A segment gets its name when its start is on disk, so that each that can be seen has one.
    fn begin_segment(&mut self, now: Timestamp, common: &Common) -> io::Result<()> {
        if self.segment.is_some() {
            return Ok(());
        }
        let number = self.number + 1;
        let start = Body::Segment(Box::new(SegmentStart {
            chain: self.id,
            gateway: self.name.gateway.clone(),
            number,
            retention: self.name.retention,
            signer: common.signing_key.as_ref().map(|key| key.verifier().to_string()),
            unconfirmed: self.unconfirmed,
        }));
        let body = line::body(&start)?;
        let mut bytes = Vec::new();
        let at = push(&mut bytes, &Unlinked { body: &body, caller: None, time: now }, self.confirmed);
        let new = layout::file(&self.path, number, "new");
        let begun = self.write_start(&new, &bytes, number, common);
        if begun.is_err() {
            // What is left of it is removed at the next start, too.
            let _ = common.storage.remove(&new);
        }
        let file = begun?;
        self.number = number;
        self.starts.push_back((number, now));
        self.unconfirmed = None;
        (self.written, self.confirmed) = (at, at);
        self.segment = Some(OpenSegment { file, bytes: bytes.len() as u64, started: now, used: false });
        Ok(())
    }

    fn write_start(&self, new: &Path, bytes: &[u8], number: u64, common: &Common) -> io::Result<Box<dyn Appender>> {
        let mut file = common.storage.create(new, MODE)?;
        file.write_all(bytes)?;
        file.sync()?;
        common.storage.rename(new, &layout::file(&self.path, number, SEGMENT))?;
        common.storage.sync_directory(&self.path)?;
        Ok(file)
    }

    fn head_mark(&mut self, at: Position, time: Timestamp, common: &Common) -> io::Result<Vec<u8>> {
        let signature = common.signing_key.as_ref().map(|key| {
            let head = Head { chain: self.name.clone(), seq: at.seq, hash: at.hash };
            let statement = Statement { head, id: self.id, time };
            let signature = statement.sign(key);
            self.notes[0] = Some(statement.note(&signature, key.verifier()));
            signature
        });
        Ok(line::body(&Body::Head(HeadMark { signature }))?)
    }

    /// Deletes what is older than the chain's retention: says so in the chain, and then does it. A segment is as old as the
    /// start of the one behind it. Returns how many were deleted.
    pub(super) fn delete_old(&mut self, now: Timestamp, common: &Common) -> io::Result<u64> {
        let keep = self.name.retention.duration();
        let old = self.starts.iter().zip(self.starts.iter().skip(1));
        let old = old.take_while(|((number, _), (_, ended))| {
            let shipped = || layout::file(&self.path, *number, SHIPPED).exists();
            ended.after(keep) <= now && (!common.keep_until_shipped || shipped())
        });
        let numbers: Vec<u64> = old.map(|((number, _), _)| *number).collect();
        let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else { return Ok(0) };
        let Some(&(next, _)) = self.starts.get(numbers.len()) else { return Ok(0) };
        let Some(next) = layout::start(&layout::file(&self.path, next, SEGMENT))? else {
            return Err(io::Error::other("the segment behind those that are to be deleted has no start"));
        };
        let deletion = Deletion { first, hash: next.record.prev, last, last_seq: next.record.seq.saturating_sub(1) };
        let body = line::body(&Body::Deletion(deletion))?;
        self.write(&[Unlinked { body: &body, caller: None, time: now }], now, common)?;
        self.sync()?;
        for number in &numbers {
            for ending in [SEGMENT, INDEX, SHIPPED] {
                common.storage.remove(&layout::file(&self.path, *number, ending))?;
            }
            self.starts.pop_front();
        }
        common.storage.sync_directory(&self.path)?;
        Ok(numbers.len() as u64)
    }
}

fn push(into: &mut Vec<u8>, record: &Unlinked<'_>, after: Position) -> Position {
    let seq = after.seq + 1;
    let link = Link { caller: record.caller, prev: after.hash, seq, time: record.time };
    Position { seq, hash: line::push(into, record.body, &link) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::faults::FaultyDisk;
    use crate::samples;
    use crate::verify::{Known, verify};

    const DAY: Duration = Duration::from_secs(86_400);

    fn common(directory: &Path) -> Common {
        Common {
            directory: directory.to_owned(),
            storage: Arc::new(FaultyDisk::new()),
            signing_key: None,
            segment_bytes: 1 << 20,
            segment_age: DAY,
            keep_until_shipped: false,
        }
    }

    /// Writes and syncs a record at a time.
    fn write(chain: &mut Chain, number: u64, now: Timestamp, common: &Common) {
        let body = line::body(&samples::opening(number, "billing", "NO")).unwrap();
        chain.write(&[Unlinked { body: &body, caller: None, time: now }], now, common).unwrap();
        assert!(chain.sync().unwrap());
    }

    fn segments(chain: &Chain) -> Vec<u64> {
        layout::segments(&chain.path).unwrap()
    }

    fn is_good(directory: &Path) -> bool {
        verify(directory, &Known::default()).unwrap().is_good()
    }

    #[test]
    fn segments_end_by_age_and_size_and_an_unused_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let mut common = common(directory.path());
        let (mut chain, _) = Chain::open(samples::chain_name(), &common).unwrap();
        let begin = samples::time(0);
        write(&mut chain, 0, begin, &common);
        chain.rotate(begin.after(DAY - Duration::from_secs(1)), &common).unwrap();
        assert_eq!(segments(&chain), [1]);
        chain.rotate(begin.after(DAY), &common).unwrap();
        assert_eq!(segments(&chain), [1, 2]);
        chain.rotate(begin.after(DAY * 30), &common).unwrap();
        assert_eq!(segments(&chain), [1, 2]);
        write(&mut chain, 1, begin.after(DAY * 30), &common);
        write(&mut chain, 2, begin.after(DAY * 30), &common);
        assert_eq!(segments(&chain), [1, 2, 3]);
        common.segment_bytes = 1;
        write(&mut chain, 3, begin.after(DAY * 30), &common);
        assert_eq!(segments(&chain), [1, 2, 3, 4]);
        assert!(is_good(directory.path()));
    }

    #[test]
    fn a_segment_is_deleted_when_its_last_record_is_old_and_a_copy_is_confirmed_where_one_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let mut common = common(directory.path());
        common.keep_until_shipped = true;
        let (mut chain, _) = Chain::open(samples::chain_name(), &common).unwrap();
        let begin = samples::time(0);
        (0..4).for_each(|day| write(&mut chain, u64::from(day), begin.after(DAY * day), &common));
        assert_eq!(segments(&chain), [1, 2, 3, 4]);
        let now = begin.after(DAY * (365 + 2));
        assert_eq!(chain.delete_old(now, &common).unwrap(), 0);
        for number in [1, 3] {
            fs::write(layout::file(&chain.path, number, SHIPPED), "").unwrap();
        }
        // The second is old and not shipped, so it stays, and the third with it.
        assert_eq!(chain.delete_old(now, &common).unwrap(), 1);
        common.keep_until_shipped = false;
        assert_eq!(chain.delete_old(now, &common).unwrap(), 1);
        assert_eq!(segments(&chain)[..2], [3, 4]);
        assert!(is_good(directory.path()));
        // After a restart, too.
        drop(chain);
        let (mut chain, recovery) = Chain::open(samples::chain_name(), &common).unwrap();
        assert_eq!((recovery, chain.delete_old(now.after(DAY), &common).unwrap()), (None, 1));
        assert_eq!(segments(&chain)[0], 4);
        assert!(is_good(directory.path()));
    }
}
