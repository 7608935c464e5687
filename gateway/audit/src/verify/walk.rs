//! One chain, from its first line to its last.

mod end;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::finding::MOST;
use super::signatures::{self, Signed};
use super::{Chain, Finding, Known, Problem, Trust};
use crate::head::{ChainName, Head, Statement};
use crate::hex::Hash;
use crate::keys::VerifierKey;
use crate::layout::{self, Lines, RawLine, SEGMENT, Start};
use crate::line::Line;
use crate::record::{Body, Deletion, Record, SegmentStart};

/// Where a line is.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    file: &'a str,
    line: u64,
}

/// From where on the records of a segment count for nothing, as the next one says.
#[derive(Clone, Copy, Debug)]
struct Boundary {
    last_seq: u64,
    left: u64,
}

/// How often, and after which pause, is looked whether a segment that ends in the middle grows.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

struct Walk<'a> {
    known: &'a Known,
    chain: Chain,
    findings: Vec<Finding>,
    /// The number of the next record; none before the first.
    next: Option<u64>,
    /// What the next record may name as the hash before it. Two where a record was changed: the one it says, and the one it
    /// has. None where that can't be told.
    before: Vec<Hash>,
    /// The key of this segment's heads.
    key: Option<VerifierKey>,
    /// Heads of this segment whose signatures are still to be checked.
    heads: Vec<Signed>,
    /// Whether a key that is known from elsewhere is asked for.
    signed: bool,
    /// The last record that a signed head covers.
    covered: u64,
    /// The last start of a segment.
    last_start: Option<u64>,
    /// The segments before the first that is there: how many, and what that one follows.
    before_first: Option<(u64, u64, Hash)>,
    /// The last segment, and how much of it was read.
    end_of_last: Option<(PathBuf, u64)>,
    deletions: Vec<Deletion>,
    /// Whether a gateway may be writing it, because it is no copy.
    in_place: bool,
    /// Expected heads that have not come by yet.
    expected: Vec<Head>,
}

/// Verifies a chain.
pub(super) fn chain(directory: &Path, name: ChainName, known: &Known) -> io::Result<(Chain, Vec<Finding>)> {
    let path = layout::chain(directory, &name);
    let numbers = layout::segments(&path)?;
    let in_place = layout::lock(directory, &name.gateway).exists();
    let mut walk = Walk::new(name, known, in_place);
    let mut previous = None;
    for (place, &number) in numbers.iter().enumerate() {
        let file = layout::file(&path, number, SEGMENT);
        let shown = format!("{}/{number:010}.{SEGMENT}", walk.chain.name);
        walk.segments_between(previous, number, &shown);
        let next = numbers.get(place + 1).map(|next| layout::start(&layout::file(&path, *next, SEGMENT)));
        let next = next.transpose()?.flatten();
        walk.segment(&file, &shown, number, next.as_ref())?;
        previous = Some(number);
    }
    walk.end();
    Ok((walk.chain, walk.findings))
}

impl<'a> Walk<'a> {
    fn new(name: ChainName, known: &'a Known, in_place: bool) -> Self {
        let expected = known.heads.iter().filter(|head| head.chain == name).cloned().collect();
        let chain = Chain {
            name,
            id: None,
            segments: 0,
            records: 0,
            first: 0,
            head: None,
            trust: Trust::Ordered,
            signed_heads: 0,
            signer: None,
            deleted_segments: 0,
            unconfirmed: 0,
            cut: 0,
            erased: 0,
        };
        Self {
            known,
            chain,
            findings: Vec::new(),
            next: None,
            before: Vec::new(),
            key: None,
            heads: Vec::new(),
            signed: !known.keys.is_empty(),
            covered: 0,
            last_start: None,
            before_first: None,
            end_of_last: None,
            deletions: Vec::new(),
            in_place,
            expected,
        }
    }

    fn found(&mut self, place: Option<Place<'_>>, seq: Option<u64>, problem: Problem) {
        if self.findings.len() < MOST {
            let (file, line) = place.map(|place| (place.file.to_owned(), place.line)).unzip();
            self.findings.push(Finding { chain: self.chain.name.clone(), file, line, seq, problem });
        }
    }

