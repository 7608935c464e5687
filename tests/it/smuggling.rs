//! Ambiguous framing never reaches an upstream.

use std::io::{Read, Write};
use std::net::TcpStream;

use gateway_tests::gateway::TestGateway;
use gateway_tests::raw::{self, Http2};
use gateway_tests::upstream::{Upstream, text};
use gateway_tests::{PATIENCE, duplex};

/// Sends bytes; the connection stays open, as a real client's would.
fn send(address: std::net::SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("written");
    stream
}

/// The head of the answer.
fn head_of(address: std::net::SocketAddr, request: &str) -> String {
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
    let gateway = TestGateway::in_front_of(upstream.address(), "");
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
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nx: a\r\n b\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for case in cases {
        let answer = head_of(gateway.address(), case);
        assert!(answer.starts_with("HTTP/1.1 400"), "{case:?} was answered with {answer:?}");
    }
    assert!(upstream.seen().is_empty(), "something ambiguous reached the upstream: {:?}", upstream.seen());
}

/// RFC 9112 section 6.1 lets a server refuse it, as NGINX and Envoy do; the connection closes after the response in any case,
/// so that nothing behind the message is taken for a request.
#[test]
fn content_length_beside_chunked_is_refused_and_the_connection_closes() {
    let upstream = Upstream::start(|seen| text(200, seen.body.clone()));
    let gateway = TestGateway::in_front_of(upstream.address(), "");
    let mut stream = send(
        gateway.address(),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
         GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    // Up to the end: whatever the gateway would make of the bytes behind the message has happened by then.
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and the end");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("connection: close"), "{answer:?}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer:?}");
    assert!(upstream.seen().is_empty(), "the bytes behind the message were taken for a request");
}

#[test]
fn chunks_that_another_server_may_read_in_another_way_are_refused_with_400() {
    let upstream = Upstream::start(|seen| text(200, seen.body.clone()));
    let gateway = TestGateway::in_front_of(upstream.address(), "");
    let post = |chunks: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    for chunks in [
        "3;\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3;a=\"b\r\nabc\r\n0\r\n\r\n",
        "3;a\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nx: y\n\r\n",
        "3\r\nabc\r\n0\r\nx : y\r\n\r\n",
    ] {
        let mut answer = String::new();
        send(gateway.address(), &post(chunks)).read_to_string(&mut answer).expect("an answer, and the end");
        assert!(answer.starts_with("HTTP/1.1 400"), "{chunks:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer:?}");
    }
    let whole = upstream.seen().iter().any(|seen| &*seen.body == b"abc" || &*seen.body == b"abcd");
    assert!(!whole, "an upstream took a broken body for a whole one");
    for chunks in ["3;a;b=c;d=\"e f\"\r\nabc\r\n0\r\n\r\n", "003\r\nabc\r\n0;x\r\n\r\n"] {
        let answer = head_of(gateway.address(), &post(chunks));
        assert!(answer.starts_with("HTTP/1.1 200"), "{chunks:?}: {answer:?}");
    }
}

/// RFC 9110 section 2.5: a later minor version is served as the highest that is known.
#[test]
fn a_later_minor_version_is_served_and_another_major_one_gets_505() {
    let upstream = Upstream::start(|_| text(200, "reached"));
    let gateway = TestGateway::in_front_of(upstream.address(), "");
    let get = |version: &str| head_of(gateway.address(), &format!("GET / {version}\r\nHost: a\r\n\r\n"));
    assert!(get("HTTP/1.2").starts_with("HTTP/1.1 200"));
    assert!(get("HTTP/1.9").starts_with("HTTP/1.1 200"));
    assert!(get("HTTP/3.0").starts_with("HTTP/1.1 505"));
    assert!(get("HTTP/1.11").starts_with("HTTP/1.1 400"));
    // RFC 9112 section 2.2: empty lines before a request are passed over.
    assert!(head_of(gateway.address(), "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 200"));
}

#[test]
fn upgrades_get_501() {
    let upstream = Upstream::start(|_| text(200, "reached"));
    let gateway = TestGateway::in_front_of(upstream.address(), "");
    let answer =
        head_of(gateway.address(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 501"), "{answer:?}");
}

/// RFC 9113 section 8.1.1 and RFC 9114 section 4.1.2: such a request is malformed, and no intermediary forwards it.
#[test]
fn content_that_differs_from_its_content_length_is_refused_and_never_forwarded_as_a_whole() {
    for upstream_protocol in ["http1", "http2"] {
        let upstream = Upstream::start(|seen| text(200, seen.body.clone()));
        let gateway = duplex::gateway(upstream.address(), upstream_protocol);
        for (case, content) in [("less", Some(&b"1234"[..])), ("more", Some(b"123456")), ("none", None)] {
            http2_content(&gateway, content).unwrap_or_else(|end| panic!("{case} over HTTP/2: {end}"));
            let end = duplex::run(case, http3_content(&gateway, content));
            end.unwrap_or_else(|end| panic!("{case} over HTTP/3: {end}"));
        }
        let seen = upstream.seen();
        assert!(seen.is_empty(), "{upstream_protocol}: {seen:?}");
        // What the declared five bytes look like.
        assert!(http2_content(&gateway, Some(b"12345")).is_err());
        assert!(duplex::run("whole", http3_content(&gateway, Some(b"12345"))).is_err());
        assert_eq!(upstream.seen().len(), 2);
    }
}

/// Sends a POST with `content-length: 5` over HTTP/2; an error where it was not refused.
fn http2_content(gateway: &TestGateway, content: Option<&[u8]>) -> Result<(), String> {
    let mut client = Http2::connect(gateway.listener("clear"), &[]);
    // POST http / localhost, then content-length by its place in the static table of HPACK.
    let fields = [&[0x83, 0x86, 0x84, 0x01, 9], &b"localhost"[..], &[0x0f, 13, 1, b'5']].concat();
    client.send(1, if content.is_some() { 4 } else { 5 }, 1, &fields);
    if let Some(content) = content {
        client.send(0, 1, 1, content);
    }
    let answer = client.wait_for("an answer", |frame| frame.stream == 1 && matches!(frame.kind, 1 | 3));
    // A reset, or the place of `:status: 400` in the static table.
    if answer.kind == 3 || answer.payload[0] == 0x80 | 12 { Ok(()) } else { Err(format!("{answer:?}")) }
}

/// The same over HTTP/3.
async fn http3_content(gateway: &TestGateway, content: Option<&[u8]>) -> Result<(), String> {
    let (connection, _endpoint) = raw::quic(gateway.listener("tls"), quinn::TransportConfig::default()).await;
    let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
    // content-length by its place in the static table of QPACK.
    let fields = [&raw::http3_head(raw::POST)[2..], &[0x54, 1, b'5']].concat();
    let mut request = [&[1, u8::try_from(fields.len()).expect("short")], &fields[..]].concat();
    if let Some(content) = content {
        request.extend_from_slice(&[0, u8::try_from(content.len()).expect("short")]);
        request.extend_from_slice(content);
    }
    send.write_all(&request).await.expect("sent");
    send.finish().expect("open");
    match recv.read_to_end(10_000).await {
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(_))) => Ok(()),
        Ok(response) if response.windows(12).any(|window| window == b"\"status\":400") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}
