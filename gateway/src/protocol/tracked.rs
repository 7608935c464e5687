//! The bytes of a TCP connection, with its activity noted.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;

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

impl<S: AsyncWrite + Unpin> AsyncWrite for Tracked<S> {
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
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
