//! A namespace in memory: keys with versions and expiry, and the counters beside them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use plugin_rules::gcra::Decision;
use plugin_rules::kv;

use super::bounded::{Bounded, Change, Item};
use super::counters::{Buckets, Claim, Windows};
use super::limits::NamespaceLimits;
use crate::sensitive::no_content;

/// A value and its version. Versions grow over the whole namespace, so a key that was deleted and set again never
/// repeats one.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Its version, never 0.
    pub version: u64,
}

no_content!(Entry);

/// The value exceeds what one entry may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kv entry of {size} bytes exceeds the limit of {limit} bytes")]
pub struct TooLarge {
    /// Bytes of key and value.
    pub size: usize,
    /// Bytes that are allowed.
    pub limit: usize,
}

/// Why a compare-and-swap changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwapError {
    /// Another version was there, or none.
    #[error("the entry is not the expected one")]
    Mismatch(Option<Entry>),
    /// As in [`TooLarge`].
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

struct Stored {
    entry: Entry,
    expires: u64,
}

impl Item for Stored {
    fn expires(&self) -> u64 {
        self.expires
    }

    fn weight(&self) -> usize {
        self.entry.value.len()
    }

    fn worth(&self, used: u64) -> u64 {
        used
    }
}

/// The state that one plugin sees in one route entry. Every operation is atomic over all workers.
pub struct MemoryNamespace {
    entries: Bounded<Stored>,
    versions: AtomicU64,
    buckets: Buckets,
    windows: Windows,
    largest: usize,
    /// Since when (ms) nobody has held it; [`IN_USE`] while somebody does.
    unused_since: AtomicU64,
}

const IN_USE: u64 = u64::MAX;

impl MemoryNamespace {
    pub(super) fn new(limits: NamespaceLimits) -> Self {
        Self {
            entries: Bounded::new(limits.entries, limits.bytes),
            versions: AtomicU64::new(0),
            buckets: Buckets::new(limits.counters, limits.bytes),
            windows: Windows::new(limits.counters, limits.bytes),
            largest: limits.value.min(limits.bytes),
            unused_since: AtomicU64::new(IN_USE),
        }
    }

    /// The live entry of this key.
    pub fn get(&self, key: &str, now: Duration) -> Option<Entry> {
        self.entries.read(key, millis(now), |stored| stored.entry.clone())
    }

    /// Sets the key, whatever was there, and gives the new version.
    pub fn set(&self, key: &str, value: Bytes, ttl: Option<Duration>, now: Duration) -> Result<u64, TooLarge> {
        self.check(key, &value)?;
        let now = millis(now);
        Ok(self.entries.update(key, now, |_| {
            let (stored, version) = self.stored(value, ttl, now);
            (Change::Put(stored), version)
        }))
    }

    /// Removes the key.
    pub fn delete(&self, key: &str, now: Duration) {
        self.entries.update(key, millis(now), |_| (Change::Remove, ()));
    }

    /// Sets the key (or removes it, with no value) where the entry has the expected version, or where `expect` is
    /// `None` and no entry is. Gives the new version, 0 for a removal.
    pub fn compare_and_swap(
        &self,
        key: &str,
        expect: Option<u64>,
        value: Option<Bytes>,
        ttl: Option<Duration>,
        now: Duration,
    ) -> Result<u64, SwapError> {
        if let Some(value) = &value {
            self.check(key, value)?;
        }
        let now = millis(now);
        self.entries.update(key, now, |found| {
            let found = found.map(|stored| &stored.entry);
            if found.map(|entry| entry.version) != expect {
                return (Change::Keep, Err(SwapError::Mismatch(found.cloned())));
            }
            match value {
                Some(value) => {
                    let (stored, version) = self.stored(value, ttl, now);
                    (Change::Put(stored), Ok(version))
                }
                None => (Change::Remove, Ok(0)),
            }
        })
    }

