//! Responses before the response (RFC 9110 section 15.2), from an upstream to its clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use gateway_tests::duplex::{self, Duplex, run};
use gateway_tests::raw::Http2;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Answers with 102, 103 and, when it is told to, with 200.
fn hinting(protocol: &str) -> (SocketAddr, UnboundedSender<()>) {
    let (go_on, told) = unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    if protocol == "http2" {
        std::thread::spawn(move || over_http2(listener, told));
    } else {
        std::thread::spawn(move || over_http1(&listener, told));
    }
    (address, go_on)
}

fn over_http1(listener: &TcpListener, mut told: UnboundedReceiver<()>) {
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            request.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").expect("sent");
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nkeep-alive: 5\r\n\r\n").expect("sent");
        if told.blocking_recv().is_none() {
            return;
        }
        let end = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
        stream.write_all(end).expect("sent");
    }
}

fn over_http2(listener: TcpListener, told: UnboundedReceiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("an option");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
        let told = Arc::new(Mutex::new(told));
        // Each worker has a connection of its own.
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(hint_on(stream, told.clone()));
        }
    });
}

async fn hint_on(stream: tokio::net::TcpStream, told: Arc<Mutex<UnboundedReceiver<()>>>) {
    let head = |status: u16| http::Response::builder().status(status);
    let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        respond.send_informational(head(102).body(()).expect("valid")).expect("sent");
        let hints = head(103).header("link", "</a>").body(()).expect("valid");
        respond.send_informational(hints).expect("sent");
        let go_on = async { told.lock().await.recv().await };
        let told = tokio::select! {
            told = go_on => told,
            _ = connection.accept() => None,
        };
        if told.is_none() {
            return;
        }
        let mut body = respond.send_response(head(200).body(()).expect("valid"), false).expect("sent");
        body.send_data("ok".into(), true).expect("sent");
    }
}

const PROTOCOLS: [&str; 2] = ["http1", "http2"];

#[test]
fn interim_responses_reach_a_client_of_http2_before_the_response_is_there() {
    for protocol in PROTOCOLS {
        let (upstream, go_on) = hinting(protocol);
        let gateway = duplex::gateway(upstream, protocol);
        let mut client = Http2::connect(gateway.listener("clear"), &[]);
        client.get(1);
        // HPACK: `:status` as a literal, whose value is "102" or "103" in Huffman's code. END_HEADERS, and no END_STREAM.
        for status in [[0x48, 0x82, 0x08, 0x05], [0x48, 0x82, 0x08, 0x19]] {
            let hints = client.wait_for("a head", |frame| frame.kind == 1 && frame.stream == 1);
            assert_eq!((&hints.payload[..4], hints.flags), (&status[..], 4), "{protocol}");
        }
        go_on.send(()).expect("the upstream waits");
        let head = client.wait_for("the head of the response", |frame| frame.kind == 1 && frame.stream == 1);
        assert_eq!(head.payload[0], 0x88, "`:status: 200` of the static table");
        let content = client.wait_for("the end", |frame| frame.stream == 1 && frame.flags & 1 == 1);
        assert_eq!((content.kind, &content.payload[..]), (0, &b"ok"[..]));
    }
}

#[test]
fn interim_responses_reach_a_client_of_http3_before_the_response_is_there() {
    for protocol in PROTOCOLS {
        let (upstream, go_on) = hinting(protocol);
        let gateway = duplex::gateway(upstream, protocol);
        run("a client of HTTP/3", async {
            let mut client = Duplex::get("http3", &gateway).await;
            assert_eq!(client.head().await.status(), 102, "{protocol}");
            let hints = client.head().await;
            assert_eq!((hints.status().as_u16(), &hints.headers()["link"]), (103, &"</a>".parse().expect("valid")));
            assert!(!hints.headers().contains_key("keep-alive"));
            go_on.send(()).expect("the upstream waits");
            assert_eq!(client.head().await.status(), 200);
            assert_eq!(client.rest().await.expect("a whole response").0, "ok");
        });
    }
}

#[test]
fn interim_responses_reach_a_client_of_http1_1_before_the_response_is_there_and_none_of_http1_0() {
    for protocol in PROTOCOLS {
        let (upstream, go_on) = hinting(protocol);
        let gateway = duplex::gateway(upstream, protocol);
        let mut client = TcpStream::connect(gateway.listener("clear")).expect("connected");
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
        let expected = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let mut hints = vec![0; expected.len()];
        client.read_exact(&mut hints).expect("interim responses");
        assert_eq!(String::from_utf8_lossy(&hints), expected, "{protocol}");
        go_on.send(()).expect("the upstream waits");
        let mut rest = String::new();
        client.read_to_string(&mut rest).expect("a response");
        let whole =
            |text: &str| text.contains("\r\n\r\n") && (text.ends_with("ok") || text.ends_with("2\r\nok\r\n0\r\n\r\n"));
        assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && whole(&rest), "{protocol}: {rest}");

        let mut old = TcpStream::connect(gateway.listener("clear")).expect("connected");
        old.write_all(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").expect("sent");
        go_on.send(()).expect("the upstream waits");
        let mut all = String::new();
        old.read_to_string(&mut all).expect("a response");
        assert!(all.starts_with("HTTP/1.0 200 OK\r\n") && whole(&all), "{protocol}: {all}");
    }
}
