//! An HTTP/2 connection: a task of the worker drives it, and many requests share it. Dropping a request or its
//! response body resets that stream with CANCEL, nothing else.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;

use super::body::{Flow, RequestBody, received};
use super::executor::LocalExecutor;
use super::forward::Failed;
use super::http1::{MAX_FIELDS, MAX_HEAD, cut_short, head_too_large, with_cause};
use super::pool::Lease;
use super::retry::Attempt;
use super::stream::{Activity, WatchedStream};
use crate::error::{Error, ErrorKind};
use crate::memory::{Credit, Unread, Window};
use crate::message::headers::check_stream_fields;
use crate::message::{Body, Merged};
use crate::timer::Stopwatch;

/// Streams of one connection, where the peer does not allow fewer.
const MAX_STREAMS: usize = 100;
/// Receive window of a stream, and of a connection: room for every stream's window at once, so that bodies which nobody
/// reads can't stop another.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = MAX_STREAMS as u32 * STREAM_WINDOW;
/// What of a request's body may wait for an upstream that doesn't take it. hyper's own is four times as much.
const SEND_BUFFER: usize = 256 << 10;

type Driver = http2::Connection<TokioIo<WatchedStream>, RequestBody, LocalExecutor>;

/// An established connection.
pub(super) struct Http2 {
    sender: RefCell<http2::SendRequest<RequestBody>>,
    /// The task owns the driver; this asks it for the peer's limit.
    driver: Weak<RefCell<Driver>>,
    activity: Rc<Activity>,
    streams: Cell<usize>,
    /// What the upstream may send without anybody reading it.
    window: Rc<Window>,
    /// No new streams: it is going away, or it has gone silent.
    retired: Cell<bool>,
    /// The sweep during which a stream was last opened or found open.
    pub(super) used: Cell<u32>,
    /// Its place among the connections that were made to the endpoint, from 1.
    pub(super) number: Cell<u64>,
}

/// A stream of a connection: holds its place among the concurrent ones.
pub(super) struct Place(Rc<Http2>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

/// The settings of all connections.
pub(super) fn builder() -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD as u32);
    builder
}

impl Http2 {
    pub(super) async fn new(
        builder: &http2::Builder<LocalExecutor>,
        stream: WatchedStream,
        memory: &Rc<Credit>,
    ) -> Result<Rc<Self>, Error> {
        let activity = stream.activity().clone();
        let (sender, driver) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Error::new(ErrorKind::Connect, with_cause(&error)))?;
        let driver = Rc::new(RefCell::new(driver));
        let connection = Rc::new(Self {
            sender: RefCell::new(sender),
            driver: Rc::downgrade(&driver),
            activity,
            streams: Cell::new(0),
            window: Window::new(memory.clone(), STREAM_WINDOW as usize, CONNECTION_WINDOW as usize),
            retired: Cell::new(false),
            used: Cell::new(0),
            number: Cell::new(0),
        });
        tokio::task::spawn_local(async move {
            // Its streams hear of an error themselves.
            let _ = poll_fn(|cx| Pin::new(&mut *driver.borrow_mut()).poll(cx)).await;
        });
        Ok(connection)
    }

    /// Whether it is of no more use to new requests.
    pub(super) fn is_closed(&self) -> bool {
        self.retired.get() || self.sender.borrow().is_closed()
    }

    /// Whether no stream is open.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.get() == 0
    }

    /// A place for one more stream, unless the peer's limit (RFC 9113 section 5.1.2) or our own is reached. `sweep` is
    /// the one that is now.
    pub(super) fn reserve(self: &Rc<Self>, sweep: u32) -> Option<Place> {
        let limit = self.driver.upgrade().and_then(|driver| Some(driver.try_borrow().ok()?.current_max_send_streams()));
        if self.is_closed() || self.streams.get() >= limit.unwrap_or(MAX_STREAMS).clamp(1, MAX_STREAMS) {
            return None;
        }
        self.used.set(sweep);
        self.streams.set(self.streams.get() + 1);
        Some(Place(self.clone()))
    }
}

/// Sends one request and waits for the response's head.
pub(super) async fn send(
    place: &Place,
    request: Request<RequestBody>,
    reused: bool,
    stopwatch: &mut Stopwatch,
) -> Result<(Response<Incoming>, Option<Rc<Flow>>), Failed> {
    let connection = &place.0;
    let flow = request.body().flow();
    let reads = connection.activity.reads.get();
    let sent = connection.sender.borrow_mut().try_send_request(request);
    let mut response = pin!(sent);
    let result = poll_fn(|cx| {
        if let Poll::Ready(result) = response.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        // The body is read by a task of hyper's, which does not wake this one: the timer stays armed also while the
        // client is the one to move, and looks again when it fires.
        if let Some(flow) = &flow {
            stopwatch.restart_from(flow.since());
        }
        if stopwatch.poll_expired(cx) { Poll::Ready(None) } else { Poll::Pending }
    })
    .await;
    let (error, reset, refused, returned) = match result {
        Some(Ok(response)) => return Ok((response, flow)),
        Some(Err(mut error)) => {
            let returned = error.take_message();
            let error = error.into_error();
            let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<h2::Error>());
            let going_away = returned.is_some() || cause.is_some_and(h2::Error::is_go_away);
            if going_away {
                connection.retired.set(true);
            }
            let reset = cause.is_some_and(h2::Error::is_reset);
            (describe(&error, cause), reset, returned.is_some() || cause.is_some_and(is_refusal), returned)
        }
        None => {
            // A connection on which nothing came at all may be dead: later requests shall not wait for it too.
            if connection.activity.reads.get() == reads {
                connection.retired.set(true);
            }
            (Error::new(ErrorKind::ResponseTimeout, "no response head in time"), false, false, None)
        }
    };
    Err(Failed {
        attempt: Attempt {
            // A stream that was reset is the upstream's answer to this request, whatever the age of the connection.
            reused: reused && !reset,
            // A lost connection does not say whether the stream was worked on. Without a head it was not answered;
            // idempotent requests may go again.
            answered: false,
            written: true,
            refused,
            timed_out: error.kind() == ErrorKind::ResponseTimeout,
        },
        error,
        returned,
        client: flow.and_then(|flow| flow.take_error()),
    })
}

