//! A stream that carries a tunnel: bytes in DATA frames, after CONNECT (RFC 9113 section 8.5) or an extended CONNECT (RFC 8441)
//! has succeeded.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::context::{Connection, head_of};
use super::trailers::Malformed;
use super::unsent::{Piece, Pieces};
use crate::handler::Handler;
use crate::memory::Unread;
use crate::message::{Response, headers};
use crate::protocol::allowance::Allowance;
use crate::protocol::multiplexed::StreamActivity;
use crate::protocol::running::Running;
use crate::protocol::tunnel::{Offer, Side, Tied, tie};
use crate::sanitize::safe;

/// What is written is kept up to this size until it is flushed: each piece is a frame, and peers count small ones.
const PIECE: usize = 16 << 10;
/// The largest piece.
const LARGEST_PIECE: usize = 64 << 10;

/// A tunnel that a stream may become, and what comes over it.
pub(super) struct StreamOffer {
    pub(super) offer: Offer,
    pub(super) stream: RecvStream,
    /// By what the stream is reset when the tunnel breaks: RFC 9113 section 8.5, RFC 8441 section 5.
    pub(super) broken: Reason,
}

/// Sends a response that accepts the tunnel, hands over the stream, and waits until the tunnel is over.
pub(super) async fn serve<H: Handler>(
    connection: Rc<Connection<H>>,
    activity: Rc<StreamActivity>,
    running: Running,
    mut respond: SendResponse<Piece>,
    StreamOffer { offer, stream, broken }: StreamOffer,
    response: Response,
) {
    let Response { status, mut fields, body } = response;
    headers::set_date(&mut fields, SystemTime::now);
    fields.remove(CONTENT_LENGTH);
    fields.remove(TRANSFER_ENCODING);
    let sender = match respond.send_response(head_of(status, fields), false) {
        Ok(sender) => sender,
        Err(error) => return tracing::debug!(error = %safe!(error), "a response was not sent"),
    };
    connection.allowance.responded(0);
    let (held, tied) = tie();
    let unread = Unread::begun(connection.window.clone());
    let pieces = connection.unsent.response();
    let incoming = Incoming { stream, rest: Bytes::new(), unread };
    let (kept, allowance, malformed) = (BytesMut::new(), connection.allowance.clone(), connection.malformed.clone());
    let outgoing = Outgoing { stream: sender, kept, pieces, allowance, broken, waits: false, activity };
    offer.hand_over(Box::pin(StreamTunnel { incoming, outgoing, malformed, tied }));
    poll_fn(|cx| held.poll_over(cx)).await;
    drop((body, running));
}

/// What comes.
struct Incoming {
    stream: RecvStream,
    /// What has come and is not read.
    rest: Bytes,
    unread: Unread,
}

impl Incoming {
    /// Reads; `false` where nothing comes any more.
    fn poll(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            self.unread.awaited();
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => self.rest = data,
                Some(Err(error)) => return Poll::Ready(Err(reset(&error))),
                None => return self.poll_end(cx),
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        // It fails only where the stream is gone, which the next read tells.
        let _ = self.stream.flow_control().release_capacity(count);
        if !self.unread.handed_out() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::OutOfMemory, "no room for what comes")));
        }
        Poll::Ready(Ok(()))
    }

    /// RFC 9113 section 8.5: nothing but DATA belongs on the stream.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match ready!(self.stream.poll_trailers(cx)) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(io::Error::new(io::ErrorKind::InvalidData, "trailers in a tunnel")),
            Err(error) => Err(reset(&error)),
        })
    }
}

fn reset(error: &h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, safe!(*error).to_string())
}

/// What goes.
struct Outgoing {
    stream: SendStream<Piece>,
    /// What was written and not handed over.
    kept: BytesMut,
    pieces: Pieces,
    allowance: Rc<Allowance>,
    broken: Reason,
    /// For the client to take something.
    waits: bool,
    activity: Rc<StreamActivity>,
}

impl Outgoing {
    /// Waits until the client takes something.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pieces.poll_ready(cx).is_pending() {
            // Woken as well where the client gives the tunnel up.
            return self.stream.poll_reset(cx).map(|_| Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.stream.capacity() == 0 {
            self.stream.reserve_capacity(1);
        }
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is kept.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.kept.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let Poll::Ready(open) = self.poll_window(cx) else {
            // Who takes nothing for too long is cut.
            if !std::mem::replace(&mut self.waits, true) {
                self.activity.offered(Instant::now());
            }
            return Poll::Pending;
        };
        self.waits = false;
        self.activity.taken();
        open?;
        self.allowance.responded(self.kept.len());
        let piece = self.pieces.piece(self.kept.split().freeze(), false);
        Poll::Ready(self.stream.send_data(piece, false).map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.kept.len() >= PIECE {
            ready!(self.poll_send(cx))?;
        }
        let count = bytes.len().min(LARGEST_PIECE - self.kept.len());
        self.kept.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }
}

/// A stream as bytes. Dropped before it was shut down, it resets the stream.
struct StreamTunnel {
    incoming: Incoming,
    outgoing: Outgoing,
    malformed: Rc<Malformed>,
    tied: Tied,
}

impl AsyncRead for StreamTunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.tied.check(Side::Read, cx)?;
        self.incoming.poll(cx, buffer)
    }
}

impl AsyncWrite for StreamTunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.tied.check(Side::Write, cx)?;
        if self.tied.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.outgoing.poll_write(cx, bytes)
    }

    /// h2 writes what it is given as soon as it can.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tied.check(Side::Write, cx)?;
        self.outgoing.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tied.check(Side::Write, cx)?;
        let this = &mut *self;
        ready!(this.outgoing.poll_send(cx))?;
        if !std::mem::replace(&mut this.tied.closed, true) {
            this.outgoing.stream.reserve_capacity(0);
            let end = this.outgoing.pieces.piece(Bytes::new(), true);
            if this.outgoing.stream.send_data(end, true).is_err() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for StreamTunnel {
    fn drop(&mut self) {
        self.outgoing.activity.taken();
        self.malformed.take(self.incoming.stream.stream_id().as_u32());
        // Without an end of ours the client must not take what it has for all.
        if !self.tied.closed {
            self.outgoing.stream.send_reset(self.outgoing.broken);
        }
    }
}
