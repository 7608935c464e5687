//! An HTTP/1.1 connection that has no task of its own: the future of the request polls it, and afterwards the response's body
//! does. That saves two wake-ups per message, and dropping the request closes the connection, which is the only way to cancel
//! in HTTP/1.1.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, BytesMut};
use http::{Method, StatusCode};
use tokio::io::{AsyncRead as _, ReadBuf};

use super::body::{BodyWatch, Piece, WatchedBody};
use super::error::{MAX_FIELDS, MAX_HEAD, Returned, SendError, head_too_large};
use super::interim::Interims;
use super::stream::WatchedStream;
use crate::error::{Error, ErrorKind};
use crate::http1::{
    AHEAD, BodyLength, BodyWriter, HeadLimits, Incoming, Malformed, Outgoing, Reading, ResponseHead, Section,
    WriteError, parse_response,
};
use crate::message::{FieldMap, Interim};
use crate::sanitize::safe;
use crate::timer::Stopwatch;
use crate::upstream::retry::AttemptFailure;

/// What the head of a response, and its trailers, may hold.
pub(in crate::upstream) const LIMITS: HeadLimits = HeadLimits { bytes: MAX_HEAD, fields: MAX_FIELDS };
/// Read at a time at least.
const READ: usize = 8 << 10;
/// What an idle connection keeps to read into.
const KEPT: usize = 16 << 10;

/// An established connection.
pub(in crate::upstream) struct Http1 {
    stream: WatchedStream,
    incoming: Incoming,
    outgoing: Outgoing,
    /// The sweep during which it became idle.
    pub(in crate::upstream) idle_since: u32,
}

/// A request's body on its way into the connection.
pub(in crate::upstream) struct Upload {
    body: WatchedBody,
    writer: BodyWriter,
}

impl Upload {
    /// A body of this length, behind a head with these fields.
    pub(in crate::upstream) fn new(body: WatchedBody, length: BodyLength, head: &FieldMap) -> Self {
        Self { body, writer: BodyWriter::new(length, head) }
    }

    /// Who watches it.
    pub(in crate::upstream) fn watch(&self) -> Option<Rc<BodyWatch>> {
        self.body.watch()
    }
}

impl Http1 {
    /// A connection over a new transport.
    pub(in crate::upstream) fn new(stream: WatchedStream) -> Box<Self> {
        Box::new(Self { stream, incoming: Incoming::new(READ), outgoing: Outgoing::default(), idle_since: 0 })
    }

    /// Where the head of a request is written to.
    pub(in crate::upstream) const fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// Looks at an idle connection once: whether it can carry another request. What comes without one is not waited for:
    /// nobody is woken by it.
    pub(in crate::upstream) fn is_usable(&mut self) -> bool {
        if !self.incoming.buffer.is_empty() || !self.outgoing.is_empty() || self.stream.activity().broken.get() {
            return false;
        }
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut self.stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// It is idle from now on: what it keeps room for is little.
    pub(in crate::upstream) fn rest(&mut self) {
        self.incoming.shrink(KEPT);
    }

    /// What has come and is not decoded.
    pub(in crate::upstream) const fn incoming(&mut self) -> &mut BytesMut {
        &mut self.incoming.buffer
    }

    /// Reads what has come. 0: the other end has said everything.
    pub(in crate::upstream) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.incoming.poll_read(&mut self.stream, cx)
    }

    /// Writes what is to be written, the upload included. Ready when that is done; the upload is gone then.
    pub(in crate::upstream) fn poll_upload(
        &mut self,
        upload: &mut Option<Upload>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            if let Some(Upload { body, writer }) = upload {
                match writer.poll_fill(body, &mut self.outgoing, cx, Piece::into_bytes) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => *upload = None,
                    Poll::Ready(Err(WriteError::Body(_))) => {
                        return Poll::Ready(Err(Error::new(ErrorKind::Reset, "the request's body has failed")));
                    }
                    Poll::Ready(Err(WriteError::Length)) => {
                        let what = "the request's body is not as long as its Content-Length says";
                        return Poll::Ready(Err(Error::new(ErrorKind::ClientGone, what)));
                    }
                }
            }
            let more = self.outgoing.len() >= AHEAD;
            ready!(self.outgoing.poll_flush(&mut self.stream, cx)).map_err(|error| reset(&error))?;
            if upload.is_none() {
                return Poll::Ready(Ok(()));
            }
            if !more {
                return Poll::Pending;
            }
        }
    }
}

