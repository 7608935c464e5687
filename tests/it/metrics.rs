//! Metrics as others take them: a real Prometheus in each format, `promtool`, and a collector by OTLP.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gateway::admin::{self, AdminState};
use gateway::exchange::Protocol;
use gateway::model;
use gateway::telemetry::metrics::{Finished, Metrics};
use gateway::trace::{SpanId, Trace, TraceId};
use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::prometheus::{Prometheus, promtool};
use gateway_tests::upstream::{Upstream, text};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use prost::Message as _;

/// A gateway with a route that answers by itself, and what else its configuration says.
fn yaml(more: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\"}}]
routes: [{{name: all, match: {{path: {{prefix: /}}}}, respond: {{status: 200}}}}]
{more}
"
    )
}

/// The metrics of a page that `Accept` asks for.
fn page(gateway: &TestGateway, accept: &str) -> (String, Vec<u8>) {
    let request = http::Request::get("/metrics").header("accept", accept);
    let response = Client::http1(gateway.admin()).send(request, "");
    assert_eq!(response.status, 200);
    (response.header("content-type").to_owned(), response.body.to_vec())
}

#[test]
fn prometheus_scrapes_text_open_metrics_and_native_histograms() {
    let gateway = TestGateway::start(&yaml("metrics: {native_histograms: true}"), &[]);
    // The way to the page whose `Accept` is the one of the text format: no Prometheus of this version asks for that alone.
    let detour = TestGateway::in_front_of(gateway.admin(), "request_headers: {set: {accept: text/plain}}");
    let mut client = Client::http1(gateway.address());
    (0..7).for_each(|_| assert_eq!(client.get("/").status, 200));
    let plain = Prometheus::start(
        &[("open", gateway.admin(), "/metrics"), ("text", detour.address(), "/metrics")],
        "exemplar-storage",
    );
    let native = Prometheus::start(&[("native", gateway.admin(), "/metrics")], "native-histograms");
    for (prometheus, expression, expected) in [
        (&plain, r#"sum(gateway_requests_total{job="open",route="all",status="2xx"})"#, 7.0),
        (&plain, r#"sum(gateway_requests_total{job="text",route="all",status="2xx"})"#, 7.0),
        (&plain, r#"gateway_request_duration_seconds_bucket{job="open",route="all",le="10.0"}"#, 7.0),
        (&plain, r#"gateway_request_duration_seconds_bucket{job="text",route="all",le="10.0"}"#, 7.0),
        // The sign of OpenMetrics.
        (&plain, r#"count(gateway_request_duration_seconds_created{route="all"})"#, 1.0),
        (&native, r#"sum(gateway_requests_total{route="all",status="2xx"})"#, 7.0),
        (&native, r#"histogram_count(gateway_request_duration_seconds{route="all"})"#, 7.0),
        (&native, r#"histogram_fraction(0, 60, gateway_request_duration_seconds{route="all"})"#, 1.0),
        (&native, r#"histogram_quantile(0.5, gateway_request_duration_seconds{route="all"}) > bool 0"#, 1.0),
    ] {
        eventually(expression, || {
            let value = prometheus.value(expression);
            (value == Some(expected)).then_some(()).ok_or_else(|| format!("{value:?} {}", prometheus.targets()))
        });
    }
}

/// Serves the page of these metrics until the value is dropped.
fn serve(metrics: &Arc<Metrics>) -> (std::net::SocketAddr, tokio::runtime::Runtime) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (ready, metrics) = (AtomicBool::new(true), metrics.clone());
    let state = AdminState { ready, metrics, plugins: Box::new(|| serde_json::Value::Null) };
    runtime.spawn(admin::serve(listener, Arc::new(state), std::future::pending()));
    (address, runtime)
}

#[test]
fn prometheus_finds_the_trace_of_a_bucket_by_its_exemplar() {
    let metrics = Metrics::new(&model::Metrics { native_histograms: true, ..model::Metrics::default() });
    let trace = Trace::new(TraceId::random(), SpanId::random(), true);
    let route = metrics.worker().route("slow");
    let exchange = Finished {
        protocol: Protocol::Http2,
        status: Some(http::StatusCode::OK),
        took: Duration::from_millis(700),
        bytes_in: 0,
        bytes_out: 0,
        error: None,
        trace: None,
    };
    route.finished(&exchange);
    route.finished(&Finished { trace: Some(&trace), ..exchange });
    let (address, _runtime) = serve(&metrics);
    let job = [("gateway", address, "/metrics")];
    for features in ["exemplar-storage", "exemplar-storage,native-histograms"] {
        let prometheus = Prometheus::start(&job, features);
        let found = eventually("an exemplar", || {
            let found = prometheus.exemplars(r#"{__name__=~"gateway_request_duration_seconds.*",route="slow"}"#);
            (!found.is_empty()).then_some(found).ok_or_else(|| prometheus.targets())
        });
        assert!(found.iter().all(|id| *id == trace.id.to_string()), "{features}: {found:?}");
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_the_page() {
    let gateway = TestGateway::start(&yaml("metrics: {buckets: [0.1, 1, 2.5]}"), &[]);
    Client::http1(gateway.address()).get("/");
    let (kind, text) = page(&gateway, "text/plain");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("gateway_request_duration_seconds_bucket{route=\"all\",le=\"2.5\"} 1\n"), "{text}");
    assert!(!text.contains("le=\"0.25\""), "{text}");
    let said = promtool(&["check", "metrics"], Path::new("."), &text);
    assert_eq!(said.as_deref(), Ok(""), "{said:?}");
}

#[test]
fn the_format_is_the_one_that_is_asked_for() {
    let gateway = TestGateway::start(&yaml(""), &[]);
    let (kind, body) = page(&gateway, "application/openmetrics-text;version=1.0.0,*/*;q=0.1");
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(body.ends_with(b"\n# EOF\n"));
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let (kind, body) = page(&gateway, &format!("{protobuf},text/plain;q=0.5"));
    assert_eq!(kind.replace("; ", ";"), protobuf);
    assert!(body.windows(20).any(|window| window == b"gateway_requests_in_"), "{}", body.len());
}

/// The sum of a counter in what a collector got.
fn pushed(body: &[u8], name: &str) -> Option<i64> {
    let request = ExportMetricsServiceRequest::decode(body).expect("OTLP");
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let metric = scopes.flat_map(|scope| &scope.metrics).find(|metric| metric.name == name)?;
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{name} is {:?}", metric.data) };
    assert!(sum.is_monotonic);
    let value = |value: &Option<Value>| if let Some(Value::AsInt(number)) = value { *number } else { 0 };
    Some(sum.data_points.iter().map(|point| value(&point.value)).sum())
}

#[test]
fn metrics_are_pushed_to_a_collector_and_once_more_at_the_end() {
    let collector = Upstream::start(|_| text(200, ""));
    let otlp = |more: &str| {
        let endpoint = collector.address();
        yaml(&format!(
            "secrets: {{key: {{value: hemmelig}}}}
metrics:
  export:
    otlp: {{endpoint: \"http://{endpoint}/base\", protocol: http, compression: none, headers: {{x-key: key}}}}
    {more}"
        ))
    };
    let mut gateway = TestGateway::start(&otlp("interval: 1s"), &[]);
    let mut client = Client::http1(gateway.address());
    (0..3).for_each(|_| assert_eq!(client.get("/").status, 200));
    let first = eventually("a push with the requests", || {
        collector.seen().into_iter().find(|seen| pushed(&seen.body, "gateway_requests_total") == Some(3))
    });
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/base/v1/metrics"));
    assert_eq!(first.headers["x-key"], "hemmelig");
    eventually("the push is counted", || {
        (gateway.metric("gateway_export_sent_total", &["signal=\"metrics\""]) > 0.0).then_some(())
    });
    // Another interval: what was pushed before is pushed a last time, and what is counted goes on.
    let sent = gateway.metric("gateway_export_sent_total", &[]);
    gateway.reload(&otlp("interval: 1h")).expect("applied");
    assert!(gateway.metric("gateway_export_sent_total", &[]) >= sent);
    assert_eq!(client.get("/").status, 200);
    drop(client);
    gateway.drain();
    let last = collector.seen().pop().expect("a push");
    assert_eq!(pushed(&last.body, "gateway_requests_total"), Some(4));
}

#[test]
fn what_is_wrong_with_the_section_is_told_at_once() {
    let wrong = yaml(
        "metrics:
  buckets: [0.1, 0.05]
  native_histograms: perhaps
  export: {otlp: {endpoint: \"ftp://a\"}, interval: 10ms}",
    );
    let Err(errors) = TestGateway::try_start(&wrong, &[]) else { panic!("accepted") };
    for said in ["0.1 comes before 0.05", "true or false", "is not a URL", "is too short"] {
        assert!(errors.contains(said), "{said}: {errors}");
    }
}

#[test]
fn buckets_change_at_the_next_start_and_the_collector_at_once() {
    let gateway = TestGateway::start(&yaml("metrics: {buckets: [1, 2]}"), &[]);
    gateway.reload(&yaml("metrics: {buckets: [3, 4]}")).expect("applied");
    Client::http1(gateway.address()).get("/");
    let (_, text) = gateway.admin_page("/metrics");
    assert!(text.contains("route=\"all\",le=\"2.0\"} 1\n") && !text.contains("le=\"3.0\""), "{text}");
}
