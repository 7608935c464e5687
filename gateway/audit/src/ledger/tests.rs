//! The ledger on disks that hold back, fail and fill up.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::*;
use crate::faults::FaultyDisk;
use crate::line::Line;
use crate::query::{Filter, query};
use crate::record::{Body, Record};
use crate::render;
use crate::report::{Span, breach::breach, processing::processing};
use crate::samples;
use crate::subjects::{erase, store};
use crate::verify::{Known, Verification, verify};

/// A ledger on a disk with faults.
struct Bench {
    directory: tempfile::TempDir,
    disk: FaultyDisk,
    ledger: Ledger,
}

fn bench(change: impl FnOnce(&mut Settings)) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    let mut settings = samples::settings(directory.path());
    change(&mut settings);
    let ledger = Ledger::open(settings, Arc::new(disk.clone())).unwrap().0;
    Bench { directory, disk, ledger }
}

impl Bench {
    fn append(&self, number: u64) -> Result<(), AppendError> {
        let [opening, _] = samples::exchange(number, "kari", "billing", "NO", &[]);
        samples::run(self.ledger.append(opening))
    }

    fn verify(&self) -> Verification {
        let keys = vec![samples::signing_key(1).verifier().clone()];
        verify(self.directory.path(), &Known { heads: self.ledger.heads(), keys }).unwrap()
    }

    fn segment(&self, number: u64) -> PathBuf {
        layout::file(&self.directory.path().join("edge-1/365d"), number, layout::SEGMENT)
    }

    fn records(&self, number: u64) -> Vec<Record> {
        let text = fs::read_to_string(self.segment(number)).unwrap();
        text.lines().map(|line| Line::check(line.as_bytes()).unwrap().1).collect()
    }

