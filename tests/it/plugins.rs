//! The rules of chains, bodies, state and calls, seen from outside.

use std::time::Duration;

use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};

fn yaml(upstream: &Upstream, plugins: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, plugins: [{plugins}], upstream: one}}]
",
        upstream.address()
    )
}

const PAIR: &str = "{name: test-guest, config: {id: a}}, {name: test-guest, config: {id: b}}";

fn echo() -> Upstream {
    Upstream::start(|seen| text(200, seen.body.clone()))
}

#[test]
fn the_smallest_plugin_adds_its_header_on_every_protocol() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let yaml = yaml(&upstream, "{name: hello-plugin, config: {value: world}}").replace(
        "name: clear, address: \"127.0.0.1:0\", protocols: [http1]",
        "name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {self_signed: [localhost]}",
    );
    let gateway = TestGateway::start(&yaml, &["hello-plugin"]);
    for protocol in PROTOCOLS {
        let response = Client::tls(protocol, gateway.address(), "localhost").get("/");
        assert_eq!((response.header("x-hello"), response.text().as_str()), ("world", "hello"), "{protocol}");
    }
}

#[test]
fn a_config_that_the_plugin_refuses_is_shown_at_its_place() {
    let upstream = echo();
    let bad = yaml(&upstream, "{name: hello-plugin, config: {valeu: world}}");
    let error = TestGateway::try_start(&bad, &["hello-plugin"]).err().expect("refused");
    assert!(error.contains("gateway.yaml:4:") && error.contains("unknown field `valeu`"), "{error}");
}

#[test]
fn request_phases_run_in_order_and_response_phases_in_reverse() {
    let upstream = echo();
    let gateway = TestGateway::start(&yaml(&upstream, PAIR), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.get("/").header("x-trail"), "a:request b:request b:response a:response");
    let response = client.get_with("/", &[("x-do", "b/request_headers=respond")]);
    assert_eq!((response.status, response.header("x-by"), response.text().as_str()), (299, "b", "own"));
    assert_eq!(response.header("x-trail"), "a:request b:request a:response", "its own response phase is not run");
    let response = client.get_with("/", &[("x-do", "a/request_headers=respond")]);
    assert_eq!((response.header("x-by"), response.header("x-trail")), ("a", ""));
    assert_eq!(upstream.seen().len(), 1, "answers of plugins never reach the upstream");
}

#[test]
fn a_body_is_read_by_chunks_or_whole() {
    let upstream = echo();
    let gateway = TestGateway::start(&yaml(&upstream, PAIR), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    for mode in ["chunks", "whole"] {
        let told = format!("b/request_headers={mode},b/request_body=upper");
        let response = client.send(http::Request::post("/").header("x-do", told), "hello");
        assert_eq!((response.status, response.text()), (200, "HELLO".to_owned()), "{mode}");
        let told = format!("a/response_headers={mode},a/response_body=upper");
        let response = client.send(http::Request::post("/").header("x-do", told), "hello");
        assert_eq!((response.status, response.text()), (200, "HELLO".to_owned()), "{mode}");
    }
    let long = "x".repeat(300_000);
    let told = "b/request_headers=whole,b/request_body=sizes";
    let response = client.send(http::Request::post("/").header("x-do", told), long);
    assert_eq!(response.text(), "[300000].");
    let told = "a/request_headers=chunks,a/request_body=respond";
    assert_eq!(client.send(http::Request::post("/").header("x-do", told), "hello").status, 298);
}

#[test]
fn an_encoded_request_body_is_refused_where_a_plugin_reads_it() {
    let upstream = echo();
    let gateway = TestGateway::start(&yaml(&upstream, PAIR), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    let post = || http::Request::post("/").header("content-encoding", "gzip").header("accept-encoding", "gzip, br");
    assert_eq!(client.send(post().header("x-do", "a/request_headers=chunks"), "hello").status, 415);
    assert_eq!(client.send(post(), "hello").status, 200, "nobody reads it");
    let seen = upstream.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].headers["accept-encoding"], "identity", "a plugin may read the response");
}

#[test]
fn state_belongs_to_an_entry_unless_it_is_shared() {
    let upstream = echo();
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes:
  - {{name: a, match: {{path: {{prefix: /a}}}}, plugins: [{{name: test-guest}}], upstream: one}}
  - {{name: b, match: {{path: {{prefix: /b}}}}, plugins: [{{name: test-guest}}], upstream: one}}
  - {{name: c, match: {{path: {{prefix: /c}}}}, plugins: [{{name: test-guest, share_state: x}}], upstream: one}}
  - {{name: d, match: {{path: {{prefix: /d}}}}, plugins: [{{name: test-guest, share_state: x}}], upstream: one}}
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    for verb in ["kv", "add"] {
        let told = format!("request_headers={verb}");
        let mut ask = |path: &str| client.get_with(path, &[("x-do", &told)]).text();
        assert_eq!([ask("/a"), ask("/a"), ask("/b")], ["1", "2", "1"], "{verb}");
        assert_eq!([ask("/c"), ask("/d"), ask("/c")], ["1", "2", "3"], "{verb}");
    }
}

