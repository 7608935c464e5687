//! The `state` section.

use super::reload::Deferred;

/// Where `kv` and `counters` live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Largest number of entries per namespace. Default 100,000.
    pub max_entries: usize,
    /// Bytes per namespace. Default 64 MiB.
    pub max_bytes: usize,
    /// Bytes of stored responses over all routes. Default 64 MiB.
    pub stored_responses: usize,
}

impl State {
    /// What is kept was given these bounds when it was made, by the start.
    pub(super) fn keep(&mut self, running: &Self, deferred: &mut Deferred) {
        let tell = |_: &Self| "state changes at the next start; until then its limits stay as they are".to_owned();
        deferred.keep(self, running, tell);
    }
}
