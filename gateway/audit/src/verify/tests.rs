//! Ledgers that were tampered with: what is found, and where.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::record::Body;
use crate::samples;

/// A ledger of several small segments, and what its writer had for keys and heads.
struct Sample {
    directory: tempfile::TempDir,
    known: Known,
}

fn sealed(signed: bool) -> Sample {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = samples::settings(directory.path());
    settings.segment_bytes = 4000;
    let key = settings.signing_key.take_if(|_| !signed);
    drop(key);
    let ledger = samples::open(settings);
    samples::write(&ledger, 8);
    ledger.close();
    let keys = if signed { vec![samples::signing_key(1).verifier().clone()] } else { Vec::new() };
    Sample { directory, known: Known { heads: ledger.heads(), keys } }
}

impl Sample {
    fn verify(&self) -> Verification {
        verify(self.directory.path(), &self.known).unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        let chain = self.directory.path().join("edge-1/365d");
        layout::segments(&chain).unwrap().iter().map(|number| layout::file(&chain, *number, layout::SEGMENT)).collect()
    }

    fn lines(&self, segment: usize) -> Vec<String> {
        fs::read_to_string(&self.segments()[segment]).unwrap().lines().map(|line| format!("{line}\n")).collect()
    }

    fn write(&self, segment: usize, lines: &[String]) {
        fs::write(&self.segments()[segment], lines.concat()).unwrap();
    }

    /// The only kind of problem of what was done, and where it was first found.
    fn first(&self) -> (String, u64, Problem) {
        let found = self.verify().findings.into_iter().next().expect("nothing was found");
        (found.file.unwrap_or_default(), found.line.unwrap_or_default(), found.problem)
    }
}

fn in_segment(number: u64) -> String {
    format!("edge-1/365d/{number:010}.jsonl")
}

#[test]
fn a_whole_ledger_is_good_and_says_how_far_it_can_be_trusted() {
    for (signed, trust) in [(true, Trust::Signed), (false, Trust::Ordered)] {
        let sample = sealed(signed);
        let found = sample.verify();
        assert!(found.is_good(), "{:?}", found.findings);
        let chain = &found.chains[0];
        assert_eq!((chain.trust, chain.first, chain.head.as_ref()), (trust, 1, sample.known.heads.first()));
        assert!(chain.segments >= 3 && chain.records == chain.head.as_ref().unwrap().seq, "{chain:?}");
    }
    let mut sample = sealed(true);
    sample.known = Known::default();
    assert_eq!(sample.verify().chains[0].trust, Trust::SignedByItsOwnWord);
}

#[test]
fn a_removed_a_moved_and_an_inserted_record_are_found_where_they_were() {
    for signed in [true, false] {
        let sample = sealed(signed);
        let lines = sample.lines(1);
        let first: u64 = crate::line::Line::check(lines[0].trim_end().as_bytes()).unwrap().1.seq;

        let mut removed = lines.clone();
        removed.drain(2..4);
        sample.write(1, &removed);
        assert_eq!(sample.first(), (in_segment(2), 3, Problem::Missing { from: first + 2, to: first + 3 }));

        let mut moved = lines.clone();
        moved.swap(2, 3);
        sample.write(1, &moved);
        assert_eq!(sample.first(), (in_segment(2), 3, Problem::Missing { from: first + 2, to: first + 2 }));

        let mut repeated = lines.clone();
        repeated.insert(4, lines[2].clone());
        sample.write(1, &repeated);
        let problem = Problem::OutOfOrder { expected: first + 4, found: first + 2 };
        assert_eq!(sample.first(), (in_segment(2), 5, problem));
    }
}

/// Whoever knows the format makes a record whose hash is right: only what follows it gives it away.
#[test]
fn a_record_that_was_replaced_by_a_well_formed_one_is_found() {
    let sample = sealed(false);
    let mut lines = sample.lines(1);
    let (_, record) = crate::line::Line::check(lines[3].trim_end().as_bytes()).unwrap();
    let link = crate::line::Link { caller: None, prev: record.prev, seq: record.seq, time: record.time };
    let mut forged = Vec::new();
    crate::line::push(&mut forged, &crate::line::body(&samples::closing(99, &[])).unwrap(), &link);
    lines[3] = String::from_utf8(forged).unwrap();
    sample.write(1, &lines);
    assert_eq!(sample.first(), (in_segment(2), 5, Problem::Unlinked));
}

/// Makes all of a ledger anew without its first exchange's second record being what it was, as somebody can who knows the format
/// and not the key.
fn forge(sample: &Sample) {
    let mut prev = crate::hex::Hash::NONE;
    for path in sample.segments() {
        let mut forged = Vec::new();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let (_, mut record) = crate::line::Line::check(line.as_bytes()).unwrap();
            if record.seq == 4 {
                record.body = samples::closing(0, &[]);
            }
            let link = crate::line::Link { caller: record.caller, prev, seq: record.seq, time: record.time };
            prev = crate::line::push(&mut forged, &crate::line::body(&record.body).unwrap(), &link);
        }
        fs::write(&path, forged).unwrap();
    }
}

