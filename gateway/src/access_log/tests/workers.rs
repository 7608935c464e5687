//! From a worker's records to what is written.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, sync_channel};

use serde_json::{Value, json};

use super::*;
use crate::access_log::target::{AccessLog, Target};
use crate::access_log::worker::{FLUSH_INTERVAL, WorkerLog};
use crate::access_log::writer::Message;
use crate::model::{LogCondition, LogConditions, LogSample, RouteLog};

/// With whole addresses.
fn whole(target: LogTarget) -> Config {
    Config { include: Disclosure { full_address: true, ..Disclosure::default() }, ..config(target) }
}

fn lines(path: &std::path::Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// A worker with one log, of which nobody writes what comes out of the queue.
fn unwritten(config: Config, room: usize) -> (WorkerLog, Arc<Target>, Receiver<Message>) {
    let (queue, messages) = sync_channel(room);
    let target = Target::of(queue);
    (WorkerLog::new(&[config], std::slice::from_ref(&target)), target, messages)
}

#[test]
fn all_lines_reach_the_file_and_reopening_follows_a_move() {
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
    let config = config(LogTarget::File(path.clone()));
    let log = AccessLog::new(Arc::default());
    let target = log.open(&config.target).unwrap();
    let mut worker = WorkerLog::new(&[config], std::slice::from_ref(&target));
    for _line in 0..1000 {
        worker.record(&exchange("/a"), None);
    }
    worker.flush();
    assert!(worker.outlets[0].buffer.is_empty());
    assert!(log.finish());
    std::fs::rename(&path, &moved).unwrap();
    log.reopen();
    worker.record(&exchange("/b"), None);
    drop(worker);
    assert!(log.finish());
    assert_eq!(lines(&moved).len(), 1000);
    let after = lines(&path);
    assert_eq!(after.len(), 1);
    assert_eq!(serde_json::from_str::<Value>(&after[0]).unwrap()["path"], "/b");
    assert_eq!(target.dropped.load(Relaxed), 0);
}

#[test]
fn a_stuck_writer_holds_up_no_worker() {
    // Nobody reads the queue, which has room for one buffer.
    let (mut worker, target, stuck) = unwritten(config(LogTarget::Stdout), 1);
    for _line in 0..3 {
        worker.record(&exchange("/"), None);
        worker.flush();
    }
    assert_eq!(target.dropped.load(Relaxed), 2);
    assert!(worker.outlets[0].buffer.is_empty());
    drop(stuck);
}

#[test]
fn an_old_buffer_is_handed_over_by_the_next_line() {
    let (mut worker, _target, messages) = unwritten(config(LogTarget::Stdout), 4);
    let mut exchange = exchange("/");
    worker.record(&exchange, None);
    assert!(messages.try_recv().is_err());
    exchange.started += FLUSH_INTERVAL;
    worker.record(&exchange, None);
    assert!(matches!(messages.try_recv(), Ok(Message::Lines { lines: 2, .. })));
}

#[test]
fn a_log_has_what_it_and_the_route_select() {
    let only = |conditions| LogSelection { when: vec![LogCondition::All(conditions)], sample: None };
    let ok = || LogConditions { statuses: Some(vec![200..=200]), ..LogConditions::default() };
    let other = || LogConditions { sources: Some(vec!["gateway"]), ..LogConditions::default() };
    let none =
        LogSelection { sample: Some(LogSample { per_million: 0, always: Vec::new() }), ..LogSelection::default() };
    let all = || Some(LogSample { per_million: 1_000_000, always: Vec::new() });
    for (log, route, logged) in [
        (LogSelection::default(), None, true),
        (only(ok()), None, true),
        (only(other()), None, false),
        (none.clone(), None, false),
        (LogSelection::default(), Some(RouteLog::Off), false),
        (LogSelection::default(), Some(RouteLog::Only(only(other()))), false),
        (only(other()), Some(RouteLog::Only(only(ok()))), false),
        (only(ok()), Some(RouteLog::Only(only(ok()))), true),
        (LogSelection::default(), Some(RouteLog::Only(none.clone())), false),
        (none, Some(RouteLog::Only(LogSelection { when: Vec::new(), sample: all() })), true),
    ] {
        let said = format!("{log:?} and {route:?}");
        let (mut worker, ..) = unwritten(Config { selection: log, ..config(LogTarget::Stdout) }, 1);
        worker.record(&exchange("/"), route.as_ref());
        assert_eq!(!worker.outlets[0].buffer.is_empty(), logged, "{said}");
    }
}

#[test]
fn lines_of_an_old_configuration_never_reach_the_target_of_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let [old, new] = ["old.log", "new.log"].map(|name| LogTarget::File(directory.path().join(name)));
    let log = AccessLog::new(Arc::default());
    let [first, second] = [&old, &new].map(|target| log.open(target).unwrap());
    let [mut early, mut late] = [(); 2].map(|()| WorkerLog::new(&[whole(old.clone())], std::slice::from_ref(&first)));
    drop(first);
    early.record(&exchange("/"), None);
    late.record(&exchange("/"), None);
    // One worker takes the configuration up, and its lines are written, before the other one hands its own over.
    early.reconfigure(&[config(new)], std::slice::from_ref(&second));
    early.record(&exchange("/"), None);
    early.flush();
    assert!(log.finish());
    late.flush();
    drop(late);
    assert!(log.finish(), "nobody has the old log any more, and its thread has written all");
    let clients = |name: &str| -> Vec<Value> {
        let lines = lines(&directory.path().join(name));
        lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["client"].clone()).collect()
    };
    assert_eq!(clients("old.log"), ["192.0.2.77", "192.0.2.77"]);
    assert_eq!(clients("new.log"), ["192.0.2.0"]);
}

#[test]
fn what_is_no_longer_included_is_gone_with_the_next_line() {
    let (mut worker, target, messages) = unwritten(whole(LogTarget::Stdout), 4);
    worker.record(&exchange("/"), None);
    worker.reconfigure(&[config(LogTarget::Stdout)], &[target]);
    worker.record(&exchange("/"), None);
    worker.flush();
    let client = || match messages.try_recv() {
        Ok(Message::Lines { bytes, .. }) => serde_json::from_slice::<Value>(&bytes).unwrap()["client"].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((client(), client()), (json!("192.0.2.77"), json!("192.0.2.0")));
}
