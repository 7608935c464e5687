//! Connections over HTTP/3 with handlers of their own: what no production handler makes use of yet.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use h3::error::Code;
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::LocalSet;

use super::codes::var_int;
use super::connection;
use super::context::ListenerContext;
use crate::handler::{Handler, Inbound};
use crate::listener::tcp::ConnectionLimit;
use crate::memory::{Budget, Credit};
use crate::message::{Body, Response};
use crate::model::{Listener, ListenerLimits};
use crate::protocol::server::Server;
use crate::telemetry::metrics::Metrics;

/// QPACK's static table: `:method: CONNECT`, `:scheme: https`, `:path: /`.
const CONNECT: u8 = 0xc0 | 15;
const HTTPS: u8 = 0xc0 | 23;
const ROOT: u8 = 0xc0 | 1;

/// The two ends of QUIC, which nothing is accepted on yet.
fn endpoints() -> (quinn::Endpoint, quinn::Endpoint) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(signed.cert.der().clone()).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = quinn::crypto::rustls::QuicServerConfig::try_from(server).unwrap();
    let client = quinn::crypto::rustls::QuicClientConfig::try_from(client).unwrap();
    let loopback = "127.0.0.1:0".parse().unwrap();
    let accepting = quinn::Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(server)), loopback).unwrap();
    let mut connecting = quinn::Endpoint::client(loopback).unwrap();
    connecting.set_default_client_config(quinn::ClientConfig::new(Arc::new(client)));
    (accepting, connecting)
}

/// Has a client talk to a handler that may have the streams of a CONNECT.
fn with_tunnels<H: Handler>(handler: H, client: impl AsyncFnOnce(quinn::Connection)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (accepting, connecting) = endpoints();
        let local = accepting.local_addr().unwrap();
        let mut server = Server::new(Rc::default(), Credit::new(Budget::new(1 << 30)), handler);
        server.tunnels = true;
        let limits = ListenerLimits::defaults();
        let name = Arc::from("test");
        let listener = Listener { name, address: local, http1: false, http2: false, http3: true, tls: None, limits };
        let context = Rc::new(ListenerContext {
            listener: Arc::new(listener),
            local,
            limit: ConnectionLimit::new(10),
            metrics: Metrics::new(&Default::default()).worker().listener("test"),
            group: Rc::default(),
            handshakes: Rc::new(Cell::new(0)),
            server: Rc::new(server),
        });
        tokio::task::spawn_local(async move {
            let incoming = accepting.accept().await.unwrap();
            connection::serve(context, incoming).await;
            accepting.wait_idle().await;
        });
        let connected = connecting.connect(local, "localhost").unwrap().await.unwrap();
        client(connected).await;
    });
}

/// What a request asked for, and whether it got a tunnel, by a handler that answers with `status` and sends everything back.
fn echo(status: StatusCode) -> (Rc<RefCell<Vec<String>>>, impl Handler) {
    let seen = Rc::<RefCell<Vec<String>>>::default();
    let notes = seen.clone();
    let handler = move |inbound: Inbound| {
        let notes = notes.clone();
        let protocol = inbound.head.protocol.as_ref().map(|protocol| protocol.expose().to_owned());
        notes.borrow_mut().push(format!(
            "{} {} {protocol:?}",
            inbound.head.method.expose(),
            inbound.head.target.expose()
        ));
        assert_eq!(inbound.upgrade.is_some(), inbound.head.method == Method::CONNECT);
        if let Some(upgrade) = inbound.upgrade {
            tokio::task::spawn_local(async move {
                let Some(mut tunnel) = upgrade.await else { return notes.borrow_mut().push("no tunnel".to_owned()) };
                let mut buffer = [0; 1000];
                while let Ok(length @ 1..) = tunnel.read(&mut buffer).await {
                    tunnel.write_all(&buffer[..length]).await.unwrap();
                    tunnel.flush().await.unwrap();
                }
                tunnel.shutdown().await.unwrap();
            });
        }
        async move { Response { status, ..Response::new(Body::empty()) } }
    };
    (seen, handler)
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, u8::try_from(payload.len()).unwrap()], payload].concat()
}

/// A HEADERS frame of a CONNECT to `localhost`, with these fields besides.
fn connect(fields: &[u8]) -> Vec<u8> {
    frame(1, &[&[0, 0, CONNECT, 0x50, 9][..], b"localhost", fields].concat())
}

fn extended(protocol: &str) -> Vec<u8> {
    let length = u8::try_from(protocol.len()).unwrap();
    // A field of the name that h3 is given instead comes behind.
    let fields = [&[HTTPS, ROOT, 0x27, 2][..], b":protocol", &[length], protocol.as_bytes(), b"\x26tunnel\x01x"];
    connect(&fields.concat())
}

