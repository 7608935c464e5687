//! What Zipkin gets, read back by a parser that is not ours.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{Origin, spans};
use crate::model::{Event, KeyValue, Kind, Resource, Scope, Span, Status, Text, Value};

fn origin() -> Origin {
    let resource = Resource {
        service_name: "gateway".into(),
        service_version: "1.2.3".into(),
        attributes: vec![KeyValue::new("zone", "oslo-1")],
        ..Resource::default()
    };
    Origin::new(&resource, &Scope { name: "proxy".into(), version: Text::EMPTY })
}

fn span() -> Span {
    Span {
        trace_id: *b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36",
        span_id: *b"\x00\xf0\x67\xaa\x0b\xa9\x02\xb7",
        parent: None,
        parent_is_remote: false,
        flags: 1,
        trace_state: None,
        name: "GET".into(),
        kind: Kind::Internal,
        start: 1_700_000_000_123_456_789,
        end: 1_700_000_000_123_458_023,
        attributes: Vec::new(),
        dropped_attributes: 0,
        events: Vec::new(),
        dropped_events: 0,
        status: Status::Unset,
    }
}

fn written(span: Span) -> Json {
    let body = spans(&origin(), &[span]);
    let mut list: Vec<Json> = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(list.len(), 1);
    list.remove(0)
}

#[test]
fn a_span_with_nothing_has_no_empty_fields() {
    let expected = json!({
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "id": "00f067aa0ba902b7",
        "name": "GET",
        "timestamp": 1_700_000_000_123_456_u64,
        "duration": 1,
        "localEndpoint": {"serviceName": "gateway"},
        "tags": {"service.version": "1.2.3", "zone": "oslo-1", "otel.scope.name": "proxy"},
    });
    assert_eq!(written(span()), expected);
}

