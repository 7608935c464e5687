//! Spans on every way that leads to a collector, taken by OpenTelemetry's own messages and by Zipkin's.

use std::collections::BTreeSet;

use gateway_tests::certs::Authority;
use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::otlp::OtlpReceiver;
use gateway_tests::upstream::{Upstream, text};
use serde_json::Value;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A gateway whose route has an upstream; `export` is where spans go.
fn yaml(upstream: &Upstream, export: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{stock: {{endpoints: [\"{}\"]}}}}
routes: [{{name: shop, match: {{path: {{prefix: /shop}}}}, upstream: stock}}]
forwarding: {{trusted: [127.0.0.0/8]}}
secrets: {{key: {{value: a-secret-key}}}}
tracing: {{service_name: edge, sample: {{share: 100%}}, export: {export}}}
",
        upstream.address()
    )
}

/// Has one request of a trace forwarded, which the upstream answers with this status.
fn ask(yaml: &str) -> TestGateway {
    let gateway = TestGateway::start(yaml, &[]);
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let response = Client::http1(gateway.address()).get_with("/shop/a", &[("traceparent", &traceparent)]);
    assert_eq!(response.status, 503);
    gateway
}

fn failing() -> Upstream {
    Upstream::start(|_| text(503, "no"))
}

/// The server's span and the try's, of this way.
fn both(receiver: &mut OtlpReceiver, protocol: &str) -> [Value; 2] {
    ["SERVER", "CLIENT"].map(|kind| receiver.wait_for("span", |one| one["protocol"] == protocol && one["kind"] == kind))
}

fn check_otlp([server, client]: &[Value; 2]) {
    assert_eq!((&server["trace_id"], &server["parent_span_id"]), (&TRACE.into(), &PARENT.into()));
    assert_eq!((&client["trace_id"], &client["parent_span_id"]), (&TRACE.into(), &server["span_id"]));
    assert_eq!((&server["name"], &server["status"]["code"]), (&"GET /shop/*".into(), &"ERROR".into()));
    let attributes = &server["attributes"];
    assert_eq!(attributes["http.response.status_code"], 503);
    assert_eq!((&attributes["http.route"], &attributes["url.path"]), (&"/shop/*".into(), &"/shop/a".into()));
    assert_eq!(client["attributes"]["gateway.upstream"], "stock");
    let events = client["events"].as_array().expect("events");
    assert!(events.iter().any(|event| event["name"] == "first_byte"), "{client:#}");
    assert_eq!((&server["resource"]["service.name"], &server["scope"]["name"]), (&"edge".into(), &"gateway".into()));
}

#[test]
fn a_trace_goes_by_otlp_over_grpc() {
    let (upstream, mut receiver) = (failing(), OtlpReceiver::start());
    let export = format!("{{otlp: {{endpoint: '{}', protocol: grpc, headers: {{x-key: key}}}}}}", receiver.grpc());
    let gateway = ask(&yaml(&upstream, &export));
    let spans = both(&mut receiver, "grpc");
    check_otlp(&spans);
    assert_eq!(spans[0]["headers"]["x-key"], "a-secret-key");
    eventually("counted as sent", || {
        (gateway.metric("gateway_export_sent_total", &["signal=\"traces\""]) >= 2.0).then_some(())
    });
}

#[test]
fn a_trace_goes_by_otlp_over_tls_to_whom_the_given_authority_vouches_for_and_to_nobody_else() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, authority: &Authority| {
        let file = directory.path().join(name);
        std::fs::write(&file, authority.pem()).expect("written");
        file.display().to_string()
    };
    let (ours, theirs) = (write("ours.pem", &authority), write("theirs.pem", &stranger));
    let (certificate, key) = authority.issue(directory.path(), "collector", &["localhost"]);
    let (upstream, mut receiver) = (failing(), OtlpReceiver::start_tls(&certificate, &key));
    for (endpoint, protocol) in [(receiver.http(), "http"), (receiver.grpc(), "grpc")] {
        let export = |more: &str| {
            let header = "headers: {x-key: key}";
            format!("{{otlp: {{endpoint: '{endpoint}', protocol: {protocol}, timeout: 2s, {header}{more}}}}}")
        };
        // Neither another authority nor one of the system's vouches for it.
        for more in [format!(", ca: {theirs}"), String::new()] {
            let gateway = ask(&yaml(&upstream, &export(&more)));
            eventually("refused", || {
                (gateway.metric("gateway_export_failures_total", &["signal=\"traces\""]) > 0.0).then_some(())
            });
            assert_eq!(gateway.metric("gateway_export_sent_total", &["signal=\"traces\""]), 0.0, "{protocol} {more}");
        }
        assert!(receiver.seen().iter().all(|one| one["protocol"] != protocol), "{:?}", receiver.seen());
        // The access log goes there by the same keys.
        let trusted = export(&format!(", ca: {ours}"));
        let _gateway = ask(&format!("{}access_log: {trusted}\n", yaml(&upstream, &trusted)));
        let spans = both(&mut receiver, protocol);
        check_otlp(&spans);
        let record = receiver.wait_for("log", |one| one["protocol"] == protocol);
        assert_eq!(record["span_id"], spans[0]["span_id"]);
        for one in [&spans[0], &record] {
            assert_eq!(one["headers"]["x-key"], "a-secret-key", "{protocol}");
        }
    }
}

#[test]
fn a_trace_goes_as_zipkins_json() {
    let (upstream, mut receiver) = (failing(), OtlpReceiver::start());
    let export = format!("{{zipkin: {{endpoint: '{}', headers: {{x-key: key}}}}}}", receiver.http());
    let _gateway = ask(&yaml(&upstream, &export));
    let [server, client] = both(&mut receiver, "zipkin");
    assert_eq!((&server["traceId"], &server["parentId"]), (&TRACE.into(), &PARENT.into()));
    assert_eq!((&client["traceId"], &client["parentId"]), (&TRACE.into(), &server["id"]));
    assert_eq!(server["localEndpoint"]["serviceName"], "edge");
    assert_eq!(server["headers"]["x-key"], "a-secret-key");
    for span in [&server, &client] {
        assert!(span["timestamp"].as_u64().is_some_and(|micros| micros > 1_700_000_000_000_000), "{span:#}");
        assert!(span["duration"].as_u64().is_some_and(|micros| micros > 0), "{span:#}");
        let tags = span["tags"].as_object().expect("tags");
        assert!(tags.values().all(Value::is_string), "tags are texts: {span:#}");
        assert_eq!((&tags["http.response.status_code"], tags.contains_key("error")), (&"503".into(), true), "{span:#}");
    }
    assert!(client["annotations"].as_array().is_some_and(|list| list.iter().any(|one| one["value"] == "first_byte")));
}

/// Jaeger takes OTLP and asks more of it than the protocol: a process with a name, ids that are not zero, times in order, and
/// each parent in its trace (https://www.jaegertracing.io/docs/latest/architecture/apis/).
#[test]
fn a_trace_has_what_jaeger_needs_of_otlp() {
    let (upstream, mut receiver) = (failing(), OtlpReceiver::start());
    for (endpoint, protocol) in [(receiver.grpc(), "grpc"), (receiver.http(), "http")] {
        let export = format!("{{otlp: {{endpoint: '{endpoint}', protocol: {protocol}}}}}");
        let _gateway = ask(&yaml(&upstream, &export));
        let spans = both(&mut receiver, protocol);
        let text = |span: &Value, key: &str| span[key].as_str().unwrap_or_default().to_owned();
        let ids: BTreeSet<String> = spans.iter().map(|span| text(span, "span_id")).collect();
        assert_eq!(ids.len(), spans.len(), "each has an id of its own");
        for span in &spans {
            let (trace, id, parent) = (text(span, "trace_id"), text(span, "span_id"), text(span, "parent_span_id"));
            assert_eq!((trace.len(), id.len()), (32, 16), "{span:#}");
            assert!(id.bytes().any(|digit| digit != b'0'), "{span:#}");
            assert!(parent == PARENT || ids.contains(&parent), "{span:#}");
            assert!(span["start"].as_u64() > Some(0) && span["end"].as_u64() >= span["start"].as_u64(), "{span:#}");
            assert!(!text(&span["resource"], "service.name").is_empty() && !text(span, "name").is_empty(), "{span:#}");
        }
        let [server, client] = &spans;
        assert!(client["start"].as_u64() >= server["start"].as_u64(), "{spans:#?}");
        assert!(client["end"].as_u64() <= server["end"].as_u64(), "{spans:#?}");
    }
}
