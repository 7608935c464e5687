//! Metrics.

use opentelemetry_proto::tonic::metrics::v1 as proto;
use proto::AggregationTemporality::Cumulative;

use super::common::attributes;
use crate::model::{Data, Exemplar, ExponentialBuckets, ExponentialPoint, HistogramPoint, Metric, Number, NumberPoint};

pub(super) fn metric(metric: Metric) -> proto::Metric {
    let aggregation_temporality = Cumulative as i32;
    let data = match metric.data {
        Data::Counter(points) => proto::metric::Data::Sum(proto::Sum {
            data_points: points.into_iter().map(number).collect(),
            aggregation_temporality,
            is_monotonic: true,
        }),
        Data::Gauge(points) => {
            proto::metric::Data::Gauge(proto::Gauge { data_points: points.into_iter().map(gauge).collect() })
        }
        Data::Histogram(points) => proto::metric::Data::Histogram(proto::Histogram {
            data_points: points.into_iter().map(histogram).collect(),
            aggregation_temporality,
        }),
        Data::ExponentialHistogram(points) => proto::metric::Data::ExponentialHistogram(proto::ExponentialHistogram {
            data_points: points.into_iter().map(exponential).collect(),
            aggregation_temporality,
        }),
    };
    proto::Metric {
        name: metric.name.into_string(),
        description: metric.description.into_string(),
        unit: metric.unit.into_string(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

fn number(point: NumberPoint) -> proto::NumberDataPoint {
    use proto::number_data_point::Value;
    proto::NumberDataPoint {
        attributes: attributes(point.attributes),
        start_time_unix_nano: point.interval.start,
        time_unix_nano: point.interval.time,
        exemplars: exemplars(point.exemplars),
        flags: 0,
        value: Some(match point.value {
            Number::Int(number) => Value::AsInt(number),
            Number::Double(number) => Value::AsDouble(number),
        }),
    }
}

/// A gauge has no start: it says what is, not what came together.
fn gauge(point: NumberPoint) -> proto::NumberDataPoint {
    proto::NumberDataPoint { start_time_unix_nano: 0, ..number(point) }
}

fn histogram(point: HistogramPoint) -> proto::HistogramDataPoint {
    proto::HistogramDataPoint {
        attributes: attributes(point.attributes),
        start_time_unix_nano: point.interval.start,
        time_unix_nano: point.interval.time,
        count: point.count,
        sum: Some(point.sum),
        bucket_counts: point.buckets,
        explicit_bounds: point.bounds.to_vec(),
        exemplars: exemplars(point.exemplars),
        ..Default::default()
    }
}

fn exponential(point: ExponentialPoint) -> proto::ExponentialHistogramDataPoint {
    proto::ExponentialHistogramDataPoint {
        attributes: attributes(point.attributes),
        start_time_unix_nano: point.interval.start,
        time_unix_nano: point.interval.time,
        count: point.count,
        sum: Some(point.sum),
        scale: point.scale,
        zero_count: point.zero_count,
        zero_threshold: point.zero_threshold,
        positive: Some(buckets(point.positive)),
        negative: Some(buckets(point.negative)),
        exemplars: exemplars(point.exemplars),
        ..Default::default()
    }
}

fn buckets(buckets: ExponentialBuckets) -> proto::exponential_histogram_data_point::Buckets {
    proto::exponential_histogram_data_point::Buckets { offset: buckets.offset, bucket_counts: buckets.counts }
}

fn exemplars(exemplars: Vec<Exemplar>) -> Vec<proto::Exemplar> {
    let convert = |exemplar: Exemplar| proto::Exemplar {
        filtered_attributes: attributes(exemplar.attributes),
        time_unix_nano: exemplar.time,
        span_id: exemplar.span_id.to_vec(),
        trace_id: exemplar.trace_id.to_vec(),
        value: Some(proto::exemplar::Value::AsDouble(exemplar.value)),
    };
    exemplars.into_iter().map(convert).collect()
}
