//! Records for collectors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::HeaderValue;
use telemetry_export::model::{LogRecord, Severity, Value};

use super::*;
use crate::access_log::record::Recorder;
use crate::access_log::target::Target;
use crate::access_log::worker::WorkerLog;
use crate::error::{Error, ErrorKind, Failure};
use crate::model::NamedFields;
use crate::telemetry::export::LogExport;

fn record(exchange: &Exchange, include: &Disclosure) -> LogRecord {
    Recorder::new(include).record(exchange, UNIX_EPOCH + Duration::from_millis(1))
}

/// The attributes of a record by name, as text.
fn attributes(exchange: &Exchange, include: &Disclosure) -> BTreeMap<String, String> {
    let shown = |value: Value| match value {
        Value::Str(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let attributes = record(exchange, include).attributes;
    let count = attributes.len();
    let named: BTreeMap<_, _> =
        attributes.into_iter().map(|attribute| (attribute.key.to_string(), shown(attribute.value))).collect();
    assert_eq!(named.len(), count, "a name may be there once");
    named
}

fn everything() -> Disclosure {
    let request_headers = vec![http::header::USER_AGENT];
    Disclosure { full_address: true, full_path: true, request_headers, plugin_fields: NamedFields::All }
}

#[test]
fn a_record_is_a_part_of_its_trace_and_shows_no_personal_data() {
    let mut exchange = exchange("/users/kari@example.no?token=1");
    exchange.request.headers.insert("user-agent", HeaderValue::from_static("curl/8"));
    exchange.trace = Some(trace());
    let made = record(&exchange, &Disclosure::default());
    assert_eq!((made.trace_id, made.span_id, made.flags), (Some(*b"0123456789abcdef"), Some(*b"01234567"), 1));
    assert_eq!((made.time, made.severity, &*made.event_name), (1_000_000, Severity::Info, "gateway.access"));
    let said = format!("{made:?}");
    assert!(!said.contains("kari") && !said.contains("token") && !said.contains("curl"), "{said}");
    assert!(!said.contains("192.0.2.77") && said.contains("192.0.2.0"), "{said}");
    let named = attributes(&exchange, &everything());
    assert_eq!((&*named["client.address"], &*named["url.query"]), ("192.0.2.77", "token=1"));
    assert_eq!(named["url.path"], "/users/kari@example.no");
    assert!(named["http.request.header.user-agent"].contains("curl/8"));
}

#[test]
fn a_record_says_why_an_exchange_failed_and_what_plugins_added() {
    let mut exchange = exchange("/");
    exchange.failure = Some(Failure::Timeout);
    exchange.error = Some(Error::new(ErrorKind::ResponseTimeout, "no head after 2s"));
    let fields = [("a", Some("old")), ("gone", Some("x")), ("a", Some("new")), ("gone", None)];
    exchange.log_fields = fields.map(noted).into();
    let named = attributes(&exchange, &Disclosure::default());
    let of = |name: &str| named.get(name).map(String::as_str);
    assert_eq!((of("error.type"), of("gateway.failure")), (Some("response-timeout"), Some("timeout")));
    assert_eq!(of("gateway.error.detail"), Some("no head after 2s"));
    assert_eq!((of("gateway.field.a"), of("gateway.field.gone")), (Some("new"), None));
    assert_eq!(record(&exchange, &Disclosure::default()).severity, Severity::Error);
    // What the client itself ended is no failure of anybody's, as in its span.
    exchange.failure = Some(Failure::Cancelled);
    assert_eq!(record(&exchange, &Disclosure::default()).severity, Severity::Info);
    assert!(!attributes(&exchange, &Disclosure::default()).contains_key("error.type"));
}

/// What is in a line is in a record: the values of the JSON record are those of the attributes.
#[test]
fn a_record_has_what_the_json_record_has() {
    let mut exchange = exchange("/users/kari@example.no?q=1");
    exchange.request.headers.insert("user-agent", HeaderValue::from_static("curl/8"));
    exchange.failure = Some(Failure::Timeout);
    exchange.error = Some(Error::new(ErrorKind::ResponseTimeout, "no head after 2s"));
    exchange.log_fields = vec![noted(("a", Some("b")))];
    for include in [Disclosure::default(), everything()] {
        let config = Config { include: include.clone(), ..config(LogTarget::Stdout) };
        let json: serde_json::Value = serde_json::from_str(&line(&config, &exchange)).unwrap();
        let values: BTreeSet<String> = attributes(&exchange, &include).into_values().collect();
        for (member, value) in json.as_object().unwrap() {
            let text = match value {
                // Of other types than attributes are; looked at elsewhere.
                serde_json::Value::Number(number) if number.is_f64() => format!("Double({number})"),
                serde_json::Value::Object(_) => continue,
                serde_json::Value::String(text) if !["time", "protocol"].contains(&member.as_str()) => text.clone(),
                serde_json::Value::Number(number) => number.to_string(),
                _ => continue,
            };
            assert!(values.contains(&text), "{member} is {text}, which none of {values:?} is");
        }
    }
}

#[test]
fn the_reference_names_every_attribute_of_a_record() {
    const REFERENCE: &str = include_str!("../../../docs/access-log.md");
    let (_, section) = REFERENCE.split_once("## Collectors").unwrap();
    let mut exchange = exchange("/?q=1");
    exchange.request.headers.insert("user-agent", HeaderValue::from_static("curl/8"));
    exchange.failure = Some(Failure::Timeout);
    exchange.error = Some(Error::new(ErrorKind::ResponseTimeout, "no head after 2s"));
    exchange.log_fields = vec![noted(("a", Some("b")))];
    for name in attributes(&exchange, &everything()).into_keys() {
        let name = name.replace(".header.user-agent", ".header.NAME").replace(".field.a", ".field.NAME");
        assert!(section.contains(&format!("`{name}`")), "{name} is not in the reference");
    }
}

#[tokio::test]
async fn what_no_collector_takes_is_dropped_and_counted() {
    // Nobody listens on port 1 of this machine.
    let text = "listeners: [{name: a, address: '127.0.0.1:0'}]\nroutes: []\n\
                access_log: {otlp: {endpoint: 'http://127.0.0.1:1', protocol: http, timeout: 50ms}}";
    let config = crate::config::parse(text, Path::new("gateway.yaml"), &|_| None).unwrap_or_else(|e| panic!("{e}"));
    let export = LogExport::new_or_reuse(&config, &[]).unwrap().remove(0).unwrap();
    let targets = [Target::Collector(export.clone())];
    let mut worker = WorkerLog::new(&config.access_log, &targets);
    worker.record(&exchange("/"), None);
    worker.record(&exchange("/"), None);
    assert!(!worker.holds_nothing());
    worker.flush();
    assert!(worker.holds_nothing());
    let counters = export.counters();
    assert_eq!(counters.queued(), 2);
    export.finish(Duration::from_millis(300)).await;
    assert_eq!((counters.sent(), counters.dropped_in_all(), counters.queued()), (0, 2, 0));
    // A worker that has not followed yet.
    worker.record(&exchange("/"), None);
    drop(worker);
    assert_eq!((counters.dropped_in_all(), counters.queued()), (3, 0));
}
