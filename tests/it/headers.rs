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
    let send = |protocol: &str, fields: Vec<(String, String)>| {
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        let request = fields.iter().fold(http::Request::get("/"), |request, (name, value)| request.header(name, value));
        client.try_send(request, "").map(|response| response.status)
    };
    let many = |count: usize| (0..count).map(|number| (format!("x-{number}"), "1".to_owned())).collect();
    let big = |size: usize| vec![("x-big".to_owned(), "x".repeat(size))];
    for protocol in PROTOCOLS {
        // HTTP/1 has Host besides.
        assert_eq!(send(protocol, many(39)), Ok(200), "{protocol}: 39 fields and Host");
        assert_eq!(send(protocol, many(41)), Ok(431), "{protocol}: 41 fields");
        assert_eq!(send(protocol, big(8 << 10)), Ok(200), "{protocol}: 8 KiB");
        for size in [17 << 10, 300 << 10] {
            match send(protocol, big(size)) {
                Ok(status) => assert_eq!(status, 431, "{protocol}: {size} bytes"),
                // The client knows the limit from SETTINGS and does not even try; where they have not come yet, what is far
                // too large is cut off.
                Err(error) if protocol == "http3" => {
                    let cut = size > 100_000 && error.contains("H3_EXCESSIVE_LOAD");
                    assert!(cut || error.contains("Header too big"), "{size} bytes: {error}");
                }
                // What is far too large is cut off while it comes.
                Err(error) => assert!(
                    protocol == "http2" && size > 100_000 && !error.contains("too long"),
                    "{protocol}: {size} bytes: {error}"
                ),
            }
        }
    }
    assert_eq!(upstream.seen().len(), 6, "a refused head reached the upstream");
}

#[test]
fn a_cookie_in_pieces_reaches_the_upstream_whole() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let yaml = format!(
        "listeners: [{{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}]
upstreams: {{echo: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: echo}}]
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        client.get_with("/", &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
        let seen = upstream.seen().pop().expect("a request");
        let cookies: Vec<_> = seen.headers.get_all("cookie").iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"], "{protocol}");
    }
}

#[test]
fn an_alternative_of_the_upstream_is_not_announced() {
    let upstream = Upstream::start(|_| {
        let mut response = text(200, "ok");
        response.headers_mut().insert("alt-svc", "h3=\":9\"".parse().expect("valid"));
        response
    });
    let yaml = format!(
        "listeners:
  - {{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}
  - {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http3], tls: {{self_signed: [localhost]}}}}
upstreams: {{echo: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: echo}}]
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    assert_eq!(Client::http1(gateway.listener("clear")).get("/").header("alt-svc"), "");
    let tls = gateway.listener("tls");
    let own = format!("h3=\":{}\"; ma=86400", tls.port());
    assert_eq!(Client::tls("http1", tls, "localhost").get("/").header("alt-svc"), own);
    assert_eq!(Client::tls("http3", tls, "localhost").get("/").header("alt-svc"), "");
}
