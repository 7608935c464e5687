//! gRPC: calls of every shape pass, with their trailers.

use bytes::Bytes;
use gateway_tests::duplex::{Duplex, gateway, run, streamed};
use gateway_tests::load::Service;
use http::HeaderMap;
use http_body_util::BodyExt;

/// What gRPC runs over.
const CLIENTS: [&str; 2] = ["http2", "http3"];

fn status(code: &'static str, message: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static(code));
    trailers.insert("grpc-message", http::HeaderValue::from_static(message));
    trailers
}

fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).expect("short").to_be_bytes();
    [&[0][..], &length, text.as_bytes()].concat().into()
}

/// A service whose calls answer message by message: `/echo` each when it comes, `/count` five to one, `/refuse` none.
fn service() -> Service {
    Service::start(|request| async move {
        assert_eq!(request.version(), http::Version::HTTP_2);
        assert_eq!(request.headers()["te"], "trailers");
        let path = request.uri().path().to_owned();
        if path == "/refuse" {
            let (sender, mut response) = streamed("application/grpc");
            drop(sender);
            response.headers_mut().extend(status("7", "not for you"));
            return response;
        }
        let (mut sender, response) = streamed("application/grpc");
        let mut input = request.into_body();
        tokio::spawn(async move {
            while let Some(frame) = input.frame().await {
                let Ok(data) = frame.expect("whole").into_data() else { continue };
                if path == "/echo" {
                    sender.send_data(data).await.expect("sent");
                }
            }
            if path == "/count" {
                for number in 1..=5 {
                    sender.send_data(message(&number.to_string())).await.expect("sent");
                }
            }
            sender.send_trailers(status("0", "fine")).await.expect("sent");
        });
        response
    })
}

fn call(path: &str) -> http::request::Builder {
    http::Request::post(path).header("content-type", "application/grpc").header("te", "trailers")
}

#[test]
fn a_call_keeps_its_trailers() {
    let service = service();
    let gateway = gateway(service.address(), "http2");
    for protocol in CLIENTS {
        run(protocol, async {
            let mut client = Duplex::open(protocol, &gateway, call("/echo")).await;
            client.send(message("hello")).await.expect("sent");
            client.finish().await;
            let head = client.head().await;
            assert_eq!(
                (head.status().as_u16(), &head.headers()["content-type"]),
                (200, &"application/grpc".parse().unwrap())
            );
            let (body, trailers) = client.rest().await.expect("whole");
            assert_eq!((body, trailers), (message("hello"), Some(status("0", "fine"))), "{protocol}");
        });
    }
}

#[test]
fn a_call_that_is_refused_has_its_status_in_the_head() {
    let service = service();
    let gateway = gateway(service.address(), "http2");
    for protocol in CLIENTS {
        run(protocol, async {
            let mut client = Duplex::open(protocol, &gateway, call("/refuse")).await;
            // The refusal may come first, and then nobody wants the message any more (RFC 9114 section 4.1).
            let _ = client.send(message("hello")).await;
            let head = client.head().await;
            assert_eq!((head.status().as_u16(), &head.headers()["grpc-status"]), (200, &"7".parse().unwrap()));
            assert_eq!(client.rest().await, Ok((Bytes::new(), None)), "{protocol}");
        });
    }
}

#[test]
fn one_message_is_answered_by_many() {
    let service = service();
    let gateway = gateway(service.address(), "http2");
    for protocol in CLIENTS {
        run(protocol, async {
            let mut client = Duplex::open(protocol, &gateway, call("/count")).await;
            client.send(message("five")).await.expect("sent");
            client.finish().await;
            client.head().await;
            let expected: Vec<u8> = (1..=5).flat_map(|number: u8| message(&number.to_string())).collect();
            assert_eq!(client.rest().await, Ok((expected.into(), Some(status("0", "fine")))), "{protocol}");
        });
    }
}

#[test]
fn messages_go_both_ways_in_turn() {
    let service = service();
    let gateway = gateway(service.address(), "http2");
    for protocol in CLIENTS {
        run(protocol, async {
            let mut client = Duplex::open(protocol, &gateway, call("/echo")).await;
            assert_eq!(client.head().await.status(), 200, "{protocol}: before the first message");
            for text in ["one", "two", "three"] {
                client.send(message(text)).await.expect("sent");
                assert_eq!(client.piece().await, message(text), "{protocol}");
            }
            client.finish().await;
            assert_eq!(client.rest().await, Ok((Bytes::new(), Some(status("0", "fine")))), "{protocol}");
        });
    }
}
