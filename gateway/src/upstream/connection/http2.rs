//! An HTTP/2 connection: a task of the worker drives it, and many requests share it. Dropping a request or its
//! response body resets that stream with CANCEL, nothing else.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use h2::RecvStream;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body as _;

use super::body::{BodyWatch, Piece, WatchedBody};
use super::error::{MAX_FIELDS, MAX_HEAD, Returned, SendError, head_too_large};
use super::interim::Interims;
use super::stream::{IoActivity, WatchedStream};
use super::upload::{StreamUpload, Uploading};
use crate::error::{Error, ErrorKind};
use crate::memory::{Credit, ReceiveWindow};
use crate::message::headers::check_stream_fields;
use crate::message::{FieldMap, Interim};
use crate::sanitize::safe;
use crate::timer::Stopwatch;
use crate::upstream::retry::AttemptFailure;

/// Streams of one connection, where the peer does not allow fewer.
const MAX_STREAMS: usize = 100;
/// Receive window of a stream, and of a connection: room for every stream's window at once, so that bodies which nobody
/// reads can't stop another.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = MAX_STREAMS as u32 * STREAM_WINDOW;
/// What of a request's body may wait for an upstream that doesn't take it.
const SEND_BUFFER: usize = 256 << 10;
/// What a field counts for beside its name and value (RFC 9113 section 6.5.2), and a head beside its fields.
const OVERHEAD: usize = 32;

/// An established connection.
pub(in crate::upstream) struct Http2 {
    sender: RefCell<SendRequest<Piece>>,
    activity: Rc<IoActivity>,
    streams: Cell<usize>,
    /// What the upstream may send without anybody reading it.
    window: Rc<ReceiveWindow>,
    /// No new streams: it has gone silent.
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
    pub(in crate::upstream) response: Response<RecvStream>,
    pub(in crate::upstream) permit: StreamPermit,
    /// What of the request is still being sent.
    pub(in crate::upstream) upload: Option<Uploading>,
    /// Who watches the request's body.
    pub(in crate::upstream) watch: Option<Rc<BodyWatch>>,
    /// The request was HEAD: the response's length is that of another one.
    pub(in crate::upstream) headless: bool,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

/// The settings of all connections.
pub(in crate::upstream) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        // Until the peer has said what it allows.
        .initial_max_send_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD as u32);
    builder
}

impl Http2 {
    pub(in crate::upstream) async fn new(
        builder: &Builder,
        stream: WatchedStream,
        memory: &Rc<Credit>,
    ) -> Result<Rc<Self>, Error> {
        let activity = stream.activity().clone();
        let (sender, driver) = builder
            .handshake(stream)
            .await
            .map_err(|error| Error::new(ErrorKind::Connect, safe!("HTTP/2 handshake: ", error)))?;
        // Its streams hear of an error themselves. It ends when nobody can open a stream any more and none is open.
        tokio::task::spawn_local(async move { drop(driver.await) });
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            activity,
            streams: Cell::new(0),
            window: ReceiveWindow::new(memory.clone(), STREAM_WINDOW as usize, CONNECTION_WINDOW as usize),
            retired: Cell::new(false),
            used: Cell::new(0),
            number: Cell::new(0),
        }))
    }

    /// Whether it is of no more use to new requests.
    pub(in crate::upstream) fn is_closed(&self) -> bool {
        self.retired.get() || closed(&mut self.sender.borrow_mut()).is_some()
    }

    /// Whether no stream is open.
    pub(in crate::upstream) fn is_idle(&self) -> bool {
        self.streams.get() == 0
    }

    /// A permit for one more stream, unless the peer's limit (RFC 9113 section 5.1.2) or our own is reached. `sweep` is
    /// the one that is now.
    pub(in crate::upstream) fn reserve(self: &Rc<Self>, sweep: u32) -> Option<StreamPermit> {
        let limit = self.sender.borrow().current_max_send_streams();
        if self.streams.get() >= limit.clamp(1, MAX_STREAMS) || self.is_closed() {
            return None;
        }
        self.used.set(sweep);
        self.streams.set(self.streams.get() + 1);
        Some(StreamPermit(self.clone()))
    }

    /// Opens a stream with the request's head. Gives the request back where the connection is closed.
    fn open(&self, request: Request<WatchedBody>) -> Result<Opened, Unsent> {
        // A handle remembers its last stream as long as that waits for a place among the peer's, and opens no other. How
        // many there may be is known here, so each request has a handle of its own.
        let mut sender = self.sender.borrow().clone();
        if let Some(error) = closed(&mut sender) {
            return Err(Unsent { error, request: Some(Box::new(request)) });
        }
        let (head, body) = request.into_parts();
        let ends = body.is_end_stream();
        let (response, stream) = sender
            .send_request(Request::from_parts(head, ()), ends)
            .map_err(|error| Unsent { error, request: None })?;
        Ok((response, (!ends).then(|| StreamUpload::begin(stream, body))))
    }
}

/// A stream on which the head is under way, and what follows it.
type Opened = (ResponseFuture, Option<StreamUpload>);

/// No stream could be opened.
struct Unsent {
    error: h2::Error,
    request: Option<Box<Request<WatchedBody>>>,
}

/// Why no stream can be opened any more. Of a handle that has not opened any: nothing is waited for, so nobody is woken.
fn closed(sender: &mut SendRequest<Piece>) -> Option<h2::Error> {
    match sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => Some(error),
        Poll::Ready(Ok(())) | Poll::Pending => None,
    }
}

