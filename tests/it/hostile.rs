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

/// Limits under which each way to fail is reached before another one, also in a build without optimisation.
fn limited(upstream: &Upstream) -> String {
    let limits = "directory: plugins, limits: {test-guest: {cpu: 100ms, host_calls: 1000}}";
    yaml(upstream, "name: test-guest").replace("directory: plugins", limits)
}

/// The ways in which a call can fail, what the log says of each, and how it is counted.
const FAILURES: [(&str, &str, &str); 6] = [
    ("loop", "used more than its 100 ms of CPU time (plugins.limits.test-guest.cpu)", "deadline"),
    ("panic", "trapped: wasm trap: wasm `unreachable` instruction executed", "trap"),
    ("grow", "needs more than 16777216 bytes of memory (plugins.limits.test-guest.memory", "memory"),
    ("forge", "trapped: the handle is not that of this call's exchange", "trap"),
    ("calls", "made more than 1000 host calls (plugins.limits.test-guest.host_calls)", "host-calls"),
    ("big", "gave the host more than 8388608 bytes (plugins.limits.test-guest.output)", "output"),
];

/// Answers that can't be sent.
const NONSENSE: [(&str, &str, &str); 3] = [
    ("bad-response", "answered with an invalid field value", "other"),
    ("bad-status", "answered with a status outside 200 to 599", "other"),
    ("many-fields", "answered with more than 256 header fields", "other"),
];

/// The record of a path says which plugin failed, and how, and no more than that.
fn told(gateway: &TestGateway, plugin: &str, path: &str, expected: &str) {
    let line = gateway.logged(path, |line| line["path"] == path);
    let detail = line["detail"].as_str().unwrap_or_default();
    // A limit is named by the key that it has for this plugin.
    let expected = expected.replace("limits.test-guest.", &format!("limits.{plugin}."));
    assert!(detail.starts_with(&format!("plugin `{plugin}`: ")) && detail.contains(&expected), "{path}: {line}");
    assert!(detail.len() < 200 && !detail.contains("_ZN"), "{path} has no backtrace: {line}");
}

