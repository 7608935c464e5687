//! Access logs that go to a collector, taken by OpenTelemetry's own messages.

use std::path::Path;
use std::time::{Duration, Instant};

use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::otlp::OtlpReceiver;
use gateway_tests::{eventually, free_port};
use serde_json::Value;

/// A gateway with routes that answer by themselves; `access_log` is that section, `more` what else there is.
fn yaml(access_log: &str, more: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
routes:
- {{name: all, match: {{path: {{prefix: /}}}}, respond: {{status: 200}}}}
- {{name: fails, match: {{path: {{prefix: /fails}}}}, respond: {{status: 503, body: hello}}}}
access_log: {access_log}
{more}
"
    )
}

/// A log that goes to this endpoint over HTTP.
fn over_http(endpoint: &str) -> String {
    format!("{{otlp: {{endpoint: '{endpoint}', protocol: http, timeout: 1s}}}}")
}

fn of_path(path: &'static str) -> impl Fn(&Value) -> bool {
    move |record| record["attributes"]["url.path"] == path
}

#[test]
fn records_come_by_grpc_and_http_with_the_ids_of_their_spans_and_without_personal_data() {
    let mut receiver = OtlpReceiver::start();
    for (endpoint, protocol) in [(receiver.grpc(), "grpc"), (receiver.http(), "http")] {
        let otlp = format!("{{otlp: {{endpoint: '{endpoint}', protocol: {protocol}, headers: {{x-key: key}}}}}}");
        let log = format!("[{{path: access.log}}, {otlp}]");
        let more = format!(
            "secrets: {{key: {{value: a-secret-key}}}}
tracing: {{service_name: edge, resource: {{deployment.environment.name: test}}, sample: {{share: 100%}}, export: {otlp}}}"
        );
        let gateway = TestGateway::start(&yaml(&log, &more), &[]);
        let mut client = Client::http1(gateway.address());
        client.get_with("/fails/kari@example.no?token=s3cret", &[("user-agent", "curl/8")]);
        let of = |one: &Value| one["protocol"] == protocol && one["attributes"]["url.path"] == "/fails/***";
        let (record, span) = (receiver.wait_for("log", of), receiver.wait_for("span", of));
        for id in ["trace_id", "span_id"] {
            assert_eq!(record[id], span[id], "{id}: {record:#} {span:#}");
        }
        assert_eq!((&record["flags"], &record["resource"]), (&1.into(), &span["resource"]));
        assert_eq!(record["resource"]["service.name"], "edge");
        assert_eq!(record["resource"]["deployment.environment.name"], "test");
        assert_eq!((&record["event_name"], &record["severity"]), (&"gateway.access".into(), &"ERROR".into()));
        assert_eq!(record["headers"]["x-key"], "a-secret-key");
        let said = format!("{} {}", record["attributes"], record["body"]);
        assert!(!said.contains("kari") && !said.contains("s3cret") && !said.contains("curl/8"), "{said}");
        let attributes = &record["attributes"];
        for (name, value) in [
            ("http.request.method", "GET".into()),
            ("url.scheme", "http".into()),
            ("client.address", "127.0.0.0".into()),
            ("network.protocol.version", "1.1".into()),
            ("http.response.status_code", 503.into()),
            ("http.response.body.size", 5.into()),
            ("error.type", "503".into()),
            ("gateway.route", "fails".into()),
            ("gateway.response.source", Value::from("route")),
        ] {
            assert_eq!(attributes[name], value, "{name} in {record:#}");
        }
        // The line of the same exchange has the same ids.
        let line = gateway.logged("its line", |line| line["path"] == "/fails/***");
        assert_eq!((&line["trace_id"], &line["request_id"]), (&record["trace_id"], &attributes["gateway.request.id"]));
        client.get("/fine");
        let fine = receiver.wait_for("log", |one| one["protocol"] == protocol && of_path("/fine")(one));
        assert_eq!((&fine["severity"], &fine["attributes"]["error.type"]), (&"INFO".into(), &Value::Null));
        eventually("counted as sent", || {
            (gateway.metric("gateway_export_sent_total", &["signal=\"logs\""]) >= 2.0).then_some(())
        });
    }
}

