//! What is known of an exchange, field by field, and how it is written. What came from the client passes the sanitiser here,
//! and in `fields.rs` only what the configuration names is written past it.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use http::HeaderName;

use super::escape::Syntax;
use super::fields;
use super::time::{self, padded};
use crate::error::Failure;
use crate::exchange::{Exchange, Protocol, ResponseSource};
use crate::model::LogField;
use crate::sanitize::Sanitizer;
use crate::trace::{SpanId, TraceId};

/// What is known.
pub(super) enum Value<'a> {
    /// Nothing.
    Absent,
    /// A text that may hold anything.
    Text(Cow<'a, str>),
    /// A word of the gateway's own: nothing in it has to be escaped.
    Word(&'static str),
    Number(u64),
    /// Three digits.
    Status(u16),
    /// In milliseconds, with three digits behind the point.
    Milliseconds(Duration),
    Address(IpAddr),
    Endpoint(SocketAddr),
    Rfc3339(SystemTime),
    Ncsa(SystemTime),
    Unix(SystemTime),
    Trace(TraceId),
    Span(SpanId),
    /// Method, path, query and protocol.
    RequestLine(&'static str, Cow<'a, str>, Option<&'a str>, &'static str),
    Headers(&'a Exchange, &'a [HeaderName]),
    PluginFields(&'a Exchange),
}

/// What is known of an exchange that began at `started`.
pub(super) fn of<'a>(
    field: LogField,
    exchange: &'a Exchange,
    started: SystemTime,
    sanitizer: &'a Sanitizer,
) -> Value<'a> {
    let (request, measures) = (&exchange.request, &exchange.measures);
    match field {
        LogField::Time => Value::Rfc3339(started),
        LogField::TimeLocal => Value::Ncsa(started),
        LogField::TimeUnix => Value::Unix(started),
        LogField::RequestId => Value::text(Some(&exchange.id)),
        LogField::Client => Value::Address(sanitizer.address(&exchange.client)),
        LogField::Listener => Value::text(Some(&exchange.connection.listener)),
        LogField::Protocol => Value::Word(exchange.connection.protocol.name()),
        LogField::Scheme => Value::Word(request.scheme),
        LogField::Method => Value::Word(sanitizer.method(&request.method)),
        LogField::Path => Value::Text(sanitizer.path(request.path())),
        LogField::Query => Value::text(sanitizer.query(request.query())),
        LogField::RequestLine => Value::RequestLine(
            sanitizer.method(&request.method),
            sanitizer.path(request.path()),
            sanitizer.query(request.query()),
            version(exchange.connection.protocol),
        ),
        LogField::Route => Value::text(exchange.route.as_deref()),
        LogField::Upstream => Value::text(exchange.upstream.as_deref()),
        LogField::Endpoint => exchange.endpoint.map_or(Value::Absent, Value::Endpoint),
        LogField::Status => exchange.response.as_ref().map_or(Value::Absent, |it| Value::Status(it.status.as_u16())),
        LogField::StatusNumber => Value::Status(status_number(exchange)),
        LogField::Source => Value::Word(source(exchange.source)),
        LogField::Failure => exchange.failure.map_or(Value::Absent, |failure| Value::Word(failure.name())),
        LogField::Error => exchange.error.as_ref().map_or(Value::Absent, |error| Value::Word(error.kind().name())),
        LogField::Detail => {
            Value::text(exchange.error.as_ref().map(|error| error.detail()).filter(|it| !it.is_empty()))
        }
        LogField::BytesIn => Value::Number(measures.bytes_in),
        LogField::BytesOut => Value::Number(measures.bytes_out),
        LogField::Attempts => Value::Number(measures.attempts.into()),
        LogField::Duration => Value::Milliseconds(measures.total),
        LogField::UpstreamTime => Value::Milliseconds(measures.upstream),
        LogField::PluginsTime => Value::Milliseconds(measures.plugins),
        LogField::TraceId => exchange.trace.as_ref().map_or(Value::Absent, |trace| Value::Trace(trace.id)),
        LogField::SpanId => exchange.trace.as_ref().map_or(Value::Absent, |trace| Value::Span(trace.span)),
        LogField::Headers => Value::Headers(exchange, sanitizer.request_headers()),
        LogField::PluginFields if exchange.log_fields.is_empty() => Value::Absent,
        LogField::PluginFields => Value::PluginFields(exchange),
    }
}

