//! Histograms: how often which size was seen, in buckets with given bounds and, where asked for, in exponential ones; and an
//! exemplar for each bucket.
//!
//! A histogram is several cells that belong together. Its one writer, a worker, makes a number odd while it writes, and
//! whoever reads does so again where the number was odd or has changed: so sums are whole, and the worker never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, fence};
use std::time::Duration;

use super::cells::Counter;
use super::exemplar::{Exemplar, ExemplarCell, later};
use super::exponential::{Exponential, ExponentialSum};
use crate::trace::Trace;

/// What histograms are made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    /// Upper bounds of the buckets, rising; one more bucket is unbounded.
    pub(super) bounds: Arc<[f64]>,
    /// Whether there are exponential buckets besides.
    pub(super) exponential: bool,
    /// Whether requests of recorded traces are kept by bucket.
    pub(super) exemplars: bool,
}

impl Layout {
    /// For whatever plugins observe.
    pub(super) fn anything() -> Self {
        const ANYTHING: [f64; 14] =
            [0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 10_000.0, 100_000.0, 1_000_000.0];
        Self { bounds: Arc::new(ANYTHING), exponential: false, exemplars: false }
    }
}

/// How often which size was seen.
#[derive(Debug)]
pub struct Histogram {
    bounds: Arc<[f64]>,
    /// Odd while it is written.
    version: AtomicU64,
    /// One more than there are bounds.
    buckets: Box<[Counter]>,
    /// The bits of an `f64`.
    sum: AtomicU64,
    exponential: Option<Box<Exponential>>,
    /// By bucket; none where they are not wanted.
    exemplars: Box<[ExemplarCell]>,
}

impl Histogram {
    pub(super) fn new(layout: &Layout) -> Self {
        let buckets = layout.bounds.len() + 1;
        let exemplars = if layout.exemplars { buckets } else { 0 };
        Self {
            bounds: Arc::clone(&layout.bounds),
            version: AtomicU64::new(0),
            buckets: (0..buckets).map(|_| Counter::default()).collect(),
            sum: AtomicU64::new(0),
            exponential: layout.exponential.then(Box::default),
            exemplars: (0..exemplars).map(|_| ExemplarCell::default()).collect(),
        }
    }

    /// Notes one value, of an exchange that has this place in a trace; to be called by the owning worker only. What is not a
    /// number is ignored.
    pub fn observe(&self, value: f64, trace: Option<&Trace>) {
        if !value.is_finite() {
            return;
        }
        let version = self.version.load(Relaxed);
        self.version.store(version.wrapping_add(1), Relaxed);
        fence(Release);
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.buckets[bucket].add(1);
        let sum = f64::from_bits(self.sum.load(Relaxed)) + value;
        self.sum.store(finite(sum).to_bits(), Relaxed);
        if let Some(exponential) = &self.exponential {
            exponential.observe(value);
        }
        // Of a trace that nobody recorded there would be nothing to look at.
        if let Some(trace) = trace.filter(|trace| trace.sampled)
            && let Some(cell) = self.exemplars.get(bucket)
        {
            cell.set(trace, value);
        }
        self.version.store(version.wrapping_add(2), Release);
    }

    /// Notes one duration.
    pub fn observe_duration(&self, duration: Duration, trace: Option<&Trace>) {
        self.observe(duration.as_secs_f64(), trace);
    }

    /// What is there, as it stood at one moment.
    fn value(&self) -> HistogramSum {
        loop {
            let before = self.version.load(Acquire);
            if before.is_multiple_of(2) {
                let value = HistogramSum {
                    bounds: Arc::clone(&self.bounds),
                    buckets: self.buckets.iter().map(Counter::value).collect(),
                    sum: f64::from_bits(self.sum.load(Relaxed)),
                    exponential: self.exponential.as_ref().map(|exponential| exponential.value()),
                    exemplars: self.exemplars.iter().map(ExemplarCell::value).collect(),
                };
                fence(Acquire);
                if self.version.load(Relaxed) == before {
                    return value;
                }
            }
            // The worker is about to be done, unless the system has taken its processor away.
            std::thread::yield_now();
        }
    }
}

