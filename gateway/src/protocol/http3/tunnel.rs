//! A stream that has become a tunnel (RFC 9114 section 4.4, RFC 9220): bytes in both directions, in DATA frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Piece;
use super::incoming::Incoming;
use super::reply::{Cut, Reply};
use crate::memory::Unread;
use crate::protocol::running::Running;
use crate::sanitize::{Variant, safe};

/// The client's end of a tunnel.
pub(super) struct StreamTunnel {
    incoming: Incoming,
    /// What was read and nobody has taken.
    read: Bytes,
    ended: bool,
    unread: Unread,
    reply: Reply,
    finished: bool,
    // Last: the connection is busy until the stream is over.
    _running: Running,
}

impl StreamTunnel {
    /// Of a request that was answered: what comes is read from its stream, what is written follows the response's head.
    pub(super) const fn new(incoming: Incoming, unread: Unread, reply: Reply, running: Running) -> Self {
        Self { incoming, read: Bytes::new(), ended: false, unread, reply, finished: false, _running: running }
    }
}

impl AsyncRead for StreamTunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.read.is_empty() && !this.ended {
            let Poll::Ready(next) = this.incoming.poll_next(cx) else {
                this.unread.awaited();
                return Poll::Pending;
            };
            match next {
                Ok(Some(Piece::Content(bytes))) => this.read = bytes,
                // A tunnel has no other frames.
                Ok(Some(_)) => {}
                Ok(None) => this.ended = true,
                Err(cut) => {
                    this.ended = true;
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::ConnectionReset,
                        safe!(Variant(&cut)).to_string(),
                    )));
                }
            }
        }
        if this.ended {
            this.unread.awaited();
        } else if !this.unread.handed_out() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::OutOfMemory, "the budget for bodies is used up")));
        }
        let taken = this.read.len().min(buffer.remaining());
        buffer.put_slice(&this.read[..taken]);
        this.read.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamTunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // One frame at a time waits.
        ready!(self.reply.poll_flush(cx)).map_err(gone)?;
        if self.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let taken = self.reply.offer(bytes);
        if let Poll::Ready(Err(cut)) = self.reply.poll_flush(cx) {
            return Poll::Ready(Err(gone(cut)));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reply.poll_flush(cx).map_err(gone)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.reply.poll_flush(cx)).map_err(gone)?;
        if !std::mem::replace(&mut self.finished, true) {
            self.reply.end().map_err(gone)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for StreamTunnel {
    fn drop(&mut self) {
        // RFC 9114 section 4.4: an end that was not announced is told as one.
        self.reply.reset(Code::H3_CONNECT_ERROR);
        if !self.ended {
            self.incoming.stop(if self.finished { Code::H3_NO_ERROR } else { Code::H3_CONNECT_ERROR });
        }
    }
}

fn gone(Cut: Cut) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
