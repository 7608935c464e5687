//! The edges of the protocols: what RFCs say of rare messages, on the wire.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use gateway_tests::client::{Client, PROTOCOLS, connect_http3, tls_stream};
use gateway_tests::duplex::{self, Duplex, run};
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::upstream::{Upstream, text};
use gateway_tests::{PATIENCE, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn config(upstream: SocketAddr) -> String {
    format!(
        "listeners:
  - {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}
  - {{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}}
upstreams: {{service: {{endpoints: [\"{upstream}\"], timeouts: {{response: 2s}}}}}}
routes:
  - {{name: all, match: {{path: {{prefix: /}}}}, upstream: service}}
  - {{name: named, match: {{hostnames: [a.example], path: {{prefix: /}}}}, respond: {{status: 418}}}}
  - {{name: moved, match: {{scheme: http, path: {{exact: /moved}}}}, redirect: {{scheme: https}}}}
"
    )
}

/// Sends bytes, and reads to the end of the connection.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_request_of_http_1_0_without_host_goes_to_the_routes_without_hostnames() {
    let upstream = Upstream::start(|_| text(200, "the default"));
    let gateway = TestGateway::start(&config(upstream.address()), &[]);
    let answer = exchange(gateway.listener("clear"), "GET /health HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("the default"), "{answer}");
    let seen = upstream.seen().pop().expect("forwarded");
    assert_eq!(seen.host, upstream.address().to_string(), "the service has a name");
    assert!(!seen.headers.contains_key("x-forwarded-host"), "{:?}", seen.headers);
    assert!(exchange(gateway.listener("clear"), "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n").contains(" 418 "));
    // A redirect would have to tell the gateway's own address.
    assert!(exchange(gateway.listener("clear"), "GET /moved HTTP/1.0\r\n\r\n").contains(" 400 "));
    let modern = exchange(gateway.listener("clear"), "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(modern.starts_with("HTTP/1.1 400"), "{modern}");
}

#[test]
fn trace_is_refused_on_every_protocol_and_reaches_nobody() {
    let upstream = Upstream::start(|_| text(200, "echoed"));
    let gateway = TestGateway::start(&config(upstream.address()), &[]);
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        for hops in ["0", "1"] {
            let request = http::Request::builder().method("TRACE").uri("/").header("max-forwards", hops);
            let response = client.send(request.header("cookie", "secret=1"), "");
            assert_eq!(response.status, 501, "{protocol}");
            assert!(!response.text().contains("secret"), "{protocol}");
        }
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn max_forwards_of_options_is_counted_down_and_answered_at_zero() {
    let upstream = Upstream::start(|_| text(200, "the service"));
    let gateway = TestGateway::start(&config(upstream.address()), &[]);
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        let mut ask = |method: &str, hops: &str| {
            client.send(http::Request::builder().method(method).uri("/a").header("max-forwards", hops), "")
        };
        let before = upstream.seen().len();
        let here = ask("OPTIONS", "0");
        assert_eq!((here.status, here.text().as_str(), upstream.seen().len()), (200, "", before), "{protocol}");
        for (method, sent, left) in [("OPTIONS", "7", "6"), ("OPTIONS", "1", "0"), ("GET", "0", "0")] {
            assert_eq!(ask(method, sent).text(), "the service", "{protocol}");
            let seen = upstream.seen().pop().expect("forwarded");
            assert_eq!(seen.headers["max-forwards"], left, "{protocol} {method} {sent}");
        }
        assert_eq!(ask("OPTIONS", "many").status, 400, "{protocol}");
    }
}

#[test]
fn te_goes_upstream_with_the_connection_option_that_it_needs() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address()), &[]);
    for protocol in ["http2", "http3"] {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        client.get_with("/", &[("te", "trailers")]);
        let seen = upstream.seen().pop().expect("forwarded");
        assert_eq!(
            (&seen.headers["te"], &seen.headers["connection"]),
            (&"trailers".parse().unwrap(), &"te".parse().unwrap())
        );
        client.get("/");
        assert!(!upstream.seen().pop().expect("forwarded").headers.contains_key("connection"));
    }
}

#[test]
fn a_cookie_in_pieces_is_one_field_before_anything_is_counted() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address()), &[]);
    // In number above the limit of fields; in bytes, with what is counted for a field each, above that of a head.
    for (pieces, length) in [(150, 10), (1000, 40), (900, 60)] {
        let piece = |number: usize| format!("{number:04}={}", "x".repeat(length - 5));
        let whole = (0..pieces).map(piece).collect::<Vec<_>>().join("; ");
        for protocol in ["http2", "http3"] {
            let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
            let request = (0..pieces).fold(http::Request::get("/"), |request, n| request.header("cookie", piece(n)));
            assert_eq!(client.send(request, "").status, 200, "{protocol}: {pieces} of {length}");
            let seen = upstream.seen().pop().expect("forwarded");
            let cookies: Vec<_> = seen.headers.get_all("cookie").iter().collect();
            assert_eq!(cookies, [whole.as_str()], "{protocol}");
        }
    }
}

#[test]
fn a_head_that_is_too_large_without_its_pieces_is_refused() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let yaml = config(upstream.address()).replace("name: tls,", "name: tls, limits: {header_bytes: 8KiB},");
    let gateway = TestGateway::start(&yaml, &[]);
    for protocol in ["http2", "http3"] {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        let large = "x".repeat(5000);
        let two = http::Request::get("/").header("x-a", &large).header("x-b", &large);
        assert_eq!(client.send(two, "").status, 431, "{protocol}");
        let cookie = (0..250).fold(http::Request::get("/"), |request, _| request.header("cookie", "x".repeat(40)));
        assert_eq!(client.send(cookie, "").status, 431, "{protocol}");
        let many = (0..101).fold(http::Request::get("/"), |request, n| request.header(format!("x-{n}"), "1"));
        assert_eq!(client.send(many, "").status, 431, "{protocol}");
        assert_eq!(client.get("/").status, 200, "{protocol}");
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn malformed_fields_on_streams_reach_nobody() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = duplex::gateway(upstream.address(), "http1");
    for protocol in ["http2", "http3"] {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        for value in [" a", "a ", "\ta", "a\t"] {
            assert_eq!(client.get_with("/", &[("x-a", value)]).status, 400, "{protocol} {value:?}");
        }
        for (name, value) in [("x-a", "a "), ("x-a", "\ta"), ("connection", "close"), ("transfer-encoding", "chunked")]
        {
            if protocol == "http2" && name != "x-a" {
                continue; // The client's own library sends none.
            }
            let case = format!("{protocol} {name} {value:?}");
            run(&case, async {
                let request = http::Request::post("/").header("trailer", name);
                let mut client = Duplex::open(protocol, &gateway, request).await;
                client.send("body").await.expect("sent");
                let mut trailers = http::HeaderMap::new();
                trailers.insert(name, http::HeaderValue::from_bytes(value.as_bytes()).expect("valid"));
                client.finish_with(trailers).await;
                assert_eq!(client.head().await.status(), 400, "{case}");
            });
        }
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
}

#[test]
fn a_client_that_has_shut_its_side_gets_its_answer() {
    let (release, released) = tokio::sync::watch::channel(0);
    let upstream = Service::start(move |request| {
        let mut released = released.clone();
        let number: usize = request.uri().path()[1..].parse().expect("a number");
        async move {
            let _ = released.wait_for(|released| *released > number).await;
            text(200, "late but whole")
        }
    });
    let gateway = TestGateway::start(&config(upstream.address()).replace("response: 2s", "response: 30s"), &[]);
    let in_flight = || gateway.metric("gateway_upstream_requests_in_flight", &[]);
    for (number, request) in
        ["GET /0 HTTP/1.1\r\nHost: a\r\n\r\n", "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"]
            .into_iter()
            .enumerate()
    {
        let mut stream = TcpStream::connect(gateway.listener("clear")).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.write_all(request.as_bytes()).expect("sent");
        stream.shutdown(Shutdown::Write).expect("open");
        eventually("the upstream has it", || (in_flight() == 1.0).then_some(()));
        // Longer than anything that looks for clients that have left.
        std::thread::sleep(Duration::from_millis(1500));
        release.send_replace(number + 1);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an end");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("late but whole"), "{answer}");
    }
    run("over TLS", async {
        let mut stream = tls_stream(gateway.listener("tls"), "localhost", b"http/1.1").await.expect("connected");
        stream.write_all(b"GET /2 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
        stream.shutdown().await.expect("open");
        release.send_replace(3);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an end");
        assert!(answer.ends_with("late but whole"), "{answer}");
    });
    eventually("nothing is left", || (gateway.metric("gateway_requests_in_flight", &[]) == 0.0).then_some(()));
}

#[test]
fn a_reset_after_the_client_has_shut_its_side_ends_the_request() {
    let upstream = Service::start(|_| async {
        std::future::pending::<()>().await;
        text(200, "never")
    });
    let gateway = TestGateway::start(&config(upstream.address()).replace("response: 2s", "response: 60s"), &[]);
    let stream = TcpStream::connect(gateway.listener("clear")).expect("connected");
    (&stream).write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    stream.shutdown(Shutdown::Write).expect("open");
    eventually("it runs", || (gateway.metric("gateway_upstream_requests_in_flight", &[]) == 1.0).then_some(()));
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(stream);
    eventually("it ends", || (gateway.metric("gateway_upstream_requests_in_flight", &[]) == 0.0).then_some(()));
}

#[test]
fn http_in_clear_text_on_a_port_of_tls_is_told_so() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address()), &[]);
    let address = gateway.listener("tls");
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /a HTTP/1.0\r\nContent-Length: 100000\r\n\r\nxxx"] {
        let answer = exchange_and_end(address, request);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    }
    let head = exchange_and_end(address, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 400 ") && head.ends_with("\r\n\r\n"), "{head}");
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n", "\u{1}\u{2}\u{3}", "EHLO a\r\n"] {
        assert_eq!(exchange_and_end(address, garbage), "", "{garbage:?}");
    }
    let rejected = |reason: &str| gateway.metric("gateway_listener_rejected_total", &["\"tls\"", reason]);
    eventually("they are counted", || {
        let counts = (rejected("reason=\"cleartext\""), rejected("reason=\"tls\""));
        (counts == (3.0, 3.0)).then_some(()).ok_or(counts)
    });
    assert_eq!(Client::tls("http2", address, "localhost").get("/").status, 200);
}

