//! A collector for the demo: takes spans by OTLP over HTTP, from the gateway and from the services, and shows those of a trace.
//! In production this is an OpenTelemetry Collector, Jaeger, or whatever else takes OTLP.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use flate2::read::GzDecoder;
use http::request::Parts;
use http::{Method, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use serde_json::{Map, Value, json};

use crate::serve::{self, Answer, Service};
use crate::trace::Trace;

/// Bytes of a batch.
const MAX_BATCH: u64 = 16 << 20;
/// How many spans are remembered.
const MAX_SPANS: usize = 10_000;

/// The service.
#[derive(Default)]
pub(crate) struct Collector {
    spans: Mutex<VecDeque<Value>>,
}

impl Service for Collector {
    const NAME: &str = "collector";

    async fn answer(&self, request: &Parts, body: &[u8], _: &Trace) -> Answer {
        match (&request.method, request.uri.path()) {
            (&Method::POST, "/v1/traces") => match batch(request, body) {
                Some(batch) => {
                    self.take(batch);
                    // An empty ExportTraceServiceResponse: all were taken.
                    serve::protobuf(StatusCode::OK)
                }
                None => serve::text(StatusCode::BAD_REQUEST, "not a batch of spans in protobuf\n"),
            },
            (&Method::GET, "/-/spans") => {
                let trace = request.uri.query().and_then(|query| query.strip_prefix("trace=")).unwrap_or_default();
                let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
                let spans: Vec<_> = spans.iter().filter(|span| span["trace_id"] == trace).collect();
                serve::json(StatusCode::OK, &json!(spans))
            }
            _ => serve::text(StatusCode::NOT_FOUND, "spans are taken at /v1/traces\n"),
        }
    }
}

impl Collector {
    fn take(&self, batch: ExportTraceServiceRequest) {
        let mut kept = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in batch.resource_spans {
            let about = attributes(resource.resource.map(|resource| resource.attributes).unwrap_or_default());
            let service = about.get("service.name").cloned().unwrap_or_default();
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                if kept.len() == MAX_SPANS {
                    kept.pop_front();
                }
                kept.push_back(shown(&service, span));
            }
        }
    }
}

/// What was sent, which may be packed with gzip: every receiver has to take that.
fn batch(request: &Parts, body: &[u8]) -> Option<ExportTraceServiceRequest> {
    let packed = request.headers.get("content-encoding").is_some_and(|coding| coding == "gzip");
    if !packed {
        return ExportTraceServiceRequest::decode(body).ok();
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(body).take(MAX_BATCH).read_to_end(&mut unpacked).ok()?;
    ExportTraceServiceRequest::decode(&unpacked[..]).ok()
}

/// A span as JSON.
fn shown(service: &Value, span: Span) -> Value {
    let status = span.status.unwrap_or_default();
    let events = span.events.into_iter().map(|event| json!({"name": event.name, "time": event.time_unix_nano}));
    json!({
        "service": service,
        "trace_id": hex(&span.trace_id),
        "span_id": hex(&span.span_id),
        "parent_span_id": hex(&span.parent_span_id),
        "name": span.name,
        "kind": SpanKind::try_from(span.kind).map_or("", |kind| kind.as_str_name()).trim_start_matches("SPAN_KIND_"),
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "attributes": attributes(span.attributes),
        "events": events.collect::<Vec<_>>(),
        "error": (status.code == 2).then_some(status.message),
    })
}

fn attributes(pairs: Vec<KeyValue>) -> Map<String, Value> {
    let pairs = pairs.into_iter();
    pairs.map(|pair| (pair.key, pair.value.and_then(|any| any.value).map_or(Value::Null, value))).collect()
}

fn value(any: AnyValue) -> Value {
    match any {
        AnyValue::StringValue(text) => text.into(),
        AnyValue::BoolValue(value) => value.into(),
        AnyValue::IntValue(value) => value.into(),
        AnyValue::DoubleValue(value) => value.into(),
        AnyValue::ArrayValue(ArrayValue { values }) => {
            values.into_iter().map(|any| any.value.map_or(Value::Null, value)).collect()
        }
        _ => Value::Null,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
