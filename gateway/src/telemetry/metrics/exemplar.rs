//! Exemplars: for each bucket of a histogram, the last request of a recorded trace that fell into it. So a slow bucket leads
//! to a trace that shows why.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::trace::{SpanId, Trace, TraceId};

/// A request that was counted in a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    /// Its trace.
    pub(super) trace: TraceId,
    /// Its span there.
    pub(super) span: SpanId,
    /// What it was counted with.
    pub(super) value: f64,
    /// When.
    pub(super) time: SystemTime,
}

/// The exemplar of one bucket and worker. The histogram that it belongs to sees to it that it is read whole.
#[derive(Debug, Default)]
pub(super) struct ExemplarCell {
    /// Two halves; zero where there is none yet.
    trace: [AtomicU64; 2],
    span: AtomicU64,
    /// The bits of an `f64`.
    value: AtomicU64,
    /// Milliseconds since 1970.
    time: AtomicU64,
}

impl ExemplarCell {
    /// Replaces it; to be called by the owning worker only.
    pub(super) fn set(&self, trace: &Trace, value: f64) {
        let id = u128::from_be_bytes(trace.id.bytes());
        // The halves of 128 bits.
        #[allow(clippy::cast_possible_truncation, reason = "one half after the other")]
        let halves = [(id >> 64) as u64, id as u64];
        for (cell, half) in self.trace.iter().zip(halves) {
            cell.store(half, Relaxed);
        }
        self.span.store(u64::from_be_bytes(trace.span.bytes()), Relaxed);
        self.value.store(value.to_bits(), Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.time.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// What is there, if anything is.
    pub(super) fn value(&self) -> Option<Exemplar> {
        let [high, low] = &self.trace;
        let id = (u128::from(high.load(Relaxed)) << 64) | u128::from(low.load(Relaxed));
        Some(Exemplar {
            trace: TraceId::from_bytes(id.to_be_bytes())?,
            span: SpanId::from_bytes(self.span.load(Relaxed).to_be_bytes())?,
            value: f64::from_bits(self.value.load(Relaxed)),
            time: UNIX_EPOCH + Duration::from_millis(self.time.load(Relaxed)),
        })
    }
}

/// The later of two.
pub(super) fn later(one: Option<Exemplar>, other: Option<Exemplar>) -> Option<Exemplar> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.time >= one.time { other } else { one }),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exemplar_is_what_was_put_in_and_the_later_one_counts() {
        let cell = ExemplarCell::default();
        assert_eq!(cell.value(), None);
        let trace = Trace::new(TraceId::random(), SpanId::random(), true);
        cell.set(&trace, 0.25);
        let there = cell.value().unwrap();
        assert_eq!((there.trace, there.span, there.value), (trace.id, trace.span, 0.25));
        let earlier = Exemplar { time: UNIX_EPOCH, ..there };
        assert_eq!(later(Some(there), Some(earlier)), Some(there));
        assert_eq!(later(None, Some(earlier)), Some(earlier));
    }
}
