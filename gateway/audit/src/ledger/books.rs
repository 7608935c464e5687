//! The chains and keys of a gateway, as the one thread has them that writes. Whatever is written to them passes here, so that it
//! is counted, and known whether the disk works.

mod erasures;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::chain::{Chain, Common, Unlinked};
use super::{Counters, Durability, Entry, OpenError, Opened, Settings, Shared};
use crate::head::{ChainName, SignedHead};
use crate::layout;
use crate::line;
use crate::record::{Body, Pseudonym, Recovery};
use crate::storage::{Storage, replace};
use crate::subjects::store::Store;
use crate::time::Timestamp;
use crate::words::{Name, Retention};

/// The longest pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// The chains and keys of a gateway.
#[derive(Debug)]
pub(super) struct Books {
    gateway: Name,
    durability: Durability,
    /// For how long nothing is tried after a failure: a disk that fails slowly shall not make everybody wait.
    pause: Duration,
    common: Common,
    shared: Arc<Shared>,
    keys: Store,
    chains: BTreeMap<Retention, Chain>,
    /// Nothing is tried before.
    pause_until: Option<Instant>,
    last_sync: Option<Instant>,
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Books {
    /// Opens every chain of the gateway. What had to be cut is recorded in it.
    pub(super) fn open(
        settings: Settings,
        storage: Arc<dyn Storage>,
        shared: Arc<Shared>,
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
        let mut books = Self {
            gateway: settings.gateway,
            durability: settings.durability,
            pause: PAUSE.min(settings.tick),
            common,
            shared,
            keys,
            chains: BTreeMap::new(),
            pause_until: None,
            last_sync: None,
        };
        let mut opened = Opened { recoveries: Vec::new(), keys: found };
        for name in layout::chains(&books.common.directory)? {
            if name.gateway != books.gateway {
                continue;
            }
            if let Some(recovery) = books.open_chain(name.retention)? {
                opened.recoveries.push((name, recovery));
            }
        }
        books.show_heads();
        Ok((books, opened))
    }

    /// The pseudonyms of a group, whose keys are on disk before any record that has one.
    fn pseudonyms<'a>(&mut self, group: impl Iterator<Item = &'a Entry>) -> io::Result<Vec<Option<Pseudonym>>> {
        let pseudonym = |entry: &Entry| match &entry.caller {
            Some(caller) => self.keys.pseudonym(caller).map(Some).map_err(io::Error::other),
            None => Ok(None),
        };
        let callers = group.map(pseudonym).collect::<io::Result<Vec<_>>>()?;
        self.keys.sync()?;
        Ok(callers)
    }

    /// Writes a group to the chain of its class: if need be to a second segment, and not while the disk pauses.
    pub(super) fn write_group<'a>(
        &mut self,
        retention: Retention,
        group: impl Iterator<Item = &'a Entry> + Clone,
    ) -> io::Result<()> {
        if self.pause_until.is_some_and(|until| Instant::now() < until) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let written = self.pseudonyms(group.clone()).and_then(|callers| {
            let records: Vec<_> = group.zip(callers).map(|(entry, caller)| entry.unlinked(caller)).collect();
            self.write_twice(retention, &records)
        });
        self.note_health(&written);
        written
    }

    fn write_twice(&mut self, retention: Retention, records: &[Unlinked<'_>]) -> io::Result<()> {
        self.write(retention, records).or_else(|error| {
            tracing::error!(%error, %retention, "the audit trail failed on a segment; a new one begins");
            self.count_lost(retention, records.len());
            self.write(retention, records)
        })
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
            tracing::warn!(?recovery, %retention, "the audit trail was not closed");
            let body = line::body(&Body::Recovery(recovery.clone()))?;
            chain.write(&[Unlinked { body: &body, caller: None, time: now() }], now(), &self.common)?;
            chain.sync()?;
        }
        self.chains.insert(retention, chain);
        Ok(recovery)
    }

    /// Syncs what is not on disk yet.
    pub(super) fn sync_all(&mut self) {
        let mut failed = Ok(());
        for (retention, chain) in &mut self.chains {
            match chain.sync() {
                Ok(true) => Counters::add(&self.shared.counters.syncs, 1),
                Ok(false) => {}
                Err(error) => {
                    let records = chain.unconfirmed();
                    tracing::error!(%error, %retention, records, "records of the audit trail were not confirmed");
                    Counters::add(&self.shared.counters.failures, 1);
                    Counters::add(&self.shared.counters.unconfirmed, records);
                    failed = Err(error);
                }
            }
        }
        // That there was nothing to sync does not say that the disk works.
        if failed.is_err() {
            self.note_health(&failed);
        }
    }

    /// After a failure: tries whether the disk works again.
    pub(super) fn probe(&mut self) {
        if self.shared.counters.failing.load(Relaxed) {
            let probed = match self.chains.is_empty() {
                true => self.probe_disk(),
                false => self.chains.values_mut().try_for_each(|chain| chain.probe(now(), &self.common)),
            };
            self.note_health(&probed);
        }
    }

    /// The same where no chain could be begun yet: a file that is written, synced and removed.
    fn probe_disk(&self) -> io::Result<()> {
        let storage = &*self.common.storage;
        let path = layout::gateway(&self.common.directory, &self.gateway).join("probe");
        replace(storage, &path, 0o600, b"\n").and_then(|()| storage.remove(&path))
    }

    /// How many bytes may still be written; `None` where the disk does not say.
    pub(super) fn free_space(&self) -> Option<u64> {
        self.common.storage.free_space(&self.common.directory).ok()
    }

    /// When the last sync of records returned.
    pub(super) const fn last_sync(&self) -> Option<Instant> {
        self.last_sync
    }

    /// Ends old segments, and deletes those that nobody may keep any longer.
    pub(super) fn sweep(&mut self) {
        for (retention, chain) in &mut self.chains {
            let swept = chain.rotate(now(), &self.common).and_then(|()| chain.delete_old(now(), &self.common));
            match swept {
                Ok(deleted) => Counters::add(&self.shared.counters.deleted_segments, deleted),
                Err(error) => tracing::error!(%error, %retention, "old segments of the audit trail were not deleted"),
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
                self.pause_until = Some(Instant::now() + self.pause);
                failing.store(true, Relaxed);
                tracing::error!(%error, "the audit trail can't be written");
            }
        }
    }

    /// Shows the heads of all chains to whoever asks for them.
    pub(super) fn show_heads(&self) {
        let mut heads = self.shared.heads.lock().unwrap_or_else(PoisonError::into_inner);
        for (retention, chain) in &self.chains {
            if let Some(head) = chain.head() {
                heads.insert(*retention, SignedHead { head, note: chain.note().cloned() });
            }
        }
    }
}
