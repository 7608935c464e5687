//! Exponential histograms, which Prometheus calls native: buckets whose bounds grow by a factor, so that any range of values
//! is told apart to a few percent without anybody choosing bounds.
//!
//! Buckets are numbered as OpenTelemetry does (Metrics Data Model, "ExponentialHistogram"): with `base = 2^(2^-scale)`,
//! bucket `i` has the values in `(base^i, base^(i+1)]`. Prometheus numbers by the upper bound: its bucket `i` is `i - 1`
//! here, and it calls the scale `schema`.

use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use super::cells::Counter;

/// Where a histogram begins: the finest that Prometheus has. It gets coarser when values lie further apart than its buckets reach.
const FINEST: i32 = 8;
/// Buckets of a histogram at most. With 160, values up to a factor of a million apart are told apart to 9 %.
const MAX_BUCKETS: usize = 160;
/// Values up to this count as zero. With 2^-128, no positive value that is finite needs a coarser scale than Prometheus has.
pub(super) const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// The bucket of a value above the threshold.
fn bucket(value: f64, scale: i32) -> i32 {
    let bits = value.to_bits();
    #[allow(clippy::cast_possible_truncation, reason = "11 bits")]
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let fraction = bits & ((1 << 52) - 1);
    if fraction == 0 {
        // A power of two is the upper bound of its bucket.
        return if scale > 0 { (exponent << scale) - 1 } else { (exponent - 1) >> -scale };
    }
    if scale <= 0 {
        return exponent >> -scale;
    }
    let parts = 1 << scale;
    // From 1 to 2, without both.
    let mantissa = f64::from_bits(fraction | (1023 << 52));
    #[allow(clippy::cast_possible_truncation, reason = "at most 256")]
    let part = (mantissa.log2() * f64::from(parts)).ceil() as i32;
    (exponent << scale) + part.clamp(1, parts) - 1
}

/// How much coarser the scale has to be for buckets from `low` to `high`.
fn coarser(low: i32, high: i32) -> i32 {
    (0..).find(|by| width(low >> by, high >> by) <= MAX_BUCKETS).unwrap_or(0)
}

/// How many buckets there are from one to another.
fn width(low: i32, high: i32) -> usize {
    usize::try_from(i64::from(high) - i64::from(low) + 1).unwrap_or(0)
}

/// One worker's numbers. Each bucket has the slot of its number modulo the number of slots, so that nothing moves when the
/// range grows at either end. The histogram that it belongs to sees to it that it is read whole.
#[derive(Debug)]
pub(super) struct Exponential {
    scale: AtomicI32,
    zero: Counter,
    /// The lowest and the highest bucket; the other way round while there is none.
    low: AtomicI32,
    high: AtomicI32,
    slots: [Counter; MAX_BUCKETS],
}

