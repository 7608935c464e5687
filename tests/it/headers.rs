//! What the upstream is told, and what it is not told.

use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};

fn start(extra: &str) -> (Upstream, TestGateway) {
    let upstream = Upstream::start(|_| {
        let mut response = text(200, "ok");
        response.headers_mut().insert("connection", "x-hop".parse().expect("valid"));
        response.headers_mut().insert("x-hop", "1".parse().expect("valid"));
        response.headers_mut().insert("server", "secret/1.0".parse().expect("valid"));
        response
    });
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{echo: {{endpoints: [\"{}\"]}}}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    upstream: echo
    request_headers: {{set: {{x-set: here}}, remove: [x-gone]}}
    response_headers: {{set: {{strict-transport-security: max-age=1}}, remove: [server]}}
{extra}",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    (upstream, gateway)
}

#[test]
fn hop_by_hop_fields_end_at_the_gateway_and_forwarding_fields_are_its_own() {
    let (upstream, gateway) = start("");
    let response = Client::http1(gateway.address()).get_with(
        "/",
        &[
            ("host", "shop.example.no"),
            ("connection", "x-private, keep-alive"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("x-gone", "1"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("x-request-id", "forged"),
        ],
    );
    let seen = &upstream.seen()[0];
    let sent = |name: &str| seen.headers.get(name).and_then(|value| value.to_str().ok());
    for name in ["x-private", "keep-alive", "te", "x-gone", "forwarded", "connection"] {
        assert_eq!(sent(name), None, "{name} went upstream");
    }
    assert_eq!(seen.host, "shop.example.no");
    assert_eq!(sent("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(sent("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(sent("x-forwarded-proto"), Some("http"));
    assert_eq!(sent("x-forwarded-host"), Some("shop.example.no"));
    assert_eq!(sent("via"), Some("1.1 gateway"));
    assert_eq!(sent("x-set"), Some("here"));
    assert_ne!(sent("x-request-id"), Some("forged"));
    assert_eq!(sent("x-request-id"), Some(response.header("x-request-id")));
    for name in ["x-hop", "server"] {
        assert_eq!(response.header(name), "", "{name} reached the client");
    }
    assert_eq!(response.header("strict-transport-security"), "max-age=1");
}

#[test]
fn a_trusted_proxy_is_believed() {
    let (upstream, gateway) = start("forwarding: {trusted: [127.0.0.0/8]}\naccess_log: {path: off}\n");
    Client::http1(gateway.address())
        .get_with("/", &[("x-forwarded-for", "192.0.2.7, 127.0.0.9"), ("x-request-id", "abc-123")]);
    let seen = &upstream.seen()[0];
    assert_eq!(seen.headers["x-forwarded-for"], "192.0.2.7, 127.0.0.9, 127.0.0.1");
    assert_eq!(seen.headers["x-real-ip"], "192.0.2.7");
    assert_eq!(seen.headers["x-request-id"], "abc-123");
}

#[test]
fn a_head_over_the_limits_is_refused_on_every_protocol_and_the_gateway_goes_on() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let yaml = format!(
        "listeners:
  - name: tls
    address: \"127.0.0.1:0\"
    protocols: [http1, http2, http3]
    tls: {{self_signed: [localhost]}}
    limits: {{header_bytes: 16KiB, header_count: 40}}
upstreams: {{echo: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: echo}}]
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let refused = |protocol: &str, fields: Vec<(String, String)>| {
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        let request = fields.iter().fold(http::Request::get("/"), |request, (name, value)| request.header(name, value));
        // A status, or a reset of the stream or connection where the limit is crossed before there is a request.
        client.try_send(request, "").map_or(true, |response| (400..500).contains(&response.status))
    };
    for protocol in PROTOCOLS {
        let many = (0..60).map(|number| (format!("x-{number}"), "1".to_owned())).collect();
        assert!(refused(protocol, many), "{protocol} took 60 fields");
        for size in [17 << 10, 300 << 10] {
            assert!(refused(protocol, vec![("x-big".to_owned(), "x".repeat(size))]), "{protocol} took {size} bytes");
        }
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        assert_eq!(client.get_with("/", &[("x-fits", &"x".repeat(8 << 10))]).status, 200, "{protocol}");
    }
    assert_eq!(upstream.seen().len(), 3, "a refused head reached the upstream");
}
