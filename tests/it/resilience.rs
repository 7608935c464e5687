//! Upstreams that die, refuse and come back.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, hang_up, text};
use gateway_tests::{eventually, free_port};
use tokio::sync::Semaphore;

/// An address that no other test gets.
fn free() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

#[test]
fn an_endpoint_that_refuses_is_replaced_by_another_without_a_failed_request() {
    let good = Upstream::start(|_| text(200, "good"));
    let dead = free();
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{pair: {{endpoints: [\"{dead}\", \"{}\"], passive_health: {{max_failures: 3, fail_timeout: 30s}}}}}}
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
    gateway.logged("all records", |_| gateway.access_log().len() == 20);
    let tried: u64 = gateway.access_log().iter().filter_map(|line| line["attempts"].as_u64()).sum();
    assert_eq!(tried, 23, "the dead endpoint is tried max_failures times, then left out");
}

#[test]
fn an_upstream_that_is_gone_gives_502_and_recovers() {
    let address = free();
    let upstream = Upstream::start_at(address, |_| async { text(200, "here") });
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

#[test]
fn the_health_of_an_endpoint_is_seen_to_go_and_to_come_back() {
    let address = free();
    let good = Upstream::start(|_| text(200, "good"));
    let other = Upstream::start_at(address, |_| async { text(200, "other") });
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{pair: {{endpoints: [\"{}\", \"{address}\"], passive_health: {{max_failures: 1, fail_timeout: 2s}}}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: pair}}]
workers: 1
",
        good.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let health = |address: SocketAddr| {
        gateway.metric("gateway_endpoint_healthy", &["upstream=\"pair\"", &format!("endpoint=\"{address}\"")])
    };
    assert_eq!((health(good.address()), health(address)), (1.0, 1.0), "before the first request");
    let mut client = Client::http1(gateway.address());
    other.kill();
    eventually("the dead endpoint is out", || {
        assert_eq!(client.get("/").text(), "good", "no request fails for it");
        (health(address) == 0.0).then_some(())
    });
    assert_eq!(health(good.address()), 1.0);
    let _back = Upstream::start_at(address, |_| async { text(200, "back") });
    eventually("the endpoint serves again", || (client.get("/").text() == "back").then_some(()));
    assert_eq!(health(address), 1.0);
}

#[test]
fn what_happens_to_upstreams_is_seen_in_the_metrics() {
    let go = Arc::new(Semaphore::new(0));
    let held = go.clone();
    let upstream = Upstream::start_async(move |seen| {
        let held = held.clone();
        async move {
            if seen.target == "/held" {
                let _ = held.acquire().await;
            }
            text(200, "done")
        }
    });
    let dead = free();
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{pair: {{endpoints: [\"{}\", \"{dead}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: pair}}]
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let value = |name: &str| gateway.metric(&format!("gateway_upstream_{name}"), &["upstream=\"pair\""]);
    let mut client = Client::http1(gateway.address());
    for _ in 0..4 {
        assert_eq!(client.get("/").status, 200);
    }
    let address = gateway.address();
    let waiting = std::thread::spawn(move || Client::http1(address).get("/held").status);
    eventually("a request in flight", || (value("requests_in_flight") == 1.0).then_some(()));
    assert!(value("connections") >= 1.0);
    go.add_permits(1);
    assert_eq!(waiting.join().expect("no panic"), 200);
    eventually("no request in flight", || (value("requests_in_flight") == 0.0).then_some(()));
    let failed = gateway.metric("gateway_upstream_failures_total", &["upstream=\"pair\"", "kind=\"connect\""]);
    assert!(failed >= 1.0);
    assert_eq!(value("retries_total"), failed, "each refusal leads to the other endpoint");
    assert_eq!(value("attempts_total"), 5.0 + failed);
    assert_eq!(value("latency_seconds_count"), 5.0);
    assert!(value("connects_total") >= 1.0 && value("latency_seconds_sum") > 0.0);
}

#[test]
fn an_endpoint_that_hangs_is_left_out_also_when_the_route_is_less_patient_than_the_upstream() {
    let good = Upstream::start(|_| text(200, "good"));
    let hung = TcpListener::bind("127.0.0.1:0").expect("a port");
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{pair: {{endpoints: [\"{}\", \"{}\"], passive_health: {{max_failures: 1, fail_timeout: 60s}}}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: pair, timeouts: {{request: 1s}}}}]
workers: 1
",
        good.address(),
        hung.local_addr().expect("bound"),
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let mut client = Client::http1(gateway.address());
    let statuses: Vec<u16> = (0..8).map(|_| client.get("/").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 504).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 7, "{statuses:?}");
}

/// `retry` of the contract, which says what it does: once, and for what can be repeated.
#[test]
fn a_plugin_that_wants_the_upstream_asked_again_is_not_heard() {
    let upstream = Upstream::start(|_| hang_up());
    let asked = AtomicUsize::new(0);
    let flaky = Upstream::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => hang_up(),
        _ => text(200, "good"),
    });
    let yaml = |upstream: SocketAddr| {
        format!(
            "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{upstream}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: one, plugins: [{{name: test-guest}}]}}]
workers: 1
"
        )
    };
    let retry = ("x-do", "upstream_failure=retry");
    let gateway = TestGateway::start(&yaml(flaky.address()), &["test-guest"]);
    let answer = Client::http1(gateway.address()).get_with("/", &[retry]);
    assert_eq!((answer.status, answer.text()), (200, "good".to_owned()));
    let line = gateway.logged("the record", |line| line["status"] == 200);
    assert_eq!((&line["attempts"], &line["failure"]), (&2.into(), &serde_json::Value::Null), "{line}");
    let gateway = TestGateway::start(&yaml(upstream.address()), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.get_with("/", &[retry]).status, 502);
    assert_eq!(upstream.seen().len(), 2, "once more, and no more");
    let posted = client.send(http::Request::post("/").header(retry.0, retry.1), "a body");
    assert_eq!((posted.status, upstream.seen().len()), (502, 3), "a request that can't be repeated");
}
