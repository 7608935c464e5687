//! What becomes of a request to which a plugin gives another target: its route stays, and everything that is the route's.

use gateway_tests::client::{Client, PROTOCOLS, Response};
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};

const ROUTES: &str = "
  - name: api
    match: {hostnames: [api.test], path: {prefix: /api}}
    rewrite: {prefix: /v2}
    limits: {body: 100B}
    request_headers: {set: {x-route: api, x-path: \"${request.path}\"}}
    upstream: first
    plugins: [{name: test-guest, config: {id: a}}, {name: hello-plugin, config: {value: api}}]
  - name: other
    match: {hostnames: [other.test], path: {prefix: /}}
    limits: {body: 10B}
    request_headers: {set: {x-route: other}}
    upstream: second
    plugins: [{name: hello-plugin, config: {value: other}}]
  - {name: moved, match: {hostnames: [moved.test]}, redirect: {hostname: there.test}, plugins: [{name: test-guest, config: {id: a}}]}
";

/// An upstream that says what it was asked for.
fn upstream(name: &'static str) -> Upstream {
    Upstream::start(move |seen| {
        let field = |name: &str| seen.headers.get(name).map_or("", |value| value.to_str().expect("text")).to_owned();
        text(
            200,
            format!(
                "{name} {} {} {} {} {}",
                seen.host,
                seen.target,
                field("x-route"),
                field("x-path"),
                field("x-forwarded-host")
            ),
        )
    })
}

struct Scene {
    gateway: TestGateway,
    second: Upstream,
    _first: Upstream,
}

impl Scene {
    fn new() -> Self {
        let (first, second) = (upstream("first"), upstream("second"));
        let yaml = format!(
            "listeners:
  - name: tls
    address: \"127.0.0.1:0\"
    protocols: [http1, http2, http3]
    tls: {{self_signed: [api.test, moved.test]}}
plugins: {{directory: plugins}}
upstreams: {{first: {{endpoints: [\"{}\"]}}, second: {{endpoints: [\"{}\"]}}}}
routes:{ROUTES}",
            first.address(),
            second.address()
        );
        Self { gateway: TestGateway::start(&yaml, &["test-guest", "hello-plugin"]), second, _first: first }
    }

    /// Sends a body to `host`; the plugin gives the request another authority and another target, where they are not empty.
    fn ask(&self, protocol: &str, host: &str, (authority, target): (&str, &str), body: &str) -> Response {
        let mut request = http::Request::post("/api/x?old").header("x-do", "a/request_headers=retarget");
        for (name, value) in [("x-authority", authority), ("x-target", target)] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        Client::tls(protocol, self.gateway.address(), host).send(request, body.to_owned())
    }

    /// What came upstream, and whose plugin it had passed.
    fn passed(&self, protocol: &str, to: (&str, &str), body: &str) -> (String, String) {
        let response = self.ask(protocol, "api.test", to, body);
        assert_eq!(response.status, 200, "{protocol} {to:?} {}", response.text());
        (response.header("x-hello").to_owned(), response.text())
    }
}

#[test]
fn the_route_of_a_request_stays_when_a_plugin_sets_a_target_of_another_route_or_of_none() {
    let scene = Scene::new();
    let port = scene.gateway.address().port();
    // As the client asked: what forwarding fields say does not follow.
    let came = format!("api.test:{port}");
    for protocol in PROTOCOLS {
        let passed = |to, body| scene.passed(protocol, to, body);
        // More than the limit of the other route, where it could have gone.
        let body = "b".repeat(50);
        for (to, seen) in [
            (("", "/api/new?q=1"), format!("first {came} /v2/new?q=1 api /api/new {came}")),
            (("", "/elsewhere"), format!("first {came} /elsewhere api /elsewhere {came}")),
            (("other.test", "/here"), format!("first other.test /here api /here {came}")),
            (("other.test", ""), format!("first other.test /v2/x?old api /api/x {came}")),
            (("nowhere.test", "/nothing"), format!("first nowhere.test /nothing api /nothing {came}")),
        ] {
            assert_eq!(passed(to, &body), ("api".to_owned(), seen), "{protocol} {to:?}");
        }
    }
    assert!(scene.second.seen().is_empty());
}

#[test]
fn limits_of_the_route_hold_for_a_request_with_a_new_target() {
    let scene = Scene::new();
    for protocol in PROTOCOLS {
        let large = scene.ask(protocol, "api.test", ("other.test", "/"), &"b".repeat(101));
        assert_eq!(large.status, 413, "{protocol}");
    }
}

#[test]
fn what_no_route_serves_comes_to_no_plugin_that_could_set_another_target() {
    let scene = Scene::new();
    for protocol in PROTOCOLS {
        let lost = scene.ask(protocol, "nowhere.test", ("api.test", "/api/x"), "");
        assert_eq!((lost.status, lost.header("x-hello")), (404, ""), "{protocol}");
    }
}

#[test]
fn the_redirect_of_a_route_goes_by_the_target_that_a_plugin_has_set() {
    let scene = Scene::new();
    for protocol in PROTOCOLS {
        let moved = scene.ask(protocol, "moved.test", ("api.test", "/new?q=1"), "");
        assert_eq!((moved.status, moved.header("location")), (308, "https://there.test/new?q=1"), "{protocol}");
    }
}

#[test]
fn a_target_that_no_client_could_have_is_an_error_of_the_plugin_s_call_and_changes_nothing() {
    let scene = Scene::new();
    for protocol in PROTOCOLS {
        for to in
            [("", "/a/../b"), ("", "/a%2fb"), ("", "//x@y\\z"), ("", "a"), ("", "https://a/"), ("a b", ""), ("a/b", "")]
        {
            assert_eq!(scene.ask(protocol, "api.test", to, "").status, 400, "{protocol} {to:?}");
        }
    }
}

#[test]
fn the_record_of_a_request_names_the_route_and_the_target_that_the_plugin_has_set() {
    let scene = Scene::new();
    scene.passed("http2", ("other.test", "/here"), "");
    let line = scene.gateway.logged("the request", |line| line["path"] == "/here");
    assert_eq!((&line["route"], &line["upstream"]), (&"api".into(), &"first".into()), "{line}");
}