/// A histogram summed over workers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HistogramSum {
    /// Upper bounds, rising.
    pub(super) bounds: Arc<[f64]>,
    /// How many values each bucket has, by itself; one more than there are bounds.
    pub(super) buckets: Vec<u64>,
    /// Of all values.
    pub(super) sum: f64,
    /// The same values in exponential buckets.
    pub(super) exponential: Option<ExponentialSum>,
    /// By bucket; may be empty.
    pub(super) exemplars: Vec<Option<Exemplar>>,
}

impl HistogramSum {
    /// The sum of histograms of one layout.
    pub(super) fn of<'h>(layout: &Layout, histograms: impl IntoIterator<Item = &'h Histogram>) -> Self {
        let mut sum = Self {
            bounds: Arc::clone(&layout.bounds),
            buckets: vec![0; layout.bounds.len() + 1],
            sum: 0.0,
            exponential: layout.exponential.then(ExponentialSum::empty),
            exemplars: if layout.exemplars { vec![None; layout.bounds.len() + 1] } else { Vec::new() },
        };
        histograms.into_iter().for_each(|histogram| sum.add(histogram));
        sum
    }

    /// Adds one worker's.
    pub(super) fn add(&mut self, histogram: &Histogram) {
        let value = histogram.value();
        for (sum, bucket) in self.buckets.iter_mut().zip(&value.buckets) {
            *sum = sum.saturating_add(*bucket);
        }
        self.sum = finite(self.sum + value.sum);
        if let (Some(sum), Some(exponential)) = (&mut self.exponential, &value.exponential) {
            sum.add(exponential);
        }
        for (sum, exemplar) in self.exemplars.iter_mut().zip(value.exemplars) {
            *sum = later(*sum, exemplar);
        }
    }

    /// How many values there were.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, bucket| sum.saturating_add(*bucket))
    }

    /// For each bucket its upper bound, the number of values up to that, and its exemplar. The last has no bound.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64, Option<&Exemplar>)> {
        let mut count = 0_u64;
        self.buckets.iter().enumerate().map(move |(place, bucket)| {
            count = count.saturating_add(*bucket);
            let bound = self.bounds.get(place).copied().unwrap_or(f64::INFINITY);
            (bound, count, self.exemplars.get(place).and_then(Option::as_ref))
        })
    }
}

/// The nearest number that is one: from an infinite sum, the next value of another sign would make none at all.
const fn finite(sum: f64) -> f64 {
    sum.clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{SpanId, TraceId};

    fn layout() -> Layout {
        Layout { bounds: Arc::new([0.5, 1.0]), exponential: true, exemplars: true }
    }

    #[test]
    fn a_sum_of_values_that_plugins_make_stays_a_number() {
        let layout = Layout::anything();
        let histogram = Histogram::new(&layout);
        for value in [f64::MAX, f64::MAX, -f64::MAX, f64::MIN, f64::NAN] {
            histogram.observe(value, None);
        }
        let sum = HistogramSum::of(&layout, [&histogram, &histogram]);
        assert!(sum.sum.is_finite(), "{}", sum.sum);
        assert_eq!(sum.count(), 8);
    }

    #[test]
    fn only_recorded_traces_leave_an_exemplar_in_the_bucket_of_their_value() {
        let histogram = Histogram::new(&layout());
        let trace = |sampled| Trace::new(TraceId::random(), SpanId::random(), sampled);
        let (recorded, other) = (trace(true), trace(false));
        histogram.observe(0.7, Some(&recorded));
        histogram.observe(0.8, Some(&other));
        histogram.observe(9.0, Some(&other));
        let value = histogram.value();
        assert_eq!(value.buckets, [0, 2, 1]);
        let seen: Vec<_> = value.exemplars.iter().map(|exemplar| exemplar.map(|exemplar| exemplar.trace)).collect();
        assert_eq!(seen, [None, Some(recorded.id), None]);
    }

    #[test]
    fn what_is_read_while_a_worker_writes_is_whole() {
        let histogram = Histogram::new(&layout());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..20_000).for_each(|step| histogram.observe(f64::from(step % 3) * 0.5, None));
                done.store(true, Release);
            });
            while !done.load(Acquire) {
                let value = histogram.value();
                assert_eq!(value.exponential.map(|exponential| exponential.count()), Some(value.buckets.iter().sum()));
            }
        });
        assert_eq!(histogram.value().buckets.iter().sum::<u64>(), 20_000);
    }
}