impl Default for Exponential {
    fn default() -> Self {
        Self {
            scale: AtomicI32::new(FINEST),
            zero: Counter::default(),
            low: AtomicI32::new(i32::MAX),
            high: AtomicI32::new(i32::MIN),
            slots: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl Exponential {
    /// Notes a value that is finite; to be called by the owning worker only. Of negative ones only the sum is kept, which
    /// durations never are.
    pub(super) fn observe(&self, value: f64) {
        if value <= ZERO_THRESHOLD {
            return self.zero.add(1);
        }
        let scale = self.scale.load(Relaxed);
        let mut bucket = bucket(value, scale);
        let (low, high) = (self.low.load(Relaxed), self.high.load(Relaxed));
        if bucket < low || bucket > high {
            let (new_low, new_high) = (low.min(bucket), high.max(bucket));
            let by = coarser(new_low, new_high);
            if by > 0 {
                self.coarsen(by);
                bucket >>= by;
                self.scale.store(scale - by, Relaxed);
            }
            self.low.store(new_low >> by, Relaxed);
            self.high.store(new_high >> by, Relaxed);
        }
        self.slot(bucket).add(1);
    }

    fn slot(&self, bucket: i32) -> &Counter {
        let slots = i32::try_from(MAX_BUCKETS).unwrap_or(1);
        &self.slots[usize::try_from(bucket.rem_euclid(slots)).unwrap_or(0)]
    }

    /// Puts buckets together, `2^by` into each. It happens a few times in the life of a histogram.
    fn coarsen(&self, by: i32) {
        let (low, high) = (self.low.load(Relaxed), self.high.load(Relaxed));
        let mut before = [0; MAX_BUCKETS];
        for (count, bucket) in before.iter_mut().zip(low..=high) {
            *count = self.slot(bucket).value();
        }
        self.slots.iter().for_each(|slot| slot.set(0));
        for (count, bucket) in before.iter().zip(low..=high) {
            self.slot(bucket >> by).add(*count);
        }
    }

    /// What is there.
    pub(super) fn value(&self) -> ExponentialSum {
        let (low, high) = (self.low.load(Relaxed), self.high.load(Relaxed));
        // While it is being written the range may be anything; whoever reads throws that away.
        let buckets = (low..=high).take(MAX_BUCKETS).map(|bucket| self.slot(bucket).value()).collect();
        ExponentialSum { scale: self.scale.load(Relaxed), zero: self.zero.value(), offset: low, buckets }
    }
}

/// The same, summed over workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExponentialSum {
    /// How fine the buckets are: at most 8.
    pub(super) scale: i32,
    /// How many values were zero, or as good as that.
    pub(super) zero: u64,
    /// The number of the first bucket, where there is one.
    pub(super) offset: i32,
    /// How many values each has, by itself.
    pub(super) buckets: Vec<u64>,
}

impl ExponentialSum {
    /// Without any value.
    pub(super) const fn empty() -> Self {
        Self { scale: FINEST, zero: 0, offset: 0, buckets: Vec::new() }
    }

    /// How many values there are.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().fold(self.zero, |sum, bucket| sum.saturating_add(*bucket))
    }

    /// Adds another one, at the scale of the coarser.
    pub(super) fn add(&mut self, other: &Self) {
        self.zero = self.zero.saturating_add(other.zero);
        let Some((low, high)) = other.range() else { return };
        let Some((own_low, own_high)) = self.range() else {
            *self = Self { zero: self.zero, ..other.clone() };
            return;
        };
        let scale = self.scale.min(other.scale);
        let (own, others) = (self.scale - scale, other.scale - scale);
        let (low, high) = ((own_low >> own).min(low >> others), (own_high >> own).max(high >> others));
        let by = coarser(low, high);
        let mut sum = Self { scale: scale - by, zero: self.zero, offset: low >> by, buckets: Vec::new() };
        sum.buckets = vec![0; width(low >> by, high >> by)];
        sum.fill(self);
        sum.fill(other);
        *self = sum;
    }

    fn range(&self) -> Option<(i32, i32)> {
        let buckets = i32::try_from(self.buckets.len()).ok().filter(|buckets| *buckets > 0)?;
        Some((self.offset, self.offset + buckets - 1))
    }

    /// Adds the buckets of one that is no coarser, and lies within the range.
    fn fill(&mut self, from: &Self) {
        let by = from.scale - self.scale;
        for (bucket, count) in (from.offset..).zip(&from.buckets) {
            let place = usize::try_from((bucket >> by) - self.offset).ok();
            if let Some(sum) = place.and_then(|place| self.buckets.get_mut(place)) {
                *sum = sum.saturating_add(*count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bounds of a bucket.
    fn bounds(bucket: i32, scale: i32) -> (f64, f64) {
        let at = |bucket: i32| 2_f64.powf(f64::from(bucket) * 2_f64.powi(-scale));
        (at(bucket), at(bucket + 1))
    }

    fn of(values: &[f64]) -> ExponentialSum {
        let cells = Exponential::default();
        values.iter().for_each(|value| cells.observe(*value));
        cells.value()
    }

    /// From far below a nanosecond to years.
    fn value() -> impl Strategy<Value = f64> {
        (-40.0..40.0_f64).prop_map(f64::exp2)
    }

    #[test]
    fn powers_of_two_are_upper_bounds_at_every_scale() {
        assert_eq!(bucket(1.0, 0), -1);
        assert_eq!(bucket(2.0, 0), 0);
        assert_eq!(bucket(2.0, 3), 7);
        assert_eq!(bucket(1.0, 8), -1);
        assert_eq!(bucket(4.0, -1), 0);
        assert_eq!(bucket(4.1, -1), 1);
        assert_eq!(bucket(0.5, -2), -1);
        assert_eq!(bucket(f64::MAX, -3), 127);
    }

    #[test]
    fn the_greatest_range_needs_no_coarser_scale_than_prometheus_has() {
        let all = of(&[f64::MAX, ZERO_THRESHOLD * 1.5, 0.0]);
        assert!(all.scale >= -4 && all.buckets.len() <= MAX_BUCKETS, "{all:?}");
        assert_eq!((all.count(), all.zero), (3, 1));
    }

    #[test]
    fn usual_durations_are_told_apart_to_a_few_percent() {
        let values: Vec<f64> = (0..1000).map(|step| 0.0002 * 1.01_f64.powi(step)).collect();
        let all = of(&values);
        assert!(all.scale >= 3, "{}", all.scale);
        assert_eq!(all.count(), 1000);
    }

    proptest! {
        #[test]
        fn a_value_is_within_the_bounds_of_its_bucket(value in value(), scale in -4..=8_i32) {
            let (low, high) = bounds(bucket(value, scale), scale);
            prop_assert!(low * (1.0 - 1e-12) < value && value <= high * (1.0 + 1e-12), "{low} {value} {high}");
        }

        #[test]
        fn coarser_buckets_are_what_the_value_has_there(value in value(), scale in -3..=8_i32) {
            prop_assert_eq!(bucket(value, scale) >> 1, bucket(value, scale - 1));
        }

        #[test]
        fn sums_over_workers_are_what_one_worker_would_have(
            one in prop::collection::vec(value(), 0..40), other in prop::collection::vec(value(), 0..40)
        ) {
            let mut sum = ExponentialSum::empty();
            sum.add(&of(&one));
            sum.add(&of(&other));
            let both = of(&[one, other].concat());
            prop_assert!(sum.buckets.len() <= MAX_BUCKETS);
            prop_assert_eq!(sum.count(), both.count());
            prop_assert_eq!(sum.scale, both.scale);
            prop_assert_eq!(sum.buckets, both.buckets);
        }
    }
}
