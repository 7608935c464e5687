//! A concurrent map with a bound on entries and bytes, expiry, and eviction by sampling (as Redis does): of a few
//! random entries the one that is worth least goes. No list has to be kept in order when an entry is read.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use plugin_rules::kv;

/// Entries looked at for one eviction; more come closer to exact least-recently-used.
const SAMPLES: usize = 8;
/// Entries looked at for expiry whenever a new one comes, so that garbage can't outgrow what lives.
const PROBES: usize = 2;
/// Entries that a sweep looks at between two looks at the list of keys.
const PORTION: usize = 256;
/// A table or list this many times as large as what it holds gives memory back.
const SPARSE: usize = 4;

/// A value of the map.
pub(super) trait Item {
    /// The moment (ms) from which it is as if it weren't there.
    fn expires(&self) -> u64;
    /// Bytes besides the key.
    fn weight(&self) -> usize;
    /// The smallest goes first when room is needed; `used` is the last access (ms).
    fn worth(&self, used: u64) -> u64;
    /// Asked under the map's lock before it is removed to make room: `false` = somebody works on it right now. Where
    /// it is true, what `expires` says afterwards can't change any more before the lock is given back.
    fn idle(&self) -> bool {
        true
    }
}

struct Slot<V> {
    item: V,
    born: u64,
    used: AtomicU64,
}

/// What [`Bounded::update`] does with the entry.
pub(super) enum Change<V> {
    Keep,
    Put(V),
    Remove,
}

pub(super) struct Bounded<V> {
    map: DashMap<Arc<str>, Slot<V>>,
    /// Keys to sample from, with the birth number of the entry that they meant; stale ones are dropped when met.
    keys: Mutex<Vec<(Arc<str>, u64)>>,
    births: AtomicU64,
    /// Kept here, because the map would lock all its shards to count.
    entries: AtomicUsize,
    bytes: AtomicUsize,
    max_entries: usize,
    max_bytes: usize,
}

