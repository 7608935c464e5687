//! `kv`: what an entry may be, and how long it is there.

/// Longest key, in bytes; also of buckets and windows in `counters`.
pub const MAX_KEY: usize = 1 << 10;
/// Largest entry, as [`cost`] counts it, unless the operator says otherwise.
pub const MAX_ENTRY: usize = 1 << 20;
/// What an entry costs besides its key and value: two map nodes, roughly.
pub const OVERHEAD: usize = 96;

/// Whether it may be a key of `kv`, or the name of a bucket or a window.
pub const fn is_key(key: &str) -> bool {
    key.len() <= MAX_KEY
}

/// What an entry counts, in bytes.
pub const fn cost(key: &str, value: usize) -> usize {
    key.len() + value + OVERHEAD
}

/// The millisecond from which an entry that is set now is gone.
pub fn expires_ms(ttl_ms: Option<u64>, now_ms: u64) -> u64 {
    ttl_ms.map_or(u64::MAX, |ttl| now_ms.saturating_add(ttl))
}
