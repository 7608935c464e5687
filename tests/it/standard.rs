//! The standard plugins as built wasm files, in a gateway, over all three protocols.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{ScriptBody, Upstream, text};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;

const LISTENER: &str = "listeners: [{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {self_signed: [localhost]}}]
plugins: {directory: plugins}
";

/// A body in pieces of one, two and three bytes.
fn crumbs(body: &str) -> ScriptBody {
    let (mut sender, channel) = Channel::<Bytes, std::io::Error>::new(4);
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    tokio::spawn(async move {
        let mut at = 0;
        for size in [1, 2, 3].into_iter().cycle() {
            let end = bytes.len().min(at + size);
            if at == end || sender.send_data(bytes.slice(at..end)).await.is_err() {
                return;
            }
            at = end;
        }
    });
    channel.boxed()
}

/// The vectors that the plugin's own tests run natively give the same on the built wasm, also where the body comes in
/// crumbs.
#[test]
fn redaction_gives_natively_and_in_wasm_the_same() {
    let json = include_str!("../../plugins/pii-redact/tests/vectors.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(json).expect("vectors");
    let shared: Arc<Vec<serde_json::Value>> = Arc::new(vectors);
    let answers = shared.clone();
    let upstream = Upstream::start(move |seen| {
        let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        let number: usize = path.trim_start_matches("/v").parse().expect("a vector's number");
        let vector = &answers[number];
        let input = vector["input"].as_str().expect("input").to_owned();
        let mut response = text(200, "");
        *response.body_mut() = if query == "crumbs" { crumbs(&input) } else { text(200, input).into_body() };
        let kind = vector["content_type"].as_str().expect("content_type").parse().expect("a header value");
        response.headers_mut().insert("content-type", kind);
        response
    });
    let mut yaml = format!("{LISTENER}upstreams: {{vectors: {{endpoints: [\"{}\"]}}}}\nroutes:\n", upstream.address());
    for (number, vector) in shared.iter().enumerate() {
        let config = vector.get("config").cloned().unwrap_or_else(|| serde_json::json!({}));
        yaml.push_str(&format!(
            "  - {{name: v{number}, match: {{path: {{exact: /v{number}}}}}, upstream: vectors, plugins: [{{name: pii-redact, config: {config}}}]}}\n"
        ));
    }
    let gateway = TestGateway::start(&yaml, &["pii-redact"]);
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        let whole_and_in_crumbs = shared.iter().enumerate().flat_map(|of| [(of, ""), (of, "?crumbs")]);
        for ((number, vector), query) in whole_and_in_crumbs {
            let response = client.get(&format!("/v{number}{query}"));
            match vector["output"].as_str().filter(|output| !output.starts_with("blocked: ")) {
                Some(output) => {
                    assert_eq!(response.status, 200, "{protocol}: {}{query}", vector["name"]);
                    assert_eq!(response.text(), output, "{protocol}: {}{query}", vector["name"]);
                }
                // The value must not pass at all: a response that holds it is replaced.
                None => {
                    assert_eq!(response.status, 502, "{protocol}: {}{query}", vector["name"]);
                    assert_eq!(response.header("content-type"), "application/problem+json", "{protocol}");
                }
            }
        }
    }
}

#[test]
fn a_rate_limit_is_exact_over_workers_and_tells_its_state_on_every_protocol() {
    let upstream = Upstream::start(|_| text(200, "through"));
    for protocol in PROTOCOLS {
        let yaml = format!(
            "{LISTENER}workers: 2
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    plugins: [{{name: rate-limit, config: {{limits: [{{requests: 10, per: 1h, by: client.address}}]}}}}]
    upstream: one
",
            upstream.address()
        );
        let gateway = TestGateway::start(&yaml, &["rate-limit"]);
        let mut allowed = 0;
        let mut refused = None;
        // Many connections, so that both workers take part.
        for _ in 0..12 {
            let mut client = Client::tls(protocol, gateway.address(), "localhost");
            let response = client.get("/");
            if response.status == 200 {
                assert!(response.header("ratelimit").contains("r="), "{protocol}: {:?}", response.headers);
                allowed += 1;
            } else {
                refused = Some(response);
            }
        }
        assert_eq!(allowed, 10, "{protocol}");
        let refused = refused.expect("two were refused");
        assert_eq!(refused.status, 429, "{protocol}");
        assert!(refused.header("retry-after").parse::<u32>().is_ok(), "{protocol}: {:?}", refused.headers);
        assert!(refused.header("ratelimit-policy").contains("q=10;w=3600"), "{protocol}: {:?}", refused.headers);
        assert_eq!(refused.header("content-type"), "application/problem+json", "{protocol}");
    }
}

