//! Records for collectors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;

use http::HeaderValue;
use telemetry_export::model::{Severity, Value};

use super::*;
use crate::access_log::otlp::{Exporter, record};
use crate::error::{Error, ErrorKind, Failure};
use crate::model::{Collector, CollectorProtocol};
use crate::sanitize::Sanitizer;

/// The attributes of a record by name, as text.
fn attributes(exchange: &Exchange, include: &Disclosure) -> BTreeMap<String, String> {
    let record = record(exchange, UNIX_EPOCH, &Sanitizer::new(include));
    let shown = |value: Value| match value {
        Value::Str(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    record.attributes.into_iter().map(|attribute| (attribute.key.to_string(), shown(attribute.value))).collect()
}

#[test]
fn a_record_is_a_part_of_its_trace_and_shows_no_personal_data() {
    let mut exchange = exchange("/users/kari@example.no?token=1");
    exchange.request.headers.insert("user-agent", HeaderValue::from_static("curl/8"));
    exchange.trace = Some(trace());
    let made = record(&exchange, UNIX_EPOCH + Duration::from_millis(1), &Sanitizer::default());
    assert_eq!((made.trace_id, made.span_id, made.flags), (Some(*b"0123456789abcdef"), Some(*b"01234567"), 1));
    assert_eq!((made.time, made.severity), (1_000_000, Severity::Info));
    let said = format!("{made:?}");
    assert!(!said.contains("kari") && !said.contains("token") && !said.contains("curl"), "{said}");
    assert!(!said.contains("192.0.2.77") && said.contains("192.0.2.0"), "{said}");
    let request_headers = vec![http::header::USER_AGENT];
    let named = attributes(&exchange, &Disclosure { full_address: true, full_path: true, request_headers });
    assert_eq!((&*named["client.address"], &*named["url.query"]), ("192.0.2.77", "token=1"));
    assert_eq!(named["url.path"], "/users/kari@example.no");
    assert!(named["http.request.header.user-agent"].contains("curl/8"));
}

#[test]
fn a_record_says_why_an_exchange_failed_and_what_plugins_added() {
    let mut exchange = exchange("/");
    exchange.failure = Some(Failure::Timeout);
    exchange.error = Some(Error::new(ErrorKind::ResponseTimeout, "no head after 2s"));
    exchange.log_fields = vec![("a".to_owned(), Some("old".to_owned())), ("a".to_owned(), Some("new".to_owned()))];
    exchange.log_fields.extend([("gone".to_owned(), Some("x".to_owned())), ("gone".to_owned(), None)]);
    let attributes = attributes(&exchange, &Disclosure::default());
    let of = |name: &str| attributes.get(name).map(String::as_str);
    assert_eq!((of("error.type"), of("gateway.failure")), (Some("response-timeout"), Some("timeout")));
    assert_eq!(of("gateway.error.detail"), Some("no head after 2s"));
    assert_eq!((of("gateway.field.a"), of("gateway.field.gone")), (Some("new"), None));
    assert_eq!(record(&exchange, UNIX_EPOCH, &Sanitizer::default()).severity, Severity::Error);
}

#[test]
fn what_no_collector_takes_is_counted_with_what_logs_drop() {
    // Nobody listens on port 1 of this machine.
    let collector = Collector {
        endpoint: "http://127.0.0.1:1".parse().unwrap(),
        protocol: CollectorProtocol::OtlpHttp,
        headers: Vec::new(),
        ca: None,
        timeout: Duration::from_millis(50),
        gzip: true,
    };
    let dropped = Arc::<AtomicU64>::default();
    let exporter = Exporter::new(&collector, &BTreeMap::new(), dropped.clone()).unwrap();
    let record = record(&exchange("/"), UNIX_EPOCH, &Sanitizer::default());
    assert!(exporter.sink().send(vec![record.clone(), record]));
    let (queue, messages) = sync_channel(1);
    drop(queue);
    exporter.run(&messages);
    assert_eq!(dropped.load(Relaxed), 2);
}
