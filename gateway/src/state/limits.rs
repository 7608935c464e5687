//! How much a namespace may keep.

use plugin_rules::kv;

/// Bounds of one namespace. What does not fit makes the longest unused entries go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceLimits {
    /// Entries of `kv`.
    pub entries: usize,
    /// Bytes of keys and values, with what each entry costs besides: for `kv`, for buckets and for windows, each.
    pub bytes: usize,
    /// Largest value.
    pub value: usize,
    /// Buckets and windows of `counters`, each.
    pub counters: usize,
}

impl Default for NamespaceLimits {
    fn default() -> Self {
        Self { entries: 100_000, bytes: 64 << 20, value: kv::MAX_ENTRY, counters: 1_000_000 }
    }
}
