//! Clients that write their own frames, for what no decent client sends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use crate::PATIENCE;
use crate::client::tls_config;

/// A QUIC connection that speaks HTTP/3 only as far as a test does; it lives as long as the endpoint.
pub async fn quic(address: SocketAddr, transport: quinn::TransportConfig) -> (quinn::Connection, quinn::Endpoint) {
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket");
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls_config(b"h3")).expect("TLS 1.3");
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(address, "localhost").expect("valid").await.expect("connected");
    (connection, endpoint)
}

/// A HEADERS frame of HTTP/3 for a request of `/` at `localhost`; `method` is its place in the static table of QPACK.
pub fn http3_head(method: u8) -> Vec<u8> {
    let fields = [&[0, 0, 0xc0 | method, 0xc0 | 23, 0xc0 | 1, 0x50, 9], &b"localhost"[..]].concat();
    [&[1, u8::try_from(fields.len()).expect("short")], &fields[..]].concat()
}

/// The place of `:method: GET` in QPACK's static table.
pub const GET: u8 = 17;
/// The place of `:method: POST` in QPACK's static table.
pub const POST: u8 = 20;

/// A frame of HTTP/2.
#[derive(Clone, Debug)]
pub struct Http2Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A connection of HTTP/2 with prior knowledge that answers nothing by itself.
pub struct Http2(TcpStream);

impl Http2 {
    /// Connects, with these settings.
    pub fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.set_nodelay(true).expect("an option");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");
        let settings: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        let mut connection = Self(stream);
        connection.send(4, 0, 0, &settings);
        connection
    }

    /// Sends a frame.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.0.write_all(&[&head, payload].concat()).expect("sent");
    }

    /// Sends the head of a request for `/` whose body follows.
    pub fn post(&mut self, stream: u32) {
        let fields = [&[0x83, 0x86, 0x84, 0x01, 9], &b"localhost"[..]].concat();
        self.send(1, 4, stream, &fields);
    }

    /// Sends a request for `/` without a body.
    pub fn get(&mut self, stream: u32) {
        // RFC 7541: indexed GET, http and /, then :authority as a literal.
        let fields = [&[0x82, 0x86, 0x84, 0x01, 9], &b"localhost"[..]].concat();
        self.send(1, 5, stream, &fields);
    }

    /// The next frame; `None` at the end of the connection.
    pub fn frame(&mut self) -> Option<Http2Frame> {
        let mut head = [0; 9];
        match self.0.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no frame within {PATIENCE:?}"),
            Err(_) => return None,
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Http2Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads up to a frame that satisfies `wanted`.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Http2Frame) -> bool) -> Http2Frame {
        loop {
            let frame = self.frame().unwrap_or_else(|| panic!("the connection ended before {what}"));
            if wanted(&frame) {
                return frame;
            }
        }
    }
}
