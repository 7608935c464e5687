//! The numbers themselves. A cell has one writer, its worker, and any number of readers, so an increment is a plain load and
//! store without a lock prefix or a shared cache line.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; to be called by the owning worker only. Stops at the greatest number: plugins add what they like, and a counter
    /// that begins anew would be taken for a restart.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).saturating_add(amount), Relaxed);
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

/// Upper bounds of a histogram's buckets; one more bucket is unbounded.
pub(super) type Bounds = [f64; BOUNDS];
const BOUNDS: usize = 14;

/// For durations in seconds.
pub(super) const SECONDS: Bounds =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// For whatever plugins observe.
pub(super) const ANYTHING: Bounds =
    [0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 10_000.0, 100_000.0, 1_000_000.0];

/// How often which size was seen.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static Bounds,
    buckets: [Counter; BOUNDS + 1],
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static Bounds) -> Self {
        Self { bounds, buckets: Default::default(), sum: AtomicU64::new(0) }
    }

    /// Notes one value; to be called by the owning worker only. What is not a number is ignored.
    pub fn observe(&self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(BOUNDS);
        self.buckets[bucket].add(1);
        let sum = f64::from_bits(self.sum.load(Relaxed)) + value;
        self.sum.store(finite(sum).to_bits(), Relaxed);
    }

    /// Notes one duration.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }
}

/// A histogram summed over workers.
#[derive(Clone, Debug)]
pub(super) struct HistogramSum {
    pub(super) bounds: &'static Bounds,
    pub(super) buckets: [u64; BOUNDS + 1],
    pub(super) sum: f64,
}

impl HistogramSum {
    pub(super) fn new(bounds: &'static Bounds) -> Self {
        Self { bounds, buckets: [0; BOUNDS + 1], sum: 0.0 }
    }

    pub(super) fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum = sum.saturating_add(bucket.value());
        }
        self.sum = finite(self.sum + f64::from_bits(histogram.sum.load(Relaxed)));
    }
}

/// The nearest number that is one: from an infinite sum, the next value of another sign would make none at all.
const fn finite(sum: f64) -> f64 {
    sum.clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_plugins_make_stop_at_the_greatest() {
        let counter = Counter::default();
        counter.add(u64::MAX - 1);
        counter.add(5);
        assert_eq!(counter.value(), u64::MAX);
        let histogram = Histogram::new(&ANYTHING);
        for value in [f64::MAX, f64::MAX, -f64::MAX, f64::MIN] {
            histogram.observe(value);
        }
        let mut sum = HistogramSum::new(&ANYTHING);
        sum.add(&histogram);
        sum.add(&histogram);
        assert!(sum.sum.is_finite(), "{}", sum.sum);
        assert_eq!(sum.buckets.iter().sum::<u64>(), 8);
    }
}
