//! Bodies: limits, cut responses, streaming both ways.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::duplex::{Duplex, connect, gateway, run, streamed};
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::raw::Http2;
use gateway_tests::upstream::{Upstream, text};
use gateway_tests::{PATIENCE, eventually};
use http_body_util::BodyExt as _;

fn config(address: std::net::SocketAddr, extra: &str) -> String {
    format!(
        "listeners: [{{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}]
upstreams: {{echo: {{endpoints: [\"{address}\"]{extra}}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: echo, limits: {{body: 64KiB}}}}]
",
    )
}

#[test]
fn a_body_over_the_limit_gets_413_on_every_protocol() {
    let upstream = Upstream::start(|seen| text(200, seen.body.len().to_string()));
    let gateway = TestGateway::start(&config(upstream.address(), ""), &[]);
    for protocol in PROTOCOLS {
        let fits = Client::tls(protocol, gateway.address(), "localhost").post("/", "text/plain", vec![b'x'; 64 << 10]);
        assert_eq!((fits.status, fits.text()), (200, "65536".to_owned()), "{protocol}");
        let over =
            Client::tls(protocol, gateway.address(), "localhost").post("/", "text/plain", vec![b'x'; (64 << 10) + 1]);
        assert_eq!(over.status, 413, "{protocol}");
        assert_eq!(over.header("content-type"), "application/problem+json", "{protocol}");
    }
}

/// An upstream of raw bytes: reads a request's head, writes `answer`, closes.
fn raw_upstream(answer: &'static [u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { break };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
                head.push(byte[0]);
            }
            let _ = stream.write_all(answer);
        }
    });
    address
}

#[test]
fn a_response_cut_short_never_looks_complete() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"[..],
        &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nonly this\r\n"[..],
    ] {
        let gateway = TestGateway::start(&config(raw_upstream(answer), ""), &[]);
        for protocol in PROTOCOLS {
            let mut client = Client::tls(protocol, gateway.address(), "localhost");
            let result = client.try_send(http::Request::get("/"), "");
            assert!(result.is_err(), "{protocol} took a cut response for a whole one: {result:?}");
        }
        let line = gateway.logged("the cut exchange", |line| line["failure"] == "reset");
        assert_eq!(line["status"], 200);
    }
}

/// A response to HTTP/1.0 ends with its connection; only a reset tells a cut one from a whole one.
#[test]
fn a_response_cut_short_never_looks_complete_to_a_client_of_http_1_0() {
    let (give, responses) = std::sync::mpsc::channel();
    let upstream = Service::start(move |_| {
        let (mut sender, response) = streamed("text/plain");
        let give = give.clone();
        tokio::spawn(async move {
            sender.send_data("only this".into()).await.expect("sent");
            let _ = give.send(sender);
        });
        async move { response }
    });
    let yaml = format!(
        "listeners:
  - {{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}
upstreams: {{service: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: service}}]
drain_timeout: 100ms
",
        upstream.address()
    );
    let mut gateway = TestGateway::start(&yaml, &[]);
    // The response so far, and its sender.
    let begin = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.write_all(b"GET / HTTP/1.0\r\nhost: localhost\r\n\r\n").expect("sent");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"only this") {
            stream.read_exact(&mut byte).expect("a response");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
        assert!(!head.contains("content-length") && !head.contains("chunked"), "{head}");
        responses.recv().expect("it was begun")
    };
    let reset = |stream: &mut TcpStream, case: &str| {
        let rest = stream.read(&mut [0; 64]).map_err(|error| error.kind());
        assert_eq!(rest, Err(std::io::ErrorKind::ConnectionReset), "{case}");
    };
    let connect = |gateway: &TestGateway| TcpStream::connect(gateway.listener("clear")).expect("connected");

    let mut whole = connect(&gateway);
    drop(begin(&mut whole));
    assert_eq!(whole.read(&mut [0; 64]).expect("a clean end"), 0);

    let mut cut = connect(&gateway);
    begin(&mut cut).abort(std::io::Error::other("it breaks"));
    reset(&mut cut, "the upstream broke off");

    let mut closing = connect(&gateway);
    let held = begin(&mut closing);
    closing.shutdown(std::net::Shutdown::Write).expect("open");
    held.abort(std::io::Error::other("it breaks"));
    reset(&mut closing, "the client has shut its side, and the upstream broke off");

    let mut drained = connect(&gateway);
    let _held = begin(&mut drained);
    gateway.drain();
    reset(&mut drained, "the gateway ended");
}