/// Reads a frame.
async fn read(recv: &mut quinn::RecvStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    recv.read_exact(&mut head).await.unwrap();
    let mut length = usize::from(head[1]);
    if head[1] == 0x80 {
        let mut rest = [0; 3];
        recv.read_exact(&mut rest).await.unwrap();
        length = usize::from(rest[1]) << 8 | usize::from(rest[2]);
    }
    let mut payload = vec![0; length];
    recv.read_exact(&mut payload).await.unwrap();
    (head[0], payload)
}

#[test]
fn a_connect_becomes_a_tunnel() {
    for (head, expected) in [
        (extended("websocket"), "CONNECT https://localhost/ Some(\"websocket\")"),
        (extended("connect-udp"), "CONNECT https://localhost/ Some(\"connect-udp\")"),
        (connect(&[]), "CONNECT localhost None"),
    ] {
        let (seen, handler) = echo(StatusCode::OK);
        with_tunnels(handler, async |client| {
            let (mut send, mut recv) = client.open_bi().await.unwrap();
            send.write_all(&head).await.unwrap();
            let (kind, fields) = read(&mut recv).await;
            assert_eq!((kind, fields[2]), (1, 0xc0 | 25), "200");
            for text in ["hello", "again"] {
                send.write_all(&[&frame(0x21, b"of no interest")[..], &frame(0, text.as_bytes())].concat())
                    .await
                    .unwrap();
                assert_eq!(read(&mut recv).await, (0, text.as_bytes().to_vec()));
            }
            send.finish().unwrap();
            assert_eq!(recv.read_to_end(100).await.unwrap(), b"");
        });
        assert_eq!(*seen.borrow(), [expected]);
    }
}

#[test]
fn what_a_tunnel_writes_waits_for_its_client() {
    let (_, handler) = echo(StatusCode::OK);
    with_tunnels(handler, async |client| {
        let (mut send, mut recv) = client.open_bi().await.unwrap();
        send.write_all(&connect(&[])).await.unwrap();
        read(&mut recv).await;
        // More than the windows of both directions hold.
        let frames = frame(0, &[b'x'; 60]).repeat(100_000);
        let sending = async {
            send.write_all(&frames).await.unwrap();
            send.finish().unwrap();
        };
        let receiving = async {
            let echoed = recv.read_to_end(100 << 20).await.unwrap();
            echoed.iter().filter(|byte| **byte == b'x').count()
        };
        assert!(tokio::join!(sending, receiving).1 >= 6_000_000);
    });
}

#[test]
fn a_connect_that_is_refused_gets_no_tunnel() {
    let (seen, handler) = echo(StatusCode::NOT_IMPLEMENTED);
    with_tunnels(handler, async |client| {
        let (mut send, mut recv) = client.open_bi().await.unwrap();
        send.write_all(&extended("websocket")).await.unwrap();
        assert_eq!(read(&mut recv).await.0, 1);
        assert_eq!(recv.read_to_end(100).await.unwrap(), b"");
    });
    assert_eq!(seen.borrow()[1], "no tunnel");
}

#[test]
fn fields_in_a_tunnel_end_the_connection() {
    let (_, handler) = echo(StatusCode::OK);
    with_tunnels(handler, async |client| {
        let (mut send, mut recv) = client.open_bi().await.unwrap();
        send.write_all(&connect(&[])).await.unwrap();
        read(&mut recv).await;
        send.write_all(&frame(1, &[0, 0])).await.unwrap();
        let quinn::ConnectionError::ApplicationClosed(close) = client.closed().await else { panic!("not closed") };
        assert_eq!(close.error_code, var_int(Code::H3_FRAME_UNEXPECTED.value()));
    });
}

#[test]
fn a_protocol_without_connect_is_malformed() {
    let (seen, handler) = echo(StatusCode::OK);
    with_tunnels(handler, async |client| {
        let (mut send, mut recv) = client.open_bi().await.unwrap();
        let mut head = extended("websocket");
        // `:method: GET`
        head[4] = 0xc0 | 17;
        send.write_all(&head).await.unwrap();
        let end = recv.read_to_end(100).await;
        let Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) = end else { panic!("{end:?}") };
        assert_eq!(code, var_int(Code::H3_MESSAGE_ERROR.value()));
    });
    assert!(seen.borrow().is_empty());
}

#[test]
fn an_extended_connect_is_offered() {
    let (_, handler) = echo(StatusCode::OK);
    with_tunnels(handler, async |client| {
        let mut control = client.accept_uni().await.unwrap();
        let chunk = control.read_chunk(1000, true).await.unwrap().unwrap();
        // RFC 9220 section 5: SETTINGS_ENABLE_CONNECT_PROTOCOL.
        assert!(chunk.bytes.windows(2).any(|setting| setting == [8, 1]), "{chunk:?}");
    });
}
