//! Upstreams that die, refuse and come back.

use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};

#[test]
fn an_endpoint_that_refuses_is_replaced_by_another_without_a_failed_request() {
    let good = Upstream::start(|_| text(200, "good"));
    let dead = Upstream::start(|_| text(200, "dead"));
    let dead_address = dead.address();
    dead.kill();
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{pair: {{endpoints: [\"{dead_address}\", \"{}\"], passive_health: {{max_failures: 3, fail_timeout: 30s}}}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: pair}}]
workers: 1
",
        good.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let mut client = Client::http1(gateway.address());
    for _ in 0..20 {
        let response = client.get("/");
        assert_eq!((response.status, response.text()), (200, "good".to_owned()));
    }
    let attempts: u64 = gateway
        .logged("all records", |_| gateway.access_log().len() == 20)
        .get("attempts")
        .and_then(serde_json::Value::as_u64)
        .unwrap_or_default();
    assert!(attempts >= 1);
    let tried: u64 = gateway.access_log().iter().filter_map(|line| line["attempts"].as_u64()).sum();
    assert_eq!(tried, 23, "the dead endpoint is tried max_failures times, then left out");
}

#[test]
fn an_upstream_that_is_gone_gives_502_and_recovers() {
    let upstream = Upstream::start(|_| text(200, "here"));
    let address = upstream.address();
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{one: {{endpoints: [\"{address}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: one}}]
",
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.get("/").status, 200);
    upstream.kill();
    let response = client.get("/");
    assert_eq!(response.status, 502);
    assert_eq!(response.json()["status"], 502);
    assert!(!response.text().contains(&address.to_string()), "no inner detail reaches the client");
    let _back = Upstream::start_at(address, |_| async { text(200, "back") });
    assert_eq!(client.get("/").text(), "back");
}
