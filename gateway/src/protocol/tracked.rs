//! The bytes of a TCP connection, with its activity noted.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::activity::Activity;

/// How often a client is probed that has shut its side and waits.
const PROBE: Duration = Duration::from_secs(10);

/// Bytes over TCP, with or without TLS.
pub(super) trait OverTcp {
    /// The socket below.
    fn socket(&self) -> &TcpStream;
}

impl OverTcp for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl OverTcp for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A stream that notes its progress, and replays bytes that were read to recognise the protocol.
pub(super) struct Tracked<S> {
    stream: S,
    activity: Rc<Activity>,
    replay: Option<(Box<[u8]>, usize)>,
}

impl<S> Tracked<S> {
    /// Wraps a stream.
    pub(super) const fn new(stream: S, activity: Rc<Activity>) -> Self {
        Self { stream, activity, replay: None }
    }

    /// Gives `bytes` to the reader before anything else.
    #[must_use]
    pub(super) fn replaying(mut self, bytes: &[u8]) -> Self {
        if !bytes.is_empty() {
            self.replay = Some((bytes.into(), 0));
        }
        self
    }
}

impl<S: OverTcp> Tracked<S> {
    /// Closes the connection with a reset. A client of HTTP/1.0 takes a connection that just ends for the end of its
    /// response (RFC 9112 section 8).
    pub(super) fn reset(&self) {
        // It fails only where the connection is gone already.
        let _ = self.stream.socket().set_zero_linger();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tracked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some((bytes, taken)) = &mut self.replay {
            let count = buffer.remaining().min(bytes.len() - *taken);
            buffer.put_slice(&bytes[*taken..*taken + count]);
            *taken += count;
            if *taken == bytes.len() {
                self.replay = None;
            }
            self.activity.note_read();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.note_read();
        }
        result
    }
}

impl<S: OverTcp> Tracked<S> {
    /// Fails where the client has left while it waits for its response over HTTP/1, when there may be nothing to read or to
    /// write that would tell.
    ///
    /// That it has shut its side is no leaving: it has said everything and listens (RFC 9112 section 9.6 has servers close
    /// like that, and clients do: `nc -N`, health checks). A reset is, and so is what a probe finds: after its end of a
    /// connection was closed, a client's system answers probes with a reset within a minute or so.
    pub(super) fn poll_present(&self, cx: &mut Context<'_>) -> io::Result<()> {
        let socket = self.stream.socket();
        let Poll::Ready(ready) = socket.poll_read_ready(cx) else {
            self.activity.note_watched(true);
            return Ok(());
        };
        ready?;
        // Something lies in the socket, if only its end, so that a later event may wake nobody.
        if !self.activity.note_watched(false) {
            return Ok(());
        }
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        let mut byte = [std::mem::MaybeUninit::uninit()];
        if SockRef::from(socket).peek(&mut byte).is_ok_and(|count| count == 0) {
            // Without probes it is noticed by a failed write, or by a deadline.
            let _ = SockRef::from(socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE).with_interval(PROBE));
        }
        Ok(())
    }
}

impl<S: AsyncWrite + OverTcp + Unpin> AsyncWrite for Tracked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.activity.note_write(result.is_ready());
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.activity.note_write(result.is_ready());
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written may still lie in the buffer of TLS.
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.activity.note_write(result.is_ready());
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.activity.note_write(result.is_ready());
        result
    }
}
