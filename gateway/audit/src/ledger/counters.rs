//! What the ledger counts, for metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Counts since the ledger was opened. All of them only grow, but `queued`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records that were written, without the ledger's own.
    pub records: AtomicU64,
    /// Bytes that were written.
    pub bytes: AtomicU64,
    /// Group commits that were on disk when their sync returned.
    pub syncs: AtomicU64,
    /// Writes and syncs of segments that failed.
    pub failures: AtomicU64,
    /// Records that were taken and could not be confirmed: their callers were told, where they waited.
    pub unconfirmed: AtomicU64,
    /// Records that were not taken, or not confirmed in time.
    pub refused: AtomicU64,
    /// Records that wait to be written.
    pub queued: AtomicU64,
    /// Subjects whose keys were deleted.
    pub erased: AtomicU64,
    /// Segments that were deleted by age.
    pub deleted_segments: AtomicU64,
    /// Whether records can't be written at present.
    pub failing: AtomicBool,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Relaxed);
    }
}
