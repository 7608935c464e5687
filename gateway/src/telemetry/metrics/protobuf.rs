//! Prometheus' protobuf format: `io.prometheus.client.MetricFamily` messages, each behind its length
//! (<https://github.com/prometheus/client_model/blob/v0.6.1/io/prometheus/client/metrics.proto>). Prometheus scrapes
//! exponential histograms in no other.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::exemplar::Exemplar;
use super::exponential::{ExponentialSum, ZERO_THRESHOLD};
use super::histogram::HistogramSum;
use super::page::{Family, Kind, Page, Series, Value};

impl Page {
    /// As delimited protobuf messages.
    pub fn protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for family in self.families.iter().filter(|family| !family.series.is_empty()) {
            out.extend(message(family, self.started).encode_length_delimited_to_vec());
        }
        out
    }
}

/// The message of a family. The numbers of kinds are those of `MetricType`.
fn message(family: &Family, started: SystemTime) -> wire::MetricFamily {
    let kind = match family.kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
        Kind::Histogram => 4,
    };
    wire::MetricFamily {
        name: Some(family.name.to_string()),
        help: Some(family.help.to_owned()),
        kind: Some(kind),
        metric: family.series.iter().map(|series| metric(family.kind, series, started)).collect(),
        unit: family.unit().map(str::to_owned),
    }
}

fn metric(kind: Kind, series: &Series, started: SystemTime) -> wire::Metric {
    let pair = |name: &str, value: &str| wire::LabelPair { name: Some(name.to_owned()), value: Some(value.to_owned()) };
    let mut metric = wire::Metric {
        label: series.labels.iter().map(|(name, value)| pair(name, value)).collect(),
        ..wire::Metric::default()
    };
    match (&series.value, kind) {
        (Value::Histogram(sum), _) => metric.histogram = Some(histogram(sum, started)),
        (Value::Number(number), Kind::Counter) => {
            let (value, created) = (Some(number.as_f64()), Some(timestamp(started)));
            metric.counter = Some(wire::Counter { value, created });
        }
        (Value::Number(number), _) => metric.gauge = Some(wire::Gauge { value: Some(number.as_f64()) }),
    }
    metric
}

fn histogram(sum: &HistogramSum, started: SystemTime) -> wire::Histogram {
    let bucket = |(bound, count, of): (f64, u64, Option<&Exemplar>)| wire::Bucket {
        cumulative_count: Some(count),
        upper_bound: Some(bound),
        exemplar: of.map(exemplar),
    };
    let mut histogram = wire::Histogram {
        sample_count: Some(sum.count()),
        sample_sum: Some(sum.sum),
        bucket: sum.cumulative().map(bucket).collect(),
        created: Some(timestamp(started)),
        ..wire::Histogram::default()
    };
    if let Some(exponential) = &sum.exponential {
        let (spans, deltas) = sparse(exponential);
        histogram.schema = Some(exponential.scale);
        // It also says that this is an exponential histogram, while there are no values.
        histogram.zero_threshold = Some(ZERO_THRESHOLD);
        histogram.zero_count = Some(exponential.zero);
        (histogram.positive_span, histogram.positive_delta) = (spans, deltas);
        histogram.exemplars = sum.exemplars.iter().flatten().map(exemplar).collect();
    }
    histogram
}

/// Runs of buckets with the gaps between them, and how the count of each differs from that of the one before it. Gaps of up
/// to two are filled: a zero takes less room than a new run.
fn sparse(exponential: &ExponentialSum) -> (Vec<wire::BucketSpan>, Vec<i64>) {
    const SHORT_GAP: usize = 2;
    let (mut spans, mut deltas) = (Vec::<wire::BucketSpan>::new(), Vec::new());
    let (mut gap, mut last) = (0, 0_i64);
    for count in exponential.buckets.iter().map(|count| i64::try_from(*count).unwrap_or(i64::MAX)) {
        if count == 0 {
            gap += 1;
            continue;
        }
        match spans.last_mut() {
            Some(span) if gap <= SHORT_GAP => {
                for _ in 0..gap {
                    deltas.push(-last);
                    last = 0;
                }
                span.length = span.length.map(|length| length + u32::try_from(gap).unwrap_or(0) + 1);
            }
            span => {
                // The first run begins at Prometheus' number of its bucket, the others after their gap.
                let gap = i32::try_from(gap).unwrap_or(i32::MAX);
                let offset = if span.is_none() { exponential.offset + 1 + gap } else { gap };
                spans.push(wire::BucketSpan { offset: Some(offset), length: Some(1) });
            }
        }
        deltas.push(count - last);
        (gap, last) = (0, count);
    }
    (spans, deltas)
}

