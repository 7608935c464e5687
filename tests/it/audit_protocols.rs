//! Both records of an exchange over every protocol, whoever answers and however it ends.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use audit::query::Exchange;
use audit::record::Closing;
use audit::vocabulary::Outcome;
use bytes::Bytes;
use gateway_tests::audit::{DECLARED, exchanges, fill, sections};
use gateway_tests::client::{Client, PROTOCOLS, connect_http3};
use gateway_tests::duplex::{run, streamed};
use gateway_tests::eventually;
use gateway_tests::gateway::{TestGateway, install};
use gateway_tests::upstream::{Upstream, hang_up, reusable, text};

/// A gateway with TLS for all protocols and one audited route.
fn gateway(upstream: &Upstream, route: &str) -> TestGateway {
    let yaml = format!(
        "listeners: [{{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}]
plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
{}routes: [{{name: all, upstream: one, {route}{DECLARED}}}]
",
        upstream.address(),
        sections("")
    );
    TestGateway::prepare(&yaml, |directory| {
        fill(directory);
        install("circuit-breaker", &directory.join("plugins"));
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

/// The end of the last exchange.
fn last(found: &[Exchange]) -> &Closing {
    found.last().and_then(|last| last.closing.as_ref()).expect("the last exchange has its end")
}

#[test]
fn over_every_protocol_both_records_are_on_time_whatever_the_form_of_the_response() {
    let directory: Arc<OnceLock<PathBuf>> = Arc::default();
    let place = directory.clone();
    let upstream = Upstream::start_async(move |seen| {
        let found = exchanges(place.get().expect("it is known"));
        let open = found.iter().filter(|found| found.closing.is_none()).count();
        async move {
            let status = if open == 1 { 200 } else { 500 };
            match seen.target.as_str() {
                "/stream" => {
                    let (mut sender, mut response) = streamed("text/plain");
                    tokio::spawn(async move {
                        for piece in ["one ", "two ", "three"] {
                            if sender.send_data(Bytes::from_static(piece.as_bytes())).await.is_err() {
                                return;
                            }
                        }
                    });
                    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
                    response
                }
                "/none" => text(if open == 1 { 204 } else { 500 }, ""),
                _ => text(status, "hello"),
            }
        }
    });
    let gateway = gateway(&upstream, "");
    directory.set(gateway.directory().to_owned()).expect("once");
    let mut asked = 0;
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        for (method, path, status, sent) in [
            ("GET", "/whole", 200, 5),
            ("GET", "/stream", 200, 13),
            ("GET", "/none", 204, 0),
            ("HEAD", "/whole", 200, 0),
        ] {
            let response = client.send(http::Request::builder().method(method).uri(path), "");
            assert_eq!((response.status, response.body.len()), (status, sent), "{protocol} {path}");
            asked += 1;
            let found = exchanges(gateway.directory());
            assert_eq!(found.len(), asked, "{protocol} {path}");
            let closing = last(&found);
            assert_eq!((closing.outcome, closing.status), (Outcome::Complete, status), "{protocol} {path}");
            assert_eq!(closing.bytes.sent, sent as u64, "{protocol} {path}");
        }
    }
}

#[test]
fn over_every_protocol_an_answer_from_the_store_has_its_records_and_no_recipient() {
    let failing = Arc::new(AtomicBool::new(false));
    let switch = failing.clone();
    let upstream =
        Upstream::start(
            move |_| {
                if switch.load(Ordering::SeqCst) { text(500, "broken") } else { reusable(200, "stock") }
            },
        );
    let breaker =
        "plugins: [{name: circuit-breaker, config: {minimum_requests: 3, failure_ratio: 0.6, open_for: 1h}}], ";
    let gateway = gateway(&upstream, breaker);
    let mut client = Client::tls("http1", gateway.address(), "localhost");
    assert_eq!(client.get("/a").text(), "stock");
    failing.store(true, Ordering::SeqCst);
    eventually("the breaker is open", || (client.get("/b").status == 503).then_some(()));
    let before = exchanges(gateway.directory()).len();
    for (number, protocol) in PROTOCOLS.iter().enumerate() {
        let stored = Client::tls(protocol, gateway.address(), "localhost").get("/a");
        assert_eq!((stored.status, stored.text().as_str()), (200, "stock"), "{protocol}");
        let found = exchanges(gateway.directory());
        assert_eq!(found.len(), before + number + 1, "{protocol}");
        assert_eq!((last(&found).outcome, last(&found).bytes.sent), (Outcome::Stored, 5), "{protocol}");
        assert!(found.last().expect("one").opening.upstream.is_none(), "{protocol}: it went nowhere");
    }
}

#[test]
fn over_every_protocol_a_response_that_breaks_off_has_its_end() {
    let upstream = Upstream::start_async(|seen| async move {
        if seen.target == "/nothing" {
            return hang_up();
        }
        let (mut sender, response) = streamed("text/plain");
        tokio::spawn(async move {
            let _ = sender.send_data(Bytes::from_static(b"begun")).await;
            sender.abort(std::io::Error::other("broken off"));
        });
        response
    });
    let gateway = gateway(&upstream, "");
    let mut asked = 0;
    for protocol in PROTOCOLS {
        for (path, status) in [("/nothing", 502), ("/cut", 200)] {
            let mut client = Client::tls(protocol, gateway.address(), "localhost");
            let answer = client.try_send(http::Request::get(path), "");
            assert_eq!(answer.is_ok(), status == 502, "{protocol} {path}: {answer:?}");
            asked += 1;
            let closing = eventually("the closing record", || {
                let found = exchanges(gateway.directory());
                found.get(asked - 1).and_then(|found| found.closing.clone()).ok_or(found)
            });
            assert_eq!((closing.outcome, closing.status), (Outcome::UpstreamFailed, status), "{protocol} {path}");
        }
    }
    assert_eq!(exchanges(gateway.directory()).len(), asked);
}

#[test]
fn a_stream_that_its_client_leaves_over_http3_has_its_end() {
    let upstream = Upstream::start_async(|_| async {
        let (mut sender, response) = streamed("text/event-stream");
        tokio::spawn(async move {
            let _ = sender.send_data(Bytes::from_static(b"data: 1\n\n")).await;
            // It goes on until the gateway lets go of it.
            std::future::pending::<()>().await;
            drop(sender);
        });
        response
    });
    let gateway = gateway(&upstream, "");
    let address = gateway.address();
    run("a stream's first event", async move {
        let (mut sender, endpoint, connection) = connect_http3(address, "localhost").await.expect("connected");
        let uri = format!("https://localhost:{}/", address.port());
        let request = http::Request::get(uri).body(()).expect("a request");
        let mut stream = sender.send_request(request).await.expect("sent");
        stream.finish().await.expect("sent");
        assert_eq!(stream.recv_response().await.expect("a head").status(), 200);
        assert!(stream.recv_data().await.expect("a piece").is_some(), "pieces before the end are not held back");
        connection.close(quinn::VarInt::from_u32(0x100), b"");
        endpoint.wait_idle().await;
    });
    let closing = eventually("the closing record", || {
        let found = exchanges(gateway.directory());
        found.first().and_then(|found| found.closing.clone()).ok_or(found)
    });
    assert_eq!((closing.outcome, closing.status, closing.bytes.sent), (Outcome::ClientLeft, 200, 9));
}
