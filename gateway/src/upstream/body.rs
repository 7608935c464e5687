//! The request body on its way into an upstream connection, watched from outside: has it moved, does it wait for the
//! client, has it ended, and must it stop because nobody wants the response any more.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::error::Error;
use crate::message::{Body, headers};

/// A piece of a response body as it may go on: trailers say nothing that belongs to the head or to the connection.
pub(super) fn received(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        headers::strip_trailers(trailers);
    }
    frame
}

/// A request body and who watches it.
pub(super) struct RequestBody {
    body: Body,
    /// Only for bodies that are not wholly here: the others are sent as fast as the upstream reads.
    flow: Option<Rc<Flow>>,
}

/// How a streaming request body fares.
#[derive(Debug, Default)]
pub(super) struct Flow {
    frames: Cell<u64>,
    waiting: Cell<bool>,
    ended: Cell<bool>,
    cancelled: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    error: RefCell<Option<Error>>,
}

impl Flow {
    /// Counts what the upstream connection has taken.
    pub(super) fn frames(&self) -> u64 {
        self.frames.get()
    }

    /// Whether it is the client that we wait for, not the upstream.
    pub(super) fn waits_for_client(&self) -> bool {
        self.waiting.get() && !self.ended.get()
    }

    /// Whether the upstream connection has let go of the body.
    pub(super) fn ended(&self) -> bool {
        self.ended.get()
    }

    /// The client's error, when it was the body that failed.
    pub(super) fn take_error(&self) -> Option<Error> {
        self.error.borrow_mut().take()
    }

    /// Ends an HTTP/2 stream whose response nobody wants.
    pub(super) fn cancel(&self) {
        self.cancelled.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl RequestBody {
    pub(super) fn new(body: Body) -> Self {
        let flow = if body.as_full().is_some() { None } else { Some(Rc::default()) };
        Self { body, flow }
    }

    pub(super) fn flow(&self) -> Option<Rc<Flow>> {
        self.flow.clone()
    }

    /// The body, when it comes back unsent.
    pub(super) fn into_inner(mut self) -> Body {
        std::mem::take(&mut self.body)
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Some(flow) = &this.flow else {
            return Pin::new(&mut this.body).poll_frame(cx).map_err(Into::into);
        };
        if flow.cancelled.get() {
            // hyper resets the stream with the reason that it finds among the error's sources.
            return Poll::Ready(Some(Err(h2::Error::from(h2::Reason::CANCEL).into())));
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => {
                flow.waiting.set(true);
                let mut waker = flow.waker.borrow_mut();
                match &mut *waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            Poll::Ready(Some(Err(error))) => {
                *flow.error.borrow_mut() = Some(error);
                // The client gave the request up, so the upstream is told CANCEL, not that something is broken.
                Poll::Ready(Some(Err(h2::Error::from(h2::Reason::CANCEL).into())))
            }
            Poll::Ready(frame) => {
                flow.waiting.set(false);
                flow.frames.set(flow.frames.get().wrapping_add(1));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
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

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(flow) = &self.flow {
            flow.ended.set(true);
        }
    }
}
