//! A connection to an endpoint: TCP, then TLS, then what ALPN says. The one time limit covers all of it.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{Endpoint, Upstream};
use crate::config::model::UpstreamProtocol;
use crate::error::{Error, ErrorKind};

/// Whether bytes have moved on a connection: what hyper does not tell, and a retry has to know.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Reads that brought something.
    pub(super) reads: Cell<u64>,
    /// Writes that took something.
    pub(super) writes: Cell<u64>,
}

/// A byte stream to an endpoint.
pub(super) struct Stream {
    io: Io,
    activity: Rc<Activity>,
}

enum Io {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A stream and the protocol that is spoken on it.
pub(super) struct Connected {
    pub(super) stream: Stream,
    pub(super) activity: Rc<Activity>,
    pub(super) http2: bool,
}

/// Connects. The caller applies the time limit.
pub(super) async fn connect(upstream: &Upstream, endpoint: &Endpoint) -> Result<Connected, Error> {
    let address = endpoint.address();
    let tcp = TcpStream::connect(address)
        .await
        .map_err(|error| Error::new(ErrorKind::Connect, format!("connecting to {address}: {error}")))?;
    // Heads and bodies leave in one piece; waiting for more would only add delay. A socket that refuses still works.
    let _ = tcp.set_nodelay(true);
    let protocol = upstream.config.protocol;
    let (io, http2) = match (&upstream.tls, &endpoint.names.server_name) {
        (Some(tls), Some(name)) => {
            let failed = |what: String| Error::new(ErrorKind::Tls, format!("TLS handshake with {address}: {what}"));
            let stream = tls.connector.connect(name.clone(), tcp).await.map_err(|error| failed(error.to_string()))?;
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            if protocol == UpstreamProtocol::Http2 && !h2 {
                return Err(failed("it does not offer h2 by ALPN".to_owned()));
            }
            (Io::Tls(Box::new(stream)), h2)
        }
        // Without TLS there is no ALPN: HTTP/2 by prior knowledge (RFC 9113 section 3.3).
        _ => (Io::Tcp(tcp), protocol == UpstreamProtocol::Http2),
    };
    let activity = Rc::new(Activity::default());
    Ok(Connected { stream: Stream { io, activity: activity.clone() }, activity, http2 })
}

fn bump(counter: &Cell<u64>) {
    counter.set(counter.get().wrapping_add(1));
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = match &mut this.io {
            Io::Tcp(io) => Pin::new(io).poll_read(cx, buffer),
            Io::Tls(io) => Pin::new(io).poll_read(cx, buffer),
        };
        if buffer.filled().len() > before {
            bump(&this.activity.reads);
        }
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = match &mut this.io {
            Io::Tcp(io) => Pin::new(io).poll_write(cx, bytes),
            Io::Tls(io) => Pin::new(io).poll_write(cx, bytes),
        };
        if matches!(result, Poll::Ready(Ok(1..))) {
            bump(&this.activity.writes);
        }
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = match &mut this.io {
            Io::Tcp(io) => Pin::new(io).poll_write_vectored(cx, bytes),
            Io::Tls(io) => Pin::new(io).poll_write_vectored(cx, bytes),
        };
        if matches!(result, Poll::Ready(Ok(1..))) {
            bump(&this.activity.writes);
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_flush(cx),
            Io::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Io::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
