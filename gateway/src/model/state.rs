//! The `state` section.

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