/// hyper is done with a connection whose request it need not read before it has written the response.
#[test]
fn a_response_to_a_request_that_nobody_read_arrives_whole_at_a_client_that_reads_late() {
    let length = 8 << 20;
    let upstream = Service::start(move |_| async move { text(200, vec![b'x'; length]) });
    let gateway = gateway(upstream.address(), "http1");
    let stream = run("a connection", async { connect(gateway.listener("clear")).await.into_std() });
    let mut stream = stream.expect("a socket");
    stream.set_nonblocking(false).expect("an option");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    // So much that the connection is not kept for it.
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999\r\n\r\nx").expect("sent");
    // The last piece is written while there is no room for it in the socket.
    let mut response = vec![0; 16 << 10];
    stream.read_exact(&mut response).expect("a response");
    while gateway.metric("gateway_requests_in_flight", &[]) > 0.0 {
        let known = response.len();
        response.resize(known + (16 << 10), 0);
        stream.read_exact(&mut response[known..]).expect("more of the response");
    }
    stream.read_to_end(&mut response).expect("a clean end");
    let head = response.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    assert_eq!(response.len() - head, length);
}

/// Over HTTP/2 a stream is reset, or the whole connection ends.
#[test]
fn a_response_cut_short_by_an_http2_upstream_never_looks_complete() {
    for length in [None, Some("100")] {
        let (give, responses) = std::sync::mpsc::channel();
        let upstream = Service::start(move |_| {
            let (mut sender, mut response) = streamed("text/plain");
            if let Some(length) = length {
                response.headers_mut().insert("content-length", length.parse().expect("valid"));
            }
            let give = give.clone();
            tokio::spawn(async move {
                sender.send_data("only this".into()).await.expect("sent");
                let _ = give.send(sender);
            });
            async move { response }
        });
        let gateway = gateway(upstream.address(), "http2");
        for protocol in PROTOCOLS {
            let case = format!("{protocol}, content-length {length:?}");
            run(&case, async {
                let mut client = Duplex::get(protocol, &gateway).await;
                assert_eq!(client.head().await.status(), 200, "{case}");
                assert_eq!(client.piece().await, "only this", "{case}");
                responses.recv().expect("it was begun").abort(std::io::Error::other("it breaks"));
                let rest = client.rest().await;
                assert!(rest.is_err(), "{case} took a cut response for a whole one: {rest:?}");
            });
            let record = gateway.logged(&case, |record| record["protocol"] == protocol);
            assert_eq!((&record["status"], &record["failure"]), (&200.into(), &"reset".into()), "{record}");
        }
        // The last of them holds a response open when its connection goes.
        run("a lost connection", async {
            let mut client = Duplex::get("http2", &gateway).await;
            assert_eq!(client.head().await.status(), 200);
            assert_eq!(client.piece().await, "only this");
            drop(upstream);
            assert!(client.rest().await.is_err(), "a response without its end");
        });
    }
}

/// A response without a body ends with its head, whatever its fields say, and its connection is as good as before.
#[test]
fn a_response_without_a_body_leaves_its_upstream_connection_fit_for_the_next() {
    for upstream_protocol in ["http1", "http2"] {
        let upstream = Upstream::start(|seen| match &*seen.target {
            "/204" => text(204, ""),
            "/empty" => text(200, ""),
            "/304" => {
                let mut response = text(304, "");
                response.headers_mut().insert("etag", "\"a\"".parse().expect("valid"));
                response
            }
            _ => text(200, "a body"),
        });
        let yaml = format!("{}workers: 1\n", config(upstream.address(), &format!(", protocol: {upstream_protocol}")));
        let gateway = TestGateway::start(&yaml, &[]);
        for protocol in PROTOCOLS {
            let mut client = Client::tls(protocol, gateway.address(), "localhost");
            for (method, target, status, body) in [
                ("HEAD", "/", 200, ""),
                ("GET", "/204", 204, ""),
                ("GET", "/", 200, "a body"),
                ("GET", "/304", 304, ""),
                ("GET", "/empty", 200, ""),
                ("HEAD", "/304", 304, ""),
                ("GET", "/", 200, "a body"),
            ] {
                let response = client.send(http::Request::builder().method(method).uri(target), "");
                let case = format!("{method} {target}, {protocol} to {upstream_protocol}");
                assert_eq!((response.status, response.text().as_str()), (status, body), "{case}");
                let length = response.headers.get("content-length").map(|length| length.as_bytes().to_vec());
                match (method, status) {
                    ("HEAD", 200) => assert_eq!(length.as_deref(), Some(&b"6"[..]), "{case}"),
                    (_, 204) => assert_eq!(length, None, "{case}"),
                    ("GET", 200) => assert_eq!(length, Some(body.len().to_string().into_bytes()), "{case}"),
                    _ => {}
                }
            }
        }
        assert_eq!(upstream.connections(), 1, "{upstream_protocol}");
    }
}

#[test]
fn garbage_from_an_upstream_is_502_and_silence_is_504() {
    let gateway = TestGateway::start(&config(raw_upstream(b"what is this\r\n\r\n"), ""), &[]);
    let response = Client::tls("http2", gateway.address(), "localhost").get("/");
    assert_eq!(response.status, 502);
    assert!(response.header("proxy-status").contains("error="), "{:?}", response.headers);

    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let extra = ", timeouts: {response: 200ms}";
    let gateway = TestGateway::start(&config(silent.local_addr().expect("bound"), extra), &[]);
    let response = Client::tls("http2", gateway.address(), "localhost").get("/");
    assert_eq!(response.status, 504);
    assert!(response.header("proxy-status").contains("http_response_timeout"), "{:?}", response.headers);
}

