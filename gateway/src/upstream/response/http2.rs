//! A response over HTTP/2. Dropping its body resets the stream with CANCEL, nothing else.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::error::{Error, ErrorKind};
use crate::memory::Unread;
use crate::message::headers::check_stream_fields;
use crate::message::{Body, Merged, Response};
use crate::timer::Stopwatch;
use crate::upstream::connection::http2::{Sent, check};
use crate::upstream::connection::{BodyWatch, StreamPermit, Uploading, cut_short, received};
use crate::upstream::pool::Lease;

/// A response whose head has come.
pub(super) fn receive(
    Sent { response, permit, upload, watch, headless }: Sent,
    lease: Lease,
    mut stopwatch: Stopwatch,
    idle: Duration,
) -> Result<Response, Error> {
    let (head, incoming) = response.into_parts();
    check(&head.headers)?;
    stopwatch.restart_with(idle);
    let body = if incoming.is_end_stream() {
        // Nobody is there any more to send the rest of the request for.
        Body::empty()
    } else {
        let unread = Unread::begun(permit.window());
        let declared = if headless { None } else { declared(&head.headers) };
        let incoming = Incoming { stream: incoming, declared, data_ended: false };
        let rest =
            ResponseBody { incoming, unread, watch, stopwatch, ended: false, _upload: upload, _permit: permit, lease };
        Body::boxed(Merged::new(rest))
    };
    Ok(Response { status: head.status, fields: head.headers.into(), body })
}

/// What Content-Length says. h2 compares it with what comes.
fn declared(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What comes behind the head.
struct Incoming {
    stream: RecvStream,
    /// What Content-Length says is still to come.
    declared: Option<u64>,
    data_ended: bool,
}

impl Incoming {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // It fails only where the stream is gone, which the next frame tells.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    if let Some(declared) = &mut self.declared {
                        *declared = declared.saturating_sub(data.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_ended = true,
            }
        }
        Poll::Ready(ready!(self.stream.poll_trailers(cx)).map(|trailers| trailers.map(Frame::trailers)).transpose())
    }
}

/// A response body whose stream is reset when nobody reads it to its end.
struct ResponseBody {
    incoming: Incoming,
    unread: Unread,
    watch: Option<Rc<BodyWatch>>,
    stopwatch: Stopwatch,
    ended: bool,
    /// After a complete response there is nobody to send the rest of the request for, either.
    _upload: Option<Uploading>,
    _permit: StreamPermit,
    lease: Lease,
}

impl ResponseBody {
    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.ended = true;
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
        match this.incoming.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.stopwatch.restart();
                if let Some(Err(malformed)) = frame.trailers_ref().map(check_stream_fields) {
                    return this.fail(Error::new(ErrorKind::Protocol, malformed.safe_detail().clone()));
                }
                this.ended = frame.is_trailers() || this.incoming.stream.is_end_stream();
                if this.ended {
                    this.unread.awaited();
                } else {
                    // A response that is under way goes on.
                    let _ = this.unread.handed_out();
                }
                Poll::Ready(Some(Ok(received(frame))))
            }
            Poll::Ready(None) => {
                // Also at RST_STREAM with NO_ERROR after a whole response to a request that was still being sent (RFC 9113
                // section 8.1): h2 remembers over a reset that END_STREAM had come before it.
                this.ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let error = cut_short(&error, this.watch.as_deref());
                this.fail(error)
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
        if self.ended {
            return SizeHint::with_exact(0);
        }
        self.incoming.declared.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
