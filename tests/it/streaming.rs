//! Streams: what comes is passed on at once, what nobody reads stops, what nobody wants ends.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_tests::client::PROTOCOLS;
use gateway_tests::duplex::{Duplex, gateway, run, streamed};
use gateway_tests::eventually;
use gateway_tests::load::Service;
use gateway_tests::upstream::{ScriptBody, text};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::sync::mpsc;

type Sender = http_body_util::channel::Sender<Bytes, std::io::Error>;

const UPSTREAMS: [&str; 2] = ["http1", "http2"];

/// An upstream that answers each request with a body that the test writes.
fn held_responses(content_type: &'static str) -> (Service, mpsc::UnboundedReceiver<Sender>) {
    let (give, take) = mpsc::unbounded_channel();
    let upstream = Service::start(move |_| {
        let (sender, response) = streamed(content_type);
        let _ = give.send(sender);
        async move { response }
    });
    (upstream, take)
}

#[test]
fn an_event_arrives_while_the_response_is_still_open() {
    for upstream_protocol in UPSTREAMS {
        let (upstream, mut responses) = held_responses("text/event-stream");
        let gateway = gateway(upstream.address(), upstream_protocol);
        for protocol in PROTOCOLS {
            let case = format!("{protocol} to {upstream_protocol}");
            run(&case, async {
                let mut client = Duplex::get(protocol, &gateway).await;
                let mut sender = responses.recv().await.expect("a request");
                // Nothing has come of the body when the head goes out.
                assert_eq!(client.head().await.headers()["content-type"], "text/event-stream", "{case}");
                for event in ["data: one\n\n", "data: two\n\n"] {
                    sender.send_data(event.into()).await.expect("sent");
                    // The next one is sent when this one has come: nothing waits for more.
                    assert_eq!(client.piece().await, event, "{case}");
                }
                drop(sender);
                assert_eq!(client.next().await, Ok(None), "{case}");
            });
        }
    }
}

#[test]
fn a_client_that_gives_up_ends_the_request_to_the_upstream_and_is_logged_once() {
    for upstream_protocol in UPSTREAMS {
        let (upstream, mut responses) = held_responses("text/plain");
        let gateway = gateway(upstream.address(), upstream_protocol);
        for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
            let case = format!("{protocol} to {upstream_protocol}");
            let mut sender = run(&case, async {
                let mut client = Duplex::get(protocol, &gateway).await;
                let mut sender = responses.recv().await.expect("a request");
                sender.send_data("first".into()).await.expect("sent");
                client.head().await;
                assert_eq!(client.piece().await, "first", "{case}");
                client.cancel().await;
                sender
            });
            // Without another byte that would find the client gone.
            let in_flight = || gateway.metric("gateway_upstream_requests_in_flight", &[]);
            eventually(&case, || (in_flight() == 0.0).then_some(()));
            // With one, because hyper's server does not always see a connection end on which it has nothing to send.
            run(&case, async {
                while sender.send_data("more".into()).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
            gateway.logged(&case, |record| record["protocol"] == protocol);
            let records = gateway.access_log();
            assert_eq!(records.len(), number + 1, "{case}: one record per request");
            assert_eq!(records[number]["failure"], "cancelled", "{case}: {}", records[number]);
        }
    }
}

#[test]
fn both_directions_stream_at_once() {
    let upstream = Service::start(|request| async move {
        http::Response::new(request.into_body().map_err(std::io::Error::other).boxed())
    });
    for upstream_protocol in UPSTREAMS {
        let gateway = gateway(upstream.address(), upstream_protocol);
        for protocol in PROTOCOLS {
            let case = format!("{protocol} to {upstream_protocol}");
            run(&case, async {
                let mut client = Duplex::open(protocol, &gateway, http::Request::post("/")).await;
                client.send("first").await.expect("sent");
                // A response before the request has ended.
                assert_eq!(client.head().await.status(), 200, "{case}");
                assert_eq!(client.piece().await, "first", "{case}");
                for piece in ["ping", "pong", "ping again"] {
                    client.send(piece).await.expect("sent");
                    assert_eq!(client.piece().await, piece, "{case}");
                }
                client.finish().await;
                assert_eq!(client.next().await, Ok(None), "{case}");
            });
        }
    }
}

#[test]
fn an_answer_to_a_request_that_is_still_being_sent_reaches_the_client_whole() {
    let upstream = Service::start(|_| async { text(403, "no more of this") });
    for upstream_protocol in UPSTREAMS {
        let gateway = gateway(upstream.address(), upstream_protocol);
        for protocol in PROTOCOLS {
            let case = format!("{protocol} to {upstream_protocol}");
            run(&case, async {
                let mut client = Duplex::open(protocol, &gateway, http::Request::post("/")).await;
                // Over HTTP/3 the answer may already have told the client to stop.
                let _ = client.send("begun").await;
                assert_eq!(client.head().await.status(), 403, "{case}");
                let (body, _) = client.rest().await.unwrap_or_else(|error| panic!("{case}: {error}"));
                assert_eq!(body, "no more of this", "{case}");
            });
            let record = gateway.logged(&case, |record| record["protocol"] == protocol);
            assert_eq!((&record["status"], &record["failure"]), (&403.into(), &serde_json::Value::Null), "{record}");
        }
    }
}

/// Peers of HTTP/2 take thousands of small frames that nobody has read yet for an attack, and end the connection.
const CRUMBS: usize = 20_000;

#[test]
fn a_response_in_chunks_of_one_byte_is_not_an_attack_on_an_http2_client() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let upstream = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.read_exact(&mut [0; 16]).expect("a request");
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(&[&head[..], &b"1\r\nx\r\n".repeat(CRUMBS), &b"0\r\n\r\n"[..]].concat()).expect("sent");
        stream
    });
    let gateway = gateway(address, "http1");
    run("the response", async {
        let mut client = Duplex::get("http2", &gateway).await;
        assert_eq!(client.head().await.status(), 200);
        // Nothing is read before everything has come.
        gateway.logged("the exchange", |record| record["status"] == 200);
        let (body, _) = client.rest().await.expect("whole");
        assert_eq!(body.len(), CRUMBS);
    });
    drop(upstream.join());
}

