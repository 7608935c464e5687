//! Bounds what plugins, and the gateway about them, write to the log.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::plugin::host::clock::since_epoch;

/// Messages per second and entry.
const RATE: u32 = 100;

/// Bounds the log messages of one kind: by default those of one entry, over all workers.
#[derive(Debug)]
pub(crate) struct LogGate {
    per_second: u32,
    second: AtomicU64,
    count: AtomicU32,
    dropped: AtomicU64,
}

impl Default for LogGate {
    fn default() -> Self {
        Self::new(RATE)
    }
}

impl LogGate {
    /// Lets so many messages pass per second.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, second: AtomicU64::new(0), count: AtomicU32::new(0), dropped: AtomicU64::new(0) }
    }

    /// The same as `admit`, at this second.
    pub(crate) fn admit_now(&self) -> Option<u64> {
        self.admit(since_epoch().as_secs())
    }

    /// Whether a message may go out at this second, and how many were dropped before it.
    fn admit(&self, second: u64) -> Option<u64> {
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.count.store(0, Ordering::Relaxed);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) < self.per_second {
            return Some(self.dropped.swap(0, Ordering::Relaxed));
        }
        self.dropped.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_messages_is_cut_and_counted() {
        let gate = LogGate::default();
        let passed = (0..150).filter(|_| gate.admit(7).is_some()).count();
        assert_eq!(passed, 100);
        assert_eq!(gate.admit(8), Some(50));
        assert_eq!(gate.admit(8), Some(0));
    }
}
