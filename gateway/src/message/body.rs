//! One body type for the whole request path, so that nothing below `protocol/` depends on an HTTP version.
//!
//! Bodies stay on the worker thread that made them: the boxed variant is deliberately not `Send`.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::error::Error;
use crate::sensitive::no_content;

/// A request or response body on its way through a worker.
#[derive(Default)]
pub struct Body(Inner);

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Full(Bytes),
    Boxed(Pin<Box<dyn HttpBody<Data = Bytes, Error = Error>>>),
    Metered(Pin<Box<dyn Metered>>),
}

/// A body that counts what the client got of it: it is told what did not get there.
pub trait Metered: HttpBody<Data = Bytes, Error = Error> {
    /// It was given up although the client had not got all that was read from here: so many bytes of that are missing, and
    /// whatever would have followed. Called at most once, right before it is dropped.
    fn undelivered(self: Pin<&mut Self>, bytes: u64);
}

no_content!(Body);

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
            Inner::Boxed(_) | Inner::Metered(_) => None,
        }
    }
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
            Inner::Boxed(body) => body.as_mut().poll_frame(cx),
            Inner::Metered(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Full(_) => false,
            Inner::Boxed(body) => body.is_end_stream(),
            Inner::Metered(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Boxed(body) => body.size_hint(),
            Inner::Metered(body) => body.size_hint(),
        }
    }
}
