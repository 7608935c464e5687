//! The rules of chains, bodies, state and calls, seen from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::duplex::{Duplex, run, streamed};
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::upstream::{Upstream, reusable, text};
use tokio::sync::Notify;

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
    assert!(error.contains("gateway.yaml:4:") && error.contains("unknown key \"valeu\""), "{error}");
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
fn a_request_body_with_an_unknown_coding_is_refused_where_a_plugin_reads_it() {
    let upstream = echo();
    let gateway = TestGateway::start(&yaml(&upstream, PAIR), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    let post = || http::Request::post("/").header("content-encoding", "compress").header("accept-encoding", "gzip, br");
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
    let (release, released) = tokio::sync::watch::channel(false);
    let side = Upstream::start_async(move |_| {
        let mut released = released.clone();
        async move {
            let _ = released.wait_for(|released| *released).await;
            text(200, "called")
        }
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
    let threads: Vec<_> = (0..20).map(|_| std::thread::spawn(move || Client::http1(address).get("/").text())).collect();
    // A call that waits keeps its instance.
    eventually("all of them wait for the call", || {
        let metrics = ["gateway_requests_in_flight", "gateway_plugin_instances"].map(|name| gateway.metric(name, &[]));
        (metrics[0] == 20.0 && metrics[1] >= 20.0 && side.seen().len() == 1).then_some(()).ok_or(metrics)
    });
    release.send(true).expect("the upstream runs");
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
    let first = client.get_with("/", &[("x-do", "request_headers=field,log=count")]);
    assert_eq!(first.status, 200, "{}", first.text());
    eventually("an instance", || (gateway.metric("gateway_plugin_instances", &["test-guest"]) >= 1.0).then_some(()));
    client.get_with("/", &[("x-do", "request_headers=panic")]);
    let line = gateway.logged("the record", |line| line["status"] == 200);
    assert!(line.to_string().contains("\"guest\":\"seen\""), "{line}");
    assert!(line.to_string().contains("\"logged\":\"yes\""), "{line}");
    assert_eq!(gateway.metric("gateway_plugin_calls_total", &["test-guest", "request_headers"]), 2.0);
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
    // A reset: that its side is shut would only say that it has no more to send.
    socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(socket);
    let line = gateway.logged("the record", |line| line.to_string().contains("/left"));
    assert!(line.to_string().contains("\"logged\":\"yes\""), "{line}");
}

#[test]
fn a_plugin_that_takes_long_to_configure_serves() {
    let upstream = echo();
    let gateway =
        TestGateway::start(&yaml(&upstream, "{name: test-guest, config: {configure: slow}}"), &["test-guest"]);
    assert_eq!(Client::http1(gateway.address()).get("/").status, 200, "the first request waits for it");
}

#[test]
fn a_plugins_state_of_an_exchange_lasts_from_phase_to_phase() {
    let upstream = echo();
    let gateway = TestGateway::start(&yaml(&upstream, PAIR), &["test-guest"]);
    let told =
        "a/request_headers=remember,b/request_headers=remember,a/response_headers=recall,b/response_headers=recall";
    let response = Client::http1(gateway.address()).get_with("/", &[("x-do", told)]);
    assert_eq!((response.header("x-state-a"), response.header("x-state-b")), ("a", "b"));
}

#[test]
fn an_authenticator_is_closed_whatever_its_entry_says() {
    let upstream = echo();
    let entry = "{name: auth, on_failure: open, config: {api_keys: {keys: [{name: a, sha256: \"2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90\"}]}}}";
    let yaml = yaml(&upstream, entry).replace(
        "directory: plugins",
        "directory: plugins, grants: {auth: {upstreams: [], secrets: []}}, limits: {auth: {host_calls: 1}}",
    );
    let gateway = TestGateway::start(&yaml, &["auth"]);
    let response = Client::http1(gateway.address()).get_with("/", &[("x-api-key", "alice")]);
    assert_eq!(response.status, 503, "it failed, and nobody passes it by: {}", response.text());
    assert_eq!(upstream.seen().len(), 0);
}

/// What its config needs is what it needs.
#[test]
fn auth_with_api_keys_alone_needs_no_grant_and_one_whose_keys_it_may_not_fetch_is_refused_in_its_place() {
    let upstream = echo();
    let keys = "{name: auth, config: {api_keys: {keys: [{name: alice, sha256: \
        2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90}]}}}";
    let gateway = TestGateway::start(&yaml(&upstream, keys), &["auth"]);
    assert_eq!(Client::http1(gateway.address()).get_with("/", &[("x-api-key", "alice")]).status, 200);
    assert_eq!(Client::http1(gateway.address()).get("/").status, 401);
    let fetched = "{name: auth, config: {jwt: {issuer: i, audience: a, jwks: {upstream: one, path: /keys}}}}";
    for grants in ["", ", grants: {auth: {upstreams: []}}"] {
        let yaml = yaml(&upstream, fetched).replace("directory: plugins", &format!("directory: plugins{grants}"));
        let error = TestGateway::try_start(&yaml, &["auth"]).err().expect("refused");
        assert!(error.contains("gateway.yaml:4:") && error.contains("`one` is not granted to auth"), "{error}");
    }
    let granted = yaml(&upstream, fetched)
        .replace("directory: plugins", "directory: plugins, grants: {auth: {upstreams: [one]}}");
    TestGateway::start(&granted, &["auth"]);
}

#[test]
fn an_answer_to_head_tells_no_length_that_get_might_not_have() {
    let upstream = echo();
    let gateway = TestGateway::start(&yaml(&upstream, PAIR), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    for method in ["GET", "HEAD"] {
        let request = http::Request::builder().method(method).uri("/").header("x-do", "b/request_headers=respond");
        let response = client.send(request, "");
        // It passes a plugin that might have read it.
        let length = if method == "GET" { "3" } else { "" };
        assert_eq!((response.status, response.header("content-length")), (299, length), "{method}");
        assert_eq!(response.body.len(), if method == "GET" { 3 } else { 0 }, "{method}");
    }
    // What a plugin reads may come out longer or shorter, so nothing is told of it, for HEAD as for GET.
    let request = http::Request::head("/").header("x-do", "a/response_headers=chunks");
    let response = client.send(request, "");
    assert_eq!((response.status, response.header("content-length")), (200, ""));
}

#[test]
fn what_a_plugin_counts_while_it_is_configured_is_no_metric() {
    let upstream = echo();
    let guest = "{name: test-guest, config: {configure: count}}";
    let gateway = TestGateway::start(&yaml(&upstream, guest), &["test-guest"]);
    let response = Client::http1(gateway.address()).get_with("/", &[("x-do", "log=count")]);
    assert_eq!(response.status, 200, "{}", response.text());
    let metrics = eventually("what it counts of an exchange", || {
        let (_, metrics) = gateway.admin_page("/metrics");
        metrics.contains("gateway_plugin_custom_logged_total").then_some(metrics)
    });
    assert!(!metrics.contains("configured"), "{metrics}");
}

#[test]
fn an_endpoint_that_leaves_the_calls_of_plugins_hanging_has_failed() {
    let hung = Upstream::start_async(|_| std::future::pending());
    let main = echo();
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins, grants: {{test-caller: {{upstreams: [side]}}}}}}
upstreams: {{one: {{endpoints: [\"{}\"]}}, side: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, plugins: [{{name: test-caller}}], upstream: one}}]
",
        main.address(),
        hung.address()
    );
    let gateway = TestGateway::start(&yaml, &["test-caller"]);
    let response = Client::http1(gateway.address()).get("/");
    assert!(response.text().contains("imeout"), "{}", response.text());
    eventually("the failure is counted", || {
        let failures = gateway.metric("gateway_upstream_failures_total", &["side", "timeout"]);
        (failures == 1.0).then_some(()).ok_or(failures)
    });
}

#[test]
fn the_routes_request_timeout_covers_the_calls_of_its_plugins() {
    let side = Upstream::start_async(|_| std::future::pending());
    let main = echo();
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins, grants: {{test-caller: {{upstreams: [side]}}}}}}
upstreams: {{one: {{endpoints: [\"{}\"]}}, side: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, plugins: [{{name: test-caller}}], upstream: one, timeouts: {{request: 300ms}}}}]
",
        main.address(),
        side.address()
    );
    let gateway = TestGateway::start(&yaml, &["test-caller"]);
    let mut client = Client::http1(gateway.address());
    let response = client.get("/");
    assert_eq!(response.status, 504, "{}", response.text());
    let response = client.get_with("/", &[("x-call-in", "response_headers")]);
    assert_eq!(response.status, 504, "{}", response.text());
    // Nothing listens where the upstream was.
    main.kill();
    let began = Instant::now();
    let response = client.get_with("/", &[("x-call-in", "upstream_failure")]);
    assert!(began.elapsed() < Duration::from_secs(4), "a call may take 5 s: {:?}", began.elapsed());
    assert_eq!(response.status, 504, "{}", response.text());
}

/// The upstream's answer needs the exchange, which the waiting call has; and the call is part of the request's body.
#[test]
fn an_early_answer_of_an_http1_upstream_does_not_stop_a_plugin_that_waits_with_the_body() {
    let (calls, second_call) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (count, tell) = (calls.clone(), second_call.clone());
    let side = Upstream::start_async(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        if number == 2 {
            tell.notify_one();
        }
        async move {
            if number == 2 {
                // The time in which the answer comes.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            text(200, "called")
        }
    });
    let (give, responses) = std::sync::mpsc::channel();
    let main = Service::start(move |_| {
        let (second_call, give) = (second_call.clone(), give.clone());
        async move {
            second_call.notified().await;
            let (sender, response) = streamed("text/plain");
            let _ = give.send(sender);
            response
        }
    });
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}}]
plugins: {{directory: plugins, grants: {{test-caller: {{upstreams: [side]}}}}}}
upstreams: {{one: {{endpoints: [\"{}\"]}}, side: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, plugins: [{{name: test-caller}}], upstream: one}}]
",
        main.address(),
        side.address()
    );
    let gateway = TestGateway::start(&yaml, &["test-caller"]);
    run("the answer", async {
        let request = http::Request::post("/").header("x-call-in", "request_body");
        let mut client = Duplex::open("http2", &gateway, request).await;
        client.send("first").await.expect("wanted");
        client.send("second").await.expect("wanted");
        assert_eq!(client.head().await.status(), 200);
        let mut rest = responses.recv().expect("it was begun");
        rest.send_data("early".into()).await.expect("sent");
        drop(rest);
        assert_eq!(client.rest().await.expect("whole").0, "early");
    });
}

#[test]
fn a_stream_on_which_nothing_moves_gives_a_replaced_version_up() {
    use std::io::Write as _;
    let upstream = echo();
    let yaml = yaml(&upstream, "{name: test-guest}")
        .replace("directory: plugins", "directory: plugins, limits: {test-guest: {retire_after: 500ms}}");
    let gateway = TestGateway::prepare(&yaml, |directory| {
        let bytes = gateway_tests::guests::holding_streams();
        gateway_tests::guests::put(&directory.join("plugins"), "test-guest.wasm", &bytes);
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let instances = || gateway.metric("gateway_plugin_instances", &["test-guest"]);
    let mut stalled = std::net::TcpStream::connect(gateway.address()).expect("connected");
    let head =
        "POST /stalled HTTP/1.1\r\nhost: a\r\nx-do: request_headers=chunks\r\ntransfer-encoding: chunked\r\n\r\n";
    stalled.write_all(format!("{head}1\r\nx\r\n").as_bytes()).expect("sent");
    eventually("it holds an instance", || (instances() == 1.0).then_some(()));
    gateway_tests::guests::put(
        &gateway.directory().join("plugins"),
        "test-guest.wasm",
        &gateway_tests::guests::other_build(),
    );
    eventually("the instance is gone while the stream still hangs", || (instances() == 0.0).then_some(()));
    stalled.write_all(b"1\r\ny\r\n").expect("sent");
    let line = gateway.logged("its end", |line| line["path"] == "/stalled");
    assert_eq!(
        line["detail"],
        "plugin `test-guest`: held a replaced version for longer than plugins.limits.NAME.retire_after"
    );
}

/// One caller's stored response never reaches another one, wherever in the chain the breaker stands.
#[test]
fn a_stored_response_is_given_to_its_principal_alone() {
    use std::sync::atomic::AtomicBool;
    // printf %s alice | sha256sum
    let auth = "{name: auth, config: {api_keys: {name_header: x-caller, keys: [\
        {name: alice, sha256: 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90},\
        {name: bob, sha256: 81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9}]}}}";
    let breaker = "{name: circuit-breaker, config: {minimum_requests: 3, failure_ratio: 0.6, open_for: 1h}}";
    for (chain, alice_gets_hers) in [(format!("{auth}, {breaker}"), true), (format!("{breaker}, {auth}"), false)] {
        let failing = Arc::new(AtomicBool::new(false));
        let switch = failing.clone();
        let upstream = Upstream::start(move |seen| {
            if switch.load(Ordering::SeqCst) {
                return text(500, "broken");
            }
            let caller = seen.headers.get("x-caller").and_then(|name| name.to_str().ok()).unwrap_or("nobody");
            reusable(200, format!("the orders of {caller}"))
        });
        let yaml = yaml(&upstream, &chain)
            .replace("directory: plugins", "directory: plugins, grants: {auth: {upstreams: [], secrets: []}}");
        let gateway = TestGateway::start(&yaml, &["auth", "circuit-breaker"]);
        let mut client = Client::http1(gateway.address());
        let mut ask = |name: &str, path: &str| client.get_with(path, &[("x-api-key", name)]);
        assert_eq!(ask("alice", "/orders").text(), "the orders of alice");
        failing.store(true, Ordering::SeqCst);
        eventually("the breaker is open", || (ask("alice", "/other").status == 503).then_some(()));
        let before = upstream.seen().len();
        let bob = ask("bob", "/orders");
        assert_eq!(bob.status, 503, "{chain}: {}", bob.text());
        assert!(!bob.text().contains("alice"));
        let alice = ask("alice", "/orders");
        let expected = if alice_gets_hers { 200 } else { 503 };
        assert_eq!(alice.status, expected, "{chain}: {}", alice.text());
        assert_eq!(alice.text().contains("the orders of alice"), alice_gets_hers);
        assert_eq!(upstream.seen().len(), before, "open means no attempt");
    }
}