    /// Whether all numbers between two segments are there.
    fn segments_between(&mut self, previous: Option<u64>, number: u64, file: &str) {
        let Some(previous) = previous else { return };
        if number != previous + 1 {
            let problem = Problem::MissingSegments { from: previous + 1, to: number - 1 };
            self.found(Some(Place { file, line: 1 }), self.next, problem);
            // Said once: what was in them is missing too.
            (self.next, self.before) = (None, Vec::new());
        }
    }

    fn segment(&mut self, path: &Path, file: &str, number: u64, next: Option<&Start>) -> io::Result<()> {
        self.chain.segments += 1;
        let mut boundary = next.and_then(|start| {
            Some(Boundary { last_seq: start.record.seq.checked_sub(1)?, left: start.segment.unconfirmed? })
        });
        let mut lines = Lines::new(File::open(path)?);
        let mut place = Place { file, line: 0 };
        while let Some(line) = lines.next()? {
            place.line += 1;
            let read = line.offset + line.bytes.len() as u64 + u64::from(line.ended);
            self.end_of_last = Some((path.to_owned(), read));
            if !line.ended && line.bytes.len() < crate::line::MAX_LENGTH {
                self.torn(place, boundary);
                break;
            }
            self.line(&line, place, number, &mut boundary);
            if self.heads.len() >= signatures::MANY {
                self.check_heads(file);
            }
        }
        if place.line == 0 {
            self.found(Some(Place { file, line: 1 }), None, Problem::NoStart);
        }
        self.check_heads(file);
        Ok(())
    }

    /// The last line has no end: no fault behind the boundary, nor where the gateway is just writing it.
    fn torn(&mut self, place: Place<'_>, boundary: Option<Boundary>) {
        let behind = boundary.is_some_and(|boundary| self.next.is_some_and(|next| next > boundary.last_seq));
        if !behind && !self.is_growing() {
            self.found(Some(place), self.next, Problem::Torn);
        }
    }

    /// Whether the last segment is being written at this moment: what was read ends within a group commit.
    fn is_growing(&self) -> bool {
        let Some((path, read)) = &self.end_of_last else { return false };
        if !self.in_place {
            return false;
        }
        (0..LOOKS).any(|look| {
            if look > 0 {
                thread::sleep(PAUSE);
            }
            fs::metadata(path).is_ok_and(|metadata| metadata.len() > *read)
        })
    }

    fn line(&mut self, line: &RawLine<'_>, place: Place<'_>, number: u64, boundary: &mut Option<Boundary>) {
        let split = match Line::split(line.bytes) {
            Ok(split) => split,
            Err(error) => {
                self.found(Some(place), self.next, error.into());
                return self.skip(Vec::new());
            }
        };
        let computed = split.computed();
        let parsed = split.parse();
        // A changed record is counted with the number that it should have: the one it has may be what was changed.
        if computed != split.hash {
            self.found(Some(place), self.next, crate::line::LineError::Changed.into());
            if let Ok(Record { body: Body::Segment(start), seq, .. }) = parsed.as_ref()
                && place.line == 1
            {
                self.begin(start, number, place, *seq);
            }
            return self.skip(vec![split.hash, computed]);
        }
        match parsed {
            Ok(record) => self.record(&record, computed, place, number, boundary),
            Err(error) => {
                self.found(Some(place), self.next, error.into());
                self.skip(vec![computed]);
            }
        }
    }

    /// Goes on behind a line that is no good.
    fn skip(&mut self, before: Vec<Hash>) {
        self.chain.records += 1;
        self.next = self.next.map(|next| next.saturating_add(1));
        self.before = before;
    }

    fn record(&mut self, record: &Record, hash: Hash, place: Place<'_>, number: u64, boundary: &mut Option<Boundary>) {
        if let Some(boundary) = boundary
            && record.seq > boundary.last_seq
        {
            self.chain.unconfirmed += 1;
            match boundary.left.checked_sub(1) {
                Some(left) => boundary.left = left,
                None => self.found(Some(place), Some(record.seq), Problem::Unconfirmed),
            }
            return;
        }
        self.chain.records += 1;
        self.start_of(record, place, number);
        if !self.follows(record, place) {
            return;
        }
        self.next = Some(record.seq.saturating_add(1));
        self.before.clear();
        self.before.push(hash);
        self.chain.head = Some(Head { chain: self.chain.name.clone(), seq: record.seq, hash });
        self.expected_here(record.seq, hash, place);
        match &record.body {
            Body::Head(mark) => self.head(mark.signature.as_deref(), record, place),
            Body::Deletion(deletion) => self.deletions.push(deletion.clone()),
            Body::Recovery(recovery) => self.chain.cut = self.chain.cut.saturating_add(recovery.cut),
            Body::Erasure(_) => self.chain.erased += 1,
            Body::Opening(_) | Body::Closing(_) | Body::Segment(_) => {}
        }
    }

