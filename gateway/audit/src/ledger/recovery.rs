//! Where a chain goes on when it is opened: behind the last record that is whole. A crash tears at most the end of the last
//! segment, which is cut; damage before that is no crash, and stays as it is for whoever verifies.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::hex::Hash;
use crate::layout::{self, Lines, SEGMENT};
use crate::line::Line;
use crate::record::{Body, ChainId, Recovery};
use crate::storage::Storage;
use crate::time::Timestamp;

/// Where a chain stands.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) id: ChainId,
    /// The number of the last segment; 0 where there is none.
    pub(super) segment: u64,
    /// The last record; 0 where there is none.
    pub(super) seq: u64,
    pub(super) hash: Hash,
    /// When each segment that is there began, ascending.
    pub(super) starts: Vec<(u64, Timestamp)>,
    /// What had to be said of the last segment.
    pub(super) recovery: Option<Recovery>,
}

/// What the lines of a segment come to.
#[derive(Debug, Default)]
struct Scan {
    /// The last line that is whole, and where it ends in the file.
    last: Option<(u64, Hash, u64)>,
    length: u64,
    damaged: bool,
    /// Whether the last line that is whole is one that a commit, or the making of a segment, ends with.
    ended: bool,
}

/// Finds out where a chain stands, cuts a torn end, and makes sure that what is followed is on disk.
pub(super) fn recover(directory: &Path, storage: &dyn Storage) -> io::Result<Standing> {
    remove_unfinished(directory, storage)?;
    let mut numbers = layout::segments(directory)?;
    let mut lost = None;
    while let Some(&number) = numbers.last() {
        let path = layout::file(directory, number, SEGMENT);
        let scan = scan(&path)?;
        let Some((seq, hash, end)) = scan.last else {
            // Not even its first record is whole: nothing in it was ever confirmed.
            storage.remove(&path)?;
            storage.sync_directory(directory)?;
            lost = Some(Recovery { cut: scan.length, damaged: false, segment: number });
            numbers.pop();
            continue;
        };
        let cut = scan.length - end;
        // Also where nothing is cut: what was read may be in memory alone, and is about to be followed.
        storage.truncate(&path, end)?;
        let found = Recovery { cut, damaged: scan.damaged, segment: number };
        // A record of it also covers what no head does, because the end of its commit is missing.
        let recovery = if cut > 0 || scan.damaged || !scan.ended { Some(found) } else { lost };
        let (starts, id) = starts(directory, &numbers)?;
        return Ok(Standing { id, segment: number, seq, hash, starts, recovery });
    }
    let id = ChainId(crate::random().map_err(io::Error::other)?);
    Ok(Standing { id, segment: 0, seq: 0, hash: Hash::NONE, starts: Vec::new(), recovery: lost })
}

/// Segments that were being made when the process ended.
fn remove_unfinished(directory: &Path, storage: &dyn Storage) -> io::Result<()> {
    for name in layout::names(directory)? {
        if name.ends_with(".new") {
            storage.remove(&directory.join(name))?;
        }
    }
    Ok(())
}

fn starts(directory: &Path, numbers: &[u64]) -> io::Result<(Vec<(u64, Timestamp)>, ChainId)> {
    let (mut starts, mut id) = (Vec::new(), None);
    for &number in numbers {
        if let Some(start) = layout::start(&layout::file(directory, number, SEGMENT))? {
            starts.push((number, start.record.time));
            id = Some(start.segment.chain);
        }
    }
    let id = match id {
        Some(id) => id,
        None => ChainId(crate::random().map_err(io::Error::other)?),
    };
    Ok((starts, id))
}

fn scan(path: &Path) -> io::Result<Scan> {
    let mut lines = Lines::new(File::open(path)?);
    let mut scan = Scan::default();
    let mut broken = false;
    while let Some(line) = lines.next()? {
        let end = line.offset + line.bytes.len() as u64 + u64::from(line.ended);
        scan.length = end;
        let checked = if line.ended { Line::check(line.bytes).ok() } else { None };
        match checked {
            Some((hash, record)) => {
                let follows = scan
                    .last
                    .is_none_or(|(seq, before, _)| (record.seq, record.prev) == (seq.saturating_add(1), before));
                scan.damaged |= broken || !follows;
                scan.last = Some((record.seq, hash, end));
                scan.ended = matches!(record.body, Body::Head(_) | Body::Segment(_));
            }
            None => broken = true,
        }
    }
    Ok(scan)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::line::{self, Link};
    use crate::samples;
    use crate::storage::Disk;

    /// A segment of a start and two records, and where each line ends.
    fn segment() -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let (mut prev, mut ends) = (Hash::NONE, Vec::new());
        let start = samples::one_of_each().remove(0).body;
        for (seq, body) in (1..).zip([start, samples::opening(1, "billing", "NO"), samples::closing(1, &[])]) {
            let link = Link { caller: None, prev, seq, time: samples::time(seq) };
            prev = line::push(&mut bytes, &line::body(&body).unwrap(), &link);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn a_torn_record_is_cut_wherever_it_was_torn() {
        let directory = tempfile::tempdir().unwrap();
        let path = layout::file(directory.path(), 2, SEGMENT);
        let (bytes, ends) = segment();
        for length in ends[0]..=bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            let standing = recover(directory.path(), &Disk).unwrap();
            let whole = ends.iter().filter(|end| **end <= length).count();
            assert_eq!((standing.segment, standing.seq), (2, whole as u64), "cut at {length}");
            let cut = (length - ends[whole - 1]) as u64;
            // Of the sample's records the start alone is the end of anything.
            let expected = (length > ends[0]).then_some(Recovery { cut, damaged: false, segment: 2 });
            assert_eq!(standing.recovery, expected);
            assert_eq!(fs::read(&path).unwrap(), bytes[..ends[whole - 1]]);
        }
    }

    #[test]
    fn a_segment_without_its_start_is_removed_and_one_that_was_being_made_too() {
        let directory = tempfile::tempdir().unwrap();
        let (bytes, ends) = segment();
        for length in 0..ends[0] {
            fs::write(layout::file(directory.path(), 2, SEGMENT), &bytes[..ends[0]]).unwrap();
            fs::write(layout::file(directory.path(), 3, SEGMENT), &bytes[..length]).unwrap();
            fs::write(layout::file(directory.path(), 4, "new"), &bytes).unwrap();
            let standing = recover(directory.path(), &Disk).unwrap();
            assert_eq!((standing.segment, standing.seq, standing.starts.len()), (2, 1, 1));
            assert_eq!(standing.recovery, Some(Recovery { cut: length as u64, damaged: false, segment: 3 }));
            assert_eq!(layout::names(directory.path()).unwrap(), ["0000000002.jsonl"]);
        }
    }

    #[test]
    fn damage_before_the_end_is_reported_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = layout::file(directory.path(), 2, SEGMENT);
        let (mut bytes, ends) = segment();
        bytes[ends[0] + 90] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let standing = recover(directory.path(), &Disk).unwrap();
        assert_eq!((standing.seq, standing.recovery), (3, Some(Recovery { cut: 0, damaged: true, segment: 2 })));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_chain_without_segments_begins_with_an_id_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other] = [0, 1].map(|_| recover(directory.path(), &Disk).unwrap());
        assert_eq!((one.segment, one.seq, one.hash, one.recovery.clone()), (0, 0, Hash::NONE, None));
        assert_ne!(one.id, other.id);
    }
}
