//! A response over HTTP/2. Dropping its body resets the stream with CANCEL, nothing else.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::{Error, ErrorKind};
use crate::memory::Unread;
use crate::message::headers::check_stream_fields;
use crate::message::{Body, Merged, Response};
use crate::timer::Stopwatch;
use crate::upstream::connection::http2::Sent;
use crate::upstream::connection::{BodyWatch, MAX_FIELDS, StreamPermit, cut_short, head_too_large, received};
use crate::upstream::pool::Lease;

/// Refuses a head with more fields than HTTP/1 may have, and one that is malformed (RFC 9113 section 8.2): "intermediaries
/// MUST NOT forward a malformed request or response".
fn check(fields: &http::HeaderMap) -> Result<(), Error> {
    if fields.len() > MAX_FIELDS {
        return Err(head_too_large());
    }
    check_stream_fields(fields).map_err(|error| Error::new(ErrorKind::Protocol, error.detail().to_owned()))
}

/// A response whose head has come.
pub(super) fn receive(
    Sent { response, permit, watch }: Sent,
    lease: Lease,
    mut stopwatch: Stopwatch,
    idle: Duration,
) -> Result<Response, Error> {
    let (head, incoming) = response.into_parts();
    check(&head.headers)?;
    stopwatch.restart_with(idle);
    let ended = incoming.is_end_stream();
    let body = if ended && watch.as_deref().is_none_or(BodyWatch::ended) {
        Body::empty()
    } else {
        let unread = Unread::begun(permit.window());
        Body::boxed(Merged::new(ResponseBody { incoming, unread, watch, stopwatch, ended, _permit: permit, lease }))
    };
    Ok(Response { status: head.status, fields: head.headers.into(), body })
}

/// A response body whose stream is reset when nobody reads it to its end.
struct ResponseBody {
    incoming: Incoming,
    unread: Unread,
    watch: Option<Rc<BodyWatch>>,
    stopwatch: Stopwatch,
    ended: bool,
    _permit: StreamPermit,
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
                this.fail(cut_short(&error, this.watch.as_deref()))
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
        if let Some(watch) = &self.watch
            && !watch.ended()
        {
            watch.cancel();
        }
    }
}
