//! What metrics tell of the gateway's own state: certificates, reloads, plugins, what was refused and why.

use std::time::{SystemTime, UNIX_EPOCH};

use gateway_tests::certs::Authority;
use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::{TestGateway, install};
use gateway_tests::upstream::{Upstream, text};

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

#[test]
fn the_expiry_of_each_certificate_is_there_and_follows_a_renewal() {
    let authority = Authority::new();
    let yaml = "listeners:
  - name: tls
    address: \"127.0.0.1:0\"
    tls: {certificates: [{certificate: a.pem, private_key: a.key}], self_signed: [localhost]}
routes: []
";
    let gateway = TestGateway::prepare(yaml, |directory| {
        authority.issue(directory, "a", &["localhost"]);
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let expiry = |label: &str| gateway.metric("gateway_certificate_expiry_timestamp_seconds", &["\"tls\"", label]);
    let (own, made) = (expiry("a.pem\""), expiry("\"self_signed\""));
    assert!(own > now() && made > now(), "{own} {made}");
    let loaded = || gateway.metric("gateway_reload_last_success_timestamp_seconds", &["\"certificate\""]);
    let config = gateway.metric("gateway_reload_last_success_timestamp_seconds", &["\"config\""]);
    assert!(now() - config < 600.0 && loaded() == 0.0, "{config}");
    // It ends in 2030, whenever this runs.
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    for (file, text) in [("a.key", key.serialize_pem()), ("a.pem", certificate.pem())] {
        let part = gateway.directory().join("part");
        std::fs::write(&part, text).expect("written");
        std::fs::rename(part, gateway.directory().join(file)).expect("renamed");
    }
    eventually("the new one is in use", || (expiry("a.pem\"") == 1_893_456_000.0).then_some(()));
    assert!(now() - loaded() < 600.0);
    let page = gateway.admin_page("/metrics").1;
    assert!(!page.contains("localhost"), "no name of a certificate is a label");
}

#[test]
fn a_plugin_that_is_refused_is_counted_by_its_name() {
    let yaml = "listeners: [{name: clear, address: \"127.0.0.1:0\"}]
plugins: {directory: plugins}
routes: [{name: all, plugins: [{name: test-guest}], respond: {status: 200}}]
";
    let gateway = TestGateway::start(yaml, &["test-guest"]);
    let failures = || gateway.metric("gateway_plugin_load_failures_total", &["plugin=\"test-guest\""]);
    assert_eq!(failures(), 0.0);
    std::fs::write(gateway.directory().join("plugins/test-guest.wasm"), "not wasm at all").expect("written");
    eventually("the refusal is counted", || (failures() >= 1.0).then_some(()));
    install("test-guest", &gateway.directory().join("plugins"));
}

#[test]
fn requests_that_are_shed_are_counted_by_route_and_reason() {
    let (release, held) = tokio::sync::watch::channel(false);
    let upstream = Upstream::start_async(move |_| {
        let mut held = held.clone();
        async move {
            let _ = held.wait_for(|released| *released).await;
            text(200, "")
        }
    });
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\"}}]
upstreams: {{one: {{endpoints: [\"{}\"], limits: {{requests: 1}}}}}}
routes: [{{name: all, upstream: one}}]
workers: 1
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let address = gateway.address();
    let first = std::thread::spawn(move || Client::http1(address).get("/").status);
    eventually("the first is there", || (upstream.seen().len() == 1).then_some(()));
    assert_eq!(Client::http1(address).get("/").status, 503);
    let shed = |reason: &str| gateway.metric("gateway_requests_shed_total", &["route=\"all\"", reason]);
    eventually("it is counted", || (shed("\"upstream-limit\"") == 1.0).then_some(()));
    assert_eq!((shed("\"overload\""), shed("\"body-memory\""), shed("\"plugin-memory\"")), (0.0, 0.0, 0.0));
    release.send(true).expect("somebody waits");
    assert_eq!(first.join().expect("it ends"), 200);
}

#[test]
fn what_breakers_and_limiters_decide_is_counted_by_route() {
    let upstream = Upstream::start(|_| text(500, ""));
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\"}}]
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
plugins: {{directory: plugins}}
routes:
  - name: broken
    match: {{path: {{prefix: /broken}}}}
    plugins: [{{name: circuit-breaker, config: {{minimum_requests: 2, failure_ratio: 0.5, open_for: 1s}}}}]
    upstream: one
  - name: limited
    match: {{path: {{prefix: /limited}}}}
    plugins: [{{name: rate-limit, config: {{limits: [{{name: few, requests: 2, per: 1h, by: client.address}}]}}}}]
    respond: {{status: 200}}
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &["circuit-breaker", "rate-limit"]);
    let mut client = Client::http1(gateway.address());
    let statuses: Vec<u16> = (0..4).map(|_| client.get("/limited").status).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
    let refused = "gateway_plugin_custom_rate_limit_refused_total";
    assert_eq!(gateway.metric(refused, &["route=\"limited\"", "limit=\"few\"", "mode=\"enforced\""]), 2.0);
    let statuses: Vec<u16> = (0..4).map(|_| client.get("/broken").status).collect();
    assert_eq!(statuses, [500, 500, 503, 503]);
    let decisions = |decision: &str, state: &str| {
        let labels = ["route=\"broken\"", decision, state];
        gateway.metric("gateway_plugin_custom_circuit_breaker_decisions_total", &labels)
    };
    assert_eq!(decisions("decision=\"refused\"", "state=\"open\""), 2.0);
    let changes = |to: &str| {
        gateway.metric("gateway_plugin_custom_circuit_breaker_state_changes_total", &["route=\"broken\"", to])
    };
    assert_eq!(changes("to=\"open\""), 1.0);
    // After a second one may try.
    eventually("a probe", || (client.get("/broken").status == 500).then_some(()));
    assert_eq!(decisions("decision=\"probe\"", "state=\"half_open\""), 1.0);
}

#[test]
fn what_a_client_sends_is_no_label() {
    let gateway = TestGateway::start(
        "listeners: [{name: clear, address: \"127.0.0.1:0\"}]\nroutes: [{name: all, respond: {status: 200}}]\n",
        &[],
    );
    let mut client = Client::http1(gateway.address());
    let request = http::Request::builder()
        .method("CANARYMETHOD")
        .uri("/canarypath?canaryquery")
        .header("host", "canaryhost.example")
        .header("user-agent", "canaryagent");
    client.send(request, "canarybody");
    for accept in ["text/plain", "application/openmetrics-text", "application/vnd.google.protobuf"] {
        let page = Client::http1(gateway.admin()).send(http::Request::get("/metrics").header("accept", accept), "");
        let body = String::from_utf8_lossy(&page.body).to_ascii_lowercase();
        assert!(body.contains("gateway_requests") && !body.contains("canary"), "{body}");
    }
}