/// How much of what is offered a stream that nobody reads may hold in all the buffers on its way. The kernel's of the
/// gateway's own sockets, which grow to some 10 MiB, are the most of it.
const HELD: usize = 16 << 20;
const OFFERED: usize = 64 << 20;

/// Waits until everything that has room is full: quiet for a quarter of a second.
fn comes_to_rest(what: &str, count: &AtomicUsize) -> usize {
    let mut last = (usize::MAX, Instant::now());
    eventually(what, || {
        let now = count.load(Ordering::SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
        (now > 0 && last.1.elapsed() > Duration::from_millis(250)).then_some(now)
    })
}

#[test]
fn a_client_that_does_not_read_stops_the_upstream() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let upstream = Service::start(move |_| {
        let count = count.clone();
        let pieces = made_as_it_is_read(move |sent| {
            count.store(sent, Ordering::SeqCst);
            (sent < OFFERED).then(|| Bytes::from_static(&[b'x'; 16 << 10]))
        });
        async move { http::Response::new(pieces) }
    });
    for upstream_protocol in UPSTREAMS {
        let gateway = gateway(upstream.address(), upstream_protocol);
        for protocol in PROTOCOLS {
            let case = format!("{protocol} to {upstream_protocol}");
            taken.store(0, Ordering::SeqCst);
            run(&case, async {
                let mut client = Duplex::get(protocol, &gateway).await;
                assert_eq!(client.head().await.status(), 200);
                let taken = taken.clone();
                let waiting = tokio::task::spawn_blocking(move || comes_to_rest("the upstream stops", &taken));
                let stopped = waiting.await.expect("no panic");
                eprintln!("{case}: {stopped} of {OFFERED} bytes were taken from the upstream");
                assert!(stopped < HELD, "{case}: {stopped} bytes");
                // Closed, not left: the gateway's drain would wait for a client that is gone without a word.
                client.cancel().await;
            });
        }
    }
}

#[test]
fn an_upstream_that_does_not_read_stops_the_client() {
    // It answers when it is told to, and reads nothing before.
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let held = go.clone();
    let upstream = Service::start(move |request| {
        let held = held.clone();
        async move {
            held.acquire().await.expect("open").forget();
            let body = request.into_body().collect().await;
            text(200, body.map_or(0, |body| body.to_bytes().len()).to_string())
        }
    });
    for upstream_protocol in UPSTREAMS {
        let gateway = gateway(upstream.address(), upstream_protocol);
        for protocol in PROTOCOLS {
            let case = format!("{protocol} to {upstream_protocol}");
            let sent = Arc::new(AtomicUsize::new(0));
            run(&case, async {
                let mut client = Duplex::open(protocol, &gateway, http::Request::post("/")).await;
                let count = sent.clone();
                let waiting = tokio::task::spawn_blocking(move || {
                    let stopped = comes_to_rest("the client stops", &count);
                    assert!(stopped < HELD, "{stopped} bytes were taken from the client");
                });
                let (mut total, go) = (0, go.clone());
                let stopped = tokio::spawn(async move {
                    waiting.await.expect("the client is stopped");
                    go.add_permits(1);
                });
                while total < HELD * 3 / 2 {
                    client.send(Bytes::from_static(&[b'x'; 16 << 10])).await.expect("sent");
                    total += 16 << 10;
                    sent.store(total, Ordering::SeqCst);
                }
                stopped.await.expect(&case);
                client.finish().await;
                assert_eq!(client.head().await.status(), 200, "{case}");
                assert_eq!(client.rest().await.expect("whole").0, total.to_string(), "{case}: nothing is lost");
            });
        }
    }
}

/// A body that is made as it is read.
fn made_as_it_is_read(next: impl FnMut(usize) -> Option<Bytes> + Send + Sync + 'static) -> ScriptBody {
    struct Made<F>(F, usize);
    impl<F: FnMut(usize) -> Option<Bytes> + Unpin> hyper::body::Body for Made<F> {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            let this = self.get_mut();
            let piece = (this.0)(this.1);
            this.1 += piece.as_ref().map_or(0, Bytes::len);
            std::task::Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
        }
    }
    Made(Box::new(next), 0).boxed()
}
