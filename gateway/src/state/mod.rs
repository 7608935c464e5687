//! State of plugins: `kv` and `counters`, a namespace per plugin and route entry (or per `share_state` name).
//!
//! One [`State`] serves all workers and outlives config snapshots, so that a reload resets no limit. Its functions
//! are synchronous because memory is the only backend; a remote backend will stand beside [`memory`] behind the same
//! handle, with its host calls made async. Time is passed in (see [`State::now`]), so that tests need no sleeps.

mod bounded;
mod counters;
mod gcra;
mod limits;
mod memory;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;

pub use counters::Claim;
pub use gcra::{Decision, Rate};
pub use limits::NamespaceLimits;
pub use memory::{Entry, Namespace, SwapError, TooLarge};

/// How long a namespace that no configuration uses keeps what has no expiry: long enough for an operator to see that the
/// route should not have been removed.
const ABANDONED: Duration = Duration::from_secs(3600);

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

    /// Drops everything that has expired, and namespaces of routes that are gone: at once where they are empty, else
    /// after an hour. To be called every half a minute or so from the background runtime. The bounds of a namespace
    /// hold without it; it gives back what a burst or an older configuration left behind.
    pub fn sweep(&self, now: Duration) {
        // Handles first: a sweep of a large namespace must not hold a shard of the outer map.
        let namespaces: Vec<_> = self.namespaces.iter().map(|entry| entry.value().clone()).collect();
        for namespace in namespaces {
            namespace.sweep(now);
        }
        // Handles are given out under the map's lock: where there is no other than the map's own, nobody can get one
        // while this looks.
        self.namespaces.retain(|_, namespace| {
            let held = Arc::strong_count(namespace) > 1;
            let unused = namespace.unused_for(held, now);
            held || (!namespace.is_empty() && unused < ABANDONED)
        });
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

    #[test]
    fn namespaces_of_removed_routes_do_not_stay_for_ever() {
        let state = State::default();
        let start = state.now();
        let after = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let used = state.namespace("used");
        state.namespace("empty");
        state.namespace("full").set("key", b"value".as_slice().into(), None, start).unwrap();
        let expiring = Some(Duration::from_secs(90));
        state.namespace("expiring").set("key", b"value".as_slice().into(), expiring, start).unwrap();
        let names = |state: &State| {
            let mut names: Vec<_> = state.namespaces.iter().map(|entry| entry.key().to_string()).collect();
            names.sort_unstable();
            names.join(" ")
        };
        state.sweep(after(0));
        assert_eq!(names(&state), "expiring full used");
        state.sweep(after(2));
        assert_eq!(names(&state), "full used");
        // The route is back for a moment, and keeps what it had.
        let back = state.namespace("full");
        assert!(back.get("key", after(50)).is_some());
        state.sweep(after(50));
        drop(back);
        state.sweep(after(61));
        assert_eq!(names(&state), "full used", "its hour begins anew");
        state.sweep(after(121));
        assert_eq!(names(&state), "used");
        drop(used);
    }
}