#[test]
fn everything_that_a_span_can_have() {
    let mut span = span();
    span.parent = Some([0xab; 8]);
    span.kind = Kind::Server;
    span.end = span.start + 2_500_999;
    span.attributes = vec![
        KeyValue::new("text", "æøå"),
        KeyValue::new("int", 200),
        KeyValue::new("double", 0.5),
        KeyValue::new("bool", false),
        KeyValue::new("list", vec![Text::from("a\"b"), "c".into()]),
        KeyValue::new("error", false),
        KeyValue::new("zone", "oslo-2"),
    ];
    span.dropped_attributes = 2;
    span.dropped_events = 3;
    span.status = Status::Error("no connection".into());
    span.events = vec![
        Event { time: span.start + 1000, name: "dns".into(), attributes: Vec::new() },
        Event {
            time: span.start + 2000,
            name: "connect".into(),
            attributes: vec![KeyValue::new("to", "a\"b"), KeyValue::new("n", 2), KeyValue::new("nan", f64::NAN)],
        },
    ];
    let json = written(span);
    assert_eq!((&json["kind"], &json["parentId"]), (&json!("SERVER"), &json!("abababababababab")));
    assert_eq!(json["duration"], 2500);
    let annotations = json!([
        {"timestamp": 1_700_000_000_123_457_u64, "value": "dns"},
        {"timestamp": 1_700_000_000_123_458_u64, "value": r#""connect": {"to":"a\"b","n":2,"nan":"NaN"}"#},
    ]);
    assert_eq!(json["annotations"], annotations);
    let tags = json!({
        "text": "æøå", "int": "200", "double": "0.5", "bool": "false", "list": r#"["a\"b","c"]"#, "zone": "oslo-2",
        "otel.dropped_attributes_count": "2", "otel.dropped_events_count": "3",
        "otel.status_code": "ERROR", "error": "no connection", "service.version": "1.2.3", "otel.scope.name": "proxy",
    });
    assert_eq!(json["tags"], tags);
}

#[test]
fn whoever_was_called_is_told_by_the_first_name_there_is() {
    let called = |kind, attributes: &[(&'static str, Value)]| {
        let attributes = attributes.iter().map(|(key, value)| KeyValue::new(*key, value.clone())).collect();
        written(Span { kind, attributes, ..span() })["remoteEndpoint"].clone()
    };
    let address = ("network.peer.address", Value::from("10.0.0.7"));
    let port = ("network.peer.port", Value::from(5000));
    let server = ("server.address", Value::from("api.example.no"));
    let peer = ("peer.service", Value::from("inventory"));
    let all = [address.clone(), port.clone(), server.clone(), peer];
    assert_eq!(called(Kind::Client, &all), json!({"serviceName": "inventory"}));
    assert_eq!(called(Kind::Producer, &all[..3]), json!({"serviceName": "api.example.no"}));
    assert_eq!(called(Kind::Client, &all[..2]), json!({"ipv4": "10.0.0.7", "port": 5000}));
    let six = ("network.peer.address", Value::from("2001:db8::1"));
    assert_eq!(called(Kind::Client, &[six]), json!({"ipv6": "2001:db8::1"}));
    let socket = ("network.peer.address", Value::from("/run/app.sock"));
    assert_eq!(called(Kind::Client, &[socket]), json!({"serviceName": "/run/app.sock"}));
    for kind in [Kind::Server, Kind::Internal, Kind::Consumer] {
        assert_eq!(called(kind, &all), Json::Null);
    }
}

#[test]
fn all_is_well_is_said_without_an_error() {
    let json = written(Span { status: Status::Ok, attributes: vec![KeyValue::new("error", "false")], ..span() });
    assert_eq!(json["tags"]["otel.status_code"], "OK");
    assert_eq!(json["tags"].get("error"), None);
}

#[test]
fn a_clock_that_went_back_makes_no_endless_span() {
    let span = Span { end: 0, ..span() };
    assert_eq!(written(span)["duration"], 1);
}

proptest! {
    /// Identifiers and texts come back as they were, whatever is in them.
    #[test]
    fn ids_and_texts_survive(
        trace_id in any::<[u8; 16]>(),
        span_id in any::<[u8; 8]>(),
        name in any::<String>(),
        message in any::<String>(),
        event in any::<String>(),
        tags in prop::collection::btree_map(any::<String>(), any::<String>(), 0..8),
        list in prop::collection::vec(any::<String>(), 0..4),
        number in any::<i64>(),
        double in any::<f64>(),
    ) {
        let mut attributes: Vec<_> = tags.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        attributes.retain(|attribute| !attribute.key.starts_with("our.") && attribute.key != "error");
        attributes.push(KeyValue::new("our.list", list.iter().cloned().map(Text::from).collect::<Vec<_>>()));
        attributes.push(KeyValue::new("our.number", number));
        attributes.push(KeyValue::new("our.double", double));
        let events = vec![
            Event { time: 1, name: event.clone().into(), attributes: Vec::new() },
            Event { time: 1, name: event.clone().into(), attributes: attributes.clone() },
        ];
        let status = Status::Error(message.clone().into());
        let json = written(Span { trace_id, span_id, name: name.clone().into(), attributes, events, status, ..span() });
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        prop_assert_eq!(&json["traceId"], &json!(hex(&trace_id)));
        prop_assert_eq!(&json["id"], &json!(hex(&span_id)));
        prop_assert_eq!(&json["name"], &json!(name));
        prop_assert_eq!(&json["tags"]["error"], &json!(message));
        for (key, value) in tags.iter().filter(|(key, _)| !key.starts_with("our.") && *key != "error") {
            prop_assert_eq!(&json["tags"][key], &json!(value));
        }
        let read: Vec<String> = serde_json::from_str(json["tags"]["our.list"].as_str().unwrap()).unwrap();
        prop_assert_eq!(read, list);
        prop_assert_eq!(&json["tags"]["our.number"], &json!(number.to_string()));
        prop_assert_eq!(&json["annotations"][0]["value"], &json!(event));
        let described = json["annotations"][1]["value"].as_str().unwrap();
        let described: Json = serde_json::from_str(&format!("{{{described}}}")).expect("a member of an object");
        prop_assert_eq!(&described[&event]["our.number"], &json!(number));
    }
}
