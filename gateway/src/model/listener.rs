//! The `listeners` section: where clients connect.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A bound address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// For logs and metrics.
    pub name: Arc<str>,
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// HTTP/1.1 offered.
    pub http1: bool,
    /// HTTP/2 offered: by ALPN with TLS, by prior knowledge without.
    pub http2: bool,
    /// HTTP/3 offered on the same port over UDP.
    pub http3: bool,
    /// Present when the listener is encrypted.
    pub tls: Option<ListenerTls>,
    /// Limits of its connections.
    pub limits: ListenerLimits,
}

/// Certificates of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Chosen by SNI; the first also serves clients without a matching name.
    pub certificates: Vec<CertificateFiles>,
    /// Names of a development certificate that is made at start.
    pub self_signed: Vec<String>,
    /// Whether TLS 1.2 is offered beside 1.3.
    pub tls12: bool,
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub private_key: PathBuf,
}

/// Limits per connection of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Open connections of this listener, over all workers. Default 65,536.
    pub connections: usize,
    /// Bytes of a request's head. Default 64 KiB.
    pub header_bytes: usize,
    /// Number of header fields. Default 100.
    pub header_count: usize,
    /// From the first byte (or the accept) to the end of the head. Default 15 s.
    pub header_timeout: Duration,
    /// How long a connection may stay without a request. Default 75 s.
    pub idle_timeout: Duration,
    /// How long a client may take to read or write the next piece of a body. Default 60 s.
    pub body_timeout: Duration,
    /// Concurrent streams of an HTTP/2 or HTTP/3 connection. Default 128.
    pub streams: u32,
}

#[cfg(test)]
impl ListenerLimits {
    /// What the configuration says where nobody has written anything.
    pub(crate) fn defaults() -> Self {
        Self {
            connections: 65_536,
            header_bytes: 64 << 10,
            header_count: 100,
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            streams: 128,
        }
    }
}

impl Listener {
    /// Its sockets.
    pub fn sockets(&self) -> impl Iterator<Item = SocketKey> {
        let name = (self.address.port() == 0).then(|| self.name.clone());
        let tcp = (self.http1 || self.http2).then_some(Transport::Tcp);
        let udp = self.http3.then_some(Transport::Udp);
        let key = |transport| SocketKey { transport, address: self.address, name: name.clone() };
        [tcp, udp].into_iter().flatten().map(key).collect::<Vec<_>>().into_iter()
    }
}

/// What a listener's sockets are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// HTTP/1.1 and HTTP/2.
    Tcp,
    /// HTTP/3.
    Udp,
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// What sockets are told apart by: as long as it stays, they stay, whatever else changes of their listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketKey {
    /// The transport.
    pub transport: Transport,
    /// The address as it is configured.
    pub address: SocketAddr,
    /// The listener, where the port is 0: that is another port each time, so only the name tells them apart.
    pub name: Option<Arc<str>>,
}
