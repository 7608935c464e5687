//! Trailers, in both directions and over every pair of protocols.

use gateway_tests::client::PROTOCOLS;
use gateway_tests::duplex::{Duplex, gateway, run, streamed};
use gateway_tests::load::Service;
use gateway_tests::raw::Http2;
use gateway_tests::upstream::{Upstream, text};
use http::HeaderMap;

fn checksum() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", http::HeaderValue::from_static("a1b2"));
    trailers
}

#[test]
fn trailers_of_a_request_reach_the_upstream() {
    for upstream_protocol in ["http1", "http2"] {
        let upstream = Upstream::start(|_| text(200, "ok"));
        let gateway = gateway(upstream.address(), upstream_protocol);
        for protocol in PROTOCOLS {
            let case = format!("{protocol} to {upstream_protocol}");
            run(&case, async {
                let request = http::Request::post("/").header("trailer", "x-checksum");
                let mut client = Duplex::open(protocol, &gateway, request).await;
                client.send("body").await.expect("sent");
                let mut trailers = checksum();
                // What belongs to the head has no business here.
                if protocol != "http1" {
                    trailers.insert("x-forwarded-for", http::HeaderValue::from_static("192.0.2.1"));
                }
                client.finish_with(trailers).await;
                assert_eq!(client.head().await.status(), 200, "{case}");
            });
            let seen = upstream.seen().pop().expect("it was forwarded");
            assert_eq!((&seen.body[..], seen.trailers), (&b"body"[..], Some(checksum())), "{case}");
            assert_eq!(seen.headers["trailer"], "x-checksum", "{case}");
        }
    }
}

/// HTTP/1 sends what the head has named; a client of HTTP/2 or 3 need not name it.
#[test]
fn trailers_that_nobody_named_reach_an_upstream_of_http2_and_cost_one_of_http1_nothing() {
    for upstream_protocol in ["http1", "http2"] {
        let upstream = Upstream::start(|_| text(200, "ok"));
        let gateway = gateway(upstream.address(), upstream_protocol);
        for protocol in ["http2", "http3"] {
            let case = format!("{protocol} to {upstream_protocol}");
            run(&case, async {
                let mut client = Duplex::open(protocol, &gateway, http::Request::post("/")).await;
                client.send("body").await.expect("sent");
                client.finish_with(checksum()).await;
                assert_eq!(client.head().await.status(), 200, "{case}");
            });
            let seen = upstream.seen().pop().expect("it was forwarded");
            assert_eq!(&seen.body[..], b"body", "{case}");
            assert_eq!(seen.trailers, (upstream_protocol == "http2").then(checksum), "{case}");
        }
    }
}

#[test]
fn trailers_of_a_response_reach_the_client() {
    let upstream = Service::start(|_| async {
        let (mut sender, mut response) = streamed("text/plain");
        response.headers_mut().insert("trailer", http::HeaderValue::from_static("x-checksum"));
        tokio::spawn(async move {
            sender.send_data("body".into()).await.expect("sent");
            sender.send_trailers(checksum()).await.expect("sent");
        });
        response
    });
    for upstream_protocol in ["http1", "http2"] {
        let gateway = gateway(upstream.address(), upstream_protocol);
        for protocol in PROTOCOLS {
            let case = format!("{protocol} to {upstream_protocol}");
            run(&case, async {
                let request = http::Request::post("/").header("te", "trailers");
                let mut client = Duplex::open(protocol, &gateway, request).await;
                client.finish().await;
                assert_eq!(client.head().await.headers()["trailer"], "x-checksum", "{case}");
                assert_eq!(client.rest().await, Ok(("body".into(), Some(checksum()))), "{case}");
            });
        }
    }
}

#[test]
fn pseudo_header_fields_in_trailers_cost_their_stream_and_no_other() {
    for upstream_protocol in ["http1", "http2"] {
        let upstream = Upstream::start(|_| text(200, "ok"));
        let gateway = gateway(upstream.address(), upstream_protocol);
        let mut client = Http2::connect(gateway.listener("clear"), &[]);
        // The target enters the dynamic table.
        let head = [&b"\x83\x86\x44\x01/"[..], b"\x01\x09localhost"].concat();
        let mut post = |stream: u32, head: &[u8], trailers: &[u8]| {
            client.send(1, 4, stream, head);
            client.send(0, 0, stream, b"body");
            client.send(1, 5, stream, trailers);
            client.wait_for("an answer", |frame| frame.stream == stream && matches!(frame.kind, 1 | 3))
        };
        // RFC 9113 section 8.1: an entry of the dynamic table, one of the static table, a literal, and one behind a field.
        let again = [&head[..2], &head[5..], b"\xbe"].concat();
        let cases: [&[u8]; 4] = [b"\xbe", b"\x82", b"\x00\x05:path\x01/", b"\x00\x03x-a\x011\x82"];
        for (trailers, stream) in cases.into_iter().zip((1..).step_by(2)) {
            let answer = post(stream, if stream == 1 { &head } else { &again }, trailers);
            assert_eq!((answer.kind, &answer.payload[..]), (3, &[0, 0, 0, 1][..]), "{upstream_protocol}: {trailers:?}");
        }
        let answer = post(9, &again, b"\x00\x0ax-checksum\x04a1b2");
        assert_eq!((answer.kind, answer.payload[0]), (1, 0x88), "{upstream_protocol}");
        let seen = upstream.seen();
        assert_eq!(seen.len(), 1, "{upstream_protocol}: {seen:?}");
        assert_eq!(seen[0].trailers.is_some(), upstream_protocol == "http2", "nobody named them");
    }
}
