//! Tunnels over real sockets on loopback, by a handler that accepts every one and echoes its bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::ext::Protocol;
use http::{HeaderValue, Method, Request, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::exchange::{ConnectionInfo, Protocol as Version};
use crate::handler::Inbound;
use crate::listener::ListenerSettings;
use crate::memory::{Budget, Credit};
use crate::message::{Body, Response};
use crate::model::{Listener, ListenerLimits};
use crate::protocol::connections::Connections;
use crate::protocol::server::Server;
use crate::protocol::tcp;
use crate::telemetry::metrics::Metrics;

/// What the handler's ends of tunnels came to.
type Ends = Rc<RefCell<Vec<String>>>;

/// Accepts what is asked for by `x-accept` (the status), and echoes. `x-greeting` is said first.
async fn answer(inbound: Inbound, ends: Ends) -> Response {
    let Inbound { head, upgrade, .. } = inbound;
    let mut response = Response::new(Body::full("no tunnel"));
    let text =
        |name: &str| head.fields.get(name).and_then(|value| value.expose_str().ok()).unwrap_or_default().to_owned();
    let (Some(upgrade), Ok(status)) = (upgrade, text("x-accept").parse()) else { return response };
    let greeting = text("x-greeting");
    tokio::task::spawn_local(async move {
        let Some(mut tunnel) = upgrade.await else {
            return ends.borrow_mut().push("none".to_owned());
        };
        let echoed = async {
            tunnel.write_all(greeting.as_bytes()).await?;
            let mut buffer = vec![0; 16 << 10];
            let mut size = 0;
            loop {
                let count = tunnel.read(&mut buffer).await?;
                if count == 0 {
                    tunnel.write_all(b"bye").await?;
                    tunnel.shutdown().await?;
                    return Ok::<_, io::Error>(size);
                }
                if buffer[..count].ends_with(b"break") {
                    return Ok(0);
                }
                size += count;
                tunnel.write_all(&buffer[..count]).await?;
                tunnel.flush().await?;
            }
        };
        let end = echoed.await.map_or_else(|error| format!("{:?}", error.kind()), |size| size.to_string());
        ends.borrow_mut().push(end);
    });
    response.status = status;
    response.body = Body::empty();
    if let Some(protocol) = head.protocol {
        response.fields.insert("x-protocol", HeaderValue::from_str(protocol.expose()).unwrap());
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        response.fields.insert(header::UPGRADE, HeaderValue::from_static("echo"));
    }
    response
}

/// A worker's side with one listener, as it is in production but for the handler.
struct Gateway {
    address: SocketAddr,
    ends: Ends,
    connections: Rc<Connections>,
    memory: Rc<Credit>,
}

impl Gateway {
    async fn start(tunnels: bool) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (connections, memory) = (Rc::new(Connections::default()), Credit::new(Budget::new(64 << 20)));
        let ends = Ends::default();
        let known = ends.clone();
        let server = Server::new(connections.clone(), memory.clone(), move |inbound| answer(inbound, known.clone()));
        let server = Rc::new(if tunnels { server.with_tunnels() } else { server });
        let config = Arc::new(Listener {
            name: "test".into(),
            address,
            http1: true,
            http2: true,
            http3: false,
            limits: ListenerLimits { streams: 10, ..ListenerLimits::defaults() },
            tls: None,
        });
        let settings = ListenerSettings::new(config, None).unwrap();
        tokio::task::spawn_local(async move {
            loop {
                let Ok((stream, peer)) = socket.accept().await else { return };
                let (server, settings) = (server.clone(), settings.clone());
                tokio::task::spawn_local(async move {
                    let metrics = Metrics::new(&Default::default()).worker().listener("test");
                    let info = ConnectionInfo {
                        peer: peer.into(),
                        tls: false,
                        ..ConnectionInfo::clone(&ConnectionInfo::local(Version::Http1))
                    };
                    tcp::serve(server, &settings, &Rc::default(), stream, info, &metrics).await;
                });
            }
        });
        Self { address, ends, connections, memory }
    }

    /// Waits until a tunnel has ended, and gives what it came to.
    async fn end(&self) -> String {
        loop {
            if let Some(end) = self.ends.borrow_mut().pop() {
                return end;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until no connection is left.
    async fn idle(&self) {
        while self.connections.count() > 0 {
            self.connections.sweep(Instant::now());
            tokio::task::yield_now().await;
        }
        self.memory.sweep();
        assert_eq!(self.memory.budget().held(), 0);
    }

    async fn http1(&self, request: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    async fn http2(&self) -> h2::client::SendRequest<Bytes> {
        let (sender, driver) = h2::client::handshake(TcpStream::connect(self.address).await.unwrap()).await.unwrap();
        tokio::task::spawn_local(async move { drop(driver.await) });
        let mut sender = sender.ready().await.unwrap();
        // The first answer comes behind the settings.
        let (response, _) = sender.send_request(Request::get("http://a/").body(()).unwrap(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
        sender
    }
}

/// Runs a test as a worker does.
fn run(test: impl Future<Output = ()> + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("in time") });
}

async fn head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    head.lines().filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("|")
}

async fn read(client: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    client.read_exact(&mut bytes).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

const UPGRADE: &str =
    "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\nx-accept: 101\r\nx-greeting: hi\r\n\r\n";
const CONNECT: &str = "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nx-accept: 200\r\nx-greeting: hi\r\n\r\n";

#[test]
fn over_http1_the_connection_becomes_the_tunnel_and_what_came_early_is_read_first() {
    for (request, expected) in [
        (UPGRADE, "HTTP/1.1 101 Switching Protocols|upgrade: echo|connection: upgrade|"),
        (CONNECT, "HTTP/1.1 200 OK|"),
    ] {
        run(async move {
            let gateway = Gateway::start(true).await;
            let mut client = gateway.http1(&format!("{request}early")).await;
            assert_eq!(head(&mut client).await, expected);
            read(&mut client, "hiearly").await;
            client.write_all(b"more").await.unwrap();
            read(&mut client, "more").await;
            // Each side is closed by itself.
            client.shutdown().await.unwrap();
            let mut rest = String::new();
            client.read_to_string(&mut rest).await.unwrap();
            assert_eq!((rest.as_str(), gateway.end().await.as_str()), ("bye", "9"));
            gateway.idle().await;
        });
    }
}

#[test]
fn over_http1_a_tunnel_that_breaks_resets_the_connection_and_the_other_way_round() {
    run(async {
        let gateway = Gateway::start(true).await;
        let mut client = gateway.http1(UPGRADE).await;
        head(&mut client).await;
        read(&mut client, "hi").await;
        client.write_all(b"break").await.unwrap();
        let error = client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(gateway.end().await, "0");
        let mut client = gateway.http1(UPGRADE).await;
        head(&mut client).await;
        read(&mut client, "hi").await;
        client.set_zero_linger().unwrap();
        drop(client);
        assert_eq!(gateway.end().await, "ConnectionReset");
        gateway.idle().await;
    });
}

#[test]
fn a_connection_that_has_to_close_takes_its_tunnel_with_it() {
    run(async {
        let gateway = Gateway::start(true).await;
        let mut client = gateway.http1(UPGRADE).await;
        head(&mut client).await;
        read(&mut client, "hi").await;
        gateway.connections.drain(Instant::now());
        client.write_all(b"more").await.unwrap();
        read(&mut client, "more").await;
        gateway.connections.cut();
        assert_eq!(gateway.end().await, "ConnectionAborted");
        gateway.idle().await;
    });
}

#[test]
fn who_asks_for_no_tunnel_or_is_refused_gets_a_response_and_may_ask_again() {
    run(async {
        let gateway = Gateway::start(true).await;
        // An Upgrade that Connection does not name, one to h2c alone, a body in front, a refusal, and a status of another kind.
        for request in [
            "GET / HTTP/1.1\r\nhost: a\r\nupgrade: echo\r\nx-accept: 101\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\nx-accept: 101\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\nx-accept: 101\r\ncontent-length: 1\r\n\r\n1",
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
        ] {
            let mut client = gateway.http1(request).await;
            assert_eq!(head(&mut client).await, "HTTP/1.1 200 OK|content-length: 9|", "{request}");
            read(&mut client, "no tunnel").await;
            client.write_all(UPGRADE.as_bytes()).await.unwrap();
            assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
            read(&mut client, "hi").await;
        }
        let mut client = gateway.http1(&UPGRADE.replace("x-accept: 101", "x-accept: 403")).await;
        assert!(head(&mut client).await.starts_with("HTTP/1.1 403 "));
        while gateway.ends.borrow().iter().all(|end| end != "none") {
            tokio::task::yield_now().await;
        }
    });
}

fn connect(protocol: Option<&'static str>) -> Request<()> {
    let uri = if protocol.is_some() { "http://a/chat" } else { "a:1" };
    let mut request = Request::builder().method(Method::CONNECT).uri(uri).header("x-accept", "200").body(()).unwrap();
    if let Some(protocol) = protocol {
        request.extensions_mut().insert(Protocol::from_static(protocol));
    }
    request
}

/// Reads so many bytes of a stream.
async fn take(body: &mut h2::RecvStream, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let data = body.data().await.expect("more").unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    bytes
}

#[test]
fn over_http2_a_stream_becomes_the_tunnel_within_its_windows() {
    for protocol in [None, Some("websocket")] {
        run(async move {
            let gateway = Gateway::start(true).await;
            let mut sender = gateway.http2().await;
            assert!(sender.is_extended_connect_protocol_enabled());
            let (response, mut send) = sender.send_request(connect(protocol), false).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers().get("x-protocol").map(HeaderValue::as_bytes), protocol.map(str::as_bytes));
            let mut body = response.into_body();
            // Far more than any window, in both directions.
            const SIZE: usize = 3 << 20;
            let bytes: Vec<u8> = (0..SIZE).map(|place| (place % 251) as u8).collect();
            send.send_data(Bytes::from(bytes.clone()), false).unwrap();
            assert!(take(&mut body, SIZE).await == bytes);
            send.send_data(Bytes::new(), true).unwrap();
            assert_eq!(take(&mut body, 3).await, b"bye");
            while let Some(end) = body.data().await {
                assert!(end.unwrap().is_empty());
            }
            assert_eq!(body.trailers().await.unwrap(), None);
            assert_eq!(gateway.end().await, SIZE.to_string());
            drop((sender, send, body));
            gateway.idle().await;
        });
    }
}

#[test]
fn over_http2_a_tunnel_that_breaks_resets_its_stream_and_the_other_way_round() {
    for (protocol, reason) in [(None, h2::Reason::CONNECT_ERROR), (Some("websocket"), h2::Reason::CANCEL)] {
        run(async move {
            let gateway = Gateway::start(true).await;
            let mut sender = gateway.http2().await;
            let (response, mut send) = sender.send_request(connect(protocol), false).unwrap();
            let mut body = response.await.unwrap().into_body();
            send.send_data(Bytes::from_static(b"break"), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap_err().reason(), Some(reason));
            assert_eq!(gateway.end().await, "0");
            let (response, mut send) = sender.send_request(connect(protocol), false).unwrap();
            let _body = response.await.unwrap().into_body();
            send.send_reset(h2::Reason::CANCEL);
            assert_eq!(gateway.end().await, "ConnectionReset");
            // RFC 9113 section 8.5: nothing but DATA.
            let (response, mut send) = sender.send_request(connect(protocol), false).unwrap();
            let _body = response.await.unwrap().into_body();
            send.send_trailers(http::HeaderMap::new()).unwrap();
            assert_eq!(gateway.end().await, "InvalidData");
        });
    }
}

#[test]
fn over_http2_a_client_that_takes_nothing_is_cut() {
    run(async {
        let gateway = Gateway::start(true).await;
        let mut sender = gateway.http2().await;
        let (response, mut send) = sender.send_request(connect(None), false).unwrap();
        let _body = response.await.unwrap().into_body();
        send.send_data(Bytes::from(vec![1; 1 << 20]), false).unwrap();
        let later = Instant::now() + ListenerLimits::defaults().body_timeout * 2;
        while gateway.ends.borrow().is_empty() {
            gateway.connections.sweep(later);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(gateway.end().await, "ConnectionAborted");
    });
}

#[test]
fn without_a_handler_for_tunnels_nothing_is_offered() {
    run(async {
        let gateway = Gateway::start(false).await;
        let mut client = gateway.http1(UPGRADE).await;
        assert_eq!(head(&mut client).await, "HTTP/1.1 200 OK|content-length: 9|");
        let mut sender = gateway.http2().await;
        assert!(!sender.is_extended_connect_protocol_enabled());
        let (response, _send) = sender.send_request(connect(Some("websocket")), true).unwrap();
        assert_eq!(response.await.unwrap_err().reason(), Some(h2::Reason::PROTOCOL_ERROR));
    });
}
