//! State of plugins: `kv` and `counters`, a namespace per plugin and route entry (or per `share_state` name).
//!
//! One [`State`] serves all workers and outlives config snapshots, so that a reload resets no limit. It is the handle of a
//! backend. Memory answers at once ([`Answer::Ready`]); a backend elsewhere is a variant beside it whose answers come
//! [later](Answer::Later), and whose host calls are made such that they can wait: which plugins that concerns follows from
//! [`State::waits`] and their imports. Time is passed in (see [`State::now`]), so that tests need no sleeps.

mod answer;
mod bounded;
mod counters;
mod limits;
mod memory;
mod namespace;
mod namespaces;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use answer::{Answer, Unavailable};
pub use counters::Claim;
pub use limits::NamespaceLimits;
pub use memory::{Entry, MemoryNamespace, SwapError, TooLarge};
pub use namespace::Namespace;
use namespaces::Namespaces;
pub use plugin_rules::gcra::{Decision, Rate};

/// All namespaces. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    started: Instant,
    backend: Backend,
}

/// Where state is kept.
#[derive(Clone, Debug)]
enum Backend {
    Memory(Arc<Namespaces>),
}

impl State {
    /// A store in memory without any namespace yet.
    pub fn in_memory(limits: NamespaceLimits) -> Self {
        Self { started: Instant::now(), backend: Backend::Memory(Arc::new(Namespaces::new(limits))) }
    }

    /// The clock that every operation is given: monotonic, from the start of this store.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether an answer may have to be waited for. A plugin that uses such state may be suspended in a call.
    pub fn waits(&self) -> bool {
        match self.backend {
            Backend::Memory(_) => false,
        }
    }

    /// The namespace of this name, made when it is new. Callers look it up once, at load, and keep it.
    ///
    /// Names are made by [`State::entry_name`] and [`State::shared_name`], so that no plugin reaches another's.
    pub fn namespace(&self, name: &str) -> Namespace {
        match &self.backend {
            Backend::Memory(namespaces) => Namespace::Memory(namespaces.find(name)),
        }
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
        match &self.backend {
            Backend::Memory(namespaces) => namespaces.sweep(now),
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
        one.set("key", b"value".as_slice().into(), None, now).now().unwrap().unwrap();

        let again = state.namespace(&State::entry_name("breaker", "a", 0));
        assert_eq!(again.get("key", now).now().unwrap().unwrap().value, "value");
        for other in [
            State::entry_name("breaker", "b", 0),
            State::entry_name("breaker", "a", 1),
            State::entry_name("limit", "a", 0),
            State::shared_name("breaker", "a"),
        ] {
            assert!(state.namespace(&other).get("key", now).now().unwrap().is_none(), "{other:?}");
        }
    }

    #[test]
    fn namespaces_of_removed_routes_do_not_stay_for_ever() {
        let state = State::default();
        let start = state.now();
        let after = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let used = state.namespace("used");
        state.namespace("empty");
        state.namespace("full").set("key", b"value".as_slice().into(), None, start).now().unwrap().unwrap();
        let expiring = Some(Duration::from_secs(90));
        state.namespace("expiring").set("key", b"value".as_slice().into(), expiring, start).now().unwrap().unwrap();
        let names = |state: &State| {
            let Backend::Memory(namespaces) = &state.backend;
            namespaces.names().join(" ")
        };
        state.sweep(after(0));
        assert!(!state.waits());
        assert_eq!(names(&state), "expiring full used");
        state.sweep(after(2));
        assert_eq!(names(&state), "full used");
        // The route is back for a moment, and keeps what it had.
        let back = state.namespace("full");
        assert!(back.get("key", after(50)).now().unwrap().is_some());
        state.sweep(after(50));
        drop(back);
        state.sweep(after(61));
        assert_eq!(names(&state), "full used", "its hour begins anew");
        state.sweep(after(121));
        assert_eq!(names(&state), "used");
        drop(used);
    }
}
