//! Responses without content: what they say of a length, whoever made them and whatever protocol they go over.

use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::foreign::{Question, ask};
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::upstream::{Upstream, text};

const LISTENERS: &str = "listeners:
  - {name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {self_signed: [localhost]}}
";

/// An upstream of raw bytes: reads a request's head, and answers with what its target says.
fn stating_a_length() -> std::net::SocketAddr {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { break };
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines().map_while(Result::ok);
                while let Some(first) = lines.next() {
                    if !first.ends_with("HTTP/1.1") {
                        continue; // The empty body of a request over HTTP/3 whose end came behind its head.
                    }
                    let status = first.split('/').nth(1).and_then(|rest| rest.get(..3)).unwrap_or("200").to_owned();
                    while lines.next().is_some_and(|line| !line.is_empty()) {}
                    let length = if status == "205" { 0 } else { 5 };
                    let _ = write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\netag: \"a\"\r\n\r\n");
                }
            });
        }
    });
    address
}

/// What is right for a status, whoever made the response.
fn check(case: &str, status: u16, length: Option<&str>, transfer: bool, body: &[u8]) {
    assert!(body.is_empty() && !transfer, "{case}: {body:?}");
    match status {
        204 => assert_eq!(length, None, "{case}"),
        205 => assert_eq!(length, Some("0"), "{case}"),
        _ => assert!(length.is_none_or(|length| length == "5"), "{case}: {length:?}"),
    }
}

#[test]
fn a_204_that_states_a_length_is_refused_by_no_client_whoever_made_it() {
    let http2 = Service::start(|request| async move {
        let status = request.uri().path()[1..4].parse().unwrap_or(200);
        let mut response = text(status, "");
        let length = if status == 205 { "0" } else { "5" };
        response.headers_mut().insert("content-length", length.parse().expect("valid"));
        response
    });
    let respond = [204, 205, 304].map(|status| {
        format!(
            "  - {{name: fixed-{status}, match: {{path: {{prefix: /fixed/{status}}}}}, respond: {{status: {status}}}}}\n"
        )
    });
    let yaml = format!(
        "{LISTENERS}plugins: {{directory: plugins}}
upstreams: {{http1: {{endpoints: [\"{}\"]}}, http2: {{endpoints: [\"{}\"], protocol: http2}}}}
routes:
{}  - {{name: guest, match: {{path: {{prefix: /guest}}}}, plugins: [{{name: test-guest}}], upstream: http1, rewrite: {{prefix: /}}}}
  - {{name: http1, match: {{path: {{prefix: /http1}}}}, upstream: http1, rewrite: {{prefix: /}}}}
  - {{name: http2, match: {{path: {{prefix: /http2}}}}, upstream: http2, rewrite: {{prefix: /}}}}
",
        stating_a_length(),
        http2.address(),
        respond.concat(),
    );
    let gateway = TestGateway::start(&yaml, &["test-guest"]);
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        for maker in ["http1", "http2", "fixed", "request_headers", "response_headers"] {
            for status in [204, 205, 304] {
                for method in ["GET", "HEAD"] {
                    let plugin = maker.ends_with("headers");
                    let path = format!("/{}/{status}", if plugin { "guest" } else { maker });
                    let told = format!("x-do: {maker}=answer-{status}");
                    let case = format!("{method} {status} by {maker} over {protocol}");
                    let mut request = http::Request::builder().method(method).uri(&path);
                    if plugin {
                        request = request.header("x-do", &told[6..]);
                    }
                    let response = client.send(request, "");
                    assert_eq!(response.status, status, "{case}");
                    let length = response.headers.get("content-length").and_then(|length| length.to_str().ok());
                    let transfer = response.headers.contains_key("transfer-encoding");
                    check(&case, status, length, transfer, &response.body);
                    // Clients that are not ours are stricter, and slow to start.
                    if protocol == "http2" && method == "GET" {
                        let url = format!("https://localhost:{}{path}", gateway.address().port());
                        let headers = if plugin { vec![told.as_str()] } else { Vec::new() };
                        let answer = ask(protocol, Question { method, url: &url, headers: &headers, body: None });
                        assert_eq!(answer.status, status, "{case}, by curl");
                    }
                }
            }
        }
    }
}

#[test]
fn an_answer_to_head_tells_no_length_of_a_body_that_a_plugin_may_change() {
    let upstream = Upstream::start(|seen| {
        let mut response = text(if seen.target == "/304" { 304 } else { 200 }, "unfiltered");
        response.headers_mut().insert("etag", "\"a\"".parse().expect("valid"));
        if seen.target == "/304" {
            response.headers_mut().insert("content-length", "10".parse().expect("valid"));
        }
        response
    });
    let yaml = format!(
        "{LISTENERS}plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes:
  - name: read
    match: {{path: {{prefix: /read}}}}
    plugins: [{{name: test-guest, config: {{id: a}}}}, {{name: test-guest, config: {{id: b}}}}]
    upstream: one
    rewrite: {{prefix: /}}
  - {{name: plain, match: {{path: {{prefix: /}}}}, upstream: one}}
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &["test-guest"]);
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        let mut head = |path: &str, told: &str| client.send(http::Request::head(path).header("x-do", told), "");
        for told in ["", "a/response_headers=whole", "a/response_headers=chunks", "b/request_headers=answer-200"] {
            let response = head("/read/", told);
            assert_eq!((response.status, response.header("content-length")), (200, ""), "{told}, {protocol}");
        }
        // Its own answer passes nobody else's hands.
        let own = head("/read/", "a/request_headers=answer-200");
        assert_eq!(own.header("content-length"), "3", "{protocol}");
        assert_eq!(head("/", "").header("content-length"), "10", "{protocol}");
        let unchanged = head("/read/304", "");
        assert_eq!((unchanged.status, unchanged.header("content-length")), (304, ""), "{protocol}");
        assert_eq!(unchanged.header("etag"), "\"a\"", "{protocol}: what tells versions apart stays");
        assert_eq!(head("/304", "").header("content-length"), "10", "{protocol}");
    }
}
