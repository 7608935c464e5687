//! The thread that writes. Records that wait are one group: they are linked, written and synced together, and then each
//! caller is told.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::books::Books;
use super::{AppendError, Counters, Durability, Entry, EraseError, OpenError, Opened, Settings, Shared};
use crate::storage::Storage;
use crate::subjects::Caller;
use crate::words::Retention;

/// What the writer is asked.
#[derive(Debug)]
pub(super) enum Message {
    /// Write this, and say when it is on disk where somebody waits for it.
    Append(Entry, Option<oneshot::Sender<Result<(), AppendError>>>),
    /// Delete the key of this subject.
    Erase(Caller, oneshot::Sender<Result<bool, EraseError>>),
    /// Write what there is, and end.
    Close,
}

type Waiting = (Entry, Option<oneshot::Sender<Result<(), AppendError>>>);

/// What has come since the writer last wrote.
#[derive(Default)]
struct Gathered {
    group: Vec<Waiting>,
    erasures: Vec<(Caller, oneshot::Sender<Result<bool, EraseError>>)>,
    /// Nothing comes after this.
    closed: bool,
}

/// The most records of one group, so that it is bounded what a failure takes.
const GROUP: usize = 4096;
/// From one look for old segments to the next.
const SWEEP: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Writer {
    durability: Durability,
    min_free: u64,
    tick: Duration,
    books: Books,
    shared: Arc<Shared>,
    /// There is too little space.
    full: bool,
    next_tick: Instant,
    next_sweep: Instant,
    /// Held as long as the ledger is open.
    _lock: File,
}

impl Writer {
    pub(super) fn open(
        settings: Settings,
        storage: Arc<dyn Storage>,
        shared: Arc<Shared>,
        lock: File,
    ) -> Result<(Self, Opened), OpenError> {
        let Settings { durability, min_free, tick, .. } = settings;
        let (books, opened) = Books::open(settings, storage, shared.clone())?;
        let (next_tick, next_sweep) = (Instant::now(), Instant::now());
        let full = false;
        Ok((Self { durability, min_free, tick, books, shared, full, next_tick, next_sweep, _lock: lock }, opened))
    }

    /// Runs until it is told to end, or nobody is left who could tell it anything.
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        loop {
            let Gathered { group, erasures, closed } = self.gather(queue);
            self.commit(group);
            for (caller, done) in erasures {
                // Whoever gave up asking has it erased all the same.
                let _ = done.send(self.books.erase(&caller));
            }
            if closed {
                break;
            }
            if Instant::now() >= self.next_tick {
                self.look_after();
            }
        }
        self.books.sync_all();
        self.books.show_heads();
    }

    /// Waits for a group to come together, or until there is something else to do.
    fn gather(&self, queue: &Receiver<Message>) -> Gathered {
        let mut gathered = Gathered::default();
        let mut until = self.next_tick;
        while gathered.group.len() < GROUP {
            match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Append(entry, done)) => {
                    if gathered.group.is_empty() {
                        until = self.group_ends();
                    }
                    gathered.group.push((entry, done));
                }
                Ok(Message::Erase(caller, done)) => {
                    gathered.erasures.push((caller, done));
                    until = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => break,
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => {
                    gathered.closed = true;
                    break;
                }
            }
        }
        gathered
    }

    /// Until when records join a group whose first one has just come.
    fn group_ends(&self) -> Instant {
        let now = Instant::now();
        match self.durability {
            Durability::Sync { pace } => self.books.last_sync().map_or(now, |last| last + pace),
            Durability::Batch(time) => now + time,
            Durability::Async => now,
        }
    }

    /// Writes a group, each class in its chain, and tells the callers.
    fn commit(&mut self, group: Vec<Waiting>) {
        if group.is_empty() {
            return;
        }
        let count = group.len();
        let mut classes: BTreeMap<Retention, Vec<Waiting>> = BTreeMap::new();
        for waiting in group {
            classes.entry(waiting.0.retention).or_default().push(waiting);
        }
        let mut results = Vec::with_capacity(classes.len());
        for (retention, group) in classes {
            let result = if self.full {
                Err(AppendError::Full)
            } else {
                let entries = group.iter().map(|(entry, _)| entry);
                self.books.write_group(retention, entries).map_err(|_| AppendError::Failed)
            };
            let counters = &self.shared.counters;
            Counters::add(if result.is_ok() { &counters.records } else { &counters.unconfirmed }, group.len() as u64);
            results.push((result, group));
        }
        // Whoever is told finds the head that his record is under.
        self.books.show_heads();
        for (result, group) in results {
            for done in group.into_iter().filter_map(|(_, done)| done) {
                // The caller may have given up.
                let _ = done.send(result);
            }
        }
        self.shared.counters.queued.fetch_sub(count as u64, Relaxed);
        self.shared.room.add_permits(count);
    }

    /// Everything that is due without a record: space, syncs, age, erasures, whether a disk that failed works again.
    fn look_after(&mut self) {
        self.next_tick = Instant::now() + self.tick;
        self.look_at_space();
        self.books.sync_all();
        if !self.full {
            self.books.probe();
        }
        if let Err(error) = self.books.carry_out_requests() {
            tracing::error!(%error, "a request for erasure was not carried out; it is tried again");
        }
        if Instant::now() >= self.next_sweep {
            self.next_sweep = Instant::now() + SWEEP.min(self.tick.saturating_mul(60));
            self.books.sweep();
        }
        self.books.show_heads();
    }

    fn look_at_space(&mut self) {
        // What can't be asked will say itself what is wrong with it.
        let full = self.books.free_space().is_some_and(|free| free < self.min_free);
        if full && !self.full {
            tracing::error!(min_free = self.min_free, "there is too little space for the audit trail");
        }
        self.full = full;
        if full {
            self.shared.counters.failing.store(true, Relaxed);
        }
    }
}