/// Refuses a head with more fields than HTTP/1 may have, and one that is malformed (RFC 9113 section 8.2): "intermediaries
/// MUST NOT forward a malformed request or response".
pub(in crate::upstream) fn check(fields: &HeaderMap) -> Result<(), Error> {
    if fields.len() > MAX_FIELDS {
        return Err(head_too_large());
    }
    check_stream_fields(fields).map_err(|error| Error::new(ErrorKind::Protocol, error.safe_detail().clone()))
}

/// Why no head came.
enum Failed {
    /// The stream, or the whole connection.
    Stream(h2::Error),
    /// The client, whose body has ended in an error.
    Client,
    /// What came before the head, or the clock.
    Here(Error),
}

/// Sends one request and waits for the response's head.
pub(in crate::upstream) async fn send(
    permit: StreamPermit,
    request: Request<WatchedBody>,
    interim: &Interim,
    reused: bool,
    stopwatch: &mut Stopwatch,
) -> Result<Sent, SendError> {
    let connection = &permit.0;
    let (watch, headless) = (request.body().watch(), request.method() == http::Method::HEAD);
    let (reads, writes) = (connection.activity.reads.get(), connection.activity.writes.get());
    let (mut response, mut upload) = match connection.open(request) {
        Ok(opened) => opened,
        Err(unsent) => return Err(unsent.into()),
    };
    let mut interims = Interims::default();
    let result = poll_fn(|cx| {
        if let Some(upload) = &mut upload
            && upload.poll(cx).is_ready()
            && upload.has_failed()
        {
            return Poll::Ready(Err(Failed::Client));
        }
        if let Poll::Ready(result) = poll_head(&mut response, &mut interims, interim, cx) {
            return Poll::Ready(result);
        }
        // What the connection's task writes of the body wakes nobody: the timer stays armed also while the client is the one
        // to move, and looks again when it fires.
        if let Some(watch) = &watch {
            stopwatch.restart_from(watch.since());
        }
        if stopwatch.poll_expired(cx) {
            return Poll::Ready(Err(Failed::Here(Error::new(ErrorKind::ResponseTimeout, "no response head in time"))));
        }
        Poll::Pending
    })
    .await;
    let failed = match result {
        Ok(response) => {
            let upload = upload.and_then(StreamUpload::go_on);
            return Ok(Sent { response, permit, upload, watch, headless });
        }
        Err(failed) => failed,
    };
    // A stream that was reset is the upstream's answer to this request, whatever the age of the connection.
    let (error, reset, refused) = match failed {
        Failed::Stream(error) => (describe(&error), error.is_reset(), is_refusal(&error)),
        Failed::Client => (Error::new(ErrorKind::Reset, "the request's body has failed"), true, false),
        Failed::Here(error) => (error, true, false),
    };
    let timed_out = error.kind() == ErrorKind::ResponseTimeout;
    // A connection on which nothing came at all may be dead: later requests shall not wait for it too.
    if timed_out && connection.activity.reads.get() == reads {
        connection.retired.set(true);
    }
    let failure = AttemptFailure {
        reused: reused && !reset,
        // A lost connection does not say whether the stream was worked on, unless nothing of it was written. Without a head
        // it was not answered; idempotent requests may go again.
        answered: interims.is_any(),
        written: connection.activity.writes.get() != writes,
        refused,
        timed_out,
    };
    Err(SendError { failure, error, returned: None, client: watch.and_then(|watch| watch.take_error()) })
}

/// The response's head, when it has come. Interim ones before it go on.
fn poll_head(
    response: &mut ResponseFuture,
    interims: &mut Interims,
    interim: &Interim,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<RecvStream>, Failed>> {
    loop {
        match response.poll_informational(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(head))) => {
                let (head, ()) = head.into_parts();
                pass(head.status, head.headers, interims, interim).map_err(Failed::Here)?;
            }
            // The head, or an error that it is told with.
            Poll::Ready(Some(Err(_)) | None) => return Pin::new(response).poll(cx).map_err(Failed::Stream),
        }
    }
}

fn pass(status: StatusCode, fields: HeaderMap, interims: &mut Interims, interim: &Interim) -> Result<(), Error> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::new(ErrorKind::Protocol, "101 over HTTP/2 (RFC 9113 section 8.6)"));
    }
    check(&fields)?;
    let size = |(name, value): (&http::HeaderName, &http::HeaderValue)| name.as_str().len() + value.len() + OVERHEAD;
    let bytes = fields.iter().map(size).sum::<usize>() + OVERHEAD;
    interims.pass(status, FieldMap::from(fields), bytes, interim)
}

impl From<Unsent> for SendError {
    /// Nothing of the request has gone out. Where it came back, it is as good as new.
    fn from(Unsent { error, request }: Unsent) -> Self {
        Self {
            failure: AttemptFailure { refused: request.is_some(), ..AttemptFailure::default() },
            error: describe(&error),
            returned: request.map(Returned::Request),
            client: None,
        }
    }
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

fn describe(error: &h2::Error) -> Error {
    // What the library objects to is the upstream's fault; what the peer says, or the socket, is a reset.
    let protocol = error.is_library() && error.reason() != Some(h2::Reason::CANCEL);
    Error::new(if protocol { ErrorKind::Protocol } else { ErrorKind::Reset }, safe!(*error))
}
