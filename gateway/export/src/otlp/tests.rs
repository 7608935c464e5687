//! What a collector gets, decoded by the official messages.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Proto;
use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValue as ProtoKeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data as ProtoData;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as ProtoNumber;
use opentelemetry_proto::tonic::{logs, metrics as proto_metrics, trace};
use prost::Message as _;

use super::{Origin, logs as encode_logs, metrics as encode_metrics, traces as encode_traces};
use crate::model::{
    Data, Event, Exemplar, ExponentialBuckets, ExponentialPoint, HistogramPoint, Interval, KeyValue, Kind, LogRecord,
    Metric, Number, NumberPoint, Resource, Scope, Severity, Span, Status, Text, Value,
};

fn origin() -> Origin {
    let resource = Resource {
        service_name: "gateway".into(),
        service_version: "1.2.3".into(),
        service_instance_id: "a".into(),
        attributes: vec![KeyValue::new("zone", "oslo-1"), KeyValue::new("service.version", "2")],
    };
    Origin::new(&resource, &Scope { name: "proxy".into(), version: "0.1".into() })
}

fn pairs(attributes: &[ProtoKeyValue]) -> Vec<(&str, &Proto)> {
    attributes
        .iter()
        .map(|attribute| {
            let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
            (attribute.key.as_str(), value.expect("a value"))
        })
        .collect()
}

fn text(text: &str) -> Proto {
    Proto::StringValue(text.to_owned())
}

fn span_of(body: &[u8]) -> trace::v1::Span {
    let mut request = ExportTraceServiceRequest::decode(body).expect("a request");
    let mut resource_spans = request.resource_spans.remove(0);
    let resource = resource_spans.resource.expect("a resource");
    let (gateway, a, oslo, two) = (text("gateway"), text("a"), text("oslo-1"), text("2"));
    let expected = [
        ("service.name", &gateway),
        ("service.instance.id", &a),
        ("zone", &oslo),
        // The operator knows better.
        ("service.version", &two),
    ];
    assert_eq!(pairs(&resource.attributes), expected);
    let mut scope_spans = resource_spans.scope_spans.remove(0);
    let scope = scope_spans.scope.expect("a scope");
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("proxy", "0.1"));
    scope_spans.spans.remove(0)
}

fn span() -> Span {
    Span {
        trace_id: [1; 16],
        span_id: [2; 8],
        parent: Some([3; 8]),
        parent_is_remote: true,
        flags: 1,
        trace_state: Some("a=b".into()),
        name: "GET /orders/{id}".into(),
        kind: Kind::Server,
        start: 10,
        end: 20,
        attributes: vec![
            KeyValue::new("text", "a"),
            KeyValue::new("int", 200),
            KeyValue::new("double", 0.5),
            KeyValue::new("bool", true),
            KeyValue::new("list", vec![Text::from("a"), Text::from("b")]),
        ],
        dropped_attributes: 4,
        events: vec![Event { time: 15, name: "dns".into(), attributes: vec![KeyValue::new("ms", 3)] }],
        dropped_events: 5,
        status: Status::Error("gone".into()),
    }
}

#[test]
fn a_span_says_all_that_it_knows() {
    let proto = span_of(&encode_traces(&origin(), vec![span()]));
    assert_eq!((proto.trace_id.as_slice(), proto.span_id.as_slice()), (&[1; 16][..], &[2; 8][..]));
    assert_eq!((proto.parent_span_id.as_slice(), proto.trace_state.as_str()), (&[3; 8][..], "a=b"));
    // Sampled, and known to have a parent elsewhere.
    assert_eq!(proto.flags, 0x301);
    assert_eq!((proto.name.as_str(), proto.kind), ("GET /orders/{id}", 2));
    assert_eq!((proto.start_time_unix_nano, proto.end_time_unix_nano), (10, 20));
    assert_eq!((proto.dropped_attributes_count, proto.dropped_events_count), (4, 5));
    let list = ["a", "b"].map(|one| super::common::text(one.into()));
    let expected = [
        ("text", &text("a")),
        ("int", &Proto::IntValue(200)),
        ("double", &Proto::DoubleValue(0.5)),
        ("bool", &Proto::BoolValue(true)),
        ("list", &Proto::ArrayValue(ArrayValue { values: list.to_vec() })),
    ];
    assert_eq!(pairs(&proto.attributes), expected);
    assert_eq!((proto.events[0].time_unix_nano, proto.events[0].name.as_str()), (15, "dns"));
    assert_eq!(pairs(&proto.events[0].attributes), [("ms", &Proto::IntValue(3))]);
    let status = proto.status.expect("a status");
    assert_eq!((status.code, status.message.as_str()), (2, "gone"));
}

#[test]
fn a_span_says_nothing_that_it_does_not_know() {
    let plain = Span {
        parent: None,
        parent_is_remote: false,
        trace_state: None,
        status: Status::Unset,
        kind: Kind::Internal,
        ..span()
    };
    let proto = span_of(&encode_traces(&origin(), vec![plain]));
    assert!(proto.parent_span_id.is_empty() && proto.trace_state.is_empty() && proto.status.is_none());
    assert_eq!((proto.flags, proto.kind), (0x101, 1));
    for (kind, number) in [(Kind::Client, 3), (Kind::Producer, 4), (Kind::Consumer, 5)] {
        assert_eq!(span_of(&encode_traces(&origin(), vec![Span { kind, ..span() }])).kind, number);
    }
}