    /// The first line of a segment is its start, and no other is.
    fn start_of(&mut self, record: &Record, place: Place<'_>, number: u64) {
        match (&record.body, place.line) {
            (Body::Segment(start), 1) => {
                if self.chain.segments == 1 && number > 1 {
                    self.before_first = Some((number - 1, record.seq.saturating_sub(1), record.prev));
                }
                self.last_start = Some(record.seq);
                self.begin(start, number, place, record.seq);
            }
            (Body::Segment(_), _) => self.found(Some(place), Some(record.seq), Problem::Misplaced),
            (_, 1) => self.found(Some(place), Some(record.seq), Problem::NoStart),
            _ => {}
        }
    }

    fn begin(&mut self, start: &SegmentStart, number: u64, place: Place<'_>, seq: u64) {
        let name = &self.chain.name;
        let own = start.gateway == name.gateway && start.retention == name.retention && start.number == number;
        if !own || *self.chain.id.get_or_insert(start.chain) != start.chain {
            self.found(Some(place), Some(seq), Problem::OtherChain);
        }
        if self.chain.first == 0 {
            self.chain.first = seq;
        }
        let named: Option<VerifierKey> = start.signer.as_deref().and_then(|signer| signer.parse().ok());
        self.key = match &named {
            // A key that is known decides, whatever the segment says.
            Some(named) if self.known.keys.is_empty() => Some(named.clone()),
            Some(named) => self.known.keys.iter().find(|key| *key == named).cloned(),
            None => None,
        };
        self.signed |= start.signer.is_some();
        self.chain.signer.clone_from(&start.signer);
    }

    /// Whether a record stands in its place.
    fn follows(&mut self, record: &Record, place: Place<'_>) -> bool {
        let seq = Some(record.seq);
        match self.next {
            // The beginning of what is there: a chain begins with 1 and nothing before, in its first segment.
            None => {
                if self.chain.segments == 1
                    && self.before_first.is_none()
                    && (record.seq, record.prev) != (1, Hash::NONE)
                {
                    self.found(Some(place), seq, Problem::Unlinked);
                }
            }
            Some(next) if record.seq < next => {
                self.found(Some(place), seq, Problem::OutOfOrder { expected: next, found: record.seq });
                return false;
            }
            Some(next) if record.seq > next => {
                self.found(Some(place), seq, Problem::Missing { from: next, to: record.seq - 1 });
            }
            Some(_) if !self.before.is_empty() && !self.before.contains(&record.prev) => {
                self.found(Some(place), seq, Problem::Unlinked);
            }
            Some(_) => {}
        }
        true
    }

    fn head(&mut self, signature: Option<&str>, record: &Record, place: Place<'_>) {
        let seq = Some(record.seq);
        let Some(signature) = signature else {
            if self.signed {
                self.found(Some(place), seq, Problem::Unsigned);
            }
            return;
        };
        let head = Head { chain: self.chain.name.clone(), seq: record.seq.saturating_sub(1), hash: record.prev };
        match (self.chain.id, self.key.clone()) {
            (Some(id), Some(key)) => self.heads.push(Signed {
                line: place.line,
                seq: record.seq,
                statement: Statement { head, id, time: record.time },
                signature: signature.to_owned(),
                key,
            }),
            _ => self.found(Some(place), seq, Problem::Signature),
        }
    }

    /// Checks the signatures of a segment's heads.
    fn check_heads(&mut self, file: &str) {
        let heads = std::mem::take(&mut self.heads);
        for (head, is_good) in heads.iter().zip(signatures::check(&heads)) {
            if is_good {
                self.chain.signed_heads += 1;
                self.covered = head.seq;
            } else {
                self.found(Some(Place { file, line: head.line }), Some(head.seq), Problem::Signature);
            }
        }
    }

    fn expected_here(&mut self, seq: u64, hash: Hash, place: Place<'_>) {
        let here: Vec<Head> = self.expected.extract_if(.., |head| head.seq == seq).collect();
        if here.iter().any(|head| head.hash != hash) {
            self.found(Some(place), Some(seq), Problem::Rewritten(seq));
        }
    }
}
