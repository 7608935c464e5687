//! The thread that writes. Records that wait are one group: they are linked, written and synced together, and then each
//! caller is told.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use super::chain::{Chain, Common, Unlinked};
use super::{AppendError, Counters, Durability, Entry, EraseError, OpenError, Opened, Settings, Shared};
use crate::head::{ChainName, SignedHead};
use crate::layout;
use crate::line;
use crate::record::{Body, Erasure, Pseudonym, Recovery};
use crate::storage::Storage;
use crate::subjects::Caller;
use crate::subjects::erase::{self, Request};
use crate::subjects::store::Store;
use crate::time::Timestamp;
use crate::words::{Name, Retention};

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

/// The most records of one group, so that it is bounded what a failure takes.
const GROUP: usize = 4096;
/// How long nothing is tried after a failure: a disk that fails slowly shall not make everybody wait.
const PAUSE: Duration = Duration::from_secs(1);
/// From one look for old segments to the next.
const SWEEP: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Writer {
    gateway: Name,
    durability: Durability,
    min_free: u64,
    tick: Duration,
    common: Common,
    shared: Arc<Shared>,
    keys: Store,
    chains: BTreeMap<Retention, Chain>,
    /// There is too little space.
    full: bool,
    /// Nothing is tried before.
    pause_until: Option<Instant>,
    last_sync: Option<Instant>,
    next_tick: Instant,
    next_sweep: Instant,
    /// Held as long as the ledger is open.
    _lock: File,
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Writer {
    pub(super) fn open(
        settings: Settings,
        storage: Arc<dyn Storage>,
        shared: Arc<Shared>,
        lock: File,
    ) -> Result<(Self, Opened), OpenError> {
        let (keys, found) = Store::open(&settings.keys, storage.clone())?;
        let common = Common {
            directory: settings.directory,
            storage,
            signing_key: settings.signing_key,
            segment_bytes: settings.segment_bytes,
            segment_age: settings.segment_age,
            keep_until_shipped: settings.keep_until_shipped,
        };
        let mut writer = Self {
            gateway: settings.gateway,
            durability: settings.durability,
            min_free: settings.min_free,
            tick: settings.tick,
            common,
            shared,
            keys,
            chains: BTreeMap::new(),
            full: false,
            pause_until: None,
            last_sync: None,
            next_tick: Instant::now(),
            next_sweep: Instant::now(),
            _lock: lock,
        };
        let mut opened = Opened { recoveries: Vec::new(), keys: found };
        for name in layout::chains(&writer.common.directory)? {
            if name.gateway != writer.gateway {
                continue;
            }
            if let Some(recovery) = writer.open_chain(name.retention)? {
                opened.recoveries.push((name, recovery));
            }
        }
        writer.show_heads();
        Ok((writer, opened))
    }

    /// Runs until it is told to end, or nobody is left who could tell it anything.
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        let mut open = true;
        while open {
            let mut group = Vec::new();
            let mut erasures = Vec::new();
            let mut until = self.next_tick;
            loop {
                let wait = until.saturating_duration_since(Instant::now());
                match queue.recv_timeout(wait) {
                    Ok(Message::Append(entry, done)) => {
                        if group.is_empty() {
                            until = self.group_ends();
                        }
                        group.push((entry, done));
                    }
                    Ok(Message::Erase(caller, done)) => {
                        erasures.push((caller, done));
                        until = Instant::now();
                    }
                    Err(RecvTimeoutError::Timeout) => break,
                    Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => {
                        open = false;
                        break;
                    }
                }
                if group.len() >= GROUP {
                    break;
                }
            }
            self.commit(group);
            for (caller, done) in erasures {
                // Whoever gave up asking has it erased all the same.
                let _ = done.send(self.erase(&caller));
            }
            if Instant::now() >= self.next_tick {
                self.look_after();
            }
        }
        self.sync_all();
    }

    /// Until when records join a group whose first one has just come.
    fn group_ends(&self) -> Instant {
        let now = Instant::now();
        match self.durability {
            Durability::Sync { pace } => self.last_sync.map_or(now, |last| last + pace),
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
            let result = self.commit_class(retention, &group);
            let counters = &self.shared.counters;
            Counters::add(if result.is_ok() { &counters.records } else { &counters.unconfirmed }, group.len() as u64);
            results.push((result, group));
        }
        // Whoever is told finds the head that his record is under.
        self.show_heads();
        for (result, group) in results {
            for done in group.into_iter().filter_map(|(_, done)| done) {
                // The caller may have given up.
                let _ = done.send(result);
            }
        }
        self.shared.counters.queued.fetch_sub(count as u64, Relaxed);
        self.shared.room.add_permits(count);
    }

    fn commit_class(&mut self, retention: Retention, group: &[Waiting]) -> Result<(), AppendError> {
        if self.full {
            return Err(AppendError::Full);
        }
        if self.pause_until.is_some_and(|until| Instant::now() < until) {
            return Err(AppendError::Failed);
        }
        let written = self.link(group).and_then(|callers| {
            let records = group.iter().zip(callers).map(|((entry, _), caller)| entry.unlinked(caller));
            let records: Vec<_> = records.collect();
            self.write(retention, &records).or_else(|error| {
                tracing::error!(%error, %retention, "the audit trail failed on a segment; a new one begins");
                self.count_lost(retention, records.len());
                self.write(retention, &records)
            })
        });
        self.note_health(&written);
        written.map_err(|_| AppendError::Failed)
    }

    /// The pseudonyms of a group, whose keys are on disk before any record that has one.
    fn link(&mut self, group: &[Waiting]) -> io::Result<Vec<Option<Pseudonym>>> {
        let mut pseudonym = |(entry, _): &Waiting| match &entry.caller {
            Some(caller) => self.keys.pseudonym(caller).map(Some).map_err(io::Error::other),
            None => Ok(None),
        };
        let callers = group.iter().map(&mut pseudonym).collect::<io::Result<Vec<_>>>()?;
        self.keys.sync()?;
        Ok(callers)
    }

    /// Writes records to a chain, and syncs it unless it may come later.
    fn write(&mut self, retention: Retention, group: &[Unlinked<'_>]) -> io::Result<()> {
        self.open_chain(retention)?;
        let Some(chain) = self.chains.get_mut(&retention) else { return Err(io::ErrorKind::NotFound.into()) };
        let counters = &self.shared.counters;
        let mut write = || {
            let bytes = chain.write(group, now(), &self.common)?;
            Counters::add(&counters.bytes, bytes);
            if self.durability == Durability::Async { Ok(false) } else { chain.sync() }
        };
        let result = write();
        match result {
            Ok(true) => {
                Counters::add(&counters.syncs, 1);
                self.last_sync = Some(Instant::now());
            }
            Ok(false) => {}
            Err(_) => Counters::add(&counters.failures, 1),
        }
        result.map(drop)
    }

    /// Counts what a failure took besides the group that is tried once more: where syncs come later, groups before it.
    fn count_lost(&self, retention: Retention, group: usize) {
        let lost = self.chains.get(&retention).map_or(0, Chain::unconfirmed).saturating_sub(group as u64 + 1);
        Counters::add(&self.shared.counters.unconfirmed, lost);
    }

    /// Opens the chain of a class, and records what had to be cut.
    fn open_chain(&mut self, retention: Retention) -> io::Result<Option<Recovery>> {
        if self.chains.contains_key(&retention) {
            return Ok(None);
        }
        let name = ChainName { gateway: self.gateway.clone(), retention };
        let (mut chain, recovery) = Chain::open(name, &self.common)?;
        if let Some(recovery) = &recovery {
            let body = line::body(&Body::Recovery(recovery.clone()))?;
            chain.write(&[Unlinked { body: &body, caller: None, time: now() }], now(), &self.common)?;
            chain.sync()?;
        }
        self.chains.insert(retention, chain);
        Ok(recovery)
    }

    /// Erases a subject by a request, so that nothing of it is left out after a crash.
    fn erase(&mut self, caller: &Caller) -> Result<bool, EraseError> {
        if self.keys.known(caller).is_none() {
            return Ok(false);
        }
        erase::request(&self.common.directory, &self.gateway, caller, &*self.common.storage)
            .map_err(EraseError::Keys)?;
        self.carry_out_requests().map(|()| true)
    }

    /// Carries out every request there is, up to the first that can't be at present.
    fn carry_out_requests(&mut self) -> Result<(), EraseError> {
        let requests = erase::requests(&self.common.directory, &self.gateway).map_err(EraseError::Keys)?;
        requests.into_iter().try_for_each(|request| self.carry_out(request))
    }

    /// Deletes a subject's key, then says so in every chain that may have records of it.
    fn carry_out(&mut self, mut request: Request) -> Result<(), EraseError> {
        let storage = self.common.storage.clone();
        if request.pseudonym.is_none()
            && let Some(pseudonym) = self.keys.known(&request.caller)
        {
            request.begin(pseudonym, &*storage).map_err(EraseError::Keys)?;
        }
        if let Some(pseudonym) = request.pseudonym {
            if self.keys.erase(&request.caller, pseudonym).map_err(EraseError::Keys)? {
                Counters::add(&self.shared.counters.erased, 1);
            }
            self.record_erasure(pseudonym).map_err(EraseError::Unrecorded)?;
        }
        request.end(&*storage).map_err(EraseError::Unrecorded)
    }

    fn record_erasure(&mut self, pseudonym: Pseudonym) -> io::Result<()> {
        let body = line::body(&Body::Erasure(Erasure {}))?;
        let classes: Vec<Retention> = self.chains.keys().copied().collect();
        for retention in classes {
            let record = [Unlinked { body: &body, caller: Some(pseudonym), time: now() }];
            let written = self.write(retention, &record).or_else(|_| self.write(retention, &record));
            self.note_health(&written);
            written?;
        }
        // Where records need not be on disk at once, this one has to all the same.
        self.chains.values_mut().try_for_each(|chain| chain.sync().map(drop))
    }

    /// Everything that is due without a record: space, syncs, age, erasures, whether a disk that failed works again.
    fn look_after(&mut self) {
        self.next_tick = Instant::now() + self.tick;
        self.look_at_space();
        self.sync_all();
        if self.shared.counters.failing.load(Relaxed) && !self.full {
            let probed = self.chains.values_mut().try_for_each(|chain| chain.probe(now(), &self.common));
            self.note_health(&probed);
        }
        if let Err(error) = self.carry_out_requests() {
            tracing::error!(%error, "a request for erasure was not carried out; it is tried again");
        }
        if Instant::now() >= self.next_sweep {
            self.next_sweep = Instant::now() + SWEEP.min(self.tick * 60);
            self.sweep();
        }
        self.show_heads();
    }

    fn look_at_space(&mut self) {
        let full = match self.common.storage.free_space(&self.common.directory) {
            Ok(free) => free < self.min_free,
            // What can't be asked will say itself what is wrong with it.
            Err(_) => false,
        };
        if full && !self.full {
            tracing::error!(min_free = self.min_free, "there is too little space for the audit trail");
        }
        self.full = full;
        if full {
            self.shared.counters.failing.store(true, Relaxed);
        }
    }

    /// Ends old segments, and deletes those that nobody may keep any longer.
    fn sweep(&mut self) {
        for (retention, chain) in &mut self.chains {
            let swept = chain.rotate(now(), &self.common).and_then(|()| chain.delete_old(now(), &self.common));
            match swept {
                Ok(deleted) => Counters::add(&self.shared.counters.deleted_segments, deleted),
                Err(error) => tracing::error!(%error, %retention, "old segments of the audit trail were not deleted"),
            }
        }
    }

    fn sync_all(&mut self) {
        for (retention, chain) in &mut self.chains {
            match chain.sync() {
                Ok(true) => Counters::add(&self.shared.counters.syncs, 1),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, %retention, records = chain.unconfirmed(), "records of the audit trail were not confirmed");
                    Counters::add(&self.shared.counters.failures, 1);
                    Counters::add(&self.shared.counters.unconfirmed, chain.unconfirmed());
                }
            }
        }
    }

    /// Notes whether the last thing that was tried worked, and pauses where it did not.
    fn note_health(&mut self, result: &io::Result<()>) {
        let failing = &self.shared.counters.failing;
        match result {
            Ok(()) => {
                self.pause_until = None;
                if failing.swap(false, Relaxed) {
                    tracing::info!("the audit trail is written again");
                }
            }
            Err(error) => {
                self.pause_until = Some(Instant::now() + PAUSE.min(self.tick));
                failing.store(true, Relaxed);
                tracing::error!(%error, "the audit trail can't be written");
            }
        }
    }

    fn show_heads(&self) {
        let mut heads = self.shared.heads.lock().unwrap_or_else(PoisonError::into_inner);
        for (retention, chain) in &self.chains {
            if let Some(head) = chain.head() {
                heads.insert(*retention, SignedHead { head, note: chain.note().cloned() });
            }
        }
    }
}