#[test]
fn a_log_record_has_its_place_in_a_trace() {
    let record = LogRecord {
        time: 7,
        event_name: "access".into(),
        severity: Severity::Warn,
        body: "GET 503".into(),
        attributes: vec![KeyValue::new("route", Value::from("orders"))],
        dropped_attributes: 1,
        trace_id: Some([1; 16]),
        span_id: Some([2; 8]),
        flags: 1,
    };
    let outside = LogRecord { trace_id: None, span_id: None, flags: 0, body: Text::EMPTY, ..record.clone() };
    let body = encode_logs(&origin(), vec![record, outside]);
    let mut request = ExportLogsServiceRequest::decode(body.as_slice()).expect("a request");
    let records: Vec<logs::v1::LogRecord> = request.resource_logs.remove(0).scope_logs.remove(0).log_records;
    let first = &records[0];
    assert_eq!((first.time_unix_nano, first.observed_time_unix_nano), (7, 7));
    assert_eq!(first.event_name, "access");
    assert_eq!((first.severity_number, first.severity_text.as_str()), (13, "WARN"));
    assert_eq!(first.body.as_ref().and_then(|body| body.value.clone()), Some(text("GET 503")));
    assert_eq!(pairs(&first.attributes), [("route", &text("orders"))]);
    assert_eq!((first.dropped_attributes_count, first.flags), (1, 1));
    assert_eq!((first.trace_id.as_slice(), first.span_id.as_slice()), (&[1; 16][..], &[2; 8][..]));
    assert!(records[1].trace_id.is_empty() && records[1].span_id.is_empty() && records[1].body.is_none());
}

fn encoded(data: Data) -> ProtoData {
    let metric = Metric { name: "m".into(), description: "d".into(), unit: "s".into(), data };
    let body = encode_metrics(&origin(), vec![metric]);
    let mut request = ExportMetricsServiceRequest::decode(body.as_slice()).expect("a request");
    let mut metrics: Vec<proto_metrics::v1::Metric> =
        request.resource_metrics.remove(0).scope_metrics.remove(0).metrics;
    let metric = metrics.remove(0);
    assert_eq!((metric.name.as_str(), metric.description.as_str(), metric.unit.as_str()), ("m", "d", "s"));
    metric.data.expect("data")
}

const INTERVAL: Interval = Interval { start: 1, time: 2 };

fn exemplars() -> Vec<Exemplar> {
    vec![Exemplar { time: 2, value: 0.25, trace_id: [1; 16], span_id: [2; 8], attributes: Vec::new() }]
}

#[test]
fn counters_are_cumulative_sums_and_gauges_have_no_start() {
    let point = |value| NumberPoint {
        attributes: vec![KeyValue::new("route", "a")],
        interval: INTERVAL,
        value,
        exemplars: exemplars(),
    };
    let ProtoData::Sum(sum) = encoded(Data::Counter(vec![point(Number::Int(3))])) else { panic!("no sum") };
    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (2, true));
    let first = &sum.data_points[0];
    assert_eq!((first.start_time_unix_nano, first.time_unix_nano), (1, 2));
    assert_eq!(first.value, Some(ProtoNumber::AsInt(3)));
    assert_eq!(pairs(&first.attributes), [("route", &text("a"))]);
    assert_eq!((first.exemplars[0].trace_id.as_slice(), first.exemplars[0].time_unix_nano), (&[1; 16][..], 2));
    let ProtoData::Gauge(gauge) = encoded(Data::Gauge(vec![point(Number::Double(0.5))])) else { panic!("no gauge") };
    assert_eq!(gauge.data_points[0].start_time_unix_nano, 0);
    assert_eq!(gauge.data_points[0].value, Some(ProtoNumber::AsDouble(0.5)));
}

#[test]
fn histograms_of_both_kinds_keep_their_buckets() {
    let point = HistogramPoint {
        attributes: Vec::new(),
        interval: INTERVAL,
        count: 3,
        sum: 1.5,
        bounds: [0.1, 1.0].into(),
        buckets: vec![1, 2, 0],
        exemplars: exemplars(),
    };
    let ProtoData::Histogram(histogram) = encoded(Data::Histogram(vec![point])) else { panic!("no histogram") };
    let first = &histogram.data_points[0];
    assert_eq!((first.count, first.sum, histogram.aggregation_temporality), (3, Some(1.5), 2));
    assert_eq!((first.explicit_bounds.as_slice(), first.bucket_counts.as_slice()), (&[0.1, 1.0][..], &[1, 2, 0][..]));
    assert_eq!(first.exemplars[0].span_id, [2; 8]);

    let point = ExponentialPoint {
        attributes: Vec::new(),
        interval: INTERVAL,
        count: 6,
        sum: 9.0,
        scale: 3,
        zero_count: 1,
        zero_threshold: 1e-9,
        positive: ExponentialBuckets { offset: -4, counts: vec![2, 0, 3] },
        negative: ExponentialBuckets::default(),
        exemplars: exemplars(),
    };
    let ProtoData::ExponentialHistogram(histogram) = encoded(Data::ExponentialHistogram(vec![point])) else {
        panic!("no exponential histogram")
    };
    let first = &histogram.data_points[0];
    assert_eq!((first.count, first.scale, first.zero_count, first.zero_threshold), (6, 3, 1, 1e-9));
    let positive = first.positive.as_ref().expect("buckets");
    assert_eq!((positive.offset, positive.bucket_counts.as_slice()), (-4, &[2, 0, 3][..]));
    assert_eq!(histogram.aggregation_temporality, 2);
}