/// What a misbehaving call costs: 503 where the policy is `closed`, nothing where it is `open`. An answer that can't be sent
/// is an answer: whoever refuses a request with it has refused it.
#[test]
fn a_failure_in_a_headers_phase_costs_one_request() {
    let upstream = upstream();
    let gateway = TestGateway::start(&limited(&upstream), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    for phase in ["request_headers", "response_headers"] {
        for (verb, message, kind) in FAILURES.into_iter().chain(NONSENSE) {
            let verbs = format!("{phase}={verb}");
            let counted = gateway.metric("gateway_plugin_failures_total", &["test-guest", kind]);
            let path = format!("/closed/{phase}/{verb}");
            let refused = client.get_with(&path, &[("x-do", &verbs)]);
            assert_eq!(refused.status, 503, "{verbs}: {}", refused.text());
            assert_eq!(refused.header("content-type"), "application/problem+json", "{verbs}");
            assert!(!refused.text().contains("wasm"), "no inner detail reaches the client: {}", refused.text());
            assert_eq!(refused.header("x-injected"), "", "{verbs}");
            told(&gateway, "test-guest", &path, message);
            let now = gateway.metric("gateway_plugin_failures_total", &["test-guest", kind]);
            assert_eq!(now, counted + 1.0, "{verbs} is counted once, as {kind}");
            good(&mut client, &verbs);
            let passed = client.get_with("/open", &[("x-do", &verbs)]);
            let answers = verb == "big" || NONSENSE.iter().any(|(nonsense, ..)| *nonsense == verb);
            let expected = if answers { (503, false) } else { (200, true) };
            assert_eq!((passed.status, passed.text() == "good"), expected, "{verbs}");
        }
    }
}

/// Below what the engine reckons with for a call, the host counts itself.
#[test]
fn an_answer_in_place_of_a_stored_one_has_the_limit_of_every_answer() {
    let upstream = upstream();
    let limits = "directory: plugins, limits: {test-guest: {output: 1KiB}}";
    let yaml = yaml(&upstream, "name: test-guest").replace("directory: plugins", limits);
    let gateway = TestGateway::start(&yaml, &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    for phase in ["request_headers", "response_headers"] {
        let path = format!("/closed/{phase}");
        let refused = client.get_with(&path, &[("x-do", &format!("{phase}=stored"))]);
        assert_eq!(refused.status, 503, "{phase}: {}", refused.text());
        told(&gateway, "test-guest", &path, "gave the host more than 1024 bytes");
        good(&mut client, phase);
    }
}

#[test]
fn a_failure_on_a_body_costs_one_request() {
    let upstream = upstream();
    let gateway = TestGateway::start(&limited(&upstream), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    for (verb, message, _) in FAILURES {
        for mode in ["chunks", "whole"] {
            for (phase, headers) in [("request_body", "request_headers"), ("response_body", "response_headers")] {
                let verbs = format!("{headers}={mode},{phase}={verb}");
                let post = |path: &str| http::Request::post(path).header("x-do", &verbs);
                let path = format!("/closed/{phase}/{mode}/{verb}");
                let refused = client.send(post(&path), "hello");
                assert_eq!(refused.status, 503, "{verbs}: {}", refused.text());
                told(&gateway, "test-guest", &path, message);
                good(&mut client, &verbs);
                let passed = client.send(post("/open"), "hello");
                let expected = if verb == "big" { (503, false) } else { (200, true) };
                assert_eq!((passed.status, passed.text() == "good"), expected, "{verbs}");
            }
        }
    }
}

/// The budget grows with what a call is given to read; a call with a lot has a stack of its own, which ends the same way.
#[test]
fn a_loop_on_a_large_body_ends_when_the_time_for_its_bytes_is_spent() {
    let upstream = upstream();
    let gateway = TestGateway::start(&limited(&upstream), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    let verbs = "request_headers=whole,request_body=loop";
    let refused = client.send(http::Request::post("/closed/large").header("x-do", verbs), vec![b'x'; 40 << 10]);
    assert_eq!(refused.status, 503);
    told(
        &gateway,
        "test-guest",
        "/closed/large",
        "used more than its 300 ms of CPU time (plugins.limits.test-guest.cpu)",
    );
    good(&mut client, verbs);
}

#[test]
fn a_plugins_answer_has_no_fields_of_the_connection() {
    let upstream = upstream();
    let gateway = TestGateway::start(&yaml(&upstream, "name: test-guest"), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    let response = client.get_with("/closed", &[("x-do", "request_headers=own-connection")]);
    assert_eq!((response.status, response.header("x-kept"), response.text().as_str()), (200, "1", "own"));
    for name in ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"] {
        assert_eq!(response.header(name), "", "{name}");
    }
    good(&mut client, "an answer with fields of the connection");
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
    let address = (std::net::Ipv4Addr::LOCALHOST, gateway_tests::free_port()).into();
    let dead = Upstream::start_at(address, |_| async { text(200, "good") });
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

/// A guest that keeps the handle of its first call and uses it in all later ones.
const KEEPER: &str = r#"(module
    (import "edge:gateway/http@0.1.0" "method" (func $method (param i32 i32)))
    (memory (export "memory") 1)
    (global $kept (mut i32) (i32.const 0))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
    (func (export "edge:gateway/handler@0.1.0#describe") (result i32) i32.const 64)
    (data (i32.const 64) "\00\01\00\00\06\00\00\00\10\01\00\00\05\00\00\00\01")
    (data (i32.const 256) "keeper") (data (i32.const 272) "0.1.0")
    (func (export "edge:gateway/handler@0.1.0#configure") (param i32 i32) (result i32) i32.const 128)
    (func (export "edge:gateway/handler@0.1.0#on-request-headers") (param $of i32) (param i32) (result i32)
        (if (i32.eqz (global.get $kept)) (then (global.set $kept (local.get $of))))
        (call $method (global.get $kept) (i32.const 512))
        i32.const 192)
    (func (export "edge:gateway/handler@0.1.0#on-request-body") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "edge:gateway/handler@0.1.0#on-response-headers") (param i32 i32) (result i32) unreachable)
    (func (export "edge:gateway/handler@0.1.0#on-response-body") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "edge:gateway/handler@0.1.0#on-upstream-failure") (param i32 i32) (result i32) unreachable)
    (func (export "edge:gateway/handler@0.1.0#on-log") (param i32) unreachable)
    (func (export "edge:gateway/handler@0.1.0#on-tick")))"#;

#[test]
fn a_handle_is_good_in_the_call_that_it_was_given_to_and_in_no_other() {
    let upstream = upstream();
    let gateway = TestGateway::prepare(&yaml(&upstream, "name: keeper"), |directory| {
        guests::put(&directory.join("plugins"), "keeper.wasm", &guests::speaking(KEEPER));
    });
    let gateway = gateway.unwrap_or_else(|error| panic!("{error}"));
    let mut client = Client::http1(gateway.address());
    for _ in 0..2 {
        good(&mut client, "the instance was made");
        assert_eq!(client.get("/closed/again").status, 503);
        told(&gateway, "keeper", "/closed/again", "trapped: the handle is not that of this call's exchange");
    }
}

#[test]
fn what_a_plugin_does_in_configure_refuses_the_start() {
    let upstream = upstream();
    for (verb, expected) in [
        ("loop", "configure: used more than"),
        ("panic", "configure: trapped"),
        ("grow", "configure: needs more than 16777216 bytes"),
        ("forge", "configure: trapped: there is no exchange in this call"),
        ("refuse", "this is refused"),
    ] {
        let yaml = yaml(&upstream, &format!("name: test-guest, config: {{configure: {verb}}}"));
        let error = TestGateway::try_start(&yaml, &["test-guest"]).err().expect("refused");
        assert!(error.contains(expected), "{verb}: {error}");
        assert!(error.contains("gateway.yaml:7:") && error.contains("test-guest"), "{verb} has its place: {error}");
    }
}

/// Files that are no plugin, and what is said of each.
fn no_plugins() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let real = guests::built("test-guest");
    let other = guests::replaced(real.clone(), b"edge:gateway/handler@0.1.0", b"edge:gateway/handler@0.2.0");
    let foreign = guests::wat(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#);
    vec![
        ("random bytes", b"these are not the bytes of a wasm binary".to_vec(), "not a wasm binary"),
        ("nothing", Vec::new(), "incomplete"),
        ("a truncated file", real[..real.len() / 2].to_vec(), "incomplete"),
        ("no contract", guests::wat("(module)"), "plugin SDK"),
        ("WASI", foreign, "wasm32-unknown-unknown"),
        ("another version", other, "0.2.0"),
        ("a function too few", guests::of_contract("unreachable", ""), "on-log"),
        ("a trap in describe", guests::of_contract("unreachable", guests::ON_LOG), "describe: trapped: wasm trap"),
        (
            "a loop in describe",
            guests::of_contract("(loop (br 0)) unreachable", guests::ON_LOG),
            "describe: used more than",
        ),
        ("nonsense from describe", guests::of_contract("i32.const -4", guests::ON_LOG), "describe: trapped"),
    ]
}

#[test]
fn a_file_that_is_no_plugin_refuses_the_start_and_says_why() {
    let upstream = upstream();
    for (what, bytes, expected) in no_plugins() {
        let error = TestGateway::prepare(&yaml(&upstream, "name: test-guest"), |directory| {
            guests::put(&directory.join("plugins"), "test-guest.wasm", &bytes);
        });
        let error = error.err().unwrap_or_else(|| panic!("{what} is refused"));
        assert!(error.contains(expected) && error.contains("test-guest"), "{what}: {error}");
    }
    let missing = TestGateway::try_start(&yaml(&upstream, "name: test-guest"), &[]).err().expect("refused");
    assert!(missing.contains("does not exist"), "{missing}");
    let renamed = TestGateway::prepare(&yaml(&upstream, "name: other"), |directory| {
        guests::put(&directory.join("plugins"), "other.wasm", &guests::built("test-guest"));
    });
    assert!(renamed.err().expect("refused").contains("calls itself `test-guest`"));
}

#[test]
fn a_file_that_is_no_plugin_leaves_the_last_good_version_serving() {
    let upstream = upstream();
    let gateway = TestGateway::start(&yaml(&upstream, "name: test-guest"), &["test-guest"]);
    let plugins = gateway.directory().join("plugins");
    let mut client = Client::http1(gateway.address());
    for (what, bytes, expected) in no_plugins() {
        guests::put(&plugins, "test-guest.wasm", &bytes);
        gateway_tests::eventually(what, || {
            let status = std::fs::read_to_string(plugins.join("test-guest.status.json")).ok()?;
            status.contains(expected).then_some(())
        });
        let response = client.get("/closed");
        assert_eq!((response.status, response.header("x-build")), (200, "test-guest-build-A"), "after {what}");
    }
    guests::put(&plugins, "test-guest.wasm", &guests::other_build());
    gateway_tests::eventually("a good one serves again", || {
        (client.get("/closed").header("x-build") == "test-guest-build-B").then_some(())
    });
}

#[test]
fn a_call_cannot_smuggle_lines_into_its_request() {
    let side = Upstream::start(|_| text(200, "called"));
    let main = upstream();
    let yaml = calling(&main, &side);
    let gateway = TestGateway::start(&yaml, &["test-caller"]);
    let mut client = Client::http1(gateway.address());
    for part in ["name", "value", "path", "method"] {
        let response = client.get_with("/closed", &[("x-inject", part)]);
        assert!(response.status == 500 && response.text().contains("denied"), "{part}: {}", response.text());
    }
    assert_eq!(client.get("/closed").text(), "called");
    assert_eq!(side.seen().len(), 1, "what is refused is never sent");
}

/// A route whose plugin calls the upstream `side`.
fn calling(main: &Upstream, side: &Upstream) -> String {
    yaml(main, "name: test-caller")
        .replace("directory: plugins", "directory: plugins, grants: {test-caller: {upstreams: [side]}}")
        .replace("upstreams: {one:", &format!("upstreams: {{side: {{endpoints: [\"{}\"]}}, one:", side.address()))
}

/// A guest that may wait for calls runs on another path than one that never does.
#[test]
fn a_failure_of_a_plugin_that_makes_calls_costs_one_request() {
    let side = Upstream::start(|_| text(200, "called"));
    let main = upstream();
    let limits = "directory: plugins, limits: {test-caller: {cpu: 100ms, host_calls: 1000}}";
    let yaml = calling(&main, &side).replace("directory: plugins", limits);
    let gateway = TestGateway::start(&yaml, &["test-caller"]);
    let mut client = Client::http1(gateway.address());
    for when in ["x-before", "x-after"] {
        for (verb, message, kind) in FAILURES {
            if (when, verb) == ("x-before", "big") {
                continue; // An answer is the last that it does.
            }
            let case = format!("{when}: {verb}");
            let counted = gateway.metric("gateway_plugin_failures_total", &["test-caller", kind]);
            let path = format!("/closed/{when}/{verb}");
            let refused = client.get_with(&path, &[(when, verb)]);
            assert_eq!(refused.status, 503, "{case}: {}", refused.text());
            told(&gateway, "test-caller", &path, message);
            let now = gateway.metric("gateway_plugin_failures_total", &["test-caller", kind]);
            assert_eq!(now, counted + 1.0, "{case} is counted once, as {kind}");
            let next = client.get("/closed");
            assert_eq!((next.status, next.text().as_str()), (200, "called"), "after {case}");
            let passed = client.get_with("/open", &[(when, verb)]);
            // Too large an answer is one all the same.
            let expected = if verb == "big" { (503, false) } else { (200, true) };
            assert_eq!((passed.status, passed.text() == "good"), expected, "{case}");
        }
    }
}

/// The client leaves, or the route's time is up, while the guest waits: its instance can't be used again.
#[test]
fn a_call_that_is_given_up_costs_its_instance_and_nothing_else() {
    use std::io::Write as _;
    let side = Upstream::start_async(|seen| async move {
        if seen.headers.contains_key("x-hang") {
            std::future::pending::<()>().await;
        }
        text(200, "called")
    });
    let main = upstream();
    let yaml = calling(&main, &side)
        .replace("match: {path: {prefix: /open}}", "match: {path: {prefix: /open}}\n    timeouts: {request: 2s}");
    let gateway = TestGateway::start(&yaml, &["test-caller"]);
    let instances = || gateway.metric("gateway_plugin_instances", &["test-caller"]);
    let in_flight = || gateway.metric("gateway_requests_in_flight", &[]);
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.get("/closed").text(), "called");
    assert_eq!(instances(), 1.0);

    let mut leaves = std::net::TcpStream::connect(gateway.address()).expect("connected");
    leaves.write_all(b"GET /closed HTTP/1.1\r\nhost: a\r\nx-hang: 1\r\n\r\n").expect("sent");
    gateway_tests::eventually("the call is under way", || (side.seen().len() == 2).then_some(()).ok_or(()));
    // A reset: that its side is shut would only say that it has no more to send.
    socket2::SockRef::from(&leaves).set_linger(Some(std::time::Duration::ZERO)).expect("an option");
    drop(leaves);
    gateway_tests::eventually("the exchange is over", || (in_flight() == 0.0).then_some(()));
    gateway_tests::eventually("its instance is gone", || (instances() == 0.0).then_some(()));
    assert_eq!(client.get("/closed").text(), "called");

    let late = client.get_with("/open", &[("x-hang", "1")]);
    assert_eq!(late.status, 504, "{}", late.text());
    assert_eq!(client.get("/open").text(), "called");
    let path = |line: &serde_json::Value| line["status"] == 504 && line["path"] == "/open";
    assert_eq!(gateway.logged("the late one", path)["error"], "exchange-timeout");
    assert_eq!(instances(), 2.0, "one for each route, and none left over");
}
