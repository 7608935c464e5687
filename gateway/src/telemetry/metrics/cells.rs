//! The numbers themselves. A cell has one writer, its worker, and any number of readers, so an increment is a plain load and
//! store without a lock prefix or a shared cache line.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; to be called by the owning worker only. Stops at the greatest number: plugins add what they like, and a counter
    /// that begins anew would be taken for a restart.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).saturating_add(amount), Relaxed);
    }

    /// Sets it, to what is counted elsewhere; to be called by the owning worker only.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds, also negative amounts; to be called by the owning worker only.
    pub fn add(&self, amount: i64) {
        self.0.store(self.0.load(Relaxed).saturating_add(amount), Relaxed);
    }

    /// Sets it; to be called by the owning worker only.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    pub(super) fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stops_at_the_greatest() {
        let counter = Counter::default();
        counter.add(u64::MAX - 1);
        counter.add(5);
        assert_eq!(counter.value(), u64::MAX);
    }
}
