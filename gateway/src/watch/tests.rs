//! The watcher on real files. Time limits are only there for the case of failure.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;

use super::*;

/// Far longer than anything here should take.
const LIMIT: Duration = Duration::from_secs(20);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Waits for a notification.
fn notified(receiver: &mut Receiver<()>) {
    let taken = runtime().block_on(async { tokio::time::timeout(LIMIT, receiver.recv()).await });
    assert_eq!(taken.expect("a notification in time"), Some(()));
}

/// Whether there is one within a time that is long for the watcher.
fn quiet(receiver: &mut Receiver<()>) -> bool {
    let wait = Duration::from_millis(300);
    runtime().block_on(async { tokio::time::timeout(wait, receiver.recv()).await }).is_err()
}

/// Only events: a poll can't be what noticed.
fn by_events() -> WatchOptions {
    WatchOptions { debounce: Duration::from_millis(20), poll: LIMIT * 10, ..WatchOptions::default() }
}

/// Only polls.
fn by_polls() -> WatchOptions {
    let poll = Duration::from_millis(20);
    WatchOptions { debounce: Duration::from_millis(20), poll, events: false, ..WatchOptions::default() }
}

/// Runs a change against both ways of noticing.
fn check(prepare: impl Fn(&Path) -> PathBuf, change: impl Fn(&Path)) {
    for options in [by_events(), by_polls()] {
        let directory = tempfile::tempdir().unwrap();
        let path = prepare(directory.path());
        let (watch, mut receiver) = Watch::start(vec![path], options);
        change(directory.path());
        notified(&mut receiver);
        drop(watch);
    }
}

fn file(directory: &Path) -> PathBuf {
    let path = directory.join("gateway.yaml");
    fs::write(&path, "old").unwrap();
    path
}

#[test]
fn a_file_written_in_place() {
    check(file, |directory| fs::write(directory.join("gateway.yaml"), "longer").unwrap());
}

#[test]
fn a_file_replaced_by_rename() {
    check(file, |directory| {
        fs::write(directory.join(".gateway.yaml.swp"), "new").unwrap();
        fs::rename(directory.join(".gateway.yaml.swp"), directory.join("gateway.yaml")).unwrap();
    });
}

#[test]
fn a_file_that_is_removed_and_one_that_comes() {
    check(file, |directory| fs::remove_file(directory.join("gateway.yaml")).unwrap());
    check(|directory| directory.join("gateway.yaml"), |directory| drop(file(directory)));
}

#[test]
fn a_file_in_a_directory_that_does_not_exist_yet() {
    check(
        |directory| directory.join("a/b/c.yaml"),
        |directory| {
            fs::create_dir_all(directory.join("a/b")).unwrap();
            fs::write(directory.join("a/b/c.yaml"), "new").unwrap();
        },
    );
}

/// How a kubelet lays out and updates a ConfigMap.
#[test]
fn a_config_map() {
    let version = |directory: &Path, name: &str, content: &str| {
        fs::create_dir(directory.join(name)).unwrap();
        fs::write(directory.join(name).join("gateway.yaml"), content).unwrap();
        symlink(name, directory.join("..data_tmp")).unwrap();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    };
    check(
        |directory| {
            version(directory, "..2026_1", "old");
            symlink("..data/gateway.yaml", directory.join("gateway.yaml")).unwrap();
            directory.join("gateway.yaml")
        },
        |directory| {
            version(directory, "..2026_2", "new");
            fs::remove_dir_all(directory.join("..2026_1")).unwrap();
        },
    );
}

#[test]
fn a_link_to_a_file_elsewhere() {
    let prepare = |directory: &Path| {
        fs::create_dir(directory.join("real")).unwrap();
        fs::create_dir(directory.join("links")).unwrap();
        fs::write(directory.join("real/a"), "old").unwrap();
        symlink(directory.join("real/a"), directory.join("links/a")).unwrap();
        directory.join("links/a")
    };
    check(prepare, |directory| fs::write(directory.join("real/a"), "longer").unwrap());
    check(prepare, |directory| {
        fs::write(directory.join("real/b"), "new").unwrap();
        fs::remove_file(directory.join("links/a")).unwrap();
        symlink("../real/b", directory.join("links/a")).unwrap();
    });
}

/// A file in a directory of its own.
fn plugin(directory: &Path) -> PathBuf {
    let path = directory.join("plugins/auth.wasm");
    fs::create_dir(directory.join("plugins")).unwrap();
    fs::write(&path, "old").unwrap();
    path
}

#[test]
fn a_directory_that_is_replaced_again_and_again() {
    for options in [by_events(), by_polls()] {
        let directory = tempfile::tempdir().unwrap();
        let file = plugin(directory.path());
        let path = directory.path().join("plugins");
        let (_watch, mut receiver) = Watch::start(vec![file], options);
        for round in 0..3 {
            let next = directory.path().join("next");
            fs::create_dir(&next).unwrap();
            fs::write(next.join("auth.wasm"), format!("round {round}")).unwrap();
            fs::remove_dir_all(&path).unwrap();
            fs::rename(&next, &path).unwrap();
            notified(&mut receiver);
            // The new directory is watched in its turn.
            fs::write(path.join("auth.wasm"), format!("in round {round}")).unwrap();
            notified(&mut receiver);
        }
    }
}

#[test]
fn a_linked_directory_that_is_swapped() {
    check(
        |directory| {
            fs::create_dir(directory.join("v1")).unwrap();
            fs::create_dir(directory.join("v2")).unwrap();
            fs::write(directory.join("v2/auth.wasm"), "new").unwrap();
            symlink("v1", directory.join("plugins")).unwrap();
            directory.join("plugins/auth.wasm")
        },
        |directory| {
            symlink("v2", directory.join("tmp")).unwrap();
            fs::rename(directory.join("tmp"), directory.join("plugins")).unwrap();
        },
    );
}

