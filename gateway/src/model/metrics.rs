//! The `metrics` section.

use std::sync::Arc;
use std::time::Duration;

use super::Collector;
use super::reload::Deferred;

/// What metrics are made of, and where they are sent besides the page of the admin listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Upper bounds of the buckets of durations, in seconds, rising.
    pub buckets: Arc<[f64]>,
    /// Whether durations have exponential buckets besides, which Prometheus calls native histograms.
    pub native_histograms: bool,
    /// Whether the last recorded trace of each bucket is kept.
    pub exemplars: bool,
    /// The collector that they are sent to.
    pub export: Option<MetricsExport>,
}

/// How metrics are sent to a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsExport {
    /// Where it is.
    pub collector: Collector,
    /// From one export to the next. Default 60 s.
    pub interval: Duration,
}

impl Metrics {
    /// Upper bounds where the configuration gives none.
    pub const BUCKETS: [f64; 14] =
        [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

    /// What histograms are made of stays as the start made them: a series with other bounds from some moment on could not be
    /// compared with itself.
    pub(super) fn keep(&mut self, running: &Self, deferred: &mut Deferred) {
        let Self { buckets, native_histograms, exemplars, export: _ } = self;
        let tell = |key: &str| format!("metrics.{key} changes at the next start; until then it stays as it is");
        deferred.keep(buckets, &running.buckets, |_| tell("buckets"));
        deferred.keep(native_histograms, &running.native_histograms, |_| tell("native_histograms"));
        deferred.keep(exemplars, &running.exemplars, |_| tell("exemplars"));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { buckets: Arc::new(Self::BUCKETS), native_histograms: false, exemplars: true, export: None }
    }
}
