//! Records in JSON.

use std::collections::BTreeSet;

use http::HeaderValue;
use http::uri::PathAndQuery;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::{Error, ErrorKind, Failure};
use crate::model::LogField;
use crate::trace::{SpanId, Trace, TraceId};

fn encoded(config: &Config, exchange: &Exchange) -> Value {
    serde_json::from_str(&line(config, exchange)).unwrap()
}

fn trace() -> Trace {
    let id = TraceId::from_bytes(*b"0123456789abcdef").unwrap();
    Trace::new(id, SpanId::from_bytes(*b"01234567").unwrap(), true)
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
    assert_eq!(encoded(&config(LogTarget::Stdout), &exchange), expected);
}

#[test]
fn what_the_configuration_names_is_logged() {
    let mut exchange = exchange("/users/kari@example.no?q=1");
    exchange.response = None;
    exchange.route = None;
    exchange.request.headers.append("user-agent", HeaderValue::from_static("a\"b"));
    exchange.request.headers.append("x-many", HeaderValue::from_static("1"));
    exchange.request.headers.append("x-many", HeaderValue::from_bytes(b"\xff").unwrap());
    let mut config = config(LogTarget::Stdout);
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
    const REFERENCE: &str = include_str!("../../../docs/access-log.md");
    let documented = |present: &[&str]| -> BTreeSet<&str> {
        let rows = REFERENCE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        let rows = rows.map(|(key, rest)| (key, rest.split('|').nth(1).unwrap().trim()));
        rows.filter(|(_, when)| present.is_empty() || present.contains(when)).map(|(key, _)| key).collect()
    };
    let exchange = &mut exchange("/?q=1");
    let least = encoded(&config(LogTarget::Stdout), exchange);
    assert_eq!(least.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), documented(&["always"]));
    exchange.log_fields = vec![noted(("a", Some("b")))];
    let request_headers = vec![http::header::USER_AGENT];
    let include = Disclosure { full_address: true, full_path: true, request_headers };
    exchange.trace = Some(trace());
    let all = Config { include, ..config(LogTarget::Stdout) };
    let most = encoded(&all, exchange);
    assert_eq!(most.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), documented(&[]));
}

proptest! {
    #[test]
    fn any_text_parses_back(name in any::<String>(), value in any::<String>(), header in any::<Vec<u8>>()) {
        let mut exchange = exchange("/");
        exchange.log_fields = vec![noted((&name, Some(&value)))];
        // Not every text can be a target.
        if let Ok(target) = format!("/{}", value.replace('?', "")).parse::<PathAndQuery>() {
            exchange.request.path_and_query = target.into();
        }
        let mut config = config(LogTarget::Stdout);
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

#[test]
fn a_record_has_the_ids_of_its_trace_where_it_has_one() {
    let mut exchange = exchange("/");
    let without = encoded(&config(LogTarget::Stdout), &exchange);
    assert_eq!((without.get("trace_id"), without.get("span_id")), (None, None));
    exchange.trace = Some(trace());
    let with = encoded(&config(LogTarget::Stdout), &exchange);
    assert_eq!(with["trace_id"], "30313233343536373839616263646566");
    assert_eq!(with["span_id"], "3031323334353637");
}

#[test]
fn a_record_has_the_members_that_are_asked_for_in_their_order() {
    let mut config = config(LogTarget::Stdout);
    let fields = vec![LogField::Status, LogField::TraceId, LogField::Path, LogField::PluginFields];
    config.format = RecordFormat::Json(Some(fields));
    assert_eq!(line(&config, &exchange("/a")), r#"{"status":200,"trace_id":null,"path":"/a","fields":null}"#);
}

#[test]
fn an_object_of_nothing_but_what_is_not_there_is_an_object() {
    let mut exchange = exchange("/");
    exchange.log_fields = vec![noted(("a", None))];
    assert_eq!(encoded(&config(LogTarget::Stdout), &exchange)["fields"], json!({}));
}
