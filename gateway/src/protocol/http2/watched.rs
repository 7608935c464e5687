//! A client's bytes on their way to h2: what it sends is looked at as it passes.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Frames, Seen};
use super::trailers::Trailers;
use crate::protocol::allowance::Allowance;

/// A connection whose incoming frames are looked at. Once they are too many it is read no more.
pub(super) struct Watched<S> {
    pub(super) io: S,
    frames: Frames,
    allowance: Rc<Allowance>,
    /// In a box, because a connection that is open lies in memory.
    trailers: Box<Trailers>,
}

impl<S> Watched<S> {
    /// From the preface on.
    pub(super) const fn new(io: S, allowance: Rc<Allowance>, trailers: Box<Trailers>) -> Self {
        Self { io, frames: Frames::new(), allowance, trailers }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.allowance.is_exceeded() {
            // Whoever polls the connection looks after the allowance, and ends it.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.io).poll_read(cx, buffer);
        let come = buffer.filled().get(before..).unwrap_or_default();
        this.frames.feed(come, |seen| {
            if let Seen::Head(head) = seen {
                this.allowance.count(head, Instant::now);
            }
            this.trailers.see(seen);
        });
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
