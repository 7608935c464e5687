//! An HTTP/1.1 connection that has no task of its own: the future of the request polls it, and afterwards the
//! response's body does. That saves two wake-ups per message, and dropping the request closes the connection, which is
//! the only way to cancel in HTTP/1.1.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::coop::unconstrained;

use super::body::{BodyWatch, WatchedBody};
use super::error::{MAX_HEAD, SendError, head_too_large, with_cause};
use super::stream::{IoActivity, WatchedStream};
use crate::error::{Error, ErrorKind};
use crate::timer::Stopwatch;
use crate::upstream::retry::AttemptFailure;

/// The most that may come until a response's head is whole: the head, and as much of interim responses (RFC 9110 section
/// 15.2) before it. Bytes bound their number as well: there is none below 16.
const UNTIL_HEAD: usize = 2 * MAX_HEAD;

/// What hyper may buffer per connection, in each direction.
const MAX_BUFFER: usize = 128 << 10;

/// An established connection.
pub(in crate::upstream) struct Http1 {
    sender: http1::SendRequest<WatchedBody>,
    driver: http1::Connection<TokioIo<WatchedStream>, WatchedBody>,
    activity: Rc<IoActivity>,
    /// The sweep during which it became idle.
    pub(in crate::upstream) idle_since: u32,
}

/// The settings of all connections.
pub(in crate::upstream) fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_BUFFER).max_header_size(MAX_HEAD);
    // RFC 9112 section 5.1: a proxy removes blanks between a field's name and the colon from a response. (In a request
    // they are refused: hyper's server knows no such option.)
    builder.allow_spaces_after_header_name_in_responses(true);
    builder
}

impl Http1 {
    pub(in crate::upstream) async fn new(builder: &http1::Builder, stream: WatchedStream) -> Result<Box<Self>, Error> {
        let activity = stream.activity().clone();
        let (sender, driver) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Error::new(ErrorKind::Connect, error.to_string()))?;
        Ok(Box::new(Self { sender, driver, activity, idle_since: 0 }))
    }

    /// Moves the connection on; ready when it has ended. To be polled no more after that.
    pub(in crate::upstream) fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.driver).poll(cx).map(|_| ())
    }

    /// Polls an idle connection once: whether it can carry another request. It leaves no waker behind, so that what
    /// happens to it later wakes nobody.
    pub(in crate::upstream) fn is_usable(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.drive(&mut cx).is_pending() && self.sender.is_ready() && !self.activity.broken.get()
    }
}

/// A response's head, and what the rest of it comes over.
pub(in crate::upstream) struct Sent {
    pub(in crate::upstream) response: Response<Incoming>,
    /// `None`: the upstream has closed it after its response.
    pub(in crate::upstream) connection: Option<Box<Http1>>,
    /// Who watches the request's body.
    pub(in crate::upstream) watch: Option<Rc<BodyWatch>>,
}

/// Sends one request and waits for the response's head.
pub(in crate::upstream) async fn send(
    mut connection: Box<Http1>,
    request: Request<WatchedBody>,
    reused: bool,
    stopwatch: &mut Stopwatch,
) -> Result<Sent, SendError> {
    let watch = request.body().watch();
    let (reads, writes) = (connection.activity.reads.get(), connection.activity.writes.get());
    let result = {
        let Http1 { sender, driver, activity, .. } = &mut *connection;
        // Polled only after the driver, in the same poll: its wake-ups would be in vain, and it must not be held up
        // by the task's budget, for then nobody would wake it.
        let mut response = pin!(sender.try_send_request(request));
        let mut response = unconstrained(response.as_mut());
        let mut seen = writes;
        activity.allowance.set(Some(UNTIL_HEAD));
        poll_fn(|cx| {
            // hyper's driver must not be polled after its end, so its end is part of every outcome.
            let closed = Pin::new(&mut *driver).poll(cx).is_ready();
            if let Poll::Ready(result) = Pin::new(&mut response).poll(&mut Context::from_waker(Waker::noop())) {
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
            if watch.as_deref().is_some_and(BodyWatch::waits_for_client) {
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
        Ok((response, closed)) => Ok(Sent { response, connection: (!closed).then_some(connection), watch }),
        Err((error, message)) => Err(SendError {
            failure: AttemptFailure {
                reused,
                // What came before anything was sent is no answer.
                answered: message.is_none() && connection.activity.reads.get() != reads,
                written: connection.activity.writes.get() != writes,
                refused: message.is_some(),
                timed_out: error.kind() == ErrorKind::ResponseTimeout,
            },
            error,
            returned: message,
            client: watch.and_then(|watch| watch.take_error()),
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