#[test]
fn a_chain_that_was_made_anew_is_found_by_its_signatures_or_by_a_head() {
    let signed = sealed(true);
    forge(&signed);
    assert_eq!(signed.first(), (in_segment(1), 5, Problem::Signature));
    let mut unsigned = sealed(false);
    forge(&unsigned);
    assert!(matches!(unsigned.first().2, Problem::Rewritten(_)));
    // Without either nothing tells, and nothing more is promised.
    unsigned.known = Known::default();
    let found = unsigned.verify();
    assert_eq!((found.is_good(), found.chains[0].trust), (true, Trust::Ordered));
}

#[test]
fn a_removed_segment_is_found_wherever_it_was() {
    let sample = sealed(true);
    let segments = sample.segments();
    let inner = fs::read(&segments[1]).unwrap();
    fs::remove_file(&segments[1]).unwrap();
    assert_eq!(sample.first(), (in_segment(3), 1, Problem::MissingSegments { from: 2, to: 2 }));
    fs::write(&segments[1], inner).unwrap();
    let first = fs::read(&segments[0]).unwrap();
    fs::remove_file(&segments[0]).unwrap();
    assert_eq!(sample.first(), (String::new(), 0, Problem::Undeclared { to: 1 }));
    fs::write(&segments[0], first).unwrap();
    fs::remove_file(segments.last().unwrap()).unwrap();
    assert!(matches!(sample.first().2, Problem::Tail { .. }));
}

#[test]
fn a_removed_tail_is_found_by_the_head_that_is_expected() {
    let mut sample = sealed(true);
    let last = sample.segments().len() - 1;
    let lines = sample.lines(last);
    // To the head of an earlier commit, so that nothing in the chain tells.
    let ends = |kept: &usize| *kept == 1 || lines[kept - 1].contains("\"head\"");
    let kept = (1..lines.len()).rev().find(ends).unwrap();
    sample.write(last, &lines[..kept]);
    let (_, _, problem) = sample.first();
    assert!(matches!(problem, Problem::Tail { expected, last } if expected > last), "{problem:?}");
    sample.known.heads.clear();
    assert!(sample.verify().is_good());
    sample.write(last, &lines[..lines.len() - 1]);
    assert!(matches!(sample.first().2, Problem::Uncovered(_)));
}

#[test]
fn an_expected_head_that_is_another_or_of_no_chain_is_found() {
    let mut sample = sealed(true);
    sample.known.heads[0].hash = crate::hex::Hash([1; 32]);
    let seq = sample.known.heads[0].seq;
    assert_eq!(sample.first().2, Problem::Rewritten(seq));
    sample.known.heads[0].chain.gateway = "edge-2".parse().unwrap();
    assert_eq!(sample.first().2, Problem::NoChain);
}

#[test]
fn a_chain_of_another_key_and_one_without_signatures_are_found() {
    let mut sample = sealed(true);
    sample.known.keys = vec![samples::signing_key(2).verifier().clone()];
    assert_eq!(sample.first().2, Problem::Signature);
    let mut unsigned = sealed(false);
    unsigned.known.keys = vec![samples::signing_key(1).verifier().clone()];
    assert_eq!(unsigned.first().2, Problem::Unsigned);
}

#[test]
fn a_segment_of_another_chain_is_found() {
    let (sample, other) = (sealed(true), sealed(true));
    fs::copy(&other.segments()[1], &sample.segments()[1]).unwrap();
    assert_eq!(sample.first(), (in_segment(2), 1, Problem::OtherChain));
}

#[test]
fn several_gateways_have_chains_of_their_own_in_one_directory() {
    let directory = tempfile::tempdir().unwrap();
    for gateway in ["edge-1", "edge-2"] {
        let mut settings = samples::settings(directory.path());
        settings.gateway = gateway.parse().unwrap();
        settings.keys = layout::keys(directory.path(), &settings.gateway);
        let ledger = samples::open(settings);
        samples::write(&ledger, 2);
        ledger.close();
    }
    let found = verify(directory.path(), &Known::default()).unwrap();
    assert!(found.is_good(), "{:?}", found.findings);
    let names: Vec<String> = found.chains.iter().map(|chain| chain.name.to_string()).collect();
    assert_eq!(names, ["edge-1/365d", "edge-2/365d"]);
    assert_ne!(found.chains[0].id, found.chains[1].id);
    let heads = heads(directory.path()).unwrap();
    assert_eq!(heads.len(), 2);
    assert!(heads.iter().all(|head| head.note.as_ref().is_some_and(|note| note.starts_with("audit-chain/edge-"))));
}

