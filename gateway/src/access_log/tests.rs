//! Lines that parse back, and a writer that loses nothing unless it must.

use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

use http::{HeaderValue, Method, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::{Error, ErrorKind, Failure};
use crate::exchange::{ConnectionInfo, Measures, Protocol, RequestHead, ResponseHead, ResponseSource};
use crate::message::FieldMap;
use crate::message::headers::{RequestId, map};
use crate::model::Disclosure;
use crate::sensitive::Sensitive;

fn exchange(path_and_query: &str) -> Exchange {
    let (authority, target) = ("a.no".to_owned(), path_and_query.parse().unwrap());
    let request =
        RequestHead { sent: true, ..RequestHead::new(Method::GET, "https", authority, target, FieldMap::new()) };
    let connection = ConnectionInfo::local(Protocol::Http3);
    let id = RequestId::sent(&map(&[("x-request-id", "id-1")])).unwrap();
    Exchange {
        response: Some(ResponseHead { sent: true, ..ResponseHead::new(StatusCode::OK, FieldMap::new()) }),
        source: ResponseSource::Upstream,
        route: Some("inventory".into()),
        upstream: Some("stock".into()),
        endpoint: Some(([10, 0, 0, 7], 5000).into()),
        measures: Measures {
            bytes_in: 1,
            bytes_out: 2,
            upstream: Duration::from_micros(1500),
            plugins: Duration::from_micros(7),
            attempts: 1,
            total: Duration::from_micros(12_034),
        },
        ..Exchange::new(id, connection, [192, 0, 2, 77].into(), request)
    }
}

fn config(target: LogTarget) -> Config {
    Config { target, include: Disclosure::default() }
}

/// With whole addresses.
fn whole(target: LogTarget) -> Config {
    Config { target, include: Disclosure { full_address: true, ..Disclosure::default() } }
}

fn encoded(config: &Config, exchange: &Exchange) -> Value {
    let mut out = Vec::new();
    let started = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    Encoder::new(config).encode(exchange, started, &mut out);
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
    serde_json::from_slice(&out).unwrap()
}

/// A field as a plugin adds it.
fn noted((name, value): (&str, Option<&str>)) -> (Sensitive<String>, Option<Sensitive<String>>) {
    (name.to_owned().into(), value.map(|value| value.to_owned().into()))
}

#[test]
fn the_default_line_holds_no_personal_data() {
    let mut exchange = exchange("/users/kari@example.no/orders?email=kari@example.no");
    exchange.request.headers.insert("authorization", HeaderValue::from_static("secret"));
    exchange.failure = Some(Failure::Timeout);
    exchange.error = Some(Error::new(ErrorKind::ResponseTimeout, "no head after 2s"));
    exchange.log_fields =
        [("a", Some("old")), ("gone", Some("x")), ("a", Some("new")), ("gone", None)].map(noted).into();
    let expected = json!({
        "time": "2023-11-14T22:13:20.123Z", "request_id": "id-1", "client": "192.0.2.0", "listener": "public",
        "protocol": "http3", "method": "GET", "path": "/users/***/orders", "route": "inventory", "upstream": "stock",
        "endpoint": "10.0.0.7:5000", "status": 200, "source": "upstream", "failure": "timeout",
        "error": "response-timeout", "detail": "no head after 2s", "bytes_in": 1, "bytes_out": 2, "attempts": 1,
        "duration_ms": 12.034, "upstream_ms": 1.5, "plugins_ms": 0.007, "fields": {"a": "new"},
    });
    assert_eq!(encoded(&config(LogTarget::Off), &exchange), expected);
}

#[test]
fn what_the_configuration_names_is_logged() {
    let mut exchange = exchange("/users/kari@example.no?q=1");
    exchange.response = None;
    exchange.route = None;
    exchange.request.headers.append("user-agent", HeaderValue::from_static("a\"b"));
    exchange.request.headers.append("x-many", HeaderValue::from_static("1"));
    exchange.request.headers.append("x-many", HeaderValue::from_bytes(b"\xff").unwrap());
    let mut config = config(LogTarget::Off);
    config.include.full_address = true;
    config.include.full_path = true;
    config.include.request_headers = ["user-agent", "x-many", "x-absent"].map(http::HeaderName::from_static).to_vec();
    let line = encoded(&config, &exchange);
    assert_eq!(line["client"], "192.0.2.77");
    assert_eq!((&line["path"], &line["query"]), (&json!("/users/kari@example.no"), &json!("q=1")));
    assert_eq!(line["headers"], json!({"user-agent": "a\"b", "x-many": "1, \u{fffd}"}));
    assert_eq!((&line["status"], &line["route"]), (&Value::Null, &Value::Null));
}

#[test]
fn the_reference_has_exactly_the_keys_that_are_written() {
    const REFERENCE: &str = include_str!("../../docs/access-log.md");
    let documented = |present: &[&str]| -> BTreeSet<&str> {
        let rows = REFERENCE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        let rows = rows.map(|(key, rest)| (key, rest.split('|').nth(1).unwrap().trim()));
        rows.filter(|(_, when)| present.is_empty() || present.contains(when)).map(|(key, _)| key).collect()
    };
    let exchange = &mut exchange("/?q=1");
    let least = encoded(&config(LogTarget::Off), exchange);
    assert_eq!(least.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), documented(&["always"]));
    exchange.log_fields = vec![noted(("a", Some("b")))];
    let request_headers = vec![http::header::USER_AGENT];
    let include = Disclosure { full_address: true, full_path: true, request_headers };
    let all = Config { target: LogTarget::Off, include };
    let most = encoded(&all, exchange);
    assert_eq!(most.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), documented(&[]));
}