/// The connection has failed.
pub(in crate::upstream) fn reset(error: &io::Error) -> Error {
    Error::new(ErrorKind::Reset, safe!(*error))
}

/// What an upstream has sent is not HTTP/1.1.
pub(in crate::upstream) fn malformed(what: Malformed) -> Error {
    match what {
        Malformed::TooLarge => head_too_large(),
        other => Error::new(ErrorKind::Protocol, other.text()),
    }
}

/// A response's head, and what the rest of it comes over.
pub(in crate::upstream) struct Sent {
    pub(in crate::upstream) head: ResponseHead,
    pub(in crate::upstream) connection: Box<Http1>,
    /// What of the request is still being sent.
    pub(in crate::upstream) upload: Option<Upload>,
    /// Who watches the request's body.
    pub(in crate::upstream) watch: Option<Rc<BodyWatch>>,
    /// The request's, which says whether the response has a body.
    pub(in crate::upstream) method: Method,
}

/// What has come of a response's head.
#[derive(Default)]
struct HeadProgress {
    section: Section,
    /// Those before it.
    interims: Interims,
}

impl HeadProgress {
    /// Reads until the head of the response is there.
    fn poll(
        &mut self,
        connection: &mut Http1,
        interim: &Interim,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, Error>> {
        loop {
            let found =
                self.section.find_end(connection.incoming(), 1, LIMITS, Reading::Tolerant).map_err(malformed)?;
            let Some(found) = found else {
                match ready!(connection.poll_read(cx)) {
                    Ok(0) if connection.incoming().is_empty() => {
                        return Poll::Ready(Err(Error::new(ErrorKind::Reset, "the connection was closed")));
                    }
                    Ok(0) => {
                        let what = "the connection was closed within the head of the response";
                        return Poll::Ready(Err(Error::new(ErrorKind::Reset, what)));
                    }
                    Ok(_) => continue,
                    Err(error) => return Poll::Ready(Err(reset(&error))),
                }
            };
            let (bytes, incoming) = (found.place.end, connection.incoming());
            incoming.advance(found.place.start);
            let head = incoming.split_to(found.place.len());
            let head = parse_response(head, &found).map_err(malformed)?;
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Ok(head));
            }
            self.section = Section::default();
            self.interims.pass(head.status, head.fields, bytes, interim)?;
        }
    }
}

/// Sends the request whose head is in `outgoing`, and waits for the response's head.
pub(in crate::upstream) async fn send(
    mut connection: Box<Http1>,
    upload: Upload,
    method: &Method,
    interim: &Interim,
    reused: bool,
    stopwatch: &mut Stopwatch,
) -> Result<Sent, SendError> {
    let activity = connection.stream.activity().clone();
    let watch = upload.watch();
    let (reads, writes) = (activity.reads.get(), activity.writes.get());
    let (mut upload, mut progress, mut seen) = (Some(upload), HeadProgress::default(), writes);
    let result = poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = connection.poll_upload(&mut upload, cx) {
            return Poll::Ready(Err(error));
        }
        if let Poll::Ready(head) = progress.poll(&mut connection, interim, cx) {
            return Poll::Ready(head);
        }
        // The upstream's time runs from what it took last, and stands still while the client is the one to move: the body,
        // polled above, wakes this task when the client does.
        if activity.writes.get() != seen {
            seen = activity.writes.get();
            stopwatch.restart();
        }
        if watch.as_deref().is_some_and(BodyWatch::waits_for_client) {
            stopwatch.restart();
            return Poll::Pending;
        }
        if stopwatch.poll_expired(cx) {
            return Poll::Ready(Err(Error::new(ErrorKind::ResponseTimeout, "no response head in time")));
        }
        Poll::Pending
    })
    .await;
    match result {
        Ok(head) => Ok(Sent { head, connection, upload, watch, method: method.clone() }),
        Err(error) => Err(SendError {
            failure: AttemptFailure {
                reused,
                answered: activity.reads.get() != reads,
                written: activity.writes.get() != writes,
                refused: false,
                timed_out: error.kind() == ErrorKind::ResponseTimeout,
            },
            client: watch.and_then(|watch| watch.take_error()).or_else(|| client_error(&error)),
            returned: upload.filter(|upload| !upload.writer.is_begun()).map(|upload| Returned::Body(upload.body)),
            error,
        }),
    }
}

/// The error where it is the client's.
fn client_error(error: &Error) -> Option<Error> {
    (error.kind() == ErrorKind::ClientGone).then(|| error.clone())
}
