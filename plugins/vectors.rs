//! Runs a plugin's `tests/vectors.json` natively. `tests/it/vectors.rs` runs the same file on the built wasm in a gateway.
//!
//! A vector: `name`, `config`, and `steps`, each with a `request` (method, target, headers, client, attributes), what the
//! `upstream` answers (status, headers, body) or how it `fails`, and what to `expect`: the client's `status`, `headers`
//! (null: absent) and `body`, and the request as `forwarded` (target, headers), null where nothing may reach the upstream.

use plugin_sdk::testing::{TestHost, TestRequest, TestResponse};
use plugin_sdk::{Failure, Plugin};
use serde_json::Value;

fn failure(name: &str) -> Failure {
    match name {
        "connect" => Failure::Connect,
        "timeout" => Failure::Timeout,
        "reset" => Failure::Reset,
        other => panic!("unknown failure {other}"),
    }
}

fn pairs(of: &Value) -> impl Iterator<Item = (&str, &Value)> {
    of.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn check(what: &str, expected: &Value, header: impl Fn(&str) -> Option<String>) {
    for (name, value) in pairs(expected) {
        assert_eq!(header(name).as_deref(), value.as_str(), "{what}: {name}");
    }
}

/// Runs all vectors.
#[allow(clippy::unwrap_used, reason = "a broken vector fails its test")]
pub(crate) fn run<P: Plugin>(json: &str) {
    let vectors: Vec<Value> = serde_json::from_str(json).unwrap();
    assert!(!vectors.is_empty());
    for vector in &vectors {
        let name = vector["name"].as_str().unwrap();
        let host = TestHost::new();
        let plugin =
            host.configure::<P>(vector["config"].clone()).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        for (index, step) in vector["steps"].as_array().unwrap().iter().enumerate() {
            let (what, wanted, expect) = (format!("{name}, step {}", index + 1), &step["request"], &step["expect"]);
            let method = wanted["method"].as_str().unwrap_or("GET");
            let mut request = TestRequest::new(method, wanted["target"].as_str().unwrap_or("/"));
            for (name, value) in pairs(&wanted["headers"]) {
                request = request.header(name, value.as_str().unwrap());
            }
            for (name, value) in pairs(&wanted["attributes"]) {
                request = request.property(&format!("attribute.{name}"), value.as_str().unwrap());
            }
            if let Some(client) = wanted["client"].as_str() {
                request = request.client(client);
            }
            let mut run = host.run(&plugin, request);
            let forwarded = run.is_forwarded();
            assert_eq!(forwarded, !expect["forwarded"].is_null(), "{what}: forwarded");
            let response = if forwarded {
                let sent = run.forwarded().clone();
                if let Some(target) = expect["forwarded"]["target"].as_str() {
                    assert_eq!(sent.target, target, "{what}");
                }
                check(&what, &expect["forwarded"]["headers"], |name| sent.header(name).map(str::to_owned));
                match step["fails"].as_str() {
                    Some(name) => run.fail(failure(name)),
                    None => {
                        let upstream = &step["upstream"];
                        let status = upstream["status"].as_u64().unwrap_or(200);
                        let mut answer = TestResponse::new(u16::try_from(status).unwrap());
                        for (name, value) in pairs(&upstream["headers"]) {
                            answer = answer.header(name, value.as_str().unwrap());
                        }
                        run.respond(answer.body(upstream["body"].as_str().unwrap_or_default()))
                    }
                }
            } else {
                run.response().clone()
            };
            assert_eq!(Some(u64::from(response.status)), expect["status"].as_u64(), "{what}: {}", response.text());
            check(&what, &expect["headers"], |name| response.header(name).map(str::to_owned));
            if let Some(body) = expect["body"].as_str() {
                assert_eq!(response.text(), body, "{what}");
            }
        }
    }
}