proptest! {
    #[test]
    fn any_text_parses_back(name in any::<String>(), value in any::<String>(), header in any::<Vec<u8>>()) {
        let mut exchange = exchange("/");
        exchange.log_fields = vec![noted((&name, Some(&value)))];
        // Not every text can be a target.
        if let Ok(target) = format!("/{}", value.replace('?', "")).parse::<http::uri::PathAndQuery>() {
            exchange.request.path_and_query = target.into();
        }
        let mut config = config(LogTarget::Off);
        config.include.full_path = true;
        config.include.request_headers = vec![http::header::COOKIE];
        if let Ok(header) = HeaderValue::from_bytes(&header) {
            exchange.request.headers.insert("cookie", header);
        }
        let line = encoded(&config, &exchange);
        prop_assert_eq!(&line["fields"][&name], &json!(value));
        prop_assert_eq!(&line["path"], &json!(exchange.request.path().expose()));
        if let Some(sent) = exchange.request.headers.get("cookie") {
            prop_assert_eq!(&line["headers"]["cookie"], &json!(String::from_utf8_lossy(sent.expose())));
        }
    }
}

fn lines(path: &std::path::Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn all_lines_reach_the_file_and_reopening_follows_a_move() {
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
    let config = config(LogTarget::File(path.clone()));
    let log = AccessLog::start(Arc::default()).unwrap();
    let target = Opened::open(&config.target).unwrap();
    let mut worker = log.worker(&config, target.clone());
    for _line in 0..1000 {
        worker.record(&exchange("/a"));
    }
    worker.flush();
    assert!(worker.buffer.is_empty());
    assert!(log.finish());
    std::fs::rename(&path, &moved).unwrap();
    log.reopen(&target);
    worker.record(&exchange("/b"));
    drop(worker);
    assert!(log.finish());
    assert_eq!(lines(&moved).len(), 1000);
    let after = lines(&path);
    assert_eq!(after.len(), 1);
    assert_eq!(serde_json::from_str::<Value>(&after[0]).unwrap()["path"], "/b");
    assert_eq!(log.dropped.load(Relaxed), 0);
}

#[test]
fn a_stuck_writer_holds_up_no_worker() {
    // Nobody reads the queue, which has room for one buffer.
    let (queue, stuck) = sync_channel(1);
    let log = AccessLog { queue, dropped: Arc::default() };
    let mut worker = log.worker(&config(LogTarget::Stdout), Opened::open(&LogTarget::Stdout).unwrap());
    for _line in 0..3 {
        worker.record(&exchange("/"));
        worker.flush();
    }
    assert_eq!(log.dropped.load(Relaxed), 2);
    assert!(worker.buffer.is_empty());
    drop(stuck);
}

#[test]
fn an_old_buffer_is_handed_over_by_the_next_line() {
    let (queue, messages) = sync_channel(4);
    let log = AccessLog { queue, dropped: Arc::default() };
    let mut worker = log.worker(&config(LogTarget::Stdout), Opened::open(&LogTarget::Stdout).unwrap());
    let mut exchange = exchange("/");
    worker.record(&exchange);
    assert!(messages.try_recv().is_err());
    exchange.started += FLUSH_INTERVAL;
    worker.record(&exchange);
    assert!(matches!(messages.try_recv(), Ok(Message::Lines { lines: 2, .. })));
}

#[test]
fn nothing_is_encoded_when_the_log_is_off() {
    let config = config(LogTarget::Off);
    let log = AccessLog::start(Arc::default()).unwrap();
    let target = Opened::open(&config.target).unwrap();
    let mut worker = log.worker(&config, target.clone());
    worker.record(&exchange("/"));
    assert!(worker.buffer.is_empty());
}

#[test]
fn lines_of_an_old_configuration_never_reach_the_target_of_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let [old, new] = ["old.log", "new.log"].map(|name| LogTarget::File(directory.path().join(name)));
    let whole_addresses = whole(old.clone());
    let [first, second] = [&old, &new].map(|target| Opened::open(target).unwrap());
    let log = AccessLog::start(Arc::default()).unwrap();
    let [mut early, mut late] = [(); 2].map(|()| log.worker(&whole_addresses, first.clone()));
    early.record(&exchange("/"));
    late.record(&exchange("/"));
    // One worker takes the configuration up, and its lines are written, before the other one hands its own over.
    early.reconfigure(&config(new), &second);
    early.record(&exchange("/"));
    early.flush();
    assert!(log.finish());
    late.flush();
    assert!(log.finish());
    let clients = |name: &str| -> Vec<Value> {
        let lines = lines(&directory.path().join(name));
        lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["client"].clone()).collect()
    };
    assert_eq!(clients("old.log"), ["192.0.2.77", "192.0.2.77"]);
    assert_eq!(clients("new.log"), ["192.0.2.0"]);
}

#[test]
fn what_is_no_longer_included_is_gone_with_the_next_line() {
    let (queue, messages) = sync_channel(4);
    let log = AccessLog { queue, dropped: Arc::default() };
    let stdout = Opened::open(&LogTarget::Stdout).unwrap();
    let mut worker = log.worker(&whole(LogTarget::Stdout), stdout.clone());
    worker.record(&exchange("/"));
    worker.reconfigure(&config(LogTarget::Stdout), &stdout);
    worker.record(&exchange("/"));
    worker.flush();
    let client = || match messages.try_recv() {
        Ok(Message::Lines { bytes, .. }) => serde_json::from_slice::<Value>(&bytes).unwrap()["client"].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((client(), client()), (json!("192.0.2.77"), json!("192.0.2.0")));
}
