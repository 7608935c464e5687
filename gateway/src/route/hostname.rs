//! Hostname conditions: exact names and wildcards, by hash. What is in the tables the configuration says, so that no client
//! can make them slow.

use rustc_hash::FxHashMap;

use crate::model::HostnameMatch;

/// Something per hostname condition.
#[derive(Debug)]
pub(super) struct HostTable<V> {
    exact: FxHashMap<String, V>,
    /// By the part behind `*.`.
    wildcard: FxHashMap<String, V>,
    any: Option<V>,
}

impl<V> Default for HostTable<V> {
    fn default() -> Self {
        Self { exact: FxHashMap::default(), wildcard: FxHashMap::default(), any: None }
    }
}

impl<V> HostTable<V> {
    /// What belongs to a hostname, the most specific first.
    pub(super) fn candidates<'s>(&'s self, hostname: &'s str) -> impl Iterator<Item = &'s V> {
        let exact = self.exact.get(hostname);
        // From the left, so the longest suffix comes first; a wildcard stands for one or more labels.
        let suffixes = if self.wildcard.is_empty() { "" } else { hostname };
        let wildcards = suffixes
            .match_indices('.')
            .filter(|(dot, _)| *dot > 0)
            .filter_map(|(dot, _)| self.wildcard.get(&hostname[dot + 1..]));
        exact.into_iter().chain(wildcards).chain(self.any.as_ref())
    }

    /// Turns every value into another.
    pub(super) fn map<W>(self, mut turn: impl FnMut(V) -> W) -> HostTable<W> {
        HostTable {
            exact: self.exact.into_iter().map(|(name, value)| (name, turn(value))).collect(),
            wildcard: self.wildcard.into_iter().map(|(name, value)| (name, turn(value))).collect(),
            any: self.any.map(turn),
        }
    }
}

impl<V: Default> HostTable<V> {
    /// The value of one condition, made where it is missing; no condition means every hostname.
    pub(super) fn entry(&mut self, condition: Option<&HostnameMatch>) -> &mut V {
        match condition {
            Some(HostnameMatch::Exact(name)) => self.exact.entry(name.clone()).or_default(),
            Some(HostnameMatch::Wildcard(name)) => self.wildcard.entry(name.clone()).or_default(),
            None => self.any.get_or_insert_default(),
        }
    }
}
