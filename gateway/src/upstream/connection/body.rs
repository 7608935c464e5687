//! A request body on its way into an upstream connection, watched from outside: has it moved, does it wait for the
//! client, has it ended, and how much of it waits for the upstream.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

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
}

/// A piece of a request body, watched until its last byte is on the socket.
pub(in crate::upstream) struct Piece {
    bytes: Bytes,
    progress: Option<Rc<Progress>>,
}

/// How the pieces of a body fare.
#[derive(Debug)]
struct Progress {
    /// When something of it was taken last.
    moved: Cell<Instant>,
    /// Bytes of pieces that were made and have not been taken.
    untaken: Cell<usize>,
}

impl Progress {
    fn note(&self) {
        self.moved.set(Instant::now());
    }

    fn taken(&self, bytes: usize) {
        self.untaken.set(self.untaken.get() - bytes);
    }
}

/// How a request body fares that takes its time.
#[derive(Debug)]
pub(in crate::upstream) struct BodyWatch {
    progress: Rc<Progress>,
    waiting: Cell<bool>,
    ended: Cell<bool>,
    error: RefCell<Option<Error>>,
}

impl BodyWatch {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            progress: Rc::new(Progress { moved: Cell::new(Instant::now()), untaken: Cell::new(0) }),
            waiting: Cell::new(false),
            ended: Cell::new(false),
            error: RefCell::new(None),
        })
    }

    /// Since when the upstream is the one to move: since just now, while we wait for the client.
    pub(in crate::upstream) fn since(&self) -> Instant {
        if self.waits_for_client() { Instant::now() } else { self.progress.moved.get() }
    }

    /// Whether it is the client that we wait for, not the upstream.
    pub(in crate::upstream) fn waits_for_client(&self) -> bool {
        self.waiting.get() && !self.ended.get()
    }

    /// The client's error, when it was the body that failed.
    pub(in crate::upstream) fn take_error(&self) -> Option<Error> {
        self.error.borrow_mut().take()
    }

    /// Bytes that were handed to the connection and are not on the socket.
    pub(super) fn untaken(&self) -> usize {
        self.progress.untaken.get()
    }
}

impl WatchedBody {
    /// For HTTP/1, which is watched by what it writes.
    pub(in crate::upstream) fn new(body: Body) -> Self {
        let watch = body.as_full().is_none().then(BodyWatch::new);
        Self { body, watch }
    }

    /// For HTTP/2, where a connection's writes say nothing about one stream.
    pub(in crate::upstream) fn on_a_stream(body: Body) -> Self {
        match body.as_full() {
            Some(bytes) => Self { body, watch: (bytes.len() > UNWATCHED).then(BodyWatch::new) },
            None => Self { body: Body::boxed(Merged::new(body)), watch: Some(BodyWatch::new()) },
        }
    }

    /// Who watches it.
    pub(in crate::upstream) fn watch(&self) -> Option<Rc<BodyWatch>> {
        self.watch.clone()
    }

    /// All of it as one piece, where it is wholly here.
    pub(super) fn whole(&self) -> Option<Piece> {
        Some(Piece::new(self.body.as_full()?, self.watch.as_deref()))
    }

    /// The body, when it comes back unsent.
    pub(in crate::upstream) fn into_inner(mut self) -> Body {
        std::mem::take(&mut self.body)
    }
}

impl Piece {
    /// Nothing, at which a body ends.
    pub(super) const fn empty() -> Self {
        Self { bytes: Bytes::new(), progress: None }
    }

    fn new(bytes: Bytes, watch: Option<&BodyWatch>) -> Self {
        let progress = watch.map(|watch| {
            let progress = watch.progress.clone();
            progress.untaken.set(progress.untaken.get() + bytes.len());
            progress
        });
        Self { bytes, progress }
    }

    /// Its bytes, for a connection that is watched as a whole.
    pub(in crate::upstream) fn into_bytes(mut self) -> Bytes {
        if let Some(progress) = self.progress.take() {
            progress.taken(self.bytes.len());
        }
        std::mem::take(&mut self.bytes)
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
            progress.taken(count);
            progress.note();
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(progress) = &self.progress {
            progress.taken(self.bytes.len());
        }
    }
}

impl HttpBody for WatchedBody {
    type Data = Piece;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, Error>>> {
        let Self { body, watch } = self.get_mut();
        let polled = Pin::new(body).poll_frame(cx);
        let watch = watch.as_deref();
        if let Some(watch) = watch {
            watch.waiting.set(polled.is_pending());
            if let Poll::Ready(frame) = &polled {
                watch.progress.note();
                if let Some(Err(error)) = frame {
                    *watch.error.borrow_mut() = Some(error.clone());
                }
            }
        }
        polled.map_ok(|frame| frame.map_data(|bytes| Piece::new(bytes, watch)))
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
