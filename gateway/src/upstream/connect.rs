//! Connects to an endpoint: TCP, then TLS, then what ALPN says. It knows no worker and takes nothing of one, so that
//! whoever has an endpoint can connect to it, on any runtime.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::Endpoint;
use super::tls::explain;
use crate::error::{Error, ErrorKind};
use crate::model::UpstreamProtocol;
use crate::sanitize::{SafeText, safe};

/// How connections to the endpoints of an upstream are made. Shared by all workers.
pub(super) struct Connector {
    protocol: UpstreamProtocol,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector(..)")
    }
}

/// What carries the bytes.
pub(super) enum EndpointStream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// An established transport, and the protocol that is spoken on it.
pub(super) struct Connected {
    pub(super) transport: EndpointStream,
    /// HTTP/2, by ALPN or because the configuration says so; HTTP/1.1 otherwise.
    pub(super) http2: bool,
}

impl Connector {
    /// `tls`, where the upstream is encrypted.
    pub(super) const fn new(protocol: UpstreamProtocol, tls: Option<TlsConnector>) -> Self {
        Self { protocol, tls }
    }

    /// Connects. There is no time limit in here: the caller's covers what it does with the connection, too. `reached` is told
    /// when there is a connection of TCP.
    pub(super) async fn connect(&self, endpoint: &Endpoint, reached: impl FnOnce()) -> Result<Connected, Error> {
        let address = endpoint.address();
        let tcp = TcpStream::connect(address)
            .await
            .map_err(|error| Error::new(ErrorKind::Connect, safe!("connecting to ", address, ": ", error)))?;
        reached();
        // Heads and bodies leave in one piece; waiting for more would only add delay. A socket that refuses still works.
        let _ = tcp.set_nodelay(true);
        let (Some(tls), Some(name)) = (&self.tls, &endpoint.names.server_name) else {
            // Without TLS there is no ALPN: HTTP/2 by prior knowledge (RFC 9113 section 3.3).
            let http2 = self.protocol == UpstreamProtocol::Http2;
            return Ok(Connected { transport: EndpointStream::Tcp(tcp), http2 });
        };
        let failed = |what: SafeText| Error::new(ErrorKind::Tls, safe!("TLS handshake with ", address, ": ", what));
        let stream = tls.connect(name.clone(), tcp).await;
        let stream = stream.map_err(|error| failed(explain(&error, endpoint.upstream())))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if self.protocol == UpstreamProtocol::Http2 && !http2 {
            return Err(failed("it does not offer h2 by ALPN".into()));
        }
        Ok(Connected { transport: EndpointStream::Tls(Box::new(stream)), http2 })
    }
}

impl AsyncRead for EndpointStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for EndpointStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Tls(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write_vectored(cx, bytes),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(io) => io.is_write_vectored(),
            Self::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
