//! A request body on its way into an upstream connection, watched from outside: has it moved, does it wait for the
//! client, has it ended, and must it stop because nobody wants the response any more.

use std::cell::{Cell, OnceCell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::executor;
use crate::error::Error;
use crate::message::{Body, FieldMap, Merged, headers};

/// A piece of a response body as it may go on: trailers say nothing that belongs to the head or to the connection.
pub(in crate::upstream) fn received(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        FieldMap::edit(trailers, |trailers| headers::strip_trailers(trailers, headers::Direction::Response));
    }
    frame
}

/// A body that is wholly here goes unwatched over HTTP/2 up to this size, which fits into any usual window.
const UNWATCHED: usize = 16 << 10;

/// A request body and who watches it.
pub(in crate::upstream) struct WatchedBody {
    body: Body,
    /// Only for bodies that take their time; the others leave together with the head.
    watch: Option<Rc<BodyWatch>>,
    /// Carried by a task of hyper's, which the watch must know before anything leaves.
    carried: bool,
}

/// A piece of a request body, watched until its last byte is on the socket.
pub(in crate::upstream) struct Piece {
    bytes: Bytes,
    progress: Option<Arc<Progress>>,
}

/// When something of a body was taken last. Atomic only because hyper wants pieces that could change threads.
#[derive(Debug)]
struct Progress {
    begun: Instant,
    /// Microseconds after `begun`.
    moved: AtomicU64,
}

impl Progress {
    fn note(&self) {
        self.moved.store(u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// How a request body fares that takes its time.
#[derive(Debug)]
pub(in crate::upstream) struct BodyWatch {
    progress: Arc<Progress>,
    waiting: Cell<bool>,
    ended: Cell<bool>,
    cancelled: Cell<bool>,
    /// The task that carries the body over HTTP/2.
    carrier: OnceCell<AbortHandle>,
    error: RefCell<Option<Error>>,
}

impl BodyWatch {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            progress: Arc::new(Progress { begun: Instant::now(), moved: AtomicU64::new(0) }),
            waiting: Cell::new(false),
            ended: Cell::new(false),
            cancelled: Cell::new(false),
            carrier: OnceCell::new(),
            error: RefCell::new(None),
        })
    }

    /// Since when the upstream is the one to move: since just now, while we wait for the client.
    pub(in crate::upstream) fn since(&self) -> Instant {
        if self.waits_for_client() {
            Instant::now()
        } else {
            self.progress.begun + Duration::from_micros(self.progress.moved.load(Relaxed))
        }
    }

    /// Whether it is the client that we wait for, not the upstream.
    pub(in crate::upstream) fn waits_for_client(&self) -> bool {
        self.waiting.get() && !self.ended.get()
    }

    /// Whether the upstream connection has let go of the body.
    pub(in crate::upstream) fn ended(&self) -> bool {
        self.ended.get()
    }

    /// The client's error, when it was the body that failed.
    pub(in crate::upstream) fn take_error(&self) -> Option<Error> {
        self.error.borrow_mut().take()
    }

    /// Ends an HTTP/2 stream whose response nobody wants.
    pub(in crate::upstream) fn cancel(&self) {
        self.cancelled.set(true);
        if let Some(carrier) = self.carrier.get() {
            carrier.abort();
        }
    }

    /// Takes note of the task that carries the body. False while there is none.
    fn is_carried(&self) -> bool {
        if self.carrier.get().is_none()
            && let Some(task) = executor::running()
        {
            return self.carrier.set(task).is_ok();
        }
        self.carrier.get().is_some()
    }
}

impl WatchedBody {
    /// For HTTP/1, which is watched by what it writes.
    pub(in crate::upstream) fn new(body: Body) -> Self {
        let watch = body.as_full().is_none().then(BodyWatch::new);
        Self { body, watch, carried: false }
    }

    /// For HTTP/2, where a connection's writes say nothing about one stream.
    pub(in crate::upstream) fn on_a_stream(body: Body) -> Self {
        match body.as_full() {
            Some(bytes) => Self { body, watch: (bytes.len() > UNWATCHED).then(BodyWatch::new), carried: true },
            None => Self { body: Body::boxed(Merged::new(body)), watch: Some(BodyWatch::new()), carried: true },
        }
    }

    /// Who watches it.
    pub(in crate::upstream) fn watch(&self) -> Option<Rc<BodyWatch>> {
        self.watch.clone()
    }

    /// The body, when it comes back unsent.
    pub(in crate::upstream) fn into_inner(mut self) -> Body {
        std::mem::take(&mut self.body)
    }
}

impl Piece {
    /// Its bytes, for a connection that is watched as a whole.
    pub(in crate::upstream) fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(progress) = &self.progress {
            progress.note();
        }
    }
}

impl HttpBody for WatchedBody {
    type Data = Piece;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, Self::Error>>> {
        let this = self.get_mut();
        let Some(watch) = &this.watch else {
            let piece = |frame: Frame<Bytes>| frame.map_data(|bytes| Piece { bytes, progress: None });
            return Pin::new(&mut this.body).poll_frame(cx).map_ok(piece).map_err(Into::into);
        };
        if watch.cancelled.get() {
            // hyper resets the stream with the reason that it finds among the error's sources.
            return Poll::Ready(Some(Err(h2::Error::from(h2::Reason::CANCEL).into())));
        }
        if this.carried && !watch.is_carried() {
            // hyper tries a body once before it gives it a task of its own.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => {
                watch.waiting.set(true);
                Poll::Pending
            }
            Poll::Ready(Some(Err(error))) => {
                *watch.error.borrow_mut() = Some(error);
                // The client gave the request up, so the upstream is told CANCEL, not that something is broken.
                Poll::Ready(Some(Err(h2::Error::from(h2::Reason::CANCEL).into())))
            }
            Poll::Ready(frame) => {
                watch.waiting.set(false);
                watch.progress.note();
                let piece = |bytes| Piece { bytes, progress: Some(watch.progress.clone()) };
                Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(piece)).map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            if watch.waiting.get() {
                // Until now it was the client that had to move.
                watch.progress.note();
            }
            watch.ended.set(true);
        }
    }
}
