//! State of plugins: `kv` and `counters`, a namespace per plugin and route entry (or per `share_state` name).
//!
//! One [`State`] serves all workers and outlives config snapshots, so that a reload resets no limit. Its functions
//! are synchronous because memory is the only backend; a remote backend will stand beside [`memory`] behind the same
//! handle, with its host calls made async. Time is passed in (see [`State::now`]), so that tests need no sleeps.

mod bounded;
mod counters;
mod gcra;
mod memory;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;

pub use counters::Claim;
pub use gcra::{Decision, Rate};
pub use memory::{Entry, Namespace, SwapError, TooLarge};

/// Bounds of one namespace. What does not fit makes the longest unused entries go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceLimits {
    /// Entries of `kv`.
    pub entries: usize,
    /// Bytes of keys and values of `kv`, with what each entry costs besides.
    pub bytes: usize,
    /// Largest value.
    pub value: usize,
    /// Buckets and windows of `counters`, each.
    pub counters: usize,
}

impl Default for NamespaceLimits {
    fn default() -> Self {
        Self { entries: 100_000, bytes: 64 << 20, value: 1 << 20, counters: 1_000_000 }
    }
}

/// All namespaces. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    started: Instant,
    limits: NamespaceLimits,
    namespaces: Arc<DashMap<Box<str>, Arc<Namespace>>>,
}

impl State {
    /// A store in memory without any namespace yet.
    pub fn in_memory(limits: NamespaceLimits) -> Self {
        Self { started: Instant::now(), limits, namespaces: Arc::new(DashMap::new()) }
    }

    /// The clock that every operation is given: monotonic, from the start of this store.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The namespace of this name, made when it is new. Callers look it up once, at load, and keep it.
    ///
    /// Names are made by [`State::entry_name`] and [`State::shared_name`], so that no plugin reaches another's.
    pub fn namespace(&self, name: &str) -> Arc<Namespace> {
        if let Some(found) = self.namespaces.get(name) {
            return found.clone();
        }
        self.namespaces.entry(name.into()).or_insert_with(|| Arc::new(Namespace::new(self.limits))).clone()
    }

    /// The namespace name of one plugin at one place of one route's chain. `nth` counts the entries of the same plugin
    /// in that chain, so that moving other plugins loses no state.
    pub fn entry_name(plugin: &str, route: &str, nth: usize) -> String {
        format!("entry\0{plugin}\0{route}\0{nth}")
    }

    /// The namespace name of all entries of `plugin` that name the same `share_state`.
    pub fn shared_name(plugin: &str, share_state: &str) -> String {
        format!("shared\0{plugin}\0{share_state}")
    }

    /// Drops everything that has expired. Memory is bounded without it; called now and then from the background
    /// runtime, it gives back what a burst left behind.
    pub fn sweep(&self, now: Duration) {
        // Handles first: a sweep of a large namespace must not hold a shard of the outer map.
        let namespaces: Vec<_> = self.namespaces.iter().map(|entry| entry.value().clone()).collect();
        for namespace in namespaces {
            namespace.sweep(now);
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::in_memory(NamespaceLimits::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_the_same_for_the_same_name_only() {
        let state = State::default();
        let now = state.now();
        let one = state.namespace(&State::entry_name("breaker", "a", 0));
        one.set("key", b"value".as_slice().into(), None, now).unwrap();

        let again = state.namespace(&State::entry_name("breaker", "a", 0));
        assert_eq!(again.get("key", now).unwrap().value, "value");
        for other in [
            State::entry_name("breaker", "b", 0),
            State::entry_name("breaker", "a", 1),
            State::entry_name("limit", "a", 0),
            State::shared_name("breaker", "a"),
        ] {
            assert!(state.namespace(&other).get("key", now).is_none(), "{other:?}");
        }
    }
}
