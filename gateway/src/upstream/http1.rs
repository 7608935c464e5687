//! An HTTP/1.1 connection that has no task of its own: the future of the request polls it, and afterwards the
//! response body does. That saves two wake-ups per message, and dropping the request closes the connection, which is
//! the only way to cancel in HTTP/1.1.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::coop::unconstrained;

use super::body::{Flow, RequestBody, received};
use super::forward::Failed;
use super::pool::Lease;
use super::retry::Attempt;
use super::stream::{Activity, WatchedStream};
use crate::error::{Error, ErrorKind};
use crate::message::{Body, Merged};
use crate::timer::Stopwatch;

/// The largest response head.
pub(super) const MAX_HEAD: usize = 64 << 10;
/// The most fields of a response, over either protocol: what hyper's table for HTTP/1 holds without an allocation per
/// response, and Envoy's default (`max_headers_count`).
pub(super) const MAX_FIELDS: usize = 100;
/// The most that may come until a response's head is whole: the head, and as much of interim responses (RFC 9110 section
/// 15.2) before it. Bytes bound their number as well: there is none below 16.
const UNTIL_HEAD: usize = 2 * MAX_HEAD;

/// What hyper may buffer per connection, in each direction.
const MAX_BUFFER: usize = 128 << 10;

/// An established connection.
pub(super) struct Http1 {
    sender: http1::SendRequest<RequestBody>,
    driver: http1::Connection<TokioIo<WatchedStream>, RequestBody>,
    activity: Rc<Activity>,
    /// The sweep during which it became idle.
    pub(super) idle_since: u32,
}

/// The settings of all connections.
pub(super) fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_BUFFER).max_header_size(MAX_HEAD);
    // RFC 9112 section 5.1: a proxy removes blanks between a field's name and the colon from a response. (In a request
    // they are refused: hyper's server knows no such option.)
    builder.allow_spaces_after_header_name_in_responses(true);
    builder
}

impl Http1 {
    pub(super) async fn new(builder: &http1::Builder, stream: WatchedStream) -> Result<Box<Self>, Error> {
        let activity = stream.activity().clone();
        let (sender, driver) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Error::new(ErrorKind::Connect, error.to_string()))?;
        Ok(Box::new(Self { sender, driver, activity, idle_since: 0 }))
    }

    /// Polls an idle connection once: whether it can carry another request. It leaves no waker behind, so that what
    /// happens to it later wakes nobody.
    pub(super) fn is_usable(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut self.driver).poll(&mut cx).is_pending() && self.sender.is_ready() && !self.activity.broken.get()
    }
}

/// What `send` gives: the connection is there unless the upstream has closed it after its response.
pub(super) type Sent = (Response<Incoming>, Option<Box<Http1>>, Option<Rc<Flow>>);

/// Sends one request and waits for the response's head.
pub(super) async fn send(
    mut connection: Box<Http1>,
    request: Request<RequestBody>,
    reused: bool,
    stopwatch: &mut Stopwatch,
) -> Result<Sent, Failed> {
    let flow = request.body().flow();
    let (reads, writes) = (connection.activity.reads.get(), connection.activity.writes.get());
    let result = {
        let Http1 { sender, driver, activity, .. } = &mut *connection;
        // Polled only after the driver, in the same poll: its wake-ups would be in vain, and it must not be held up
        // by the task's budget, for then nobody would wake it.
        let mut response = pin!(unconstrained(sender.try_send_request(request)));
        let mut seen = writes;
        activity.allowance.set(Some(UNTIL_HEAD));
        poll_fn(|cx| {
            // hyper's driver must not be polled after its end, so its end is part of every outcome.
            let closed = Pin::new(&mut *driver).poll(cx).is_ready();
            if let Poll::Ready(result) = response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                activity.allowance.set(None);
                let result = result.map_err(|mut error| {
                    let message = error.take_message();
                    (describe(&error.into_error()), message)
                });
                return Poll::Ready(result.map(|response| (response, closed)));
            }
            if closed {
                return Poll::Ready(Err((Error::new(ErrorKind::Reset, "the connection was closed"), None)));
            }
            if activity.allowance.get() == Some(0) {
                let what = "interim responses (1xx) without an end, or a response head that is larger than 64 KiB";
                return Poll::Ready(Err((Error::new(ErrorKind::Protocol, what), None)));
            }
            // The upstream's time runs from what it took last, and stands still while the client is the one to move: the
            // driver, polled above, wakes this task when the client does.
            if activity.writes.get() != seen {
                seen = activity.writes.get();
                stopwatch.restart();
            }
            if flow.as_deref().is_some_and(Flow::waits_for_client) {
                stopwatch.restart();
                return Poll::Pending;
            }
            if stopwatch.poll_expired(cx) {
                return Poll::Ready(Err((Error::new(ErrorKind::ResponseTimeout, "no response head in time"), None)));
            }
            Poll::Pending
        })
        .await
    };
    match result {
        Ok((response, closed)) => Ok((response, (!closed).then_some(connection), flow)),
        Err((error, message)) => Err(Failed {
            attempt: Attempt {
                reused,
                // What came before anything was sent is no answer.
                answered: message.is_none() && connection.activity.reads.get() != reads,
                written: connection.activity.writes.get() != writes,
                refused: message.is_some(),
                timed_out: error.kind() == ErrorKind::ResponseTimeout,
            },
            error,
            returned: message,
            client: flow.and_then(|flow| flow.take_error()),
        }),
    }
}

