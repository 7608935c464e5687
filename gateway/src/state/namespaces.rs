//! All namespaces in memory, and how long they stay.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;

use super::limits::NamespaceLimits;
use super::memory::MemoryNamespace;

/// How long a namespace that no configuration uses keeps what has no expiry: long enough for an operator to see that the
/// route should not have been removed.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Namespaces by name.
#[derive(Debug)]
pub(super) struct Namespaces {
    limits: NamespaceLimits,
    by_name: DashMap<Box<str>, Arc<MemoryNamespace>>,
}

impl Namespaces {
    /// None yet.
    pub(super) fn new(limits: NamespaceLimits) -> Self {
        Self { limits, by_name: DashMap::new() }
    }

    /// The namespace of this name, made when it is new.
    pub(super) fn find(&self, name: &str) -> Arc<MemoryNamespace> {
        if let Some(found) = self.by_name.get(name) {
            return found.clone();
        }
        self.by_name.entry(name.into()).or_insert_with(|| Arc::new(MemoryNamespace::new(self.limits))).clone()
    }

    /// See [`super::State::sweep`].
    pub(super) fn sweep(&self, now: Duration) {
        // Handles first: a sweep of a large namespace must not hold a shard of the outer map.
        let namespaces: Vec<_> = self.by_name.iter().map(|entry| entry.value().clone()).collect();
        for namespace in namespaces {
            namespace.sweep(now);
        }
        // Handles are given out under the map's lock: where there is no other than the map's own, nobody can get one
        // while this looks.
        self.by_name.retain(|_, namespace| {
            let held = Arc::strong_count(namespace) > 1;
            let unused = namespace.unused_for(held, now);
            held || (!namespace.is_empty() && unused < ABANDONED)
        });
    }

    /// The names, in order.
    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.by_name.iter().map(|entry| entry.key().to_string()).collect();
        names.sort_unstable();
        names
    }
}
