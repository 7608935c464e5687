//! What spans there are of an exchange, and what they say.

use gateway_tests::client::Client;
use gateway_tests::collector::{Collector, Span};
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, hang_up, reusable, text};

/// A gateway that exports everything; `routes` and what else there is.
fn yaml(upstreams: &[(&str, &Upstream)], collector: &Collector, routes: &str, more: &str) -> String {
    let upstreams: Vec<String> = upstreams
        .iter()
        .map(|(name, upstream)| format!("{name}: {{endpoints: [\"{}\"]}}", upstream.address()))
        .collect();
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{{}}}
routes: [{routes}]
tracing: {{sample: {{share: 100%}}, export: {}}}
{more}
",
        upstreams.join(", "),
        collector.export()
    )
}

fn with_plugins(directory: &str, routes: &str, upstream: &Upstream, collector: &Collector) -> String {
    yaml(&[("one", upstream)], collector, routes, &format!("plugins: {{directory: plugins{directory}}}"))
}

/// The only span of this name.
fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut named = spans.iter().filter(|span| span.name == name);
    let found = named.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert!(named.next().is_none(), "{name} twice in {spans:#?}");
    found
}

#[test]
fn an_exchange_is_a_server_span_with_a_client_span_below() {
    let (upstream, collector) = (Upstream::start(|_| text(200, "hello")), Collector::start());
    let route = "{name: shop, match: {path: {prefix: /shop}}, upstream: one}";
    let gateway = TestGateway::start(&yaml(&[("one", &upstream)], &collector, route, ""), &[]);
    let secret = [("authorization", "Bearer s3cret"), ("user-agent", "kari")];
    Client::http1(gateway.address()).get_with("/shop/02013299997/a?token=s3cret", &secret);
    let spans = collector.trace("/shop/***/a");
    let [server, client] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!((server.name.as_str(), server.kind, server.service.as_str()), ("GET /shop/*", "server", "gateway"));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/shop/*"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
        ("server.address", "127.0.0.1"),
        ("server.port", &gateway.address().port().to_string()),
        ("client.address", "127.0.0.0"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "1.1"),
        ("gateway.route", "shop"),
        ("gateway.upstream", "one"),
    ] {
        assert_eq!(server.get(key), value, "{key}");
    }
    assert_eq!(server.get("gateway.request.id").len(), 32);
    assert!(!server.is_error && server.parent.is_empty());
    assert_eq!((client.name.as_str(), client.kind, client.parent == server.id), ("GET", "client", true));
    assert_eq!(client.get("server.port"), upstream.address().port().to_string());
    assert_eq!((client.get("http.response.status_code"), client.get("http.request.resend_count")), ("200", ""));
    assert_eq!(client.events, ["connect", "first_byte"]);
    assert!(server.start <= client.start && client.start <= client.end && client.end <= server.end);
    let told = upstream.seen()[0].headers["traceparent"].to_str().expect("text").to_owned();
    assert_eq!(told, format!("00-{}-{}-03", server.trace, client.id), "the service stands below the try");
    let text = format!("{spans:?}");
    for leak in ["02013299997", "s3cret", "token", "kari"] {
        assert!(!text.contains(leak), "{leak} in {text}");
    }
}

#[test]
fn what_is_named_is_shown() {
    let (upstream, collector) = (Upstream::start(|_| text(200, "hello")), Collector::start());
    let route = "{name: all, match: {hostnames: [localhost]}, upstream: one}";
    let yaml = yaml(&[("one", &upstream)], &collector, route, "")
        .replace("{sample:", "{include: [client.address, path, request_headers.user-agent], sample:");
    let gateway = TestGateway::start(&yaml, &[]);
    Client::http1(gateway.address()).get_with("/02013299997?a=1", &[("user-agent", "kari"), ("host", "localhost")]);
    let spans = collector.trace("/02013299997");
    let shown = ["url.query", "client.address", "user_agent.original", "server.address"].map(|key| spans[0].get(key));
    assert_eq!(shown, ["a=1", "127.0.0.1", "kari", "localhost"]);
}

#[test]
fn a_try_that_failed_and_the_one_that_followed_are_both_there() {
    let collector = Collector::start();
    let first = std::sync::atomic::AtomicBool::new(true);
    // The second request finds the connection of the first one dead.
    let upstream = Upstream::start(move |seen| match seen.target.as_str() {
        "/again" if first.swap(false, std::sync::atomic::Ordering::SeqCst) => hang_up(),
        _ => text(200, "hello"),
    });
    let route = "{name: all, upstream: one}";
    let yaml = yaml(&[("one", &upstream)], &collector, route, "workers: 1");
    let gateway = TestGateway::start(&yaml, &[]);
    let mut client = Client::http1(gateway.address());
    client.get("/warm");
    assert_eq!(client.get("/again").status, 200);
    let spans = collector.trace("/again");
    let [server, failed, answered] = spans.as_slice() else { panic!("{spans:#?}") };
    assert!(
        failed.is_error && !failed.get("error.type").is_empty() && failed.get("gateway.connection.reused") == "true"
    );
    assert!(!answered.is_error && answered.get("http.request.resend_count") == "1" && !server.is_error);
    assert!(failed.parent == server.id && answered.parent == server.id && failed.id != answered.id);
    let told: Vec<String> = upstream
        .seen()
        .iter()
        .skip(1)
        .map(|seen| seen.headers["traceparent"].to_str().expect("text")[36..52].to_owned())
        .collect();
    assert_eq!(told, [failed.id.clone(), answered.id.clone()], "each try is told its own span");
}

#[test]
fn an_upstream_that_is_not_there_is_an_error_of_both_spans() {
    let collector = Collector::start();
    let gone = Upstream::start(|_| text(200, ""));
    let yaml = yaml(&[("one", &gone)], &collector, "{name: all, upstream: one}", "");
    gone.kill();
    let gateway = TestGateway::start(&yaml, &[]);
    assert_eq!(Client::http1(gateway.address()).get("/gone").status, 502);
    let spans = collector.trace("/gone");
    let [server, client] = spans.as_slice() else { panic!("{spans:#?}") };
    assert!(server.is_error && client.is_error && client.get("error.type") == "connect", "{spans:#?}");
    assert_eq!((server.get("http.response.status_code"), server.get("gateway.error")), ("502", "connect"));
}

#[test]
fn each_phase_of_a_plugin_is_a_span_whether_it_worked_or_failed() {
    let (upstream, collector) = (Upstream::start(|_| text(200, "hello")), Collector::start());
    let routes = "{name: all, plugins: [{name: test-guest, config: {id: a}}], upstream: one}";
    let gateway = TestGateway::start(&with_plugins("", routes, &upstream, &collector), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    client.get("/good");
    assert_eq!(client.get_with("/bad", &[("x-do", "a/request_headers=panic")]).status, 503);
    let spans = collector.trace("/good");
    let phase = one(&spans, "test-guest request_headers");
    assert_eq!((phase.kind, phase.parent.as_str(), phase.is_error), ("internal", spans[0].id.as_str(), false));
    for (key, value) in [
        ("gateway.plugin.name", "test-guest"),
        ("gateway.plugin.phase", "request_headers"),
        ("gateway.plugin.action", "continue"),
    ] {
        assert_eq!(phase.get(key), value, "{key}");
    }
    assert!(!phase.get("gateway.plugin.version").is_empty() && phase.get("gateway.plugin.host_calls") != "0");
    assert!(one(&spans, "test-guest response_headers").start >= phase.end);
    let spans = collector.trace("/bad");
    let failed = one(&spans, "test-guest request_headers");
    assert!(failed.is_error && failed.get("error.type") == "trap" && spans[0].is_error, "{spans:#?}");
}

#[test]
fn a_call_of_a_plugin_is_a_client_span_below_its_phase() {
    let (upstream, side) = (Upstream::start(|_| text(200, "hello")), Upstream::start(|_| text(404, "called")));
    let collector = Collector::start();
    let routes = "{name: all, plugins: [{name: test-caller, config: {}}], upstream: one}";
    let plugins = "plugins: {directory: plugins, grants: {test-caller: {upstreams: [side]}}}";
    let yaml = yaml(&[("one", &upstream), ("side", &side)], &collector, routes, plugins);
    let gateway = TestGateway::start(&yaml, &["test-caller"]);
    Client::http1(gateway.address()).get("/calls");
    let spans = collector.trace("/calls");
    let call = spans.iter().find(|span| span.kind == "client" && span.get("gateway.upstream") == "side");
    let call = call.unwrap_or_else(|| panic!("{spans:#?}"));
    assert_eq!((call.name.as_str(), call.get("http.response.status_code")), ("GET", "404"));
    assert!(call.is_error && call.get("gateway.plugin.name") == "test-caller");
    assert_eq!(call.parent, one(&spans, "test-caller request_headers").id);
    let told = side.seen()[0].headers["traceparent"].to_str().expect("text").to_owned();
    assert_eq!(told, format!("00-{}-{}-03", call.trace, call.id));
}

#[test]
fn an_answer_from_the_store_is_a_span() {
    let collector = Collector::start();
    let good = std::sync::atomic::AtomicBool::new(true);
    let upstream = Upstream::start(move |seen| match seen.target.as_str() {
        "/item" if good.swap(false, std::sync::atomic::Ordering::SeqCst) => reusable(200, "hats"),
        _ => text(500, "broken"),
    });
    let breaker = "{name: circuit-breaker, config: {minimum_requests: 1, failure_ratio: 0.5, open_for: 1h}}";
    let routes = format!("{{name: all, plugins: [{breaker}], upstream: one}}");
    let gateway = TestGateway::start(&with_plugins("", &routes, &upstream, &collector), &["circuit-breaker"]);
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.get("/item").text(), "hats");
    let mut stored = false;
    for _ in 0..20 {
        let answer = client.get("/item");
        stored |= answer.header("cache-status").contains("hit");
    }
    assert!(stored, "the breaker answers with what is stored");
    let found = gateway_tests::eventually("a span of the store", || {
        collector.spans().into_iter().find(|span| span.name == "stored response")
    });
    assert_eq!((found.kind, found.get("gateway.plugin.name")), ("internal", "circuit-breaker"));
}

#[test]
fn requests_that_are_refused_are_spans_as_well() {
    let (upstream, collector) = (Upstream::start(|_| text(200, "hello")), Collector::start());
    let route = "{name: small, match: {path: {prefix: /small}}, upstream: one, limits: {body: 4B}}";
    let gateway = TestGateway::start(&yaml(&[("one", &upstream)], &collector, route, ""), &[]);
    assert_eq!(Client::http1(gateway.address()).get("/nowhere").status, 404);
    assert_eq!(Client::http1(gateway.address()).post("/small", "text/plain", "too large").status, 413);
    let missing = collector.trace("/nowhere");
    let [missing] = missing.as_slice() else { panic!("{missing:#?}") };
    assert_eq!((missing.name.as_str(), missing.get("http.response.status_code")), ("GET", "404"));
    assert!(!missing.is_error && missing.get("gateway.error") == "no-route" && missing.get("http.route").is_empty());
    let large = collector.trace("/small");
    assert_eq!((large[0].name.as_str(), large[0].get("http.response.status_code")), ("POST /small/*", "413"));
    assert!(!large[0].is_error && large[0].get("gateway.error") == "body-too-large", "{large:#?}");
}

#[test]
fn what_a_plugin_adds_stands_in_the_trace() {
    let (upstream, collector) = (Upstream::start(|_| text(200, "hello")), Collector::start());
    let routes = "{name: all, plugins: [{name: test-guest, config: {id: a}}], upstream: one}";
    let gateway = TestGateway::start(&with_plugins("", routes, &upstream, &collector), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    client.get_with("/added", &[("x-do", "a/request_headers=trace-attributes,a/response_headers=trace-spans")]);
    let told = client.get_with("/context", &[("x-do", "a/request_headers=trace-context"), ("x-answer", "1")]).text();
    let spans = collector.trace("/added");
    assert_eq!(spans[0].get("plugin.test_guest.guest.text"), "a text");
    assert_eq!(spans[0].get("plugin.test_guest.guest.integer"), "-7");
    let (outer, inner) = (one(&spans, "outer"), one(&spans, "inner"));
    assert_eq!(outer.parent, one(&spans, "test-guest response_headers").id);
    assert_eq!((inner.parent.as_str(), outer.get("plugin.test_guest.guest.step")), (outer.id.as_str(), "1"));
    assert!(one(&spans, "left").end >= outer.end, "what is not ended ends with the call");
    let context = collector.trace("/context");
    assert_eq!(told, format!("00-{}-{}-03 true", context[0].trace, context[0].id));
}
