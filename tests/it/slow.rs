//! Clients that stall or leave, over TLS and QUIC: what they held is given back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_tests::client::{PROTOCOLS, connect_http3, tls_stream};
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::raw::{self, GET, http3_head};
use gateway_tests::upstream::{ScriptBody, text};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Runtime;

fn config(upstream: &Service, protocol: &str) -> String {
    format!(
        "listeners:
  - name: tls
    address: \"127.0.0.1:0\"
    protocols: [http1, http2, http3]
    tls: {{self_signed: [localhost]}}
    limits: {{body_timeout: 1s}}
upstreams: {{service: {{endpoints: [\"{}\"], protocol: {protocol}}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: service}}]
",
        upstream.address()
    )
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(gateway_tests::PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

fn empty() -> ScriptBody {
    Empty::<Bytes>::new().map_err(|never| match never {}).boxed()
}

/// Sends requests over one of the protocols of TCP.
enum Sender {
    Http1(http1::SendRequest<ScriptBody>),
    Http2(http2::SendRequest<ScriptBody>),
}

impl Sender {
    async fn connect(protocol: &str, address: SocketAddr) -> (Self, tokio::task::AbortHandle) {
        if protocol == "http1" {
            let stream = tls_stream(address, "localhost", b"http/1.1").await.expect("connected");
            // Who gives up resets the connection: that its side is shut would only say that it has no more to send.
            stream.get_ref().0.set_zero_linger().expect("an option");
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
            (Self::Http1(sender), tokio::spawn(async move { drop(connection.await) }).abort_handle())
        } else {
            let stream = tls_stream(address, "localhost", b"h2").await.expect("connected");
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
            (Self::Http2(sender), tokio::spawn(async move { drop(connection.await) }).abort_handle())
        }
    }

    async fn send(
        &mut self,
        method: &str,
        address: SocketAddr,
        body: ScriptBody,
    ) -> hyper::Result<http::Response<hyper::body::Incoming>> {
        let request = http::Request::builder().method(method).header("host", "localhost");
        match self {
            Self::Http1(sender) => sender.send_request(request.uri("/").body(body).expect("valid")).await,
            Self::Http2(sender) => {
                let uri = format!("https://localhost:{}/", address.port());
                let request = http::Request::builder().method(method).uri(uri);
                sender.send_request(request.body(body).expect("valid")).await
            }
        }
    }
}

#[test]
fn a_reader_that_stalls_is_cut_after_the_body_timeout() {
    let upstream = Service::start(|_| async { text(200, vec![b'x'; 64 << 20]) });
    let gateway = TestGateway::start(&config(&upstream, "http1"), &[]);
    let address = gateway.address();
    for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
        let runtime = runtime();
        // Held until the record is there, and never read.
        let _held = runtime.block_on(in_time(protocol, async {
            if protocol == "http3" {
                let (connection, endpoint) = raw::quic(address, quinn::TransportConfig::default()).await;
                let (mut send, recv) = connection.open_bi().await.expect("a stream");
                send.write_all(&http3_head(GET)).await.expect("sent");
                send.finish().expect("open");
                (None, Some((send, recv, connection, endpoint)))
            } else {
                let (mut sender, _) = Sender::connect(protocol, address).await;
                let response = sender.send("GET", address, empty()).await.expect("a response");
                (Some((response, sender)), None)
            }
        }));
        let began = Instant::now();
        let records = eventually("the reader is cut", || {
            let records = gateway.access_log();
            (records.len() > number).then_some(records)
        });
        assert_eq!(records[number]["failure"], "cancelled", "{protocol}: {}", records[number]);
        assert!(began.elapsed() < Duration::from_secs(10), "{protocol}: {:?}", began.elapsed());
    }
}

#[test]
fn a_sender_that_stalls_gets_408_after_the_body_timeout() {
    let upstream = Service::start(|request| async move {
        let _ = request.into_body().collect().await;
        text(200, "never whole")
    });
    let gateway = TestGateway::start(&config(&upstream, "http1"), &[]);
    let address = gateway.address();
    for protocol in PROTOCOLS {
        let status = runtime().block_on(in_time(protocol, async {
            if protocol == "http3" {
                let (mut sender, _endpoint, _) = connect_http3(address, "localhost").await.expect("connected");
                let request = http::Request::post(format!("https://localhost:{}/", address.port()));
                let mut stream = sender.send_request(request.body(()).expect("valid")).await.expect("sent");
                stream.send_data("half of".into()).await.expect("sent");
                stream.recv_response().await.expect("a response").status()
            } else {
                let (mut input, body) = Channel::<Bytes, std::io::Error>::new(1);
                input.send_data("half of".into()).await.expect("room");
                let (mut sender, _) = Sender::connect(protocol, address).await;
                let response = sender.send("POST", address, body.boxed()).await.expect("a response");
                drop(input);
                response.status()
            }
        }));
        assert_eq!(status, 408, "{protocol}");
    }
}

/// Counts the requests that an upstream works on.
struct Working(Arc<AtomicUsize>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn a_client_that_leaves_before_the_response_ends_the_request_to_the_upstream() {
    let working = Arc::<AtomicUsize>::default();
    let count = working.clone();
    let upstream = Service::start(move |request| {
        let count = count.clone();
        async move {
            // To the end of its body, which HTTP/3 may tell in a packet of its own: before that, what looks for the end of
            // the connection finds that instead.
            let _ = request.into_body().collect().await;
            count.fetch_add(1, Ordering::SeqCst);
            let guard = Working(count);
            std::future::pending::<()>().await;
            drop(guard);
            text(200, "never")
        }
    });
    for upstream_protocol in ["http1", "http2"] {
        let gateway = TestGateway::start(&config(&upstream, upstream_protocol), &[]);
        let address = gateway.address();
        for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
            let case = format!("{protocol} to {upstream_protocol}");
            let arrived = || async {
                while working.load(Ordering::SeqCst) == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            runtime().block_on(in_time(&case, async {
                if protocol == "http3" {
                    let (connection, _endpoint) = raw::quic(address, quinn::TransportConfig::default()).await;
                    let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
                    send.write_all(&http3_head(GET)).await.expect("sent");
                    send.finish().expect("open");
                    arrived().await;
                    // STOP_SENDING, RFC 9114 section 4.1.1; the connection stays.
                    recv.stop(0x10c_u32.into()).expect("open");
                    ended(&working).await;
                } else {
                    let (mut sender, driver) = Sender::connect(protocol, address).await;
                    tokio::select! {
                        response = sender.send("GET", address, empty()) => panic!("{response:?}"),
                        () = arrived() => {}
                    }
                    // Over HTTP/2 the stream is reset when its request is dropped; HTTP/1 has nothing but the connection.
                    if protocol == "http1" {
                        driver.abort();
                    }
                    ended(&working).await;
                }
            }));
            let records = eventually(&case, || {
                let records = gateway.access_log();
                (records.len() > number).then_some(records)
            });
            assert_eq!(records[number]["failure"], "cancelled", "{case}: {}", records[number]);
        }
    }
}

async fn ended(working: &AtomicUsize) {
    while working.load(Ordering::SeqCst) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