/// The end of a commit may not be there yet when it is read.
#[test]
fn a_ledger_that_is_being_written_is_good_at_every_moment() {
    let sample = sealed(true);
    let last = sample.segments().pop().unwrap();
    let whole = fs::read(&last).unwrap();
    let lines: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    // Within the last line, and before it.
    for length in [whole.len() - 10, lines[lines.len() - 2] + 1] {
        fs::write(&last, &whole[..length]).unwrap();
        assert!(!sample.verify().is_good(), "nobody writes it");
        fs::write(&last, &whole[..length]).unwrap();
        let (rest, path) = (whole[length..].to_vec(), last.clone());
        let mut known = sample.known.clone();
        known.heads.clear();
        let writer = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(30));
            io::Write::write_all(&mut fs::OpenOptions::new().append(true).open(path).unwrap(), &rest).unwrap();
        });
        let found = verify(sample.directory.path(), &known).unwrap();
        writer.join().unwrap();
        assert!(found.is_good(), "{:?}", found.findings);
    }
}

/// A copy of a sample into which a test writes what it wants.
fn copy_of(sample: &Sample) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let chain = directory.path().join("edge-1/365d");
    fs::create_dir_all(&chain).unwrap();
    for segment in sample.segments() {
        fs::copy(&segment, chain.join(segment.file_name().unwrap())).unwrap();
    }
    (directory, chain)
}

fn found(directory: &Path, known: &Known) -> usize {
    verify(directory, known).unwrap().findings.len()
}

#[test]
fn every_changed_byte_of_every_segment_is_found() {
    let sample = sealed(false);
    let known = Known::default();
    let (directory, _) = copy_of(&sample);
    let segments: Vec<_> = sample.segments();
    proptest!(ProptestConfig::with_cases(300), |(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), flip in 1..=255u8)| {
        let segment = which.get(&segments);
        let path = directory.path().join("edge-1/365d").join(segment.file_name().unwrap());
        let whole = fs::read(segment).unwrap();
        let mut changed = whole.clone();
        let place = at.index(changed.len());
        changed[place] ^= flip;
        fs::write(&path, &changed).unwrap();
        let count = found(directory.path(), &known);
        fs::write(&path, &whole).unwrap();
        prop_assert!(count > 0, "byte {place} of {segment:?}");
    });
    assert_eq!(found(directory.path(), &known), 0);
}

#[test]
fn every_removed_moved_or_repeated_record_is_found() {
    let sample = sealed(false);
    let known = Known { heads: sample.known.heads.clone(), keys: Vec::new() };
    let (directory, chain) = copy_of(&sample);
    let segments = sample.segments().len();
    proptest!(ProptestConfig::with_cases(300), |(which in 0..segments, one in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(), kind in 0..3)| {
        let whole = sample.lines(which);
        let (one, other) = (one.index(whole.len()), other.index(whole.len()));
        let mut lines = whole.clone();
        match kind {
            0 => drop(lines.remove(one)),
            1 if one != other => lines.swap(one, other),
            _ => lines.insert(other, whole[one].clone()),
        }
        let path = layout::file(&chain, which as u64 + 1, layout::SEGMENT);
        fs::write(&path, lines.concat()).unwrap();
        let count = found(directory.path(), &known);
        fs::write(&path, whole.concat()).unwrap();
        prop_assert!(count > 0);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), number in 0..3u64) {
        let directory = tempfile::tempdir().unwrap();
        let chain = directory.path().join("edge-1/365d");
        fs::create_dir_all(&chain).unwrap();
        fs::write(layout::file(&chain, number, layout::SEGMENT), &bytes).unwrap();
        prop_assert!(found(directory.path(), &Known::default()) > 0);
        prop_assert_eq!(heads(directory.path()).unwrap().len(), 0);
    }

    /// Records that have the right form and say anything.
    #[test]
    fn no_records_panic(records in prop::collection::vec((0..10usize, any::<u64>(), any::<bool>()), 1..12)) {
        let directory = tempfile::tempdir().unwrap();
        let chain = directory.path().join("edge-1/365d");
        fs::create_dir_all(&chain).unwrap();
        let bodies: Vec<Body> = samples::one_of_each().into_iter().map(|record| record.body).collect();
        let mut bytes = Vec::new();
        for (kind, seq, small) in records {
            let seq = if small { seq % 8 } else { seq };
            let link = crate::line::Link { caller: None, prev: crate::hex::Hash::NONE, seq, time: samples::time(1) };
            crate::line::push(&mut bytes, &crate::line::body(&bodies[kind]).unwrap(), &link);
        }
        fs::write(layout::file(&chain, 1, layout::SEGMENT), &bytes).unwrap();
        fs::write(layout::file(&chain, 2, layout::SEGMENT), &bytes).unwrap();
        prop_assert!(found(directory.path(), &Known::default()) > 0);
    }
}