impl<V: Item> Bounded<V> {
    pub(super) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            map: DashMap::new(),
            keys: Mutex::new(Vec::new()),
            births: AtomicU64::new(0),
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            max_entries,
            max_bytes,
        }
    }

    /// What an entry counts against the bound.
    pub(super) fn cost(key: &str, weight: usize) -> usize {
        kv::cost(key, weight)
    }

    /// Reads a live entry.
    pub(super) fn read<R>(&self, key: &str, now: u64, read: impl FnOnce(&V) -> R) -> Option<R> {
        let slot = self.map.get(key)?;
        if slot.item.expires() <= now {
            return None;
        }
        slot.used.store(now, Ordering::Relaxed);
        Some(read(&slot.item))
    }

    /// Changes an entry as one step: nobody sees or changes it between what `change` sees and what it decides.
    pub(super) fn update<R>(&self, key: &str, now: u64, change: impl FnOnce(Option<&mut V>) -> (Change<V>, R)) -> R {
        let mut change = Some(change);
        let mut result = None;
        // Most writes meet an entry that is there: no key has to be allocated for these.
        let removed = self.map.remove_if_mut(key, |_, slot| {
            let Some(change) = change.take() else { return false };
            let (remove, value) = self.decide(slot, now, change);
            result = Some(value);
            remove
        });
        if let Some((key, slot)) = &removed {
            self.removed(key, slot);
        }
        let change = match (result, change) {
            (Some(result), _) => {
                self.shrink(now);
                return result;
            }
            (None, Some(change)) => change,
            (None, None) => unreachable!("a change that was taken has left its result"),
        };

        let key: Arc<str> = key.into();
        let (born, result) = match self.map.entry(key.clone()) {
            // Another thread was first.
            Entry::Occupied(mut occupied) => {
                let (remove, result) = self.decide(occupied.get_mut(), now, change);
                if remove {
                    self.removed(&key, &occupied.remove());
                }
                return result;
            }
            Entry::Vacant(vacant) => {
                let (decided, result) = change(None);
                let Change::Put(item) = decided else { return result };
                let born = self.added(&key, &item);
                vacant.insert(Slot { item, born, used: AtomicU64::new(now) });
                (born, result)
            }
        };
        self.lock_keys().push((key, born));
        self.probe(now);
        self.shrink(now);
        result
    }

    /// The entry of this key even if it has expired, or a new one. For items that are shared handles.
    pub(super) fn get_or_insert(&self, key: &str, now: u64, make: impl FnOnce() -> V) -> V
    where
        V: Clone,
    {
        if let Some(slot) = self.map.get(key) {
            slot.used.store(now, Ordering::Relaxed);
            return slot.item.clone();
        }
        let key: Arc<str> = key.into();
        let (born, item) = match self.map.entry(key.clone()) {
            Entry::Occupied(occupied) => return occupied.get().item.clone(),
            Entry::Vacant(vacant) => {
                let item = make();
                let born = self.added(&key, &item);
                vacant.insert(Slot { item: item.clone(), born, used: AtomicU64::new(now) });
                (born, item)
            }
        };
        self.lock_keys().push((key, born));
        self.probe(now);
        self.shrink(now);
        item
    }

    /// Removes all that has expired. It goes from key to key, so that nobody waits for it longer than for one entry, and
    /// gives memory back where little is left of much.
    pub(super) fn sweep(&self, now: u64) {
        // From the end to the start: what takes the place of a forgotten key has been looked at already, or is new.
        let mut end = self.lock_keys().len();
        let mut portion = Vec::with_capacity(PORTION.min(end));
        while end > 0 {
            let start = end.saturating_sub(PORTION);
            portion.extend(self.lock_keys().iter().take(end).skip(start).cloned());
            for (offset, (key, born)) in portion.drain(..).enumerate().rev() {
                self.drop_expired(start + offset, &key, born, now);
            }
            end = start;
        }
        if self.map.capacity() > SPARSE * (self.len() + PORTION) {
            self.map.shrink_to_fit();
        }
        let mut keys = self.lock_keys();
        if keys.capacity() > SPARSE * (keys.len() + PORTION) {
            keys.shrink_to_fit();
        }
    }

    /// How many entries there are, expired ones included.
    pub(super) fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Counts a new entry; gives its birth number.
    fn added(&self, key: &str, item: &V) -> u64 {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(Self::cost(key, item.weight()), Ordering::Relaxed);
        self.births.fetch_add(1, Ordering::Relaxed)
    }

    fn removed(&self, key: &str, slot: &Slot<V>) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(Self::cost(key, slot.item.weight()), Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Applies `change` to an entry that is locked; `true` = it has to go.
    fn decide<R>(
        &self,
        slot: &mut Slot<V>,
        now: u64,
        change: impl FnOnce(Option<&mut V>) -> (Change<V>, R),
    ) -> (bool, R) {
        let live = slot.item.expires() > now;
        let before = slot.item.weight();
        slot.used.store(now, Ordering::Relaxed);
        let (decided, result) = change(live.then_some(&mut slot.item));
        match decided {
            Change::Keep => {}
            Change::Put(item) => slot.item = item,
            Change::Remove => return (true, result),
        }
        self.reweigh(before, slot.item.weight());
        (false, result)
    }

    fn reweigh(&self, before: usize, after: usize) {
        if after >= before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    fn remove_if(&self, key: &str, condition: impl FnOnce(&Slot<V>) -> bool) -> bool {
        let removed = self.map.remove_if(key, |_, slot| condition(slot));
        if let Some((key, slot)) = &removed {
            self.removed(key, slot);
        }
        removed.is_some()
    }

    fn lock_keys(&self) -> MutexGuard<'_, Vec<(Arc<str>, u64)>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A random key, with its place in the list and the entry's birth number.
    fn sample(&self) -> Option<(usize, Arc<str>, u64)> {
        let keys = self.lock_keys();
        let at = fastrand::usize(..keys.len().max(1));
        keys.get(at).map(|(key, born)| (at, key.clone(), *born))
    }

    /// Forgets the sampled key of an entry that is gone. One that has moved meanwhile is forgotten when next met.
    fn forget(&self, at: usize, born: u64) {
        let mut keys = self.lock_keys();
        if keys.get(at).is_some_and(|(_, number)| *number == born) {
            keys.swap_remove(at);
        }
    }

    /// Looks at a few random entries and removes what has expired.
    fn probe(&self, now: u64) {
        for _ in 0..PROBES {
            let Some((at, key, born)) = self.sample() else { return };
            self.drop_expired(at, &key, born, now);
        }
    }

    /// Removes an entry if it has expired, and forgets the key at this place if there is no such entry any more.
    fn drop_expired(&self, at: usize, key: &str, born: u64, now: u64) {
        let keep = match self.map.get(key) {
            Some(slot) if slot.born == born => slot.item.expires() > now,
            _ => false,
        };
        let expired = |slot: &Slot<V>| slot.born == born && slot.item.idle() && slot.item.expires() <= now;
        if !keep && (self.remove_if(key, expired) || !self.is_born(key, born)) {
            self.forget(at, born);
        }
    }

    fn is_born(&self, key: &str, born: u64) -> bool {
        self.map.get(key).is_some_and(|slot| slot.born == born)
    }

    /// Evicts until the bounds hold.
    fn shrink(&self, now: u64) {
        // Bounded, so that a map whose entries are all in use right now can't hold the caller up.
        for _ in 0..64 {
            if self.bytes.load(Ordering::Relaxed) <= self.max_bytes && self.len() <= self.max_entries {
                return;
            }
            let mut worst: Option<(u64, usize, Arc<str>, u64)> = None;
            for _ in 0..SAMPLES {
                let Some((at, key, born)) = self.sample() else { return };
                let worth = match self.map.get(&key) {
                    Some(slot) if slot.born == born && slot.item.expires() <= now => 0,
                    Some(slot) if slot.born == born => slot.item.worth(slot.used.load(Ordering::Relaxed)),
                    _ => {
                        self.forget(at, born);
                        continue;
                    }
                };
                if worst.as_ref().is_none_or(|(least, ..)| worth < *least) {
                    worst = Some((worth, at, key, born));
                }
            }
            if let Some((_, at, key, born)) = worst
                && self.remove_if(&key, |slot| slot.born == born && slot.item.idle())
            {
                self.forget(at, born);
            }
        }
    }
}