/// RFC 9113 section 8.7: the two ways of saying that a stream was not processed. h2 fails a stream with GOAWAY only
/// when its id is above the last one named.
fn is_refusal(error: &h2::Error) -> bool {
    error.is_remote()
        && match error.reason() {
            Some(h2::Reason::REFUSED_STREAM) => error.is_reset() || error.is_go_away(),
            Some(h2::Reason::NO_ERROR) => error.is_go_away(),
            _ => false,
        }
}

fn describe(error: &hyper::Error, cause: Option<&h2::Error>) -> Error {
    // What the library objects to is the upstream's fault; what the peer says, or the socket, is a reset.
    let protocol = cause.is_some_and(|cause| cause.is_library() && cause.reason() != Some(h2::Reason::CANCEL));
    Error::new(if protocol { ErrorKind::Protocol } else { ErrorKind::Reset }, with_cause(error))
}

/// Refuses a head with more fields than HTTP/1 may have, and one that is malformed (RFC 9113 section 8.2): "intermediaries
/// MUST NOT forward a malformed request or response".
fn check(response: &Response<Incoming>) -> Result<(), Error> {
    if response.headers().len() > MAX_FIELDS {
        return Err(head_too_large());
    }
    check_stream_fields(response.headers()).map_err(|error| Error::new(ErrorKind::Protocol, error.detail().to_owned()))
}

/// Turns what `send` gave into a response of ours.
pub(super) fn finish(
    response: Response<Incoming>,
    place: Place,
    flow: Option<Rc<Flow>>,
    lease: Lease,
    mut stopwatch: Stopwatch,
    idle: Duration,
) -> Result<Response<Body>, Error> {
    check(&response)?;
    stopwatch.restart_with(idle);
    Ok(response.map(|incoming| {
        if incoming.is_end_stream() && flow.as_deref().is_none_or(Flow::ended) {
            return Body::empty();
        }
        let ended = incoming.is_end_stream();
        let unread = Unread::new(place.0.window.clone());
        Body::boxed(Merged::new(ResponseBody { incoming, unread, flow, stopwatch, ended, _place: place, lease }))
    }))
}

/// A response body whose stream is reset when nobody reads it to its end.
struct ResponseBody {
    incoming: Incoming,
    unread: Unread,
    flow: Option<Rc<Flow>>,
    stopwatch: Stopwatch,
    ended: bool,
    _place: Place,
    lease: Lease,
}

impl ResponseBody {
    fn fail(&self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.lease.cut(&error);
        Poll::Ready(Some(Err(error)))
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.stopwatch.restart();
                if let Some(Err(malformed)) = frame.trailers_ref().map(check_stream_fields) {
                    this.ended = true;
                    return this.fail(Error::new(ErrorKind::Protocol, malformed.detail().to_owned()));
                }
                this.ended = frame.is_trailers() || this.incoming.is_end_stream();
                if this.ended {
                    this.unread.awaited();
                } else {
                    // A response that is under way goes on.
                    let _ = this.unread.handed_out();
                }
                Poll::Ready(Some(Ok(received(frame))))
            }
            Poll::Ready(None) => {
                // hyper ends a body cleanly at RST_STREAM with NO_ERROR. That is right after a whole response to a
                // request that was still being sent (RFC 9113 section 8.1), and a cut response otherwise. h2
                // remembers over a reset whether END_STREAM had come before it.
                this.ended = true;
                if this.incoming.is_end_stream() {
                    Poll::Ready(None)
                } else {
                    this.fail(Error::new(ErrorKind::Reset, "the stream was reset before the body's end"))
                }
            }
            Poll::Ready(Some(Err(error))) => {
                this.ended = true;
                this.fail(cut_short(&error, this.flow.as_deref()))
            }
            Poll::Pending => {
                this.unread.awaited();
                if this.stopwatch.poll_expired(cx) {
                    // The stream itself is reset when this body is dropped.
                    let what = "no next piece of the response body in time";
                    return this.fail(Error::new(ErrorKind::ResponseTimeout, what));
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        if self.ended { SizeHint::with_exact(0) } else { self.incoming.size_hint() }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // The task that sends the request body holds the stream open. After a complete response there is nobody to
        // send the rest for either. With the task goes the last hold on the stream, which h2 resets then, whatever of
        // the body still waits for the peer to take it.
        if let Some(flow) = &self.flow
            && !flow.ended()
        {
            flow.cancel();
        }
    }
}