impl<'a> Value<'a> {
    fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Absent, |text| Self::Text(text.into()))
    }

    /// Appends it.
    pub(super) fn write(&self, syntax: Syntax, out: &mut Vec<u8>) {
        match self {
            Self::Absent => out.extend_from_slice(syntax.absent()),
            Self::Text(text) => syntax.text(text, out),
            Self::Number(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
            Self::Status(status) => padded(out, (*status).into(), 3),
            Self::Milliseconds(duration) => milliseconds(*duration, out),
            Self::Unix(at) => time::unix(out, *at),
            Self::RequestLine(method, path, query, version) => {
                out.extend_from_slice(method.as_bytes());
                syntax.bytes(b" ", out);
                syntax.bytes(path.as_bytes(), out);
                if let Some(query) = query {
                    out.push(b'?');
                    syntax.bytes(query.as_bytes(), out);
                }
                syntax.bytes(b" ", out);
                out.extend_from_slice(version.as_bytes());
            }
            Self::Headers(exchange, names) => fields::headers(exchange, names, syntax, out),
            Self::PluginFields(exchange) => fields::plugins(exchange, syntax, out),
            harmless => {
                let mark = syntax.quotes();
                out.extend_from_slice(mark);
                harmless.write_harmless(syntax, out);
                out.extend_from_slice(mark);
            }
        }
    }

    /// What is text without anything that would have to be escaped.
    fn write_harmless(&self, syntax: Syntax, out: &mut Vec<u8>) {
        match self {
            Self::Word(word) => out.extend_from_slice(word.as_bytes()),
            Self::Address(IpAddr::V4(address)) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    if index > 0 {
                        out.push(b'.');
                    }
                    out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
                }
            }
            // Writing to a `Vec` does not fail.
            Self::Address(address) => drop(write!(out, "{address}")),
            Self::Endpoint(address) => drop(write!(out, "{address}")),
            Self::Rfc3339(at) => time::rfc_3339(out, *at),
            // A time of NCSA's has a space in it.
            Self::Ncsa(at) => time::ncsa(out, *at, if syntax == Syntax::Bare { b"\\x20" } else { b" " }),
            Self::Trace(id) => drop(write!(out, "{id}")),
            Self::Span(id) => drop(write!(out, "{id}")),
            _ => {}
        }
    }
}

fn milliseconds(duration: Duration, out: &mut Vec<u8>) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    out.extend_from_slice(itoa::Buffer::new().format(micros / 1000).as_bytes());
    out.push(b'.');
    padded(out, micros % 1000, 3);
}

/// The name of the one who made the response.
pub(super) const fn source(source: ResponseSource) -> &'static str {
    match source {
        ResponseSource::None => "none",
        ResponseSource::Upstream => "upstream",
        ResponseSource::Route => "route",
        ResponseSource::Plugin(_) => "plugin",
        ResponseSource::Stored(_) => "stored",
        ResponseSource::Gateway => "gateway",
    }
}

/// As NGINX writes it.
const fn version(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2.0",
        Protocol::Http3 => "HTTP/3.0",
    }
}

/// As NGINX writes it: 499 where the client left before there was a response, 0 where there is none for another reason.
fn status_number(exchange: &Exchange) -> u16 {
    match (&exchange.response, exchange.failure) {
        (Some(response), _) => response.status.as_u16(),
        (None, Some(Failure::Cancelled)) => 499,
        (None, _) => 0,
    }
}
