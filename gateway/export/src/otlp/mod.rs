//! The model as OTLP's messages, in protobuf (<https://opentelemetry.io/docs/specs/otlp/>, opentelemetry-proto 1.x).

mod common;
mod log;
mod metric;
mod span;
#[cfg(test)]
mod tests;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message as _;

use crate::model::{LogRecord, Metric, Span};
pub(crate) use common::Origin;

/// The body of a request with spans.
pub(crate) fn traces(origin: &Origin, spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = ScopeSpans {
        scope: Some(origin.scope.clone()),
        spans: spans.into_iter().map(span::span).collect(),
        schema_url: String::new(),
    };
    let resource_spans = ResourceSpans {
        resource: Some(origin.resource.clone()),
        scope_spans: vec![scope_spans],
        schema_url: String::new(),
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

/// The body of a request with log records.
pub(crate) fn logs(origin: &Origin, records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = ScopeLogs {
        scope: Some(origin.scope.clone()),
        log_records: records.into_iter().map(log::record).collect(),
        schema_url: String::new(),
    };
    let resource_logs = ResourceLogs {
        resource: Some(origin.resource.clone()),
        scope_logs: vec![scope_logs],
        schema_url: String::new(),
    };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }.encode_to_vec()
}

/// The body of a request with metrics.
pub(crate) fn metrics(origin: &Origin, metrics: Vec<Metric>) -> Vec<u8> {
    let scope_metrics = ScopeMetrics {
        scope: Some(origin.scope.clone()),
        metrics: metrics.into_iter().map(metric::metric).collect(),
        schema_url: String::new(),
    };
    let resource_metrics = ResourceMetrics {
        resource: Some(origin.resource.clone()),
        scope_metrics: vec![scope_metrics],
        schema_url: String::new(),
    };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }.encode_to_vec()
}
