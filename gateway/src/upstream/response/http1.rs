//! A response over HTTP/1.1. Its body owns the connection, and gives it back when all has been read.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::{Error, ErrorKind};
use crate::message::{Body, Merged, Response};
use crate::timer::Stopwatch;
use crate::upstream::connection::http1::Sent;
use crate::upstream::connection::{BodyWatch, Http1, cut_short, received};
use crate::upstream::pool::Lease;

/// Refuses heads that two parsers could read in two ways (RFC 9112 section 6.3), and switches of protocol.
fn check(response: &http::Response<Incoming>) -> Result<(), Error> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::new(ErrorKind::Protocol, "101 without an Upgrade in the request"));
    }
    let headers = response.headers();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
            return Err(Error::new(ErrorKind::Protocol, "a Transfer-Encoding other than chunked"));
        }
        if headers.contains_key(CONTENT_LENGTH) {
            return Err(Error::new(ErrorKind::Protocol, "both Transfer-Encoding and Content-Length"));
        }
    } else {
        // hyper takes a list of equal numbers for one; who gets it from us may not.
        let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
        if let Some(length) = lengths.next()
            && (!length.as_bytes().iter().all(u8::is_ascii_digit) || lengths.next().is_some())
        {
            return Err(Error::new(ErrorKind::Protocol, "a Content-Length that is not one number"));
        }
    }
    Ok(())
}

/// A response whose head has come. A body that is here already needs no further care: the connection
/// goes back at once.
pub(super) fn receive(
    Sent { response, connection, watch }: Sent,
    lease: Lease,
    mut stopwatch: Stopwatch,
    idle: Duration,
) -> Result<Response, Error> {
    check(&response)?;
    let (head, mut incoming) = response.into_parts();
    let (mut first, mut ended) = (None, incoming.is_end_stream());
    if !ended {
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut incoming).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => {
                first = Some(received(frame));
                ended = incoming.is_end_stream();
            }
            // hyper tells of a cut once, and from then on of a clean end. No head has gone to the client yet.
            Poll::Ready(Some(Err(error))) => return Err(cut_short(&error, watch.as_deref())),
            Poll::Ready(None) => ended = true,
            Poll::Pending => {}
        }
    }
    if ended {
        if let Some(connection) = connection {
            release(connection, watch.as_deref(), &lease);
        }
        let bytes = first.and_then(|frame| frame.into_data().ok()).unwrap_or_default();
        return Ok(Response { status: head.status, fields: head.headers.into(), body: Body::full(bytes) });
    }
    stopwatch.restart_with(idle);
    let body = ResponseBody { first, incoming, connection, watch, lease, stopwatch };
    let body = Body::boxed(Merged::new(body));
    Ok(Response { status: head.status, fields: head.headers.into(), body })
}

/// Gives the connection back to the pool, if it is fit for it: a request that is still being sent ends here.
fn release(mut connection: Box<Http1>, watch: Option<&BodyWatch>, lease: &Lease) {
    if watch.is_none_or(BodyWatch::ended) && connection.is_usable() {
        lease.keep(connection);
    }
}

/// A response body that owns its connection and drives it while it is read.
struct ResponseBody {
    first: Option<Frame<Bytes>>,
    incoming: Incoming,
    connection: Option<Box<Http1>>,
    watch: Option<Rc<BodyWatch>>,
    lease: Lease,
    stopwatch: Stopwatch,
}

impl ResponseBody {
    fn release(&mut self) {
        if let Some(connection) = self.connection.take() {
            release(connection, self.watch.as_deref(), &self.lease);
        }
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.connection = None;
        self.lease.cut(&error);
        Poll::Ready(Some(Err(error)))
    }

    /// What hyper has already decoded.
    fn decoded(&mut self) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.incoming).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.stopwatch.restart();
                if self.incoming.is_end_stream() {
                    self.release();
                }
                Poll::Ready(Some(Ok(received(frame))))
            }
            Poll::Ready(None) => {
                self.release();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => self.fail(cut_short(&error, self.watch.as_deref())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Some(frame) = this.first.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Poll::Ready(frame) = this.decoded() {
            return Poll::Ready(frame);
        }
        let Some(connection) = &mut this.connection else {
            return this.fail(Error::new(ErrorKind::Reset, "the response was cut short"));
        };
        if connection.drive(cx).is_ready() {
            // What it has decoded stays in `incoming`, and so does the error if that is not all.
            this.connection = None;
        }
        if let Poll::Ready(frame) = this.decoded() {
            return Poll::Ready(frame);
        }
        if this.connection.is_none() {
            return this.fail(Error::new(ErrorKind::Reset, "the response was cut short"));
        }
        if this.stopwatch.poll_expired(cx) {
            return this.fail(Error::new(ErrorKind::ResponseTimeout, "no next piece of the response body in time"));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.incoming.size_hint();
        match (&self.first, hint.exact()) {
            (None, _) => hint,
            (Some(first), Some(rest)) => {
                SizeHint::with_exact(rest + first.data_ref().map_or(0, |data| data.len() as u64))
            }
            (Some(_), None) => SizeHint::default(),
        }
    }
}
