//! An exchange that a test takes step by step: it writes pieces of the request while it reads pieces of the response.

use std::net::SocketAddr;

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinHandle};

use crate::client::{Http3Sender, connect_http3};
use crate::gateway::TestGateway;
use crate::upstream::ScriptBody;

/// One exchange over a connection of its own. Over HTTP/1 and 2 it goes to the gateway's listener `clear`, over HTTP/3 to
/// the listener `tls`.
pub struct Duplex {
    send: Option<Sending>,
    receive: Receiving,
}

#[expect(clippy::large_enum_variant, reason = "a test holds one or two")]
enum Sending {
    Hyper(Sender<Bytes, std::io::Error>),
    Http3(h3::client::RequestStream<h3_quinn::SendStream<Bytes>, Bytes>),
}

enum Receiving {
    Hyper {
        head: Option<JoinHandle<hyper::Result<http::Response<Incoming>>>>,
        body: Option<Incoming>,
        trailers: Option<HeaderMap>,
        driver: AbortHandle,
        /// Over HTTP/1 nothing but the end of the connection ends an exchange early.
        alone: bool,
    },
    Http3 {
        stream: h3::client::RequestStream<h3_quinn::RecvStream, Bytes>,
        sender: Http3Sender,
        endpoint: quinn::Endpoint,
    },
}

impl Duplex {
    /// A request without a body.
    pub async fn get(protocol: &str, gateway: &TestGateway) -> Self {
        let body = Full::<Bytes>::default().map_err(|never| match never {}).boxed();
        let mut duplex = Self::start(protocol, gateway, http::Request::get("/"), body, None).await;
        duplex.finish().await;
        duplex
    }

    /// A request whose body comes with [`Duplex::send`] and ends with [`Duplex::finish`]; its URI is a path.
    pub async fn open(protocol: &str, gateway: &TestGateway, request: http::request::Builder) -> Self {
        let (sender, body) = Channel::new(1);
        Self::start(protocol, gateway, request, body.boxed(), Some(sender)).await
    }

    async fn start(
        protocol: &str,
        gateway: &TestGateway,
        request: http::request::Builder,
        body: ScriptBody,
        input: Option<Sender<Bytes, std::io::Error>>,
    ) -> Self {
        let mut request = request.body(body).expect("valid");
        if protocol == "http3" {
            return Self::start_http3(gateway.listener("tls"), request.map(drop)).await;
        }
        let address = gateway.listener("clear");
        let stream = connect(address).await;
        let (head, driver) = if protocol == "http1" {
            // Who gives up resets the connection: that its side is shut would only say that it has no more to send.
            stream.set_zero_linger().expect("an option");
            request.headers_mut().insert("host", "localhost".parse().expect("valid"));
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
            let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
            (tokio::spawn(async move { sender.send_request(request).await }), driver)
        } else {
            *request.uri_mut() = format!("http://{address}{}", request.uri()).parse().expect("valid");
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
            let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
            (tokio::spawn(async move { sender.send_request(request).await }), driver)
        };
        let alone = protocol == "http1";
        let receive = Receiving::Hyper { head: Some(head), body: None, trailers: None, driver, alone };
        Self { send: input.map(Sending::Hyper), receive }
    }

    async fn start_http3(address: SocketAddr, mut request: http::Request<()>) -> Self {
        let (mut sender, endpoint, _) = connect_http3(address, "localhost").await.expect("connected");
        let uri = format!("https://localhost:{}{}", address.port(), request.uri());
        *request.uri_mut() = uri.parse().expect("valid");
        let (send, stream) = sender.send_request(request).await.expect("sent").split();
        Self { send: Some(Sending::Http3(send)), receive: Receiving::Http3 { stream, sender, endpoint } }
    }

    /// Sends a piece of the request's body, as soon as there is room for it; an error where nobody wants it.
    pub async fn send(&mut self, piece: impl Into<Bytes>) -> Result<(), String> {
        match self.send.as_mut().expect("the request is open") {
            Sending::Hyper(sender) => sender.send_data(piece.into()).await.map_err(|error| error.to_string()),
            Sending::Http3(stream) => stream.send_data(piece.into()).await.map_err(|error| error.to_string()),
        }
    }

    /// Ends the request's body. Over HTTP/3 a response may be whole by then, and its server want no more of the request
    /// (H3_NO_ERROR, RFC 9114 section 4.1): that is no failure.
    pub async fn finish(&mut self) {
        if let Some(Sending::Http3(mut stream)) = self.send.take()
            && let Err(error) = stream.finish().await
        {
            assert!(format!("{error:?}").contains("H3_NO_ERROR"), "{error}");
        }
    }