    fn count(&self, of: impl Fn(&Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
        of(self.ledger.counters()).load(Relaxed)
    }
}

fn until(mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it did not happen");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn sync_returns_when_the_disk_has_confirmed_and_not_before() {
    let bench = bench(|_| {});
    bench.append(0).unwrap();
    bench.disk.hold_syncs();
    let before = bench.disk.syncs();
    let (ledger, disk) = (bench.ledger.clone(), bench.disk.clone());
    let [opening, _] = samples::exchange(1, "kari", "billing", "NO", &[]);
    let released = samples::run(async move {
        let mut append = std::pin::pin!(ledger.append(opening));
        let mut released = false;
        std::future::poll_fn(|context| {
            let poll = append.as_mut().poll(context);
            if !released {
                // The record has been written and its sync has begun, but the disk has not said that it is there.
                assert!(poll.is_pending());
                disk.wait_for_held_sync();
                assert!(append.as_mut().poll(context).is_pending());
                released = true;
                disk.release_syncs();
            }
            poll
        })
        .await
        .unwrap();
        released
    });
    assert!(released && bench.disk.syncs() > before);
}

#[test]
fn records_that_wait_share_a_sync() {
    let bench = bench(|_| {});
    bench.append(0).unwrap();
    bench.disk.hold_syncs();
    let before = bench.count(|counters| &counters.syncs);
    let (ledger, disk) = (bench.ledger.clone(), bench.disk.clone());
    samples::run(async move {
        let append = |number: u64| {
            let ledger = ledger.clone();
            let [opening, _] = samples::exchange(number, "kari", "billing", "NO", &[]);
            tokio::spawn(async move { ledger.append(opening).await })
        };
        let mut tasks = vec![append(1)];
        tokio::task::yield_now().await;
        disk.wait_for_held_sync();
        tasks.extend((2..202).map(append));
        while ledger.counters().queued.load(Relaxed) < 201 {
            tokio::task::yield_now().await;
        }
        disk.release_syncs();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
    assert!(bench.count(|counters| &counters.syncs) - before <= 3);
    assert_eq!(bench.count(|counters| &counters.records), 202);
    bench.ledger.close();
    assert!(bench.verify().is_good());
}

#[test]
fn batch_and_async_do_not_wait_for_the_disk() {
    for durability in [Durability::Batch(Duration::from_millis(10)), Durability::Async] {
        let bench = bench(|settings| settings.durability = durability);
        bench.disk.hold_syncs();
        for number in 0..100 {
            bench.append(number).unwrap();
        }
        bench.disk.release_syncs();
        bench.ledger.close();
        assert_eq!(bench.count(|counters| &counters.records), 100);
        let found = bench.verify();
        assert!(found.is_good(), "{:?}", found.findings);
        assert!(bench.count(|counters| &counters.syncs) < 50, "{durability:?}");
    }
}

#[test]
fn a_failed_sync_is_not_tried_again_on_its_segment_and_what_was_not_confirmed_is_said() {
    let bench = bench(|_| {});
    bench.append(0).unwrap();
    let confirmed = fs::read(bench.segment(1)).unwrap().len();
    bench.disk.fail_syncs(1);
    bench.append(1).unwrap();
    bench.append(2).unwrap();
    let Body::Segment(start) = &bench.records(2)[0].body else { panic!("no start") };
    // The record and its head.
    assert_eq!(start.unconfirmed, Some(2));
    assert_eq!(bench.records(2)[0].seq, bench.records(1).iter().map(|record| record.seq).max().unwrap() - 1);
    assert!(fs::read(bench.segment(1)).unwrap().len() > confirmed);
    assert_eq!(bench.count(|counters| &counters.failures), 1);
    bench.ledger.close();
    let found = bench.verify();
    assert!(found.is_good(), "{:?}", found.findings);
    assert_eq!(found.chains[0].unconfirmed, 2);
    // What was not confirmed may be torn, too.
    let torn = fs::read(bench.segment(1)).unwrap();
    fs::write(bench.segment(1), &torn[..torn.len() - 30]).unwrap();
    assert!(bench.verify().is_good());
    fs::write(bench.segment(1), &torn[..confirmed - 30]).unwrap();
    assert!(!bench.verify().is_good());
}

#[test]
fn a_disk_that_goes_on_failing_is_said_and_one_that_works_again_is_noticed_without_records() {
    let bench = bench(|_| {});
    bench.append(0).unwrap();
    bench.disk.fail_syncs(u64::MAX);
    assert_eq!(bench.append(1), Err(AppendError::Failed));
    assert!(bench.ledger.counters().failing.load(Relaxed));
    assert_eq!((bench.count(|counters| &counters.unconfirmed), bench.count(|counters| &counters.refused)), (1, 1));
    bench.disk.fail_syncs(0);
    until(|| !bench.ledger.counters().failing.load(Relaxed));
    bench.append(2).unwrap();
    bench.ledger.close();
    let found = bench.verify();
    assert!(found.is_good(), "{:?}", found.findings);
}

#[test]
fn a_disk_that_fails_before_there_is_a_chain_is_not_taken_for_one_that_works() {
    let bench = bench(|settings| settings.tick = Duration::from_millis(2));
    bench.disk.set_room(Some(0));
    assert_eq!(bench.append(0), Err(AppendError::Failed));
    thread::sleep(Duration::from_millis(50));
    assert!(bench.ledger.counters().failing.load(Relaxed));
    bench.disk.set_room(None);
    until(|| !bench.ledger.counters().failing.load(Relaxed));
    bench.append(1).unwrap();
    bench.ledger.close();
    assert!(bench.verify().is_good());
}

#[test]
fn what_async_loses_is_counted_and_said_in_the_chain() {
    let bench = bench(|settings| settings.durability = Durability::Async);
    bench.append(0).unwrap();
    until(|| bench.count(|counters| &counters.syncs) == 1);
    bench.disk.fail_syncs(1);
    bench.append(1).unwrap();
    until(|| bench.count(|counters| &counters.unconfirmed) > 0);
    bench.append(2).unwrap();
    bench.ledger.close();
    // The record and its head.
    assert_eq!(bench.count(|counters| &counters.unconfirmed), 2);
    let found = bench.verify();
    assert!(found.is_good(), "{:?}", found.findings);
    assert_eq!(found.chains[0].unconfirmed, 2);
}

#[test]
fn no_record_names_a_subject_whose_key_is_not_on_disk() {
    let bench = bench(|_| {});
    bench.append(0).unwrap();
    let [opening, _] = samples::exchange(1, "ola", "mail", "DE", &[]);
    // Both ways to keep the key fail.
    bench.disk.fail_syncs(2);
    assert_eq!(samples::run(bench.ledger.append(opening.clone())), Err(AppendError::Failed));
    assert!(bench.verify().is_good() && bench.records(1).len() == 3);
    until(|| samples::run(bench.ledger.append(opening.clone())).is_ok());
    let keys = layout::keys(bench.directory.path(), &"edge-1".parse().unwrap());
    let ola = store::find(&keys, &samples::caller("ola")).unwrap();
    bench.ledger.close();
    let last = layout::segments(&bench.directory.path().join("edge-1/365d")).unwrap().len() as u64;
    assert!(ola.is_some() && bench.records(last).iter().any(|record| record.caller == ola));
}

#[test]
fn a_full_disk_is_said_before_and_when_it_is_full() {
    let bench = bench(|settings| settings.min_free = 1000);
    bench.append(0).unwrap();
    bench.disk.set_room(Some(999));
    until(|| bench.ledger.counters().failing.load(Relaxed));
    assert_eq!(bench.append(1), Err(AppendError::Full));
    bench.disk.set_room(None);
    until(|| !bench.ledger.counters().failing.load(Relaxed));
    bench.append(2).unwrap();
    bench.ledger.close();
    assert!(bench.verify().is_good());
}

#[test]
fn a_record_that_was_cut_by_a_full_disk_is_followed_by_a_new_segment() {
    let bench = bench(|settings| settings.tick = Duration::from_secs(3600));
    bench.append(0).unwrap();
    bench.disk.set_room(Some(100));
    assert_eq!(bench.append(1), Err(AppendError::Failed));
    bench.disk.set_room(None);
    until(|| bench.append(2).is_ok());
    bench.ledger.close();
    let found = bench.verify();
    assert!(found.is_good(), "{:?}", found.findings);
    assert_eq!(found.chains[0].segments, 2);
}

#[test]
fn waiting_is_bounded_for_room_and_for_the_disk() {
    let bench = bench(|settings| {
        settings.queue = 1;
        settings.patience = Duration::from_millis(50);
    });
    bench.append(0).unwrap();
    bench.disk.hold_syncs();
    assert_eq!(bench.append(1), Err(AppendError::TimedOut));
    assert_eq!(bench.append(2), Err(AppendError::Busy));
    assert_eq!(bench.count(|counters| &counters.queued), 1);
    bench.disk.release_syncs();
    until(|| bench.append(3).is_ok());
    bench.ledger.close();
    assert_eq!(bench.append(4), Err(AppendError::Closed));
    assert!(bench.verify().is_good());
}

#[test]
fn old_segments_are_deleted_by_class_which_is_recorded_and_the_rest_stays_verifiable() {
    let bench = bench(|settings| {
        settings.segment_bytes = 1;
        settings.tick = Duration::from_millis(2);
    });
    let short = Retention::new(Duration::from_secs(1)).unwrap();
    for number in 0..3 {
        bench.append(number).unwrap();
        let closing = crate::record::Closing::new(samples::request(number), 200, crate::vocabulary::Outcome::Complete);
        samples::run(bench.ledger.append(Entry::closing(short, samples::time(1), None, &closing))).unwrap();
    }
    let chain = bench.directory.path().join("edge-1/1s");
    until(|| bench.count(|counters| &counters.deleted_segments) >= 2);
    bench.ledger.close();
    let found = bench.verify();
    assert!(found.is_good(), "{:?}", found.findings);
    let deleted: Vec<u64> = found.chains.iter().map(|chain| chain.deleted_segments).collect();
    assert!(deleted[0] >= 2, "{deleted:?}");
    assert_eq!((found.chains[1].name.retention.as_str(), deleted[1], found.chains[1].segments), ("365d", 0, 3));
    let first = layout::segments(&chain).unwrap()[0];
    assert_eq!(first, deleted[0] + 1);
    let deletions = |number: &u64| {
        let text = fs::read_to_string(layout::file(&chain, *number, layout::SEGMENT)).unwrap();
        text.contains("\"deletion\"")
    };
    assert!(layout::segments(&chain).unwrap().iter().any(deletions));
}

#[test]
fn an_erased_subject_is_not_found_and_the_chain_stays_valid() {
    let bench = bench(|_| {});
    samples::write(&bench.ledger, 4);
    let keys = layout::keys(bench.directory.path(), &"edge-1".parse().unwrap());
    let [kari, ola] = ["kari", "ola"].map(samples::caller);
    let pseudonym = store::find(&keys, &kari).unwrap();
    assert!(samples::run(bench.ledger.erase(kari.clone())).unwrap());
    assert!(!samples::run(bench.ledger.erase(kari.clone())).unwrap());
    assert_eq!(store::find(&keys, &kari).unwrap(), None);
    // Asked by another process.
    let gateway = "edge-1".parse().unwrap();
    let request = erase::request(bench.directory.path(), &gateway, &ola, &crate::storage::Disk).unwrap();
    until(|| erase::is_done(&request));
    assert_eq!(store::find(&keys, &ola).unwrap(), None);
    bench.ledger.close();
    assert_eq!(bench.count(|counters| &counters.erased), 2);
    let found = bench.verify();
    assert!(found.is_good(), "{:?}", found.findings);
    assert_eq!(found.chains[0].erased, 2);
    let erasure = bench.records(1).into_iter().find(|record| matches!(record.body, Body::Erasure(_))).unwrap();
    assert_eq!(erasure.caller, pseudonym);
}

#[test]
fn an_erasure_that_was_broken_off_is_finished_at_the_next_start() {
    let bench = bench(|_| {});
    samples::write(&bench.ledger, 2);
    bench.ledger.close();
    let gateway = "edge-1".parse().unwrap();
    let keys = layout::keys(bench.directory.path(), &gateway);
    let kari = samples::caller("kari");
    let pseudonym = store::find(&keys, &kari).unwrap().unwrap();
    let request = erase::request(bench.directory.path(), &gateway, &kari, &crate::storage::Disk).unwrap();
    // As it is when the key has been deleted, and nothing is recorded yet.
    let asked = fs::read_to_string(&request).unwrap();
    fs::write(&request, format!("{asked}erasing {pseudonym}\n")).unwrap();
    let left: Vec<String> = fs::read_to_string(&keys).unwrap().lines().map(str::to_owned).collect();
    let left = left.into_iter().filter(|line| !line.starts_with(asked.trim_end())).collect::<Vec<_>>();
    assert_eq!(left.len(), 1);
    fs::write(&keys, left.join("\n") + "\n").unwrap();
    let ledger = samples::open(samples::settings(bench.directory.path()));
    until(|| erase::is_done(&request));
    ledger.close();
    let erased = bench.records(2).into_iter().find(|record| matches!(record.body, Body::Erasure(_))).unwrap();
    assert_eq!(erased.caller, Some(pseudonym));
    assert!(bench.verify().is_good());
}

#[test]
fn a_ledger_has_one_writer_and_goes_on_where_it_ended() {
    let bench = bench(|_| {});
    bench.append(0).unwrap();
    let settings = || samples::settings(bench.directory.path());
    assert!(matches!(Ledger::open(settings(), Arc::new(bench.disk.clone())), Err(OpenError::InUse)));
    bench.ledger.close();
    for number in 1..4 {
        let (ledger, opened) = Ledger::open(settings(), Arc::new(bench.disk.clone())).unwrap();
        assert!(opened.recoveries.is_empty() && opened.keys == KeyFile::default(), "{opened:?}");
        samples::write(&ledger, number);
        ledger.close();
    }
    let found = bench.verify();
    assert_eq!((found.chains[0].segments, found.is_good()), (4, true), "{:?}", found.findings);
}

#[test]
fn a_torn_tail_is_cut_reported_and_recorded_at_every_byte_of_the_last_record() {
    let bench = bench(|_| {});
    samples::write(&bench.ledger, 2);
    bench.ledger.close();
    let whole = fs::read(bench.segment(1)).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for length in last..whole.len() {
        let copy = tempfile::tempdir().unwrap();
        let chain = copy.path().join("edge-1/365d");
        fs::create_dir_all(&chain).unwrap();
        fs::write(layout::file(&chain, 1, layout::SEGMENT), &whole[..length]).unwrap();
        let (ledger, opened) = Ledger::open(samples::settings(copy.path()), Arc::new(FaultyDisk::new())).unwrap();
        if length % 2 == 0 {
            samples::write(&ledger, 1);
        }
        ledger.close();
        let cut = (length - last) as u64;
        let reported: Vec<u64> = opened.recoveries.iter().map(|(_, recovery)| recovery.cut).collect();
        // Also where nothing is left of the last record: its commit has no end.
        assert_eq!(reported, [cut]);
        let found = verify(copy.path(), &Known::default()).unwrap();
        assert!(found.is_good(), "cut at {length}: {:?}", found.findings);
        assert_eq!(found.chains[0].cut, cut);
    }
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn no_principal_is_in_any_file_file_name_or_answer() {
    let canary = "canary-7f3a@example.no";
    let bench = bench(|_| {});
    for entry in samples::exchange(1, canary, "billing", "NO", &[]) {
        samples::run(bench.ledger.append(entry)).unwrap();
    }
    bench.ledger.close();
    let directory = bench.directory.path();
    erase::request(directory, &"edge-1".parse().unwrap(), &samples::caller(canary), &crate::storage::Disk).unwrap();
    let exchanges = query(directory, &Filter::default()).unwrap();
    let (processing, breach) =
        (processing(directory, Span::default()).unwrap(), breach(directory, Span::default()).unwrap());
    let answers = [
        render::exchanges(&exchanges),
        render::json(&exchanges).unwrap(),
        render::processing(&processing),
        render::json(&processing).unwrap(),
        render::breach(&breach),
        render::json(&breach).unwrap(),
        render::verification(&bench.verify()),
        format!("{:?}", bench.ledger),
    ];
    assert!(answers.iter().all(|answer| !answer.is_empty() && !answer.contains("canary")), "{answers:?}");
    // Segment, index, keys, request, lock.
    let files = files(directory);
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let content = fs::read(&file).unwrap();
        assert!(!file.to_string_lossy().contains("canary"), "{}", file.display());
        assert!(!content.windows(6).any(|part| part == b"canary"), "{}", file.display());
    }
}
