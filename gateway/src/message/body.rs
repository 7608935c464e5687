//! One body type for the whole request path, so that nothing below `protocol/` depends on an HTTP version.
//!
//! Bodies stay on the worker thread that made them: the boxed variant is deliberately not `Send`.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::{Error, ErrorKind};
use crate::memory::{Exhausted, ReceiveWindow, Unread};

/// A request or response body on its way through a worker.
#[derive(Default)]
pub struct Body(Inner);

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Full(Bytes),
    /// From a downstream connection; its errors are the client's.
    Downstream(Incoming, Unread),
    Boxed(Pin<Box<dyn HttpBody<Data = Bytes, Error = Error>>>),
    Metered(Pin<Box<dyn Metered>>),
}

/// A body that counts what the client got of it: it is told what did not get there.
pub trait Metered: HttpBody<Data = Bytes, Error = Error> {
    /// It was given up although the client had not got all that was read from here: so many bytes of that are missing, and
    /// whatever would have followed. Called at most once, right before it is dropped.
    fn undelivered(self: Pin<&mut Self>, bytes: u64);
}

impl Body {
    /// A body without bytes or trailers.
    pub const fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// A body of bytes that are already here.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Self(Inner::Full(bytes)) }
    }

    /// What a client sends over a hyper connection, of which it may send as much unread as the window says.
    pub fn downstream(incoming: Incoming, window: &Rc<ReceiveWindow>) -> Self {
        let unread = || Unread::begun(window.clone());
        Self(if incoming.is_end_stream() { Inner::Empty } else { Inner::Downstream(incoming, unread()) })
    }

    /// What comes of it from now on is thrown away, and so takes nothing of what may be held.
    pub fn discard(&mut self) {
        if let Inner::Downstream(_, unread) = &mut self.0 {
            unread.discard();
        }
    }

    /// Any other body.
    pub fn boxed(body: impl HttpBody<Data = Bytes, Error = Error> + 'static) -> Self {
        Self(Inner::Boxed(Box::pin(body)))
    }

    /// A body that wants to know what did not reach the client.
    pub fn metered(body: impl Metered + 'static) -> Self {
        Self(Inner::Metered(Box::pin(body)))
    }

    /// Tells the body that it is given up, and that so many bytes that were read from it did not reach the client.
    pub fn undelivered(&mut self, bytes: u64) {
        if let Inner::Metered(body) = &mut self.0 {
            body.as_mut().undelivered(bytes);
        }
    }

    /// The bytes of a body that is wholly here already: empty or full.
    pub fn as_full(&self) -> Option<Bytes> {
        match &self.0 {
            Inner::Empty => Some(Bytes::new()),
            Inner::Full(bytes) => Some(bytes.clone()),
            Inner::Downstream(..) | Inner::Boxed(_) | Inner::Metered(_) => None,
        }
    }
}

fn poll_downstream(
    incoming: &mut Incoming,
    unread: &mut Unread,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
    let gone = |error| Error::new(ErrorKind::ClientGone, format!("reading the request body: {error}"));
    let polled = Pin::new(&mut *incoming).poll_frame(cx).map_err(gone);
    // A body that has failed is over as well, and the reason is not ours.
    if !matches!(polled, Poll::Ready(Some(Ok(_)))) || incoming.is_end_stream() {
        unread.awaited();
    } else if !unread.handed_out() {
        return Poll::Ready(Some(Err(Exhausted.into())));
    }
    polled
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let inner = &mut self.get_mut().0;
        match inner {
            Inner::Empty => Poll::Ready(None),
            Inner::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *inner = Inner::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Inner::Downstream(incoming, unread) => poll_downstream(incoming, unread, cx),
            Inner::Boxed(body) => body.as_mut().poll_frame(cx),
            Inner::Metered(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Full(_) => false,
            Inner::Downstream(incoming, _) => incoming.is_end_stream(),
            Inner::Boxed(body) => body.is_end_stream(),
            Inner::Metered(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Downstream(incoming, _) => incoming.size_hint(),
            Inner::Boxed(body) => body.size_hint(),
            Inner::Metered(body) => body.size_hint(),
        }
    }
}