#[test]
fn a_log_shows_what_it_includes_of_those_that_it_selects() {
    let mut receiver = OtlpReceiver::start();
    let log = over_http(&receiver.http())
        .replace("}}", "}, when: error, include: [client.address, path, request_headers.user-agent]}");
    let gateway = TestGateway::start(&yaml(&log, ""), &[]);
    let mut client = Client::http1(gateway.address());
    client.get("/fine");
    client.get_with("/fails/kari@example.no?a=1", &[("user-agent", "curl/8")]);
    let record = receiver.wait_for("log", |_| true);
    let attributes = &record["attributes"];
    assert_eq!(attributes["url.path"], "/fails/kari@example.no", "the first that came");
    assert_eq!((&attributes["url.query"], &attributes["client.address"]), (&"a=1".into(), &"127.0.0.1".into()));
    assert_eq!(attributes["http.request.header.user-agent"], serde_json::json!(["curl/8"]));
    assert_eq!((&record["trace_id"], &record["span_id"]), (&"".into(), &"".into()), "there are no traces");
}

#[test]
fn records_wait_for_a_collector_that_is_away_and_come_when_it_is_back() {
    let port = free_port();
    let gateway = TestGateway::start(&yaml(&over_http(&format!("http://127.0.0.1:{port}")), ""), &[]);
    let mut client = Client::http1(gateway.address());
    for _ in 0..10 {
        assert_eq!(client.get("/away").status, 200, "nobody waits for a collector");
    }
    eventually("failed exports", || {
        (gateway.metric("gateway_export_failures_total", &["signal=\"logs\""]) > 0.0).then_some(())
    });
    assert!(gateway.metric("gateway_export_queued", &["signal=\"logs\""]) > 0.0);
    let mut receiver = OtlpReceiver::start_at(port);
    client.get("/back");
    receiver.wait_for("log", of_path("/back"));
    let away = receiver.seen().iter().filter(|one| of_path("/away")(one)).count();
    let dropped = gateway.metric("gateway_export_dropped_total", &["signal=\"logs\""]);
    assert_eq!(away as f64 + dropped, 10.0, "each has come or is counted");
}

#[test]
fn a_collector_that_stays_away_holds_up_neither_requests_nor_the_end() {
    let log = over_http(&format!("http://127.0.0.1:{}", free_port())).replace("1s", "100ms");
    let mut gateway = TestGateway::start(&yaml(&log, ""), &[]);
    let mut client = Client::http1(gateway.address());
    for _ in 0..10 {
        assert_eq!(client.get("/").status, 200);
    }
    drop(client);
    let began = Instant::now();
    gateway.drain();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn a_reload_sends_records_to_where_it_says_and_the_end_sends_what_is_left() {
    let (mut first, mut second) = (OtlpReceiver::start(), OtlpReceiver::start());
    let mut gateway = TestGateway::start(&yaml(&over_http(&first.http()), ""), &[]);
    let mut client = Client::http1(gateway.address());
    client.get("/first");
    gateway.reload(&yaml(&over_http(&second.http()), "")).expect("applied");
    eventually("the new collector has records", || {
        client.get("/second");
        second.seen().iter().any(of_path("/second")).then_some(())
    });
    first.wait_for("log", of_path("/first"));
    // What does not change for the export leaves it alone, and what counts goes on.
    let sent = gateway.metric("gateway_export_sent_total", &["signal=\"logs\""]);
    gateway.reload(&yaml(&over_http(&second.http()), "limits: {requests_per_worker: 999}")).expect("applied");
    assert!(gateway.metric("gateway_export_sent_total", &["signal=\"logs\""]) >= sent && sent >= 1.0);
    client.get("/last");
    drop(client);
    gateway.drain();
    second.wait_for("log", of_path("/last"));
    assert!(!first.seen().iter().any(of_path("/last")));
}

#[test]
fn authorities_that_can_t_be_used_are_told_of_at_their_place_wherever_they_are_named() {
    let otlp = |file: &str| format!("{{endpoint: 'https://localhost:4317', ca: {file}}}");
    let yaml = yaml(
        &format!("[{{otlp: {}}}]", otlp("one.pem")),
        &format!("tracing: {{export: {{otlp: {}}}}}", otlp("two.pem")),
    );
    let fill = |directory: &Path| {
        for file in ["one.pem", "two.pem"] {
            std::fs::write(directory.join(file), "no certificate at all").expect("written");
        }
    };
    let Err(errors) = TestGateway::prepare(&yaml, fill) else { panic!("accepted") };
    let place = |key: &str| {
        let found = yaml.lines().zip(1..).find(|(line, _)| line.starts_with(key)).expect("the line").1;
        format!("gateway.yaml:{found}:")
    };
    for (key, said) in [("access_log", "access_log.otlp: "), ("tracing", "tracing.export: ")] {
        let line = errors.lines().find(|line| line.contains(said)).unwrap_or_else(|| panic!("{said}: {errors}"));
        assert!(line.contains(&place(key)), "{} in {errors}", place(key));
    }
}