    /// GCRA over all claims at once: takes every cost, or none where one bucket holds less. The answers are in the
    /// order of the claims; the same bucket twice counts twice.
    pub fn take(&self, claims: &[Claim<'_>], now: Duration) -> Vec<Decision> {
        self.buckets.take(claims, u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Adds to a counter and gives the sum over the last `window`. It forgets in steps of a 16th of the window; another
    /// window for the same key starts over.
    pub fn add(&self, key: &str, delta: i64, window: Duration, now: Duration) -> i64 {
        self.windows.add(key, delta, millis(window), millis(now))
    }

    /// Drops what has expired.
    pub(super) fn sweep(&self, now: Duration) {
        let now = millis(now);
        self.entries.sweep(now);
        self.buckets.sweep(now);
        self.windows.sweep(now);
    }

    /// Whether nothing is stored.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.len() == 0 && self.buckets.len() == 0 && self.windows.len() == 0
    }

    /// Notes whether anybody holds it at present, and tells for how long nobody has.
    pub(super) fn unused_for(&self, held: bool, now: Duration) -> Duration {
        let now = millis(now);
        if held {
            self.unused_since.store(IN_USE, Ordering::Relaxed);
            return Duration::ZERO;
        }
        let since = self.unused_since.load(Ordering::Relaxed);
        if since == IN_USE {
            self.unused_since.store(now, Ordering::Relaxed);
            return Duration::ZERO;
        }
        Duration::from_millis(now.saturating_sub(since))
    }

    fn stored(&self, value: Bytes, ttl: Option<Duration>, now: u64) -> (Stored, u64) {
        let version = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
        let expires = kv::expires_ms(ttl.map(millis), now);
        // A copy of its own: a slice of a guest's larger buffer would keep all of that alive, uncounted.
        let value = Bytes::copy_from_slice(&value);
        (Stored { entry: Entry { value, version }, expires }, version)
    }

    fn check(&self, key: &str, value: &Bytes) -> Result<(), TooLarge> {
        let size = kv::cost(key, value.len());
        if size > self.largest { Err(TooLarge { size, limit: self.largest }) } else { Ok(()) }
    }
}

impl fmt::Debug for MemoryNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNamespace").finish_non_exhaustive()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::from_secs(100);

    fn namespace() -> MemoryNamespace {
        MemoryNamespace::new(NamespaceLimits { entries: 50, bytes: 64 << 10, value: 1 << 10, counters: 100 })
    }

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn values_expire() {
        let space = namespace();
        let ttl = Some(Duration::from_millis(500));
        space.set("k", bytes("v"), ttl, T0).unwrap();
        assert_eq!(space.get("k", T0 + Duration::from_millis(499)).unwrap().value, "v");
        assert_eq!(space.get("k", T0 + Duration::from_millis(500)), None);
        let fresh = space.compare_and_swap("k", None, Some(bytes("w")), None, T0 + Duration::from_millis(500));
        assert!(fresh.is_ok(), "an expired entry counts as none");
    }

    #[test]
    fn a_sweep_drops_what_has_expired_and_nothing_else() {
        let space = MemoryNamespace::new(NamespaceLimits::default());
        for n in 0..5_000u64 {
            let ttl = (n % 3 != 0).then(|| Duration::from_millis(n + 1));
            space.set(&n.to_string(), bytes("v"), ttl, T0).unwrap();
        }
        for at in [0, 1_000, 2_500, 10_000u64] {
            let now = T0 + Duration::from_millis(at);
            space.sweep(now);
            let live = (0..5_000u64).filter(|n| n % 3 == 0 || n + 1 > at).count();
            assert_eq!(space.entries.len(), live, "after {at} ms");
            assert_eq!((0..5_000u64).filter(|n| space.get(&n.to_string(), now).is_some()).count(), live);
        }
    }

    #[test]
    fn a_sweep_beside_writers_loses_no_entry() {
        let space = MemoryNamespace::new(NamespaceLimits::default());
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let space = &space;
                scope.spawn(move || {
                    for n in 0..5_000 {
                        space.set(&format!("kept {thread} {n}"), bytes("v"), None, T0).unwrap();
                        let ttl = Some(Duration::from_millis(1));
                        space.set(&format!("gone {thread} {n}"), bytes("v"), ttl, T0).unwrap();
                    }
                });
            }
            for _ in 0..50 {
                space.sweep(T0 + Duration::from_millis(1));
            }
        });
        space.sweep(T0 + Duration::from_millis(1));
        assert_eq!(space.entries.len(), 10_000);
    }

    #[test]
    fn compare_and_swap_wants_the_expected_version() {
        let space = namespace();
        let one = space.compare_and_swap("k", None, Some(bytes("1")), None, T0).unwrap();
        let there = Entry { value: bytes("1"), version: one };
        assert_eq!(
            space.compare_and_swap("k", None, Some(bytes("2")), None, T0),
            Err(SwapError::Mismatch(Some(there.clone())))
        );
        assert_eq!(space.compare_and_swap("k", Some(one + 1), None, None, T0), Err(SwapError::Mismatch(Some(there))));
        let two = space.compare_and_swap("k", Some(one), Some(bytes("2")), None, T0).unwrap();
        assert!(two > one);
        assert_eq!(space.compare_and_swap("k", Some(two), None, None, T0), Ok(0));
        assert_eq!(space.get("k", T0), None);
        let three = space.set("k", bytes("3"), None, T0).unwrap();
        assert!(three > two, "versions never repeat");
    }

    #[test]
    fn the_least_recently_used_entries_go_first() {
        let space = namespace();
        // No more than there is room for: among entries of the same age, any may go.
        for n in 0..49 {
            space.set(&format!("old{n}"), bytes("v"), None, T0).unwrap();
        }
        space.set("hot", bytes("v"), None, T0).unwrap();
        for n in 0..200u64 {
            let now = T0 + Duration::from_millis(n + 1);
            assert!(space.get("hot", now).is_some(), "evicted after {n}");
            space.set(&format!("new{n}"), bytes("v"), None, now).unwrap();
        }
        assert!(space.entries.len() <= 50);
    }

    #[test]
    fn bytes_are_bounded_and_accounted() {
        let space = namespace();
        for n in 0..1_000 {
            space.set(&(n % 200).to_string(), Bytes::from(vec![0; n % 900]), None, T0).unwrap();
            assert!(space.entries.bytes() <= 64 << 10);
            if n % 3 == 0 {
                space.delete(&((n * 7) % 200).to_string(), T0);
            }
        }
        for n in 0..200 {
            space.delete(&n.to_string(), T0);
        }
        assert_eq!((space.entries.len(), space.entries.bytes()), (0, 0));
        assert!(space.is_empty());
        assert!(space.set("big", Bytes::from(vec![0; 2 << 10]), None, T0).is_err());
    }

    #[test]
    fn increments_by_compare_and_swap_from_many_threads_lose_nothing() {
        let space = namespace();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        loop {
                            let before = space.get("n", T0);
                            let n: u64 = before
                                .as_ref()
                                .map_or(0, |entry| std::str::from_utf8(&entry.value).unwrap().parse().unwrap());
                            let expect = before.map(|entry| entry.version);
                            let next = Some(bytes(&(n + 1).to_string()));
                            if space.compare_and_swap("n", expect, next, None, T0).is_ok() {
                                break;
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(space.get("n", T0).unwrap().value, "2000");
    }
}