fn exemplar(exemplar: &Exemplar) -> wire::Exemplar {
    let pair = |name: &str, value: String| wire::LabelPair { name: Some(name.to_owned()), value: Some(value) };
    wire::Exemplar {
        label: vec![pair("trace_id", exemplar.trace.to_string()), pair("span_id", exemplar.span.to_string())],
        value: Some(exemplar.value),
        timestamp: Some(timestamp(exemplar.time)),
    }
}

fn timestamp(time: SystemTime) -> wire::Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    wire::Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
    }
}

/// The messages, as far as the gateway has something to say in them.
mod wire {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct MetricFamily {
        #[prost(string, optional, tag = "1")]
        pub(super) name: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub(super) help: Option<String>,
        #[prost(int32, optional, tag = "3")]
        pub(super) kind: Option<i32>,
        #[prost(message, repeated, tag = "4")]
        pub(super) metric: Vec<Metric>,
        #[prost(string, optional, tag = "5")]
        pub(super) unit: Option<String>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Metric {
        #[prost(message, repeated, tag = "1")]
        pub(super) label: Vec<LabelPair>,
        #[prost(message, optional, tag = "2")]
        pub(super) gauge: Option<Gauge>,
        #[prost(message, optional, tag = "3")]
        pub(super) counter: Option<Counter>,
        #[prost(message, optional, tag = "7")]
        pub(super) histogram: Option<Histogram>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct LabelPair {
        #[prost(string, optional, tag = "1")]
        pub(super) name: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub(super) value: Option<String>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Gauge {
        #[prost(double, optional, tag = "1")]
        pub(super) value: Option<f64>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Counter {
        #[prost(double, optional, tag = "1")]
        pub(super) value: Option<f64>,
        #[prost(message, optional, tag = "3")]
        pub(super) created: Option<Timestamp>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Histogram {
        #[prost(uint64, optional, tag = "1")]
        pub(super) sample_count: Option<u64>,
        #[prost(double, optional, tag = "2")]
        pub(super) sample_sum: Option<f64>,
        #[prost(message, repeated, tag = "3")]
        pub(super) bucket: Vec<Bucket>,
        #[prost(message, optional, tag = "15")]
        pub(super) created: Option<Timestamp>,
        #[prost(sint32, optional, tag = "5")]
        pub(super) schema: Option<i32>,
        #[prost(double, optional, tag = "6")]
        pub(super) zero_threshold: Option<f64>,
        #[prost(uint64, optional, tag = "7")]
        pub(super) zero_count: Option<u64>,
        #[prost(message, repeated, tag = "12")]
        pub(super) positive_span: Vec<BucketSpan>,
        #[prost(sint64, repeated, packed = "false", tag = "13")]
        pub(super) positive_delta: Vec<i64>,
        #[prost(message, repeated, tag = "16")]
        pub(super) exemplars: Vec<Exemplar>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Bucket {
        #[prost(uint64, optional, tag = "1")]
        pub(super) cumulative_count: Option<u64>,
        #[prost(double, optional, tag = "2")]
        pub(super) upper_bound: Option<f64>,
        #[prost(message, optional, tag = "3")]
        pub(super) exemplar: Option<Exemplar>,
    }

    #[derive(Clone, Copy, PartialEq, Eq, Message)]
    pub(super) struct BucketSpan {
        #[prost(sint32, optional, tag = "1")]
        pub(super) offset: Option<i32>,
        #[prost(uint32, optional, tag = "2")]
        pub(super) length: Option<u32>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        pub(super) label: Vec<LabelPair>,
        #[prost(double, optional, tag = "2")]
        pub(super) value: Option<f64>,
        #[prost(message, optional, tag = "3")]
        pub(super) timestamp: Option<Timestamp>,
    }

    /// `google.protobuf.Timestamp`.
    #[derive(Clone, Copy, PartialEq, Eq, Message)]
    pub(super) struct Timestamp {
        #[prost(int64, tag = "1")]
        pub(super) seconds: i64,
        #[prost(int32, tag = "2")]
        pub(super) nanos: i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(buckets: &[u64]) -> (Vec<(i32, u32)>, Vec<i64>) {
        let sum = ExponentialSum { scale: 3, zero: 0, offset: -5, buckets: buckets.to_vec() };
        let (spans, deltas) = sparse(&sum);
        (spans.iter().map(|span| (span.offset(), span.length())).collect(), deltas)
    }

    #[test]
    fn buckets_are_runs_with_differences() {
        assert_eq!(spans(&[]), (vec![], vec![]));
        assert_eq!(spans(&[2, 3, 1]), (vec![(-4, 3)], vec![2, 1, -2]));
        // A short gap is part of the run; a long one is not.
        assert_eq!(spans(&[2, 0, 0, 5]), (vec![(-4, 4)], vec![2, -2, 0, 5]));
        assert_eq!(spans(&[0, 2, 0, 0, 0, 5, 5]), (vec![(-3, 1), (3, 2)], vec![2, 3, 0]));
    }
}