/// What hyper's error means to us.
fn describe(error: &hyper::Error) -> Error {
    if error.is_parse_too_large() {
        return head_too_large();
    }
    let kind = if error.is_parse() { ErrorKind::Protocol } else { ErrorKind::Reset };
    Error::new(kind, with_cause(error))
}

/// A head beyond the limits, which are the same for both protocols.
pub(super) fn head_too_large() -> Error {
    const { assert!(MAX_FIELDS == 100 && MAX_HEAD == 64 << 10) };
    Error::new(ErrorKind::ResponseHeadTooLarge, "the response's head has more than 100 fields or 64 KiB")
}

/// hyper keeps the interesting half of an error in its source.
pub(super) fn with_cause(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Why a response body ended early: the client's own error explains it better than what it did to the connection.
pub(super) fn cut_short(error: &hyper::Error, flow: Option<&Flow>) -> Error {
    flow.and_then(Flow::take_error)
        .unwrap_or_else(|| Error::new(ErrorKind::Reset, format!("the response was cut short: {}", with_cause(error))))
}

/// Refuses heads that two parsers could read in two ways (RFC 9112 section 6.3), and switches of protocol.
fn check(response: &Response<Incoming>) -> Result<(), Error> {
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

/// Turns what `send` gave into a response of ours. A body that is here already needs no further care: the connection
/// goes back at once.
pub(super) fn finish(
    (response, connection, flow): Sent,
    lease: Lease,
    mut stopwatch: Stopwatch,
    idle: Duration,
) -> Result<Response<Body>, Error> {
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
            Poll::Ready(Some(Err(error))) => return Err(cut_short(&error, flow.as_deref())),
            Poll::Ready(None) => ended = true,
            Poll::Pending => {}
        }
    }
    if ended {
        if let Some(connection) = connection {
            release(connection, flow.as_deref(), &lease);
        }
        let bytes = first.and_then(|frame| frame.into_data().ok()).unwrap_or_default();
        return Ok(Response::from_parts(head, Body::full(bytes)));
    }
    stopwatch.restart_with(idle);
    let body = ResponseBody { first, incoming, connection, flow, lease, stopwatch };
    Ok(Response::from_parts(head, Body::boxed(Merged::new(body))))
}

/// Gives the connection back to the pool, if it is fit for it: a request that is still being sent ends here.
fn release(mut connection: Box<Http1>, flow: Option<&Flow>, lease: &Lease) {
    if flow.is_none_or(Flow::ended) && connection.is_usable() {
        lease.keep(connection);
    }
}

/// A response body that owns its connection and drives it while it is read.
struct ResponseBody {
    first: Option<Frame<Bytes>>,
    incoming: Incoming,
    connection: Option<Box<Http1>>,
    flow: Option<Rc<Flow>>,
    lease: Lease,
    stopwatch: Stopwatch,
}

impl ResponseBody {
    fn release(&mut self) {
        if let Some(connection) = self.connection.take() {
            release(connection, self.flow.as_deref(), &self.lease);
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
            Poll::Ready(Some(Err(error))) => self.fail(cut_short(&error, self.flow.as_deref())),
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
        if Pin::new(&mut connection.driver).poll(cx).is_ready() {
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
