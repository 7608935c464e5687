//! The streams of an HTTP/2 connection: tasks that can be cut one by one.
//!
//! A stream hands its response over as far as the client's window allows and then waits, for ever if need be; the connection
//! itself sees no stall, because it may well write for other streams. So each stream notes since when what it has offered was
//! not taken, and the sweep of `activity` cuts it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use http::StatusCode;

use crate::message::{FieldMap, InterimQueue, WriteInterim};

/// The notes of one stream.
pub(super) struct StreamActivity {
    /// Where its connection keeps it.
    pub(super) place: Cell<usize>,
    untaken_since: Cell<Option<Instant>>,
    cut: Cell<bool>,
    refused: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// What goes before its response. Its task sends it, which knows whether the stream is still there.
    pub(super) interim: InterimQueue,
}

impl StreamActivity {
    pub(super) fn new(place: usize) -> Self {
        Self {
            place: Cell::new(place),
            untaken_since: Cell::new(None),
            cut: Cell::new(false),
            refused: Cell::new(false),
            waker: RefCell::new(None),
            interim: InterimQueue::default(),
        }
    }

    /// The response has given something out; until it is asked for more, the client is waited for.
    pub(super) fn offered(&self, now: Instant) {
        self.untaken_since.set(Some(now));
    }

    /// The response was asked for more and has nothing: the client is not waited for.
    pub(super) fn taken(&self) {
        self.untaken_since.set(None);
    }

    pub(super) fn untaken_since(&self) -> Option<Instant> {
        self.untaken_since.get()
    }

    /// Ends the stream's task.
    pub(super) fn cut(&self) {
        self.cut.set(true);
        self.wake();
    }

    /// Its request has turned out to be malformed: its task resets it.
    pub(super) fn refuse(&self) {
        self.refused.set(true);
        self.wake();
    }

    /// Whether that is so.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.get()
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Whether its task was ended before the response was.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.get()
    }
}

impl WriteInterim for StreamActivity {
    fn write(&self, status: StatusCode, fields: FieldMap) -> bool {
        let queued = self.interim.write(status, fields);
        // Whoever writes may be another task than the stream's.
        self.wake();
        queued
    }
}

pin_project_lite::pin_project! {
    /// A stream's task. When it is cut, the future is dropped with the stream in it, which resets it.
    pub(super) struct Task<F> {
        #[pin]
        future: F,
        stream: Rc<StreamActivity>,
    }
}

impl<F> Task<F> {
    /// Ends with `future`, or when `stream` is cut.
    pub(super) const fn new(stream: Rc<StreamActivity>, future: F) -> Self {
        Self { future, stream }
    }
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.is_cut() {
            return Poll::Ready(());
        }
        let mut waker = this.stream.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        this.future.poll(cx)
    }
}
