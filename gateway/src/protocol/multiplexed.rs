//! The streams of an HTTP/2 connection: tasks that can be cut one by one.
//!
//! hyper hands a stream's response over as far as the client's window allows and then waits, for ever if need be; the
//! connection itself sees no stall, because it may well write for other streams. So each stream notes since when what it
//! has offered was not taken, and the sweep of `activity` cuts it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// The notes of one stream.
pub(super) struct StreamActivity {
    /// Where its connection keeps it.
    pub(super) place: Cell<usize>,
    untaken_since: Cell<Option<Instant>>,
    cut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl StreamActivity {
    pub(super) fn new(place: usize) -> Self {
        Self {
            place: Cell::new(place),
            untaken_since: Cell::new(None),
            cut: Cell::new(false),
            waker: RefCell::new(None),
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
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Whether its task was ended before the response was.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.get()
    }
}

/// Runs the streams of one connection as tasks of this worker.
#[derive(Clone, Default)]
pub(super) struct Streams(Rc<RefCell<Option<Rc<StreamActivity>>>>);

impl Streams {
    /// The task that hyper starts next is this stream's: it starts it as soon as it has the future of the response.
    pub(super) fn next(&self, stream: Option<Rc<StreamActivity>>) {
        self.0.replace(stream);
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        let Some(stream) = self.0.take() else {
            tokio::task::spawn_local(future);
            return;
        };
        tokio::task::spawn_local(Task { future, stream });
    }
}

pin_project_lite::pin_project! {
    /// A stream's task. When it is cut, the future is dropped with the stream in it, which resets it.
    struct Task<F> {
        #[pin]
        future: F,
        stream: Rc<StreamActivity>,
    }
}

impl<F: Future> Future for Task<F> {
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
        this.future.poll(cx).map(drop)
    }
}