#[test]
fn an_open_breaker_answers_from_the_last_good_response_without_an_attempt_upstream_and_recovers() {
    for protocol in PROTOCOLS {
        let failing = Arc::new(AtomicBool::new(false));
        let switch = failing.clone();
        let upstream = Upstream::start(move |seen| {
            if switch.load(Ordering::SeqCst) {
                return text(500, "broken");
            }
            let mut response = text(200, format!("stock of {}", seen.target));
            response.headers_mut().insert("cache-control", "max-age=60".parse().expect("valid"));
            response
        });
        let start = |open_for: &str| {
            let yaml = format!(
                "{LISTENER}upstreams: {{inventory: {{endpoints: [\"{}\"]}}}}
routes:
  - name: inventory
    match: {{path: {{prefix: /}}}}
    plugins: [{{name: circuit-breaker, config: {{minimum_requests: 3, failure_ratio: 0.6, open_for: {open_for}}}}}]
    upstream: inventory
",
                upstream.address()
            );
            TestGateway::start(&yaml, &["circuit-breaker"])
        };
        // No machine is so slow that a probe goes through.
        let gateway = start("1h");
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        assert_eq!(client.get("/a").text(), "stock of /a", "{protocol}");
        failing.store(true, Ordering::SeqCst);
        // One success and n failures: it opens as soon as 60 % of at least three have failed.
        let failures = (0..10).take_while(|_| client.get("/b").status == 500).count();
        assert!((2..=4).contains(&failures), "{protocol}: open after {failures} failures");
        let before = upstream.seen().len();
        let stored = client.get("/a");
        assert_eq!((stored.status, stored.text()), (200, "stock of /a".to_owned()), "{protocol}");
        assert!(stored.header("age").parse::<u64>().is_ok(), "{protocol}: {:?}", stored.headers);
        assert!(stored.header("cache-status").contains("hit"), "{protocol}: {:?}", stored.headers);
        let refused = client.get("/never-seen");
        assert_eq!(refused.status, 503, "{protocol}");
        assert!(refused.header("retry-after").parse::<u32>().is_ok(), "{protocol}: {:?}", refused.headers);
        let unsafe_method = client.post("/a", "text/plain", "x");
        assert_eq!(unsafe_method.status, 503, "{protocol}");
        assert_eq!(upstream.seen().len(), before, "{protocol}: an open breaker made an attempt upstream");

        let gateway = start("1s");
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        eventually("it opens", || (client.get("/c").status == 503).then_some(()));
        failing.store(false, Ordering::SeqCst);
        eventually("the breaker closes again", || (client.get("/c").text() == "stock of /c").then_some(()));
    }
}

/// A client learns what went wrong from the gateway itself, with a breaker as without one.
#[test]
fn with_nothing_stored_the_gateways_own_error_passes_a_closed_breaker() {
    let hanging = Upstream::start_async(|_| std::future::pending());
    let dead = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, gateway_tests::free_port()));
    for (address, status, error) in
        [(dead, 502, "connection_refused"), (hanging.address(), 504, "http_response_timeout")]
    {
        let yaml = format!(
            "{LISTENER}upstreams: {{inventory: {{endpoints: [\"{address}\"], timeouts: {{response: 100ms}}}}}}
routes:
  - name: inventory
    match: {{path: {{prefix: /}}}}
    plugins: [{{name: circuit-breaker, config: {{minimum_requests: 100}}}}]
    upstream: inventory
"
        );
        let gateway = TestGateway::start(&yaml, &["circuit-breaker"]);
        for protocol in PROTOCOLS {
            let mut client = Client::tls(protocol, gateway.address(), "localhost");
            let response = client.get("/");
            assert_eq!(response.status, status, "{protocol}");
            assert!(response.header("proxy-status").contains(error), "{protocol}: {:?}", response.headers);
        }
    }
}
