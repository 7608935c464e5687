//! Ambiguous framing never reaches an upstream.

use std::io::{Read, Write};
use std::net::TcpStream;

use gateway_tests::PATIENCE;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};

/// Sends bytes; the connection stays open, as a real client's would.
fn send(address: std::net::SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("written");
    stream
}

/// The head of the answer.
fn raw(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = send(address, request);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).expect("an answer"), 1, "it ends in {:?}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[test]
fn ambiguous_requests_are_refused_with_400() {
    let upstream = Upstream::start(|_| text(200, "reached"));
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: one}}]
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let cases = [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET http://other/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /../../etc HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nx: a\rb\r\n\r\n",
    ];
    for case in cases {
        let answer = raw(gateway.address(), case);
        assert!(answer.starts_with("HTTP/1.1 400"), "{case:?} was answered with {answer:?}");
    }
    assert!(upstream.seen().is_empty(), "something ambiguous reached the upstream: {:?}", upstream.seen());
}

/// RFC 9112 section 6.1: Transfer-Encoding overrides Content-Length, which must not be forwarded, and the connection
/// closes after the response, so that nothing behind the message is taken for a request.
#[test]
fn content_length_beside_chunked_is_dropped_and_the_connection_closes() {
    let upstream = Upstream::start(|seen| text(200, seen.body.clone()));
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: one}}]
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let mut stream = send(
        gateway.address(),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
         GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    // Up to the end: whatever the gateway would make of the bytes behind the message has happened by then.
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and the end");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer:?}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer:?}");
    let seen = upstream.seen();
    assert_eq!(seen.len(), 1, "the bytes behind the message were taken for a request: {seen:?}");
    assert_eq!(&*seen[0].body, b"abc");
    assert_eq!(seen[0].headers.get("content-length"), None);
}

#[test]
fn upgrades_get_501() {
    let upstream = Upstream::start(|_| text(200, "reached"));
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: one}}]
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let answer =
        raw(gateway.address(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 501"), "{answer:?}");
}
