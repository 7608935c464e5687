//! What became of what was handed over, in numbers that anybody may read at any time.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Why something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The queue was full: the collector is away, or slower than what is made.
    QueueFull,
    /// The collector did not want the request, and would not want it again.
    Refused,
    /// The collector took the request but not all of it (`partial_success`).
    Rejected,
    /// The collector could not be reached, or had no room, for as long as is tried.
    RetriesExhausted,
    /// A newer state of the same metrics came before the older one could be sent. Nothing is lost: they are cumulative.
    Superseded,
    /// The end came first.
    Shutdown,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::QueueFull, Self::Refused, Self::Rejected, Self::RetriesExhausted, Self::Superseded, Self::Shutdown];

    /// As the value of a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Superseded => "superseded",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Counters of one kind of telemetry on its way to one collector. Items are spans, log records or points of metrics.
#[derive(Debug, Default)]
pub struct Counters {
    sent: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    exports: AtomicU64,
    failed_exports: AtomicU64,
    unreachable: AtomicBool,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
}

impl Counters {
    /// Items that the collector has taken.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Items that were not sent, or not taken, for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].load(Relaxed)
    }

    /// Items that were not sent, or not taken.
    pub fn dropped_in_all(&self) -> u64 {
        DropReason::ALL.into_iter().map(|reason| self.dropped(reason)).sum()
    }

    /// Requests to the collector, each try of its own.
    pub fn exports(&self) -> u64 {
        self.exports.load(Relaxed)
    }

    /// Requests to the collector that failed.
    pub fn failed_exports(&self) -> u64 {
        self.failed_exports.load(Relaxed)
    }

    /// Whether the last request to the collector succeeded, or there was none yet.
    pub fn is_reachable(&self) -> bool {
        !self.unreachable.load(Relaxed)
    }

    /// Items that are held: those that wait and those that are being sent.
    pub fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }

    /// The memory of those items in bytes, roughly.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Relaxed)
    }

    pub(crate) fn add_sent(&self, items: u64) {
        self.sent.fetch_add(items, Relaxed);
    }

    pub(crate) fn add_dropped(&self, reason: DropReason, items: u64) {
        self.dropped[reason as usize].fetch_add(items, Relaxed);
    }

    pub(crate) fn add_export(&self, succeeded: bool) {
        self.exports.fetch_add(1, Relaxed);
        if !succeeded {
            self.failed_exports.fetch_add(1, Relaxed);
        }
        self.unreachable.store(!succeeded, Relaxed);
    }

    /// Takes room for so much, if that leaves no more than the limits. Says how much there is then.
    pub(crate) fn reserve(&self, held: Held, limits: Held) -> Option<Held> {
        let items = self.queued.fetch_add(held.items, Relaxed) + held.items;
        let bytes = self.queued_bytes.fetch_add(held.bytes, Relaxed) + held.bytes;
        if items <= limits.items && bytes <= limits.bytes {
            return Some(Held { items, bytes });
        }
        self.release(held);
        None
    }

    /// Gives room back.
    pub(crate) fn release(&self, held: Held) {
        self.queued.fetch_sub(held.items, Relaxed);
        self.queued_bytes.fetch_sub(held.bytes, Relaxed);
    }
}

/// An amount of items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// How many.
    pub(crate) items: usize,
    /// Their memory in bytes, roughly.
    pub(crate) bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::{Counters, Held};

    #[test]
    fn room_is_given_up_to_both_limits_and_given_back() {
        let counters = Counters::default();
        let limits = Held { items: 3, bytes: 100 };
        let two = Held { items: 2, bytes: 40 };
        assert_eq!(counters.reserve(two, limits), Some(two));
        assert_eq!(counters.reserve(two, limits), None);
        assert_eq!(counters.reserve(Held { items: 1, bytes: 61 }, limits), None);
        assert_eq!((counters.queued(), counters.queued_bytes()), (2, 40));
        counters.release(two);
        assert_eq!((counters.queued(), counters.queued_bytes()), (0, 0));
    }
}
