//! Metrics, as they stand at a moment. Counters and histograms are cumulative: each point says what there was since the
//! start of its interval.

use std::sync::Arc;

use super::{KeyValue, SpanId, Text, TraceId, UnixNanos};

/// A metric with its points, one for each set of attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// What it is called.
    pub name: Text,
    /// What it means.
    pub description: Text,
    /// What it is counted in, by UCUM: `s`, `By`, `{request}`; may be empty.
    pub unit: Text,
    /// Its points.
    pub data: Data,
}

/// The points of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Sums that only rise.
    Counter(Vec<NumberPoint>),
    /// What there is at the moment. The start of its intervals says nothing.
    Gauge(Vec<NumberPoint>),
    /// Buckets with given bounds.
    Histogram(Vec<HistogramPoint>),
    /// Buckets whose bounds grow by a factor (native histograms of Prometheus).
    ExponentialHistogram(Vec<ExponentialPoint>),
}

impl Data {
    /// How many points there are.
    pub fn points(&self) -> usize {
        match self {
            Self::Counter(points) | Self::Gauge(points) => points.len(),
            Self::Histogram(points) => points.len(),
            Self::ExponentialHistogram(points) => points.len(),
        }
    }
}

/// What a point covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// When counting began: the start of the process, or of the series.
    pub start: UnixNanos,
    /// When the point was read.
    pub time: UnixNanos,
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
}

/// A point of a counter or a gauge.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberPoint {
    /// The labels of the series.
    pub attributes: Vec<KeyValue>,
    /// What it covers.
    pub interval: Interval,
    /// Its value.
    pub value: Number,
    /// Requests that were counted here.
    pub exemplars: Vec<Exemplar>,
}

/// A point of a histogram with given bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramPoint {
    /// The labels of the series.
    pub attributes: Vec<KeyValue>,
    /// What it covers.
    pub interval: Interval,
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The upper bounds of the buckets, rising and inclusive, without the last, which has none.
    pub bounds: Arc<[f64]>,
    /// How many values each bucket has, by itself (not those below it too); one more than there are bounds.
    pub buckets: Vec<u64>,
    /// Requests that were counted here.
    pub exemplars: Vec<Exemplar>,
}

/// A point of a histogram with bounds that grow by a factor of `2^(2^-scale)`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExponentialPoint {
    /// The labels of the series.
    pub attributes: Vec<KeyValue>,
    /// What it covers.
    pub interval: Interval,
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// How fine the buckets are; Prometheus calls it the schema.
    pub scale: i32,
    /// How many values were within the threshold of zero.
    pub zero_count: u64,
    /// Up to which value, inclusive, a value counts as zero.
    pub zero_threshold: f64,
    /// Values above zero.
    pub positive: ExponentialBuckets,
    /// Values below zero.
    pub negative: ExponentialBuckets,
    /// Requests that were counted here.
    pub exemplars: Vec<Exemplar>,
}

/// Buckets of an exponential histogram without gaps.
///
/// With `base = 2^(2^-scale)`, the bucket `i` has the values in `(base^i, base^(i+1)]`, as OpenTelemetry numbers them.
/// Prometheus numbers by the upper bound: its bucket `i` is `i - 1` here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExponentialBuckets {
    /// The number of the first bucket.
    pub offset: i32,
    /// How many values each has.
    pub counts: Vec<u64>,
}

/// A request that was counted in a point, by which a trace is found.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// When it was counted.
    pub time: UnixNanos,
    /// What it counted for.
    pub value: f64,
    /// Its trace.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// What else is known of it.
    pub attributes: Vec<KeyValue>,
}
