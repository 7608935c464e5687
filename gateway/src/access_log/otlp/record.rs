//! What a log record says of an exchange: by OpenTelemetry's conventions for HTTP servers where they have a name for it, and
//! otherwise by the names that spans of this gateway have.

use std::time::{SystemTime, UNIX_EPOCH};

use plugin_rules::notes::MAX_RECORDED;
use telemetry_export::model::{KeyValue, LogRecord, Severity, Text, Value};

use crate::access_log::value::source;
use crate::exchange::{Exchange, Protocol};
use crate::sanitize::Sanitizer;

/// What kind of event a record tells of.
const EVENT: &str = "gateway.access";

/// The record of an exchange that began at `started`.
pub(in crate::access_log) fn record(exchange: &Exchange, started: SystemTime, sanitizer: &Sanitizer) -> LogRecord {
    let status = exchange.response.as_ref().map(|response| response.status.as_u16());
    let failed = exchange.failure.is_some() || status.is_some_and(|status| status >= 500);
    let mut attributes = Attributes(Vec::with_capacity(28));
    attributes.request(exchange, sanitizer);
    attributes.outcome(exchange, status, failed);
    attributes.headers(exchange, sanitizer);
    attributes.plugins(exchange);
    let since = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    LogRecord {
        time: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        severity: if failed { Severity::Error } else { Severity::Info },
        body: Text::EMPTY,
        attributes: attributes.0,
        dropped_attributes: 0,
        trace_id: exchange.trace.as_ref().map(|trace| trace.id.bytes()),
        span_id: exchange.trace.as_ref().map(|trace| trace.span.bytes()),
        flags: u8::from(exchange.trace.as_ref().is_some_and(|trace| trace.sampled)),
    }
}

struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(key, value));
    }

    fn add_some(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }

    fn request(&mut self, exchange: &Exchange, sanitizer: &Sanitizer) {
        let request = &exchange.request;
        self.add("event.name", EVENT);
        self.add("http.request.method", sanitizer.method(&request.method));
        self.add("url.scheme", request.scheme);
        self.add("url.path", sanitizer.path(request.path()).into_owned());
        self.add_some("url.query", sanitizer.query(request.query()).map(str::to_owned));
        self.add("client.address", sanitizer.address(exchange.client).to_string());
        self.add("network.protocol.name", "http");
        let version = match exchange.connection.protocol {
            Protocol::Http1 => "1.1",
            Protocol::Http2 => "2",
            Protocol::Http3 => "3",
        };
        self.add("network.protocol.version", version);
        self.add("gateway.request.id", exchange.id.to_string());
        self.add("gateway.listener", exchange.connection.listener.clone());
        self.add_some("gateway.route", exchange.route.clone());
        self.add_some("gateway.upstream", exchange.upstream.clone());
        self.add_some("gateway.endpoint", exchange.endpoint.map(|endpoint| endpoint.to_string()));
    }

    fn outcome(&mut self, exchange: &Exchange, status: Option<u16>, failed: bool) {
        let measures = &exchange.measures;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.add_some("http.response.status_code", status.map(i64::from));
        self.add("http.request.body.size", number(measures.bytes_in));
        self.add("http.response.body.size", number(measures.bytes_out));
        let kind = exchange.error.as_ref().map(|error| error.kind().name());
        if failed {
            let kind = kind.or_else(|| exchange.failure.map(|failure| failure.name())).map(Text::Static);
            self.add_some("error.type", kind.or_else(|| status.map(|status| status.to_string().into())));
        }
        self.add("gateway.response.source", source(exchange.source));
        self.add_some("gateway.failure", exchange.failure.map(|failure| failure.name()));
        self.add_some("gateway.error", kind);
        let detail = exchange.error.as_ref().map(|error| error.detail()).filter(|detail| !detail.is_empty());
        self.add_some("gateway.error.detail", detail.map(str::to_owned));
        self.add("gateway.attempts", i64::from(measures.attempts));
        self.add("gateway.duration_ms", measures.total.as_secs_f64() * 1000.0);
        self.add("gateway.upstream_ms", measures.upstream.as_secs_f64() * 1000.0);
        self.add("gateway.plugins_ms", measures.plugins.as_secs_f64() * 1000.0);
    }

    /// The request's header fields that the configuration names.
    fn headers(&mut self, exchange: &Exchange, sanitizer: &Sanitizer) {
        for name in sanitizer.request_headers() {
            let text = |bytes: &[u8]| Text::from(String::from_utf8_lossy(bytes).into_owned());
            let values: Vec<Text> =
                exchange.request.headers.get_all(name).map(|value| text(value.as_bytes())).collect();
            if !values.is_empty() {
                self.0.push(KeyValue::new(format!("http.request.header.{name}"), values));
            }
        }
    }

    /// What plugins added: the last word on a name counts, and `None` takes it back.
    fn plugins(&mut self, exchange: &Exchange) {
        for (index, (name, value)) in exchange.log_fields.iter().enumerate() {
            let overridden = exchange.log_fields[index + 1..].iter().any(|(later, _)| later == name);
            if let (Some(value), false) = (value, overridden) {
                let value = value[..value.floor_char_boundary(MAX_RECORDED)].to_owned();
                self.0.push(KeyValue::new(format!("gateway.field.{name}"), value));
            }
        }
    }
}
