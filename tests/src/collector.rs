//! A collector that takes spans by OTLP over HTTP, decoded by the official protobufs.

use std::collections::HashMap;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as Wire;
use prost::Message as _;

use crate::eventually;
use crate::upstream::{Upstream, text};

/// A running collector.
pub struct Collector(Upstream);

/// A span as the collector got it.
#[derive(Clone, Debug)]
pub struct Span {
    /// The id of its trace, in hex.
    pub trace: String,
    /// Its own, in hex.
    pub id: String,
    /// Its parent's; empty for none.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// `internal`, `server` or `client`.
    pub kind: &'static str,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// The same.
    pub end: u64,
    /// Whether its status is an error.
    pub is_error: bool,
    /// Its attributes as texts.
    pub attributes: HashMap<String, String>,
    /// The names of its events.
    pub events: Vec<String>,
    /// Its flags.
    pub flags: u32,
    /// Its `tracestate`.
    pub state: String,
    /// `service.name` of where it comes from.
    pub service: String,
}

impl Span {
    /// An attribute; empty where there is none.
    pub fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

impl Default for Collector {
    fn default() -> Self {
        Self::start()
    }
}

impl Collector {
    /// One that takes everything.
    pub fn start() -> Self {
        Self(Upstream::start(|_| text(200, "")))
    }

    /// The same at an address that is free.
    pub fn start_at(address: SocketAddr) -> Self {
        Self(Upstream::start_at(address, |_| async { text(200, "") }))
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// What `tracing.export` says to send spans there.
    pub fn export(&self) -> String {
        export_to(self.address())
    }

    /// All spans so far, in the order in which they came.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.0.seen().into_iter().filter(|seen| seen.target == "/v1/traces");
        let request = |body: &[u8]| ExportTraceServiceRequest::decode(body).expect("spans");
        requests.flat_map(|seen| spans(request(&seen.body))).collect()
    }

    /// The spans of the trace that a server's span with this path belongs to, once there are such; the server's first.
    pub fn trace(&self, path: &str) -> Vec<Span> {
        eventually(&format!("a trace of {path}"), || {
            let all = self.spans();
            let server = all.iter().find(|span| span.kind == "server" && span.get("url.path") == path).ok_or(&all);
            let server = server.map_err(|all| all.iter().map(|span| span.name.clone()).collect::<Vec<_>>())?.clone();
            let mut spans = vec![server.clone()];
            spans.extend(all.into_iter().filter(|span| span.trace == server.trace && span.id != server.id));
            Ok::<_, Vec<String>>(spans)
        })
    }
}

/// What `tracing.export` says to send spans to this address.
pub fn export_to(address: SocketAddr) -> String {
    format!("{{otlp: {{endpoint: \"http://{address}\", protocol: http, compression: none}}}}")
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in request.resource_spans {
        let attributes = resource.resource.map(|resource| texts(resource.attributes)).unwrap_or_default();
        let service = attributes.get("service.name").cloned().unwrap_or_default();
        let all = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(all.map(|wire| span(wire, &service)));
    }
    spans
}

fn span(wire: Wire, service: &str) -> Span {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Span {
        trace: hex(&wire.trace_id),
        id: hex(&wire.span_id),
        parent: hex(&wire.parent_span_id),
        name: wire.name,
        kind: match wire.kind {
            1 => "internal",
            2 => "server",
            3 => "client",
            other => panic!("a span of kind {other}"),
        },
        start: wire.start_time_unix_nano,
        end: wire.end_time_unix_nano,
        is_error: wire.status.is_some_and(|status| status.code == 2),
        attributes: texts(wire.attributes),
        events: wire.events.into_iter().map(|event| event.name).collect(),
        flags: wire.flags,
        state: wire.trace_state,
        service: service.to_owned(),
    }
}

fn texts(attributes: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}
