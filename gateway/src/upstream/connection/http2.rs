//! An HTTP/2 connection: a task of the worker drives it, and many requests share it. Dropping a request or its
//! response body resets that stream with CANCEL, nothing else.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::Poll;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;

use super::body::{BodyWatch, WatchedBody};
use super::error::{MAX_HEAD, Returned, SendError, with_cause};
use super::executor::LocalExecutor;
use super::stream::{IoActivity, WatchedStream};
use crate::error::{Error, ErrorKind};
use crate::memory::{Credit, ReceiveWindow};
use crate::timer::Stopwatch;
use crate::upstream::retry::AttemptFailure;

/// Streams of one connection, where the peer does not allow fewer.
const MAX_STREAMS: usize = 100;
/// Receive window of a stream, and of a connection: room for every stream's window at once, so that bodies which nobody
/// reads can't stop another.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = MAX_STREAMS as u32 * STREAM_WINDOW;
/// What of a request's body may wait for an upstream that doesn't take it. hyper's own is four times as much.
const SEND_BUFFER: usize = 256 << 10;

type Driver = http2::Connection<TokioIo<WatchedStream>, WatchedBody, LocalExecutor>;

/// An established connection.
pub(in crate::upstream) struct Http2 {
    sender: RefCell<http2::SendRequest<WatchedBody>>,
    /// The task owns the driver; this asks it for the peer's limit.
    driver: Weak<RefCell<Driver>>,
    activity: Rc<IoActivity>,
    streams: Cell<usize>,
    /// What the upstream may send without anybody reading it.
    window: Rc<ReceiveWindow>,
    /// No new streams: it is going away, or it has gone silent.
    retired: Cell<bool>,
    /// The sweep during which a stream was last opened or found open.
    pub(in crate::upstream) used: Cell<u32>,
    /// Its number among the connections that were made to the endpoint, from 1.
    pub(in crate::upstream) number: Cell<u64>,
}

/// The right to open a stream, and then the stream's: as many as there are count as open.
pub(in crate::upstream) struct StreamPermit(Rc<Http2>);

impl StreamPermit {
    /// What the upstream may send on the connection without anybody reading it.
    pub(in crate::upstream) fn window(&self) -> Rc<ReceiveWindow> {
        self.0.window.clone()
    }
}

/// A response's head, and what the rest of it comes over.
pub(in crate::upstream) struct Sent {
    pub(in crate::upstream) response: Response<Incoming>,
    pub(in crate::upstream) permit: StreamPermit,
    /// Who watches the request's body.
    pub(in crate::upstream) watch: Option<Rc<BodyWatch>>,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

/// The settings of all connections.
pub(in crate::upstream) fn builder() -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD as u32);
    builder
}

impl Http2 {
    pub(in crate::upstream) async fn new(
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
            window: ReceiveWindow::new(memory.clone(), STREAM_WINDOW as usize, CONNECTION_WINDOW as usize),
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
    pub(in crate::upstream) fn is_closed(&self) -> bool {
        self.retired.get() || self.sender.borrow().is_closed()
    }

    /// Whether no stream is open.
    pub(in crate::upstream) fn is_idle(&self) -> bool {
        self.streams.get() == 0
    }

    /// A permit for one more stream, unless the peer's limit (RFC 9113 section 5.1.2) or our own is reached. `sweep` is
    /// the one that is now.
    pub(in crate::upstream) fn reserve(self: &Rc<Self>, sweep: u32) -> Option<StreamPermit> {
        let limit = self.driver.upgrade().and_then(|driver| Some(driver.try_borrow().ok()?.current_max_send_streams()));
        if self.is_closed() || self.streams.get() >= limit.unwrap_or(MAX_STREAMS).clamp(1, MAX_STREAMS) {
            return None;
        }
        self.used.set(sweep);
        self.streams.set(self.streams.get() + 1);
        Some(StreamPermit(self.clone()))
    }
}

/// Sends one request and waits for the response's head.
pub(in crate::upstream) async fn send(
    permit: StreamPermit,
    request: Request<WatchedBody>,
    reused: bool,
    stopwatch: &mut Stopwatch,
) -> Result<Sent, SendError> {
    let connection = &permit.0;
    let watch = request.body().watch();
    let reads = connection.activity.reads.get();
    let sent = connection.sender.borrow_mut().try_send_request(request);
    let mut response = pin!(sent);
    let result = poll_fn(|cx| {
        if let Poll::Ready(result) = response.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        // The body is read by a task of hyper's, which does not wake this one: the timer stays armed also while the
        // client is the one to move, and looks again when it fires.
        if let Some(watch) = &watch {
            stopwatch.restart_from(watch.since());
        }
        if stopwatch.poll_expired(cx) { Poll::Ready(None) } else { Poll::Pending }
    })
    .await;
    let (error, reset, refused, returned) = match result {
        Some(Ok(response)) => return Ok(Sent { response, permit, watch }),
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
    Err(SendError {
        failure: AttemptFailure {
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
        returned: returned.map(|request| Returned::Request(Box::new(request))),
        client: watch.and_then(|watch| watch.take_error()),
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
