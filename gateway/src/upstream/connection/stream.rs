//! A worker's side of a transport: what has moved on it, whose turn it is, and that it is counted.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::telemetry::metrics::UpstreamMetrics;
use crate::upstream::connect::EndpointStream;

/// Whether bytes have moved on a connection: which a retry has to know.
#[derive(Debug, Default)]
pub(in crate::upstream) struct IoActivity {
    /// Reads that brought something.
    pub(in crate::upstream) reads: Cell<u64>,
    /// Writes that took something.
    pub(in crate::upstream) writes: Cell<u64>,
    /// The other end takes no more. What it has said before it closed can still be read, and is what counts: a service
    /// that refuses an upload answers, closes and reads no further, so that a write may fail before the answer is read.
    /// What is written from then on goes nowhere.
    pub(in crate::upstream) broken: Cell<bool>,
}

impl IoActivity {
    /// What a write of `length` bytes came to.
    fn written(&self, result: Poll<io::Result<usize>>, length: usize) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(1..)) => bump(&self.writes),
            Poll::Ready(Err(error)) if is_closed(error) => {
                self.broken.set(true);
                return Poll::Ready(Ok(length));
            }
            Poll::Ready(_) | Poll::Pending => {}
        }
        result
    }
}

/// Whether it is the other end that has closed the connection.
fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

/// A transport to an endpoint, watched for what moves on it.
pub(in crate::upstream) struct WatchedStream {
    transport: EndpointStream,
    activity: Rc<IoActivity>,
    /// Reads in a row that brought something.
    burst: u8,
    _open: Open,
}

/// After so many reads in a row others have their turn: an upstream that sends without a pause must not hold the worker,
/// and with it the timers of all.
const BURST: u8 = 32;

/// Counts an open connection.
struct Open(UpstreamMetrics);

impl Open {
    fn new(metrics: UpstreamMetrics) -> Self {
        metrics.connects.add(1);
        metrics.connections.add(1);
        Self(metrics)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.add(-1);
    }
}

impl WatchedStream {
    /// Watches a new transport, which counts in `metrics` as long as it is open.
    pub(in crate::upstream) fn new(transport: EndpointStream, metrics: UpstreamMetrics) -> Self {
        Self { transport, activity: Rc::default(), burst: 0, _open: Open::new(metrics) }
    }

    /// What moves on it.
    pub(in crate::upstream) const fn activity(&self) -> &Rc<IoActivity> {
        &self.activity
    }
}

fn bump(counter: &Cell<u64>) {
    counter.set(counter.get().wrapping_add(1));
}

impl AsyncRead for WatchedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.burst >= BURST {
            this.burst = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.transport).poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        this.burst = if count > 0 { this.burst + 1 } else { 0 };
        if count > 0 {
            bump(&this.activity.reads);
        }
        result
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.activity.broken.get() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut this.transport).poll_write(cx, bytes);
        this.activity.written(result, bytes.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = bytes.iter().map(|slice| slice.len()).sum();
        if this.activity.broken.get() {
            return Poll::Ready(Ok(length));
        }
        let result = Pin::new(&mut this.transport).poll_write_vectored(cx, bytes);
        this.activity.written(result, length)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.activity.broken.get() {
            return Poll::Ready(Ok(()));
        }
        let result = Pin::new(&mut this.transport).poll_flush(cx);
        // TLS writes here what it has encrypted before.
        this.activity.written(result.map_ok(|()| 0), 0).map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}