/// The same for servers that wait for the client's end: it shuts its side.
fn exchange_and_end(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    // A reset ends it just as well.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_client_of_http3_whose_address_changes_goes_on() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let yaml = format!("{}forwarding: {{trusted: []}}\n", config(upstream.address()));
    let gateway = TestGateway::start(&yaml, &[]);
    run("after every change", async {
        let address = gateway.listener("tls");
        let (mut sender, endpoint, _) = connect_http3(address, "localhost").await.expect("connected");
        // Two workers: half of the new addresses are the other one's.
        for number in 0..8 {
            let request = http::Request::get(format!("https://localhost:{}/", address.port()));
            let mut stream = sender.send_request(request.body(()).expect("valid")).await.expect("sent");
            stream.finish().await.expect("sent");
            let response = stream.recv_response().await.unwrap_or_else(|error| panic!("{number}: {error}"));
            assert_eq!(response.status(), 200, "{number}");
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
            endpoint.rebind(socket).expect("another address");
        }
    });
    assert_eq!(upstream.seen().len(), 8);
}

/// An upstream that writes interim responses for ever, with a pause between two.
fn hinting(pause: Duration) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                stream.read_exact(&mut [0; 16]).expect("a request");
                while stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").is_ok() {
                    std::thread::sleep(pause);
                }
            });
        }
    });
    address
}

#[test]
fn interim_responses_without_an_end_outlive_no_deadline() {
    for (pause, statuses) in [(Duration::ZERO, [502, 504]), (Duration::from_millis(50), [504, 504])] {
        let gateway = TestGateway::start(&config(hinting(pause)), &[]);
        for protocol in PROTOCOLS {
            let began = Instant::now();
            let response = Client::tls(protocol, gateway.listener("tls"), "localhost").get("/");
            assert!(statuses.contains(&response.status), "{protocol}: {}", response.status);
            assert!(began.elapsed() < Duration::from_secs(20), "{protocol}: {:?}", began.elapsed());
        }
    }
}
