//! Guests that loop, grow, trap or lie: what they do to one exchange, and that the next one is well.

use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::guests;
use gateway_tests::upstream::{Upstream, text};

fn yaml(upstream: &Upstream, entry: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes:
  - name: closed
    match: {{path: {{prefix: /closed}}}}
    plugins: [{{{entry}}}]
    upstream: one
  - name: open
    match: {{path: {{prefix: /open}}}}
    plugins: [{{{entry}, on_failure: open}}]
    upstream: one
workers: 1
",
        upstream.address()
    )
}

fn upstream() -> Upstream {
    Upstream::start(|_| text(200, "good"))
}

fn good(client: &mut Client, why: &str) {
    let response = client.get("/closed");
    assert_eq!((response.status, response.text()), (200, "good".to_owned()), "after {why}");
}

/// What a misbehaving call costs: 503 where the policy is `closed`, nothing where it is `open`.
#[test]
fn a_failure_in_a_headers_phase_costs_one_request() {
    let upstream = upstream();
    let gateway = TestGateway::start(&yaml(&upstream, "name: test-guest"), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    for phase in ["request_headers", "response_headers"] {
        for verb in ["loop", "panic", "grow", "calls", "big", "bad-response", "bad-status"] {
            let told = format!("{phase}={verb}");
            let refused = client.get_with("/closed", &[("x-do", &told)]);
            assert_eq!(refused.status, 503, "{told}: {}", refused.text());
            assert_eq!(refused.header("content-type"), "application/problem+json", "{told}");
            assert!(!refused.text().contains("wasm"), "no inner detail reaches the client: {}", refused.text());
            assert_eq!(refused.header("x-injected"), "", "{told}");
            good(&mut client, &told);
            let passed = client.get_with("/open", &[("x-do", &told)]);
            assert_eq!((passed.status, passed.text()), (200, "good".to_owned()), "{told}");
        }
    }
}

#[test]
fn a_failure_on_a_body_costs_one_request() {
    let upstream = upstream();
    let gateway = TestGateway::start(&yaml(&upstream, "name: test-guest"), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    for verb in ["loop", "panic", "grow", "calls", "big"] {
        for mode in ["chunks", "whole"] {
            for (phase, headers) in [("request_body", "request_headers"), ("response_body", "response_headers")] {
                let told = format!("{headers}={mode},{phase}={verb}");
                let post = |path: &str| http::Request::post(path).header("x-do", &told);
                let refused = client.send(post("/closed"), "hello");
                assert_eq!(refused.status, 503, "{told}: {}", refused.text());
                good(&mut client, &told);
                let passed = client.send(post("/open"), "hello");
                assert_eq!((passed.status, passed.text()), (200, "good".to_owned()), "{told}");
            }
        }
    }
}

#[test]
fn a_failure_in_the_log_phase_is_nobodys_loss_but_the_logs() {
    let upstream = upstream();
    let gateway = TestGateway::start(&yaml(&upstream, "name: test-guest"), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    for verb in ["loop", "panic", "grow", "calls"] {
        let told = format!("log={verb}");
        assert_eq!(client.get_with("/closed", &[("x-do", &told)]).status, 200);
        good(&mut client, &told);
    }
    gateway_tests::eventually("a record per request", || (gateway.access_log().len() == 8).then_some(()));
    assert_eq!(gateway.metric("gateway_plugin_failures_total", &["test-guest"]), 4.0);
}

#[test]
fn a_failure_after_the_upstreams_is_still_one_response() {
    let dead = upstream();
    let yaml = yaml(&dead, "name: test-guest");
    dead.kill();
    let gateway = TestGateway::start(&yaml, &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    for verb in ["loop", "panic", "grow"] {
        let told = format!("upstream_failure={verb}");
        assert_eq!(client.get_with("/closed", &[("x-do", &told)]).status, 503, "{told}");
        assert_eq!(client.get_with("/open", &[("x-do", &told)]).status, 502, "{told}");
    }
    assert_eq!(client.get_with("/closed", &[("x-do", "upstream_failure=respond")]).status, 297);
    assert_eq!(client.get("/closed").status, 502);
}

#[test]
fn a_refused_header_is_an_error_value_and_not_a_trap() {
    let upstream = upstream();
    let gateway = TestGateway::start(&yaml(&upstream, "name: test-guest"), &["test-guest"]);
    let response = Client::http1(gateway.address()).get_with("/closed", &[("x-do", "response_headers=bad-header")]);
    assert_eq!(response.status, 200);
    assert_eq!(response.header("x-refused"), "true");
    assert_eq!((response.header("x-injected"), response.header("x-evil")), ("", ""));
}

#[test]
fn what_a_plugin_does_in_configure_refuses_the_start() {
    let upstream = upstream();
    for (verb, expected) in [
        ("loop", "configure: used more than"),
        ("panic", "configure: trapped"),
        ("grow", "configure: needs more than 16777216 bytes"),
        ("refuse", "this is refused"),
    ] {
        let yaml = yaml(&upstream, &format!("name: test-guest, config: {{configure: {verb}}}"));
        let error = TestGateway::try_start(&yaml, &["test-guest"]).err().expect("refused");
        assert!(error.contains(expected), "{verb}: {error}");
        assert!(error.contains("gateway.yaml:7:") && error.contains("test-guest"), "{verb} has its place: {error}");
    }
}

#[test]
fn a_file_that_is_no_plugin_refuses_the_start_and_says_why() {
    let upstream = upstream();
    let real = guests::built("test-guest");
    let other = guests::replaced(real.clone(), b"edge:gateway/handler@0.1.0", b"edge:gateway/handler@0.2.0");
    let foreign = guests::wat(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#);
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("random bytes", b"these are not the bytes of a wasm binary".to_vec(), "not a wasm binary"),
        ("nothing", Vec::new(), "incomplete"),
        ("a truncated file", real[..real.len() / 2].to_vec(), "incomplete"),
        ("no contract", guests::wat("(module)"), "plugin SDK"),
        ("WASI", foreign, "wasm32-unknown-unknown"),
        ("another version", other, "0.2.0"),
    ];
    for (what, bytes, expected) in cases {
        let error = TestGateway::prepare(&yaml(&upstream, "name: test-guest"), |directory| {
            guests::put(&directory.join("plugins"), "test-guest.wasm", &bytes);
        });
        let error = error.err().unwrap_or_else(|| panic!("{what} is refused"));
        assert!(error.contains(expected) && error.contains("test-guest"), "{what}: {error}");
    }
    let missing = TestGateway::try_start(&yaml(&upstream, "name: test-guest"), &[]).err().expect("refused");
    assert!(missing.contains("does not exist"), "{missing}");
    let renamed = TestGateway::prepare(&yaml(&upstream, "name: other"), |directory| {
        guests::put(&directory.join("plugins"), "other.wasm", &real);
    });
    assert!(renamed.err().expect("refused").contains("calls itself `test-guest`"));
}
