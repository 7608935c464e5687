//! The test vectors of the standard plugins on the built wasm, in a gateway: the same files that `plugins/vectors.rs`
//! runs natively, with the same results.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use gateway_tests::client::{Client, Response};
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Seen, Upstream, hang_up, text};
use serde_json::Value;

fn pairs(of: &Value) -> impl Iterator<Item = (&str, &Value)> {
    of.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn string(of: &Value) -> &str {
    of.as_str().unwrap_or_else(|| panic!("not a string: {of}"))
}

/// Each vector has a route of its own, chosen by hostname; what its upstream does next is under its hostname too.
type Script = Arc<Mutex<HashMap<String, Value>>>;

fn upstream(script: &Script) -> Upstream {
    let script = script.clone();
    Upstream::start_async(move |seen| {
        let step = script.lock().expect("no poison").get(&seen.host).cloned().unwrap_or_default();
        async move {
            match step["fails"].as_str() {
                Some("reset") => return hang_up(),
                Some(_) => std::future::pending().await,
                None => {}
            }
            let answer = &step["upstream"];
            let status = answer["status"].as_u64().unwrap_or(200).try_into().expect("a status");
            let mut response = text(status, answer["body"].as_str().unwrap_or_default().to_owned());
            response.headers_mut().clear();
            for (name, value) in pairs(&answer["headers"]) {
                let name: http::HeaderName = name.parse().expect("a name");
                response.headers_mut().append(name, string(value).parse().expect("a value"));
            }
            response
        }
    })
}

fn fails_with(vector: &Value, how: &str) -> bool {
    vector["steps"].as_array().into_iter().flatten().any(|step| step["fails"] == how)
}

fn config(plugin: &str, grants: &str, vectors: &[Value], script: SocketAddr, dead: SocketAddr) -> String {
    let mut yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
forwarding: {{trusted: [127.0.0.0/8]}}
plugins: {{directory: plugins, grants: {{{grants}}}}}
upstreams:
  script: {{endpoints: [\"{script}\"], host: preserve, passive_health: {{max_failures: 0}}}}
  hasty: {{endpoints: [\"{script}\"], host: preserve, passive_health: {{max_failures: 0}}, timeouts: {{response: 1s}}}}
  dead: {{endpoints: [\"{dead}\"], passive_health: {{max_failures: 0}}}}
routes:
"
    );
    for (number, vector) in vectors.iter().enumerate() {
        let mut route = |name: String, upstream: &str| {
            let entry = format!("{{name: {plugin}, share_state: v{number}, config: {}}}", vector["config"]);
            yaml.push_str(&format!(
                "  - {{name: {name}, match: {{hostnames: [{name}.test], path: {{prefix: /}}}}, upstream: {upstream}, plugins: [{entry}]}}\n"
            ));
        };
        route(format!("v{number}"), if fails_with(vector, "timeout") { "hasty" } else { "script" });
        // No connection: a route that shares the plugin's state.
        if fails_with(vector, "connect") {
            route(format!("v{number}-dead"), "dead");
        }
    }
    yaml
}

fn request(step: &Value, host: &str) -> http::request::Builder {
    let wanted = &step["request"];
    assert!(wanted["attributes"].is_null(), "nobody sets attributes here");
    let method = wanted["method"].as_str().unwrap_or("GET");
    let target = wanted["target"].as_str().unwrap_or("/");
    let mut request = http::Request::builder().method(method).uri(target).header("host", host);
    for (name, value) in pairs(&wanted["headers"]) {
        request = request.header(name, string(value));
    }
    if let Some(client) = wanted["client"].as_str() {
        request = request.header("x-forwarded-for", client);
    }
    request
}

fn check(what: &str, expected: &Value, headers: &http::HeaderMap) {
    for (name, value) in pairs(expected) {
        let found = headers.get(name).and_then(|found| found.to_str().ok());
        assert_eq!(found, value.as_str(), "{what}: {name}");
    }
}

fn check_step(what: &str, step: &Value, response: &Response, sent: Option<&Seen>) {
    let expect = &step["expect"];
    assert_eq!(Some(u64::from(response.status)), expect["status"].as_u64(), "{what}: {}", response.text());
    check(what, &expect["headers"], &response.headers);
    if let Some(body) = expect["body"].as_str() {
        assert_eq!(response.text(), body, "{what}");
    }
    if step["fails"] == "connect" {
        return;
    }
    assert_eq!(sent.is_some(), !expect["forwarded"].is_null(), "{what}: forwarded");
    if let Some(sent) = sent {
        if let Some(target) = expect["forwarded"]["target"].as_str() {
            assert_eq!(sent.target, target, "{what}");
        }
        check(what, &expect["forwarded"]["headers"], &sent.headers);
    }
}

fn run(plugin: &str, grants: &str, json: &str) {
    let vectors: Vec<Value> = serde_json::from_str(json).expect("vectors");
    assert!(!vectors.is_empty());
    let script = Script::default();
    let upstream = upstream(&script);
    // A port that nobody listens on: it stays bound, so that nobody else gets it.
    let dead = socket_that_refuses();
    let yaml = config(plugin, grants, &vectors, upstream.address(), dead.1);
    let gateway = TestGateway::start(&yaml, &[plugin]);
    let mut client = Client::http1(gateway.address());
    for (number, vector) in vectors.iter().enumerate() {
        let steps = vector["steps"].as_array().expect("steps");
        for (index, step) in steps.iter().enumerate() {
            let what = format!("{plugin}: {}, step {}", string(&vector["name"]), index + 1);
            let name = if step["fails"] == "connect" { format!("v{number}-dead") } else { format!("v{number}") };
            let host = format!("{name}.test");
            script.lock().expect("no poison").insert(host.clone(), step.clone());
            let before = upstream.seen().len();
            let response = client.send(request(step, &host), "");
            check_step(&what, step, &response, upstream.seen().get(before));
        }
    }
}

/// A bound socket that does not listen, with its address.
fn socket_that_refuses() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

#[test]
fn auth_gives_natively_and_in_wasm_the_same() {
    run("auth", "auth: {upstreams: [script]}", include_str!("../../plugins/auth/tests/vectors.json"));
}

#[test]
fn rate_limit_gives_natively_and_in_wasm_the_same() {
    run("rate-limit", "", include_str!("../../plugins/rate-limit/tests/vectors.json"));
}

#[test]
fn circuit_breaker_gives_natively_and_in_wasm_the_same() {
    run("circuit-breaker", "", include_str!("../../plugins/circuit-breaker/tests/vectors.json"));
}