#[test]
fn counters_are_exact_over_workers() {
    let upstream = echo();
    let gateway = TestGateway::start(&yaml(&upstream, "{name: test-guest}"), &["test-guest"]);
    let address = gateway.address();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::http1(address);
                let mut ask = || client.get_with("/", &[("x-do", "request_headers=take")]).status;
                (0..10).filter(|_| ask() == 200).count()
            })
        })
        .collect();
    let allowed: usize = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    assert_eq!(allowed, 50);
}

#[test]
fn a_call_needs_a_grant_and_equal_calls_in_flight_are_one() {
    let side = Upstream::start_async(|_| async {
        // Long enough for all of them to be waiting; the count below does not depend on it being exact.
        tokio::time::sleep(Duration::from_millis(500)).await;
        text(200, "called")
    });
    let main = echo();
    let without = format!(
        "{}upstreams: {{one: {{endpoints: [\"{}\"]}}, side: {{endpoints: [\"{}\"]}}}}\n",
        yaml(&main, "{name: test-caller}").split("upstreams").next().unwrap_or_default(),
        main.address(),
        side.address(),
    ) + "routes: [{name: all, match: {path: {prefix: /}}, plugins: [{name: test-caller}], upstream: one}]\n";
    let error = TestGateway::try_start(&without, &["test-caller"]).err().expect("refused");
    assert!(error.contains("grants: {test-caller: {upstreams: ["), "{error}");

    let with = without.replace("directory: plugins", "directory: plugins, grants: {test-caller: {upstreams: [side]}}");
    let gateway = TestGateway::start(&with, &["test-caller"]);
    let address = gateway.address();
    let barrier = std::sync::Arc::new(std::sync::Barrier::new(20));
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let barrier = barrier.clone();
            std::thread::spawn(move || {
                let mut client = Client::http1(address);
                barrier.wait();
                client.get("/").text()
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("no panic"), "called");
    }
    assert_eq!(side.seen().len(), 1, "one fetch for all");
    assert_eq!(side.seen()[0].host, side.address().to_string(), "no client named a host, so it is the endpoint's own");
    let refused = Client::http1(address).get_with("/", &[("x-call", "one")]);
    assert!(refused.status == 500 && refused.text().contains("denied"), "only what is granted: {}", refused.text());
}

#[test]
fn fields_and_calls_are_seen_in_the_access_log_and_in_the_metrics() {
    let upstream = echo();
    let gateway = TestGateway::start(&yaml(&upstream, "{name: test-guest}"), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    client.get_with("/", &[("x-do", "request_headers=field,log=count")]);
    eventually("an instance", || (gateway.metric("gateway_plugin_instances", &["test-guest"]) >= 1.0).then_some(()));
    client.get_with("/", &[("x-do", "request_headers=panic")]);
    let line = gateway.logged("the record", |line| line["status"] == 200);
    assert!(line.to_string().contains("\"guest\":\"seen\""), "{line}");
    assert!(line.to_string().contains("\"logged\":\"yes\""), "{line}");
    assert_eq!(gateway.metric("gateway_plugin_calls_total", &["test-guest", "request-headers"]), 2.0);
    assert_eq!(gateway.metric("gateway_plugin_failures_total", &["test-guest", "trap"]), 1.0);
}

#[test]
fn an_exchange_that_the_client_gave_up_is_logged_by_the_plugin() {
    use std::io::Write as _;
    let upstream = Upstream::start_async(|_| std::future::pending());
    let gateway = TestGateway::start(&yaml(&upstream, "{name: test-guest}"), &["test-guest"]);
    let mut socket = std::net::TcpStream::connect(gateway.address()).expect("connected");
    socket.write_all(b"GET /left HTTP/1.1\r\nhost: a\r\nx-do: log=count\r\n\r\n").expect("sent");
    eventually("the upstream has it", || (upstream.seen().len() == 1).then_some(()));
    drop(socket);
    let line = gateway.logged("the record", |line| line.to_string().contains("/left"));
    assert!(line.to_string().contains("\"logged\":\"yes\""), "{line}");
}