#[test]
fn each_listener_has_its_own_patience_with_a_body() {
    let upstream = Upstream::start(|seen| text(200, seen.body.len().to_string()));
    let yaml = format!(
        "listeners:
  - {{name: hasty, address: \"127.0.0.1:0\", protocols: [http1], limits: {{body_timeout: 100ms}}}}
  - {{name: patient, address: \"127.0.0.1:0\", protocols: [http1], limits: {{body_timeout: 10m}}}}
upstreams: {{echo: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: echo}}]
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let stalled = |listener: &str| {
        let mut stream = TcpStream::connect(gateway.listener(listener)).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab").expect("sent");
        stream
    };
    let status = |stream: &mut TcpStream| {
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("a response");
        String::from_utf8_lossy(&head[9..]).into_owned()
    };
    let mut patient = stalled("patient");
    assert_eq!(status(&mut stalled("hasty")), "408");
    patient.write_all(b"cd").expect("sent");
    assert_eq!(status(&mut patient), "200");
}

#[test]
fn a_client_that_trickles_its_body_into_the_request_timeout_is_not_a_failure_of_the_upstream() {
    let upstream = Upstream::start(|seen| text(200, seen.body.clone()));
    let yaml = format!(
        "listeners: [{{name: plain, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins}}
upstreams: {{echo: {{endpoints: [\"{}\"], passive_health: {{max_failures: 1, fail_timeout: 60s}}}}}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    upstream: echo
    timeouts: {{request: 1s}}
    plugins: [{{name: circuit-breaker, config: {{minimum_requests: 1, open_for: 1h}}}}, {{name: test-guest}}]
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &["circuit-breaker", "test-guest"]);
    // The upstream is waiting for the rest, or a plugin is.
    for field in ["x-a: b", "x-do: request_headers=whole"] {
        let mut slow = TcpStream::connect(gateway.address()).expect("connected");
        let head = format!("POST / HTTP/1.1\r\nhost: localhost\r\n{field}\r\ncontent-length: 9\r\n\r\nx");
        slow.write_all(head.as_bytes()).expect("sent");
        let mut answer = [0; 12];
        slow.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 408");
    }
    let response = Client::http1(gateway.address()).post("/", "text/plain", "whole");
    assert_eq!((response.status, response.text()), (200, "whole".to_owned()));
}

/// RFC 9113 section 8.1 allows a reset after an early answer; curl up to 7.88 loses the answer to it.
#[test]
fn an_answer_over_http2_before_the_request_is_whole_is_not_followed_by_a_reset_while_the_client_sends() {
    let yaml = "listeners: [{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}]
routes: [{name: all, match: {path: {prefix: /}}, respond: {status: 429, body: later}}]
";
    let gateway = TestGateway::start(yaml, &[]);
    let mut client = Http2::connect(gateway.address(), &[]);
    client.post(1);
    client.wait_for("the end of the answer", |frame| frame.kind == 0 && frame.stream == 1 && frame.flags & 1 == 1);
    // Nothing comes before the answer to a PING but what stood before it: no RST_STREAM.
    let answered = |client: &mut Http2| {
        client.send(6, 0, 0, b"are you?");
        let frame = client.wait_for("PONG or a reset", |frame| frame.kind == 6 && frame.flags == 1 || frame.kind == 3);
        assert_eq!(frame.kind, 6, "the stream was reset while the client was sending");
    };
    answered(&mut client);
    client.send(0, 0, 1, b"half");
    answered(&mut client);
    client.send(0, 1, 1, b"whole");
    answered(&mut client);
    // One that says nothing more is not waited for without end.
    client.post(3);
    let reset = client.wait_for("a reset", |frame| frame.kind == 3 && frame.stream == 3);
    assert_eq!(reset.payload, [0, 0, 0, 0], "NO_ERROR");
}

/// RFC 9113 section 8.1: NO_ERROR means that no more is wanted, and a request that it ends is no whole one.
#[test]
fn a_request_that_its_client_resets_without_an_error_never_looks_complete() {
    let (tell, told) = std::sync::mpsc::channel();
    let upstream = Service::start(move |request| {
        let tell = tell.clone();
        async move {
            let whole = request.into_body().collect().await.is_ok();
            tell.send(whole).expect("the test waits");
            text(200, "whole")
        }
    });
    let gateway = gateway(upstream.address(), "http1");
    for code in [0, 8] {
        let mut client = Http2::connect(gateway.listener("clear"), &[]);
        client.post(1);
        client.send(0, 0, 1, b"half");
        eventually("it is in flight", || (gateway.metric("gateway_requests_in_flight", &[]) == 1.0).then_some(()));
        client.send(3, 0, 1, &[0, 0, 0, code]);
        assert_eq!(told.recv_timeout(PATIENCE), Ok(false), "code {code}");
        eventually("it is over", || (gateway.metric("gateway_requests_in_flight", &[]) == 0.0).then_some(()));
    }
}
