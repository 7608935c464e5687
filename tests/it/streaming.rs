//! Streams: what comes is passed on at once, what nobody reads stops, what nobody wants ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use gateway_tests::client::{Http3Sender, PROTOCOLS, connect_http3};
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::upstream::ScriptBody;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

type Sender = http_body_util::channel::Sender<Bytes, std::io::Error>;

fn gateway(upstream: &Service, protocol: &str) -> TestGateway {
    let yaml = format!(
        "listeners:
  - {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}
  - {{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}}
upstreams: {{service: {{endpoints: [\"{}\"], protocol: {protocol}}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: service}}]
",
        upstream.address()
    );
    TestGateway::start(&yaml, &[])
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(gateway_tests::PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

fn streamed(body: Channel<Bytes, std::io::Error>, content_type: &str) -> http::Response<ScriptBody> {
    http::Response::builder().header("content-type", content_type).body(body.boxed()).expect("valid")
}

/// A response whose body is read piece by piece; dropping it gives the response up.
#[expect(clippy::large_enum_variant, reason = "a test holds one or two")]
enum Open {
    Hyper(http::Response<Incoming>, tokio::task::AbortHandle),
    Http3(h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>, Http3Sender, quinn::Endpoint),
}

impl Open {
    async fn get(protocol: &str, gateway: &TestGateway) -> Self {
        let clear = gateway.listener("clear");
        match protocol {
            "http1" => {
                let stream = connect(clear).await;
                let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
                let driver = tokio::spawn(async move { drop(connection.await) });
                let request = http::Request::get("/").header("host", "localhost");
                let response = sender.send_request(request.body(Full::<Bytes>::default()).expect("valid")).await;
                Self::Hyper(response.expect("a response"), driver.abort_handle())
            }
            "http2" => {
                let (mut sender, driver) = connect_http2(clear).await;
                let request = http::Request::get(format!("http://{clear}/"));
                let body = Full::<Bytes>::default().map_err(|never| match never {}).boxed();
                let response = sender.send_request(request.body(body).expect("valid")).await;
                Self::Hyper(response.expect("a response"), driver)
            }
            _ => {
                let address = gateway.listener("tls");
                let (mut sender, endpoint, _) = connect_http3(address, "localhost").await.expect("connected");
                let request = http::Request::get(format!("https://localhost:{}/", address.port()));
                let mut stream = sender.send_request(request.body(()).expect("valid")).await.expect("sent");
                stream.finish().await.expect("sent");
                assert_eq!(stream.recv_response().await.expect("a response").status(), 200);
                Self::Http3(stream, sender, endpoint)
            }
        }
    }

    async fn piece(&mut self) -> Bytes {
        match self {
            Self::Hyper(response, _) => {
                response.body_mut().frame().await.expect("open").expect("whole").into_data().expect("data")
            }
            Self::Http3(stream, ..) => {
                let mut data = stream.recv_data().await.expect("whole").expect("open");
                data.copy_to_bytes(data.remaining())
            }
        }
    }

    /// Over HTTP/1 the connection is closed, over HTTP/2 the stream is reset, over HTTP/3 the connection is closed.
    async fn cancel(self, protocol: &str) {
        match self {
            Self::Hyper(response, driver) => {
                drop(response);
                if protocol == "http1" {
                    driver.abort();
                }
            }
            // h3-quinn 0.0.10 panics on STOP_SENDING while a read is pending, so the whole connection goes.
            Self::Http3(stream, sender, endpoint) => {
                endpoint.close(0x10c_u32.into(), b"");
                endpoint.wait_idle().await;
                drop((stream, sender));
            }
        }
    }
}

/// A connection with a small receive buffer: the kernel's would take megabytes of what nobody reads.
async fn connect(address: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 << 10).expect("an option");
    socket.connect(address).await.expect("connected")
}

async fn connect_http2(address: SocketAddr) -> (http2::SendRequest<ScriptBody>, tokio::task::AbortHandle) {
    let stream = connect(address).await;
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
    (sender, tokio::spawn(async move { drop(connection.await) }).abort_handle())
}

/// An upstream that answers each request with a body that the test writes.
fn held_responses(content_type: &'static str) -> (Service, mpsc::UnboundedReceiver<Sender>) {
    let (give, take) = mpsc::unbounded_channel();
    let upstream = Service::start(move |_| {
        let (sender, body) = Channel::new(4);
        let _ = give.send(sender);
        async move { streamed(body, content_type) }
    });
    (upstream, take)
}

#[test]
fn an_event_arrives_while_the_response_is_still_open() {
    let (upstream, mut responses) = held_responses("text/event-stream");
    let gateway = gateway(&upstream, "http1");
    for protocol in PROTOCOLS {
        runtime().block_on(in_time(protocol, async {
            let (mut open, mut sender) =
                tokio::join!(Open::get(protocol, &gateway), async { responses.recv().await.expect("a request") });
            for event in ["data: one\n\n", "data: two\n\n"] {
                sender.send_data(event.into()).await.expect("sent");
                // The next one is sent when this one has come: nothing waits for more.
                assert_eq!(open.piece().await, event, "{protocol}");
            }
        }));
    }
}

#[test]
fn a_client_that_gives_up_ends_the_request_to_the_upstream_and_is_logged_once() {
    for upstream_protocol in ["http1", "http2"] {
        let (upstream, mut responses) = held_responses("text/plain");
        let gateway = gateway(&upstream, upstream_protocol);
        for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
            let case = format!("{protocol} to {upstream_protocol}");
            let runtime = runtime();
            runtime.block_on(in_time(&case, async {
                let (mut open, mut sender) =
                    tokio::join!(Open::get(protocol, &gateway), async { responses.recv().await.expect("a request") });
                sender.send_data("first".into()).await.expect("sent");
                assert_eq!(open.piece().await, "first", "{case}");
                open.cancel(protocol).await;
                // The body ends in the upstream's hands, without another byte that would find the connection dead.
                while sender.send_data(Bytes::new()).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }));
            gateway.logged(&case, |record| record["protocol"] == protocol);
            let records = gateway.access_log();
            assert_eq!(records.len(), number + 1, "{case}: one record per request");
            assert_eq!(records[number]["failure"], "cancelled", "{case}: {}", records[number]);
        }
    }
}

#[test]
fn a_call_of_grpc_keeps_its_trailers() {
    let upstream = Service::start(|request| async move {
        assert_eq!(request.version(), http::Version::HTTP_2);
        assert_eq!(request.headers()["te"], "trailers");
        let whole = request.into_body().collect().await.expect("whole").to_bytes();
        let (mut sender, body) = Channel::new(4);
        tokio::spawn(async move {
            let _ = sender.send_data(whole).await;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().expect("valid"));
            trailers.insert("grpc-message", "fine".parse().expect("valid"));
            let _ = sender.send_trailers(trailers).await;
        });
        streamed(body, "application/grpc")
    });
    let gateway = gateway(&upstream, "http2");
    runtime().block_on(in_time("the call", async {
        let address = gateway.listener("clear");
        let (mut sender, _) = connect_http2(address).await;
        let message = Bytes::from_static(b"\0\0\0\0\x05hello");
        let request = http::Request::post(format!("http://{address}/greeter.Greeter/SayHello"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(message.clone()).map_err(|never| match never {}).boxed());
        let response = sender.send_request(request.expect("valid")).await.expect("a response");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let whole = response.into_body().collect().await.expect("whole");
        let trailers = whole.trailers().cloned().expect("trailers");
        assert_eq!(
            (&trailers["grpc-status"], &trailers["grpc-message"]),
            (&"0".parse().unwrap(), &"fine".parse().unwrap())
        );
        assert_eq!(whole.to_bytes(), message);
    }));
}

#[test]
fn both_directions_stream_at_once() {
    let upstream = Service::start(|request| async move {
        http::Response::new(request.into_body().map_err(std::io::Error::other).boxed())
    });
    let gateway = gateway(&upstream, "http2");
    runtime().block_on(in_time("the echo", async {
        let address = gateway.listener("clear");
        let (mut sender, _) = connect_http2(address).await;
        let (mut input, body) = Channel::<Bytes, std::io::Error>::new(4);
        let request = http::Request::post(format!("http://{address}/")).body(body.boxed()).expect("valid");
        let mut response = sender.send_request(request).await.expect("a response before the request has ended");
        for piece in ["ping", "pong", "ping again"] {
            input.send_data(piece.into()).await.expect("sent");
            let frame = response.body_mut().frame().await.expect("open").expect("whole");
            assert_eq!(frame.into_data().expect("data"), piece);
        }
        drop(input);
        let rest = response.into_body().collect().await.expect("whole").to_bytes();
        assert!(rest.is_empty());
    }));
}

#[test]
fn a_client_that_does_not_read_stops_the_upstream() {
    const OFFERED: usize = 64 << 20;
    const ACCEPTED: usize = 8 << 20;
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let upstream = Service::start(move |_| {
        let count = count.clone();
        let pieces = futures_body(move |sent| {
            count.store(sent, Ordering::SeqCst);
            (sent < OFFERED).then(|| Bytes::from_static(&[b'x'; 16 << 10]))
        });
        async move { http::Response::new(pieces) }
    });
    for upstream_protocol in ["http1", "http2"] {
        let gateway = gateway(&upstream, upstream_protocol);
        for protocol in PROTOCOLS {
            taken.store(0, Ordering::SeqCst);
            let runtime = runtime();
            let open = runtime.block_on(in_time(protocol, Open::get(protocol, &gateway)));
            // Quiet for a second: everything that has room is full.
            let mut last = (usize::MAX, std::time::Instant::now());
            let stopped = eventually("the upstream stops", || {
                let now = taken.load(Ordering::SeqCst);
                if now != last.0 {
                    last = (now, std::time::Instant::now());
                }
                (last.1.elapsed() > Duration::from_secs(1)).then_some(now)
            });
            eprintln!("{protocol} to {upstream_protocol}: {stopped} of {OFFERED} bytes were taken from the upstream");
            assert!(stopped > 0 && stopped < ACCEPTED, "{protocol} to {upstream_protocol}: {stopped} bytes");
            // Closed, not left: the gateway's drain would wait for a client that is gone without a word.
            runtime.block_on(open.cancel(protocol));
        }
    }
}

/// A body that is made as it is read.
fn futures_body(next: impl FnMut(usize) -> Option<Bytes> + Send + Sync + 'static) -> ScriptBody {
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
