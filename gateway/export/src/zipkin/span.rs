//! One span.

use std::borrow::Cow;
use std::net::IpAddr;

use super::json::{self, Object};
use super::origin::Origin;
use super::value;
use crate::model::{Event, KeyValue, Kind, Span, Status, UnixNanos, Value};

/// What the status is told by. A span's own attributes don't get in its way.
const STATUS: [&str; 2] = ["otel.status_code", "error"];

pub(super) fn write(into: &mut Vec<u8>, origin: &Origin, span: &Span) {
    let mut object = Object::new(into);
    json::identifier(object.member("traceId"), &span.trace_id);
    if let Some(parent) = &span.parent {
        json::identifier(object.member("parentId"), parent);
    }
    json::identifier(object.member("id"), &span.span_id);
    if let Some(kind) = kind(span.kind) {
        json::text(object.member("kind"), kind);
    }
    json::text(object.member("name"), &span.name);
    json::number(object.member("timestamp"), micros(span.start));
    // What took less is rounded up: no duration means that the span has not ended.
    json::number(object.member("duration"), micros(span.end.saturating_sub(span.start)).max(1));
    if !origin.service_name.is_empty() {
        service(object.member("localEndpoint"), &origin.service_name);
    }
    if let Some(remote) = remote(span) {
        remote.write(object.member("remoteEndpoint"));
    }
    if !span.events.is_empty() {
        json::list(object.member("annotations"), &span.events, annotation);
    }
    tags(&mut object, origin, span);
    object.end();
}

fn micros(nanos: UnixNanos) -> u64 {
    nanos / 1000
}

fn kind(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Internal => None,
        Kind::Server => Some("SERVER"),
        Kind::Client => Some("CLIENT"),
        Kind::Producer => Some("PRODUCER"),
        Kind::Consumer => Some("CONSUMER"),
    }
}

/// An event: its name, and where it has attributes those after it in JSON.
fn annotation(into: &mut Vec<u8>, event: &Event) {
    let mut object = Object::new(into);
    json::number(object.member("timestamp"), micros(event.time));
    let into = object.member("value");
    if event.attributes.is_empty() {
        json::text(into, &event.name);
    } else {
        let mut written = Vec::new();
        json::text(&mut written, &event.name);
        written.extend_from_slice(b": ");
        let mut attributes = Object::new(&mut written);
        for attribute in &event.attributes {
            value::write(attributes.member(&attribute.key), &attribute.value);
        }
        attributes.end();
        json::text(into, &value::string(written));
    }
    object.end();
}

/// Attributes, what was left out of them, the status, and what is the same in all spans.
fn tags(object: &mut Object<'_>, origin: &Origin, span: &Span) {
    let own = span.attributes.iter().filter(|attribute| !STATUS.contains(&attribute.key.as_str()));
    let mut tags: Vec<(&str, Cow<'_, str>)> =
        own.map(|attribute| (attribute.key.as_str(), value::tag(&attribute.value))).collect();
    for (key, count) in
        [("otel.dropped_attributes_count", span.dropped_attributes), ("otel.dropped_events_count", span.dropped_events)]
    {
        if count > 0 {
            tags.push((key, Cow::Owned(count.to_string())));
        }
    }
    match &span.status {
        Status::Unset => {}
        Status::Ok => tags.push(("otel.status_code", Cow::Borrowed("OK"))),
        Status::Error(message) => {
            tags.push(("otel.status_code", Cow::Borrowed("ERROR")));
            tags.push(("error", Cow::Borrowed(message.as_str())));
        }
    }
    let is_own = |key: &str| tags.iter().any(|(own, _)| *own == key);
    let shared: Vec<_> = origin.tags.iter().filter(|(key, _)| !is_own(key)).collect();
    tags.extend(shared.into_iter().map(|(key, value)| (key.as_str(), Cow::Borrowed(value.as_str()))));
    if tags.is_empty() {
        return;
    }
    let mut written = Object::new(object.member("tags"));
    for (key, value) in tags {
        json::text(written.member(key), &value);
    }
    written.end();
}

/// The other side of a call.
enum Remote<'a> {
    /// By a name.
    Service(&'a str),
    /// By its address and, if it is known, its port.
    Address(IpAddr, Option<u16>),
}

/// Who was called, by the first of these attributes. Zipkin draws its graph of services by it.
fn remote(span: &Span) -> Option<Remote<'_>> {
    if !matches!(span.kind, Kind::Client | Kind::Producer) {
        return None;
    }
    let text = |key| match find(&span.attributes, key) {
        Some(Value::Str(text)) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    };
    if let Some(name) = text("peer.service").or_else(|| text("server.address")) {
        return Some(Remote::Service(name));
    }
    let address = text("network.peer.address")?;
    let port = match find(&span.attributes, "network.peer.port") {
        Some(Value::Int(port)) => u16::try_from(*port).ok().filter(|port| *port > 0),
        _ => None,
    };
    Some(address.parse().map_or(Remote::Service(address), |address| Remote::Address(address, port)))
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == *key).map(|attribute| &attribute.value)
}

impl Remote<'_> {
    fn write(&self, into: &mut Vec<u8>) {
        match self {
            Self::Service(name) => service(into, name),
            Self::Address(address, port) => {
                let mut object = Object::new(into);
                let member = if address.is_ipv4() { "ipv4" } else { "ipv6" };
                json::text(object.member(member), &address.to_string());
                if let Some(port) = port {
                    json::number(object.member("port"), u64::from(*port));
                }
                object.end();
            }
        }
    }
}

fn service(into: &mut Vec<u8>, name: &str) {
    let mut object = Object::new(into);
    json::text(object.member("serviceName"), name);
    object.end();
}