#[test]
fn other_files_do_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let path = plugin(directory.path());
    let (_watch, mut receiver) = Watch::start(vec![path.clone()], by_events());
    fs::write(path.with_file_name("auth.status.json"), "{}").unwrap();
    fs::write(path.with_file_name("other.wasm"), "a plugin that no route names").unwrap();
    fs::write(directory.path().join("access.log"), "line").unwrap();
    fs::read(&path).unwrap();
    assert!(quiet(&mut receiver));
    fs::write(&path, "longer").unwrap();
    notified(&mut receiver);
}

#[test]
fn thousands_of_other_files_cost_no_look_and_hide_no_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = plugin(directory.path());
    for number in 0..12_000 {
        fs::write(path.with_file_name(format!("junk-{number}.wasm")), "").unwrap();
    }
    assert!(Scan::of(std::slice::from_ref(&path)).steps.len() < 20, "only what the path is made of");
    let (watch, mut receiver) = Watch::start(vec![path.clone()], by_events());
    let junk: Vec<PathBuf> = vec![path.with_file_name("junk-7.wasm"), directory.path().join("access.log")];
    assert!(!watch.shared.concerns(&junk) && watch.shared.concerns(&[junk[0].clone(), path.clone()]));
    fs::write(&path, "longer").unwrap();
    notified(&mut receiver);
}

#[test]
fn writes_that_change_neither_size_nor_time_are_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path());
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let (_watch, mut receiver) = Watch::start(vec![path.clone()], by_events());
    for content in ["one", "two", "six"] {
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file.set_modified(modified).unwrap();
        drop(file);
        notified(&mut receiver);
    }
}

#[test]
fn a_slow_copy_is_reported_once_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("big");
    let options = WatchOptions { debounce: Duration::from_millis(500), limit: LIMIT, ..by_events() };
    let (_watch, mut receiver) = Watch::start(vec![path.clone()], options);
    let mut file = fs::File::create(&path).unwrap();
    let started = Instant::now();
    let (mut pieces, mut last, mut longest_pause) = (0, started, Duration::ZERO);
    while started.elapsed() < Duration::from_secs(1) {
        file.write_all(b"piece").unwrap();
        pieces += 1;
        longest_pause = longest_pause.max(last.elapsed());
        last = Instant::now();
    }
    // On a machine so busy that this thread stood still for a while, the file did look whole.
    let reported = receiver.try_recv().is_ok();
    assert!(!reported || longest_pause > Duration::from_millis(250), "reported while it was being written");
    file.write_all(b"piece").unwrap();
    pieces += 1;
    drop(file);
    notified(&mut receiver);
    assert_eq!(fs::read(&path).unwrap().len(), pieces * 5);
}

#[test]
fn files_that_are_never_quiet_are_reported_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path());
    let options = WatchOptions { debounce: LIMIT * 5, limit: Duration::from_millis(100), ..by_events() };
    let (_watch, mut receiver) = Watch::start(vec![path.clone()], options);
    let mut file = fs::File::create(&path).unwrap();
    let started = Instant::now();
    while receiver.try_recv().is_err() {
        assert!(started.elapsed() < LIMIT);
        file.write_all(b"x").unwrap();
    }
}

#[test]
fn notifications_merge_while_nobody_takes_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path());
    let (_watch, mut receiver) = Watch::start(vec![path.clone()], by_events());
    for round in 0..50 {
        fs::write(&path, "x".repeat(round)).unwrap();
    }
    notified(&mut receiver);
    // The last write is covered by this or by at most one more.
    while !quiet(&mut receiver) {}
    fs::write(&path, "last").unwrap();
    notified(&mut receiver);
}

#[test]
fn the_paths_can_be_replaced() {
    for options in [by_events(), by_polls()] {
        let directory = tempfile::tempdir().unwrap();
        let first = file(directory.path());
        let second = directory.path().join("second");
        fs::write(&second, "old").unwrap();
        let (watch, mut receiver) = Watch::start(vec![first.clone()], options);
        watch.set_paths(vec![second.clone()]);
        notified(&mut receiver);
        fs::write(&second, "longer").unwrap();
        notified(&mut receiver);
        // No new path: nothing to say.
        watch.set_paths(vec![second]);
        fs::write(&first, "no longer watched").unwrap();
        assert!(quiet(&mut receiver));
    }
}

#[test]
fn a_file_that_comes_just_before_the_paths_are_set_again_is_noticed() {
    // Neither events nor polls: only being told the paths makes it look.
    let options = WatchOptions { poll: LIMIT * 10, events: false, ..by_polls() };
    for paths in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let (watched, other) = (plugin(directory.path()), directory.path().join("other"));
        let given = [watched.clone(), other][..paths].to_vec();
        let (watch, mut receiver) = Watch::start(given, options.clone());
        fs::write(&watched, "longer").unwrap();
        watch.set_paths(vec![watched]);
        notified(&mut receiver);
    }
}

#[test]
fn the_thread_ends_with_the_watch() {
    let directory = tempfile::tempdir().unwrap();
    let (watch, mut receiver) = Watch::start(vec![file(directory.path())], by_events());
    drop(watch);
    let end = runtime().block_on(async { tokio::time::timeout(LIMIT, receiver.recv()).await });
    assert_eq!(end.expect("the thread ends"), None);
}