    /// Ends the request's body with trailers.
    pub async fn finish_with(&mut self, trailers: HeaderMap) {
        match self.send.take().expect("the request is open") {
            Sending::Hyper(mut sender) => sender.send_trailers(trailers).await.expect("sent"),
            Sending::Http3(mut stream) => {
                stream.send_trailers(trailers).await.expect("sent");
                stream.finish().await.expect("sent");
            }
        }
    }

    /// The head of the response.
    pub async fn head(&mut self) -> http::Response<()> {
        match &mut self.receive {
            Receiving::Hyper { head, body, .. } => {
                let response = head.take().expect("asked for once").await.expect("no panic").expect("a response");
                let (parts, incoming) = response.into_parts();
                *body = Some(incoming);
                http::Response::from_parts(parts, ())
            }
            Receiving::Http3 { stream, .. } => stream.recv_response().await.expect("a response"),
        }
    }

    /// The next piece of the response's body; `None` at its end, an error where it was cut.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match &mut self.receive {
            Receiving::Hyper { body, trailers, .. } => {
                let body = body.as_mut().expect("the head comes first");
                while let Some(frame) = body.frame().await {
                    match frame.map_err(|error| error.to_string())?.into_data() {
                        // A stream of HTTP/2 may end with an empty frame.
                        Ok(data) if data.is_empty() => {}
                        Ok(data) => return Ok(Some(data)),
                        Err(frame) => *trailers = frame.into_trailers().ok(),
                    }
                }
                Ok(None)
            }
            Receiving::Http3 { stream, .. } => {
                let data = stream.recv_data().await.map_err(|error| error.to_string())?;
                Ok(data.map(|mut data| data.copy_to_bytes(data.remaining())))
            }
        }
    }

    /// A piece of a response that is open.
    pub async fn piece(&mut self) -> Bytes {
        self.next().await.expect("whole").expect("open")
    }

    /// The rest of the response's body, and its trailers; an error where it was cut.
    pub async fn rest(&mut self) -> Result<(Bytes, Option<HeaderMap>), String> {
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await? {
            whole.extend_from_slice(&piece);
        }
        let trailers = match &mut self.receive {
            Receiving::Hyper { trailers, .. } => trailers.take(),
            Receiving::Http3 { stream, .. } => stream.recv_trailers().await.map_err(|error| error.to_string())?,
        };
        Ok((whole.into(), trailers))
    }

    /// Gives the exchange up: over HTTP/1 the connection is reset, over HTTP/2 the stream is reset, over HTTP/3 the
    /// connection is closed.
    pub async fn cancel(self) {
        match self.receive {
            Receiving::Hyper { head, body, driver, alone, .. } => {
                if let Some(head) = head {
                    head.abort();
                }
                drop(body);
                if alone {
                    driver.abort();
                }
            }
            // h3-quinn 0.0.10 panics on STOP_SENDING while a read is pending, so the whole connection goes.
            Receiving::Http3 { stream, sender, endpoint } => {
                endpoint.close(0x10c_u32.into(), b"");
                endpoint.wait_idle().await;
                drop((stream, sender));
            }
        }
    }
}

/// Connects with small buffers: the kernel's would take megabytes of what nobody reads.
pub async fn connect(address: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 << 10).expect("an option");
    socket.set_send_buffer_size(64 << 10).expect("an option");
    socket.connect(address).await.expect("connected")
}

/// A gateway with the listeners that a [`Duplex`] needs, and one upstream of the given protocol behind everything.
pub fn gateway(upstream: SocketAddr, protocol: &str) -> TestGateway {
    let yaml = format!(
        "listeners:
  - {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}
  - {{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}}
upstreams: {{service: {{endpoints: [\"{upstream}\"], protocol: {protocol}}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: service, limits: {{body: 1GiB}}}}]
"
    );
    TestGateway::start(&yaml, &[])
}

/// Runs a test's client, which may not take long.
pub fn run<T>(what: &str, client: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let result = runtime.expect("a runtime").block_on(async { tokio::time::timeout(crate::PATIENCE, client).await });
    result.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// A response with a body that the test writes.
pub fn streamed(content_type: &str) -> (Sender<Bytes, std::io::Error>, http::Response<ScriptBody>) {
    let (sender, body) = Channel::new(4);
    (sender, http::Response::builder().header("content-type", content_type).body(body.boxed()).expect("valid"))
}
