//! A record as a log record of OpenTelemetry: the members of the JSON record under the names that spans of this gateway have
//! for the same, by the same rules.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use telemetry_export::model::{KeyValue, LogRecord, Severity, Text, Value as Attribute};

use super::fields;
use super::value::{self, Value};
use crate::exchange::Exchange;
use crate::model::{Disclosure, LOG_MEMBERS, LogField};
use crate::sanitize::Sanitizer;
use crate::telemetry::attributes::*;
use crate::telemetry::outcome::error_type;

/// What kind of event a record tells of.
const EVENT: &str = "gateway.access";
/// Attributes that are made of other members than one: the protocol's name and version, and `error.type`.
const MORE: usize = 3;

/// Makes records by one configuration.
pub(super) struct Recorder {
    attributes: Box<[(LogField, &'static str)]>,
    sanitizer: Sanitizer,
}

impl Recorder {
    /// Of a log that shows what this names.
    pub(super) fn new(include: &Disclosure) -> Self {
        let members = LOG_MEMBERS.iter().map(|(_, field, _)| *field);
        let attributes = members.chain([LogField::Scheme]).filter_map(|field| Some((field, name(field)?)));
        Self { attributes: attributes.collect(), sanitizer: Sanitizer::new(include) }
    }

    /// The record of an exchange that began at `started`.
    pub(super) fn record(&self, exchange: &Exchange, started: SystemTime) -> LogRecord {
        let room = self.attributes.len() + MORE + self.sanitizer.request_headers().len() + exchange.log_fields.len();
        let mut attributes = Vec::with_capacity(room);
        for (field, name) in &self.attributes {
            let known = shared(*field, exchange).map(|text| text.clone().into());
            let known = known.or_else(|| attribute(value::of(*field, exchange, started, &self.sanitizer)));
            attributes.extend(known.map(|value| KeyValue::new(*name, value)));
        }
        attributes.push(KeyValue::new(PROTOCOL, "http"));
        attributes.push(KeyValue::new(PROTOCOL_VERSION, protocol_version(exchange.connection.protocol)));
        let error = error_type(exchange);
        let severity = if error.is_some() { Severity::Error } else { Severity::Info };
        attributes.extend(error.map(|error| KeyValue::new(ERROR_TYPE, error)));
        headers(exchange, &self.sanitizer, &mut attributes);
        for (name, value) in fields::of_plugins(exchange, &self.sanitizer) {
            attributes.push(KeyValue::new([FIELD, name].concat(), value.to_owned()));
        }
        let since = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let trace = exchange.trace.as_ref();
        LogRecord {
            time: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            event_name: EVENT.into(),
            severity,
            body: Text::EMPTY,
            attributes,
            dropped_attributes: 0,
            trace_id: trace.map(|trace| trace.id.bytes()),
            span_id: trace.map(|trace| trace.span.bytes()),
            flags: u8::from(trace.is_some_and(|trace| trace.sampled)),
        }
    }
}

/// The name of the attribute that a member of the JSON record is; `None` for those that a log record has a place of its own for,
/// and for those that are several attributes.
const fn name(field: LogField) -> Option<&'static str> {
    use LogField::*;
    Some(match field {
        RequestId => REQUEST_ID,
        Client => CLIENT_ADDRESS,
        Listener => LISTENER,
        Scheme => URL_SCHEME,
        Method => METHOD,
        Path => URL_PATH,
        Query => URL_QUERY,
        Route => GATEWAY_ROUTE,
        Upstream => UPSTREAM,
        Endpoint => ENDPOINT,
        Status => STATUS,
        Source => SOURCE,
        Failure => FAILURE,
        Error => ERROR,
        Detail => ERROR_DETAIL,
        BytesIn => REQUEST_BODY,
        BytesOut => RESPONSE_BODY,
        Attempts => ATTEMPTS,
        Duration => DURATION,
        UpstreamTime => UPSTREAM_DURATION,
        PluginsTime => PLUGINS_DURATION,
        Protocol | Time | TimeLocal | TimeUnix | TraceId | SpanId | RequestLine | StatusNumber | Headers
        | PluginFields => {
            return None;
        }
    })
}

/// A name that many exchanges have, which none of them has to copy.
fn shared(field: LogField, exchange: &Exchange) -> Option<&Arc<str>> {
    match field {
        LogField::Listener => Some(&exchange.connection.listener),
        LogField::Route => exchange.route.as_ref(),
        LogField::Upstream => exchange.upstream.as_ref(),
        _ => None,
    }
}

/// What is known, if anything is.
fn attribute(value: Value<'_>) -> Option<Attribute> {
    Some(match value {
        Value::Text(text) => text.into_owned().into(),
        Value::Word(word) => word.into(),
        Value::Number(number) => i64::try_from(number).unwrap_or(i64::MAX).into(),
        Value::Status(status) => status.into(),
        Value::Milliseconds(duration) => (duration.as_micros() as f64 / 1000.0).into(),
        Value::Address(address) => address.to_string().into(),
        Value::Endpoint(address) => address.to_string().into(),
        // What no attribute is made of.
        Value::Absent
        | Value::Rfc3339(_)
        | Value::Ncsa(_)
        | Value::Unix(_)
        | Value::Trace(_)
        | Value::Span(_)
        | Value::RequestLine(..)
        | Value::Headers(..)
        | Value::PluginFields(..) => return None,
    })
}

/// The request's header fields that the configuration names, each with a list of its values.
fn headers(exchange: &Exchange, sanitizer: &Sanitizer, attributes: &mut Vec<KeyValue>) {
    for name in sanitizer.request_headers() {
        let values = exchange.request.headers.get_all(name);
        let values: Vec<Text> =
            values.map(|value| String::from_utf8_lossy(value.expose()).into_owned().into()).collect();
        if !values.is_empty() {
            attributes.push(KeyValue::new([REQUEST_HEADER, name.as_str()].concat(), values));
        }
    }
}
