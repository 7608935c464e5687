//! Responses before the response (RFC 9110 section 15.2), from an upstream to its clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use gateway_tests::duplex::{self, Duplex, run};
use gateway_tests::gateway::TestGateway;
use gateway_tests::raw::Http2;

/// Answers with 103 and, when it is told to, with 200.
fn hinting() -> (SocketAddr, std::sync::mpsc::Sender<()>) {
    let (go_on, told): (_, Receiver<()>) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a request");
                request.push(byte[0]);
            }
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nkeep-alive: 5\r\n\r\n").expect("sent");
            if told.recv().is_err() {
                return;
            }
            let end = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            stream.write_all(end).expect("sent");
        }
    });
    (address, go_on)
}

fn gateway(upstream: SocketAddr) -> TestGateway {
    duplex::gateway(upstream, "http1")
}

#[test]
fn early_hints_reach_a_client_of_http2_before_the_response_is_there() {
    let (upstream, go_on) = hinting();
    let gateway = gateway(upstream);
    let mut client = Http2::connect(gateway.listener("clear"), &[]);
    client.get(1);
    let hints = client.wait_for("a head", |frame| frame.kind == 1 && frame.stream == 1);
    // HPACK: `:status` as a literal, whose value is "103" in Huffman's code. END_HEADERS, and no END_STREAM.
    assert_eq!((&hints.payload[..4], hints.flags), (&[0x48, 0x82, 0x08, 0x19][..], 4));
    go_on.send(()).expect("the upstream waits");
    let head = client.wait_for("the head of the response", |frame| frame.kind == 1 && frame.stream == 1);
    assert_eq!(head.payload[0], 0x88, "`:status: 200` of the static table");
    let content = client.wait_for("the end", |frame| frame.stream == 1 && frame.flags & 1 == 1);
    assert_eq!((content.kind, &content.payload[..]), (0, &b"ok"[..]));
}

#[test]
fn early_hints_reach_a_client_of_http3_before_the_response_is_there() {
    let (upstream, go_on) = hinting();
    let gateway = gateway(upstream);
    run("a client of HTTP/3", async {
        let mut client = Duplex::get("http3", &gateway).await;
        let hints = client.head().await;
        assert_eq!((hints.status().as_u16(), &hints.headers()["link"]), (103, &"</a>".parse().expect("valid")));
        assert!(!hints.headers().contains_key("keep-alive"));
        go_on.send(()).expect("the upstream waits");
        assert_eq!(client.head().await.status(), 200);
        assert_eq!(client.rest().await.expect("a whole response").0, "ok");
    });
}

#[test]
fn early_hints_reach_a_client_of_http1_1_before_the_response_is_there_and_none_of_http1_0() {
    let (upstream, go_on) = hinting();
    let gateway = gateway(upstream);
    let mut client = TcpStream::connect(gateway.listener("clear")).expect("connected");
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
    let expected = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let mut hints = vec![0; expected.len()];
    client.read_exact(&mut hints).expect("an interim response");
    assert_eq!(String::from_utf8_lossy(&hints), expected);
    go_on.send(()).expect("the upstream waits");
    let mut rest = String::new();
    client.read_to_string(&mut rest).expect("a response");
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("\r\n\r\nok"), "{rest}");

    let mut old = TcpStream::connect(gateway.listener("clear")).expect("connected");
    old.write_all(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").expect("sent");
    go_on.send(()).expect("the upstream waits");
    let mut all = String::new();
    old.read_to_string(&mut all).expect("a response");
    assert!(all.starts_with("HTTP/1.0 200 OK\r\n") && all.ends_with("\r\n\r\nok"), "{all}");
}
