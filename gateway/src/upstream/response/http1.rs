//! A response over HTTP/1.1. Its body owns the connection, and gives it back when all has been read.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::error::{Error, ErrorKind};
use crate::http1::{BodyDecoder, Decoded, Reading, response_length};
use crate::message::{Body, Merged, Response, headers};
use crate::timer::Stopwatch;
use crate::upstream::connection::http1::{LIMITS, Sent, Upload, malformed, reset};
use crate::upstream::connection::{BodyWatch, Http1, received};
use crate::upstream::pool::Lease;

/// A response whose head has come. A body that is here already needs no further care: the connection goes back at once.
/// Refused where two parsers could read it in two ways (RFC 9112 section 6.3), and where it switches protocols.
pub(super) fn receive(
    Sent { head, connection, upload, watch, method }: Sent,
    lease: Lease,
    mut stopwatch: Stopwatch,
    idle: Duration,
) -> Result<Response, Error> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::new(ErrorKind::Protocol, "101 without an Upgrade in the request"));
    }
    let length = response_length(&method, head.version, head.status, &head.fields).map_err(malformed)?;
    stopwatch.restart_with(idle);
    let mut body = ResponseBody {
        ready: None,
        decoder: BodyDecoder::new(length, Reading::Tolerant, LIMITS),
        persistent: headers::is_persistent(head.version, &head.fields),
        connection: Some(connection),
        upload,
        watch,
        lease,
        stopwatch,
    };
    let first = body.decode()?;
    let (status, fields) = (head.status, head.fields);
    if body.connection.is_none() && body.ready.is_none() && first.as_ref().is_none_or(Frame::is_data) {
        let bytes = first.and_then(|frame| frame.into_data().ok()).unwrap_or_default();
        return Ok(Response { status, fields, body: Body::full(bytes) });
    }
    // What comes first is handed out first: `decode` keeps what stands behind it.
    let body = Body::boxed(Merged::new(First { first, rest: body }));
    Ok(Response { status, fields, body })
}

/// A response body that owns its connection and drives it while it is read.
struct ResponseBody {
    /// What was decoded together with the frame before it.
    ready: Option<Frame<Bytes>>,
    decoder: BodyDecoder,
    /// Whether the upstream will serve another request over the connection.
    persistent: bool,
    /// `None` when the body has ended.
    connection: Option<Box<Http1>>,
    upload: Option<Upload>,
    watch: Option<Rc<BodyWatch>>,
    lease: Lease,
    stopwatch: Stopwatch,
}

impl ResponseBody {
    /// The body has ended. The connection goes back to the pool, if it is fit for it: a request that is still being sent ends
    /// here.
    fn release(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.persistent && self.upload.is_none() && connection.is_usable() {
            connection.rest();
            self.lease.keep(connection);
        }
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        (self.connection, self.upload, self.ready) = (None, None, None);
        // The client's own error explains it better than what it did to the connection.
        let error = self.watch.as_deref().and_then(BodyWatch::take_error).unwrap_or(error);
        self.lease.cut(&error);
        Poll::Ready(Some(Err(error)))
    }

    /// The next part of what has come. At the end of the body the connection is gone.
    fn decode(&mut self) -> Result<Option<Frame<Bytes>>, Error> {
        let Some(connection) = &mut self.connection else { return Ok(None) };
        let first = match self.decoder.decode(&mut connection.incoming).map_err(malformed)? {
            Decoded::Partial => return Ok(None),
            Decoded::End(trailers) => trailers.map(|trailers| received(Frame::trailers(trailers.into_map()))),
            Decoded::Data(data) => {
                // The end may stand right behind it: whoever takes this shall know that it was the last.
                if !self.decoder.is_ended() {
                    match self.decoder.decode(&mut connection.incoming).map_err(malformed)? {
                        Decoded::Partial | Decoded::End(None) => {}
                        Decoded::Data(data) => self.ready = Some(Frame::data(data)),
                        Decoded::End(Some(trailers)) => {
                            self.ready = Some(received(Frame::trailers(trailers.into_map())));
                        }
                    }
                }
                Some(Frame::data(data))
            }
        };
        if self.decoder.is_ended() {
            self.release();
        }
        Ok(first)
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Some(frame) = this.ready.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        loop {
            let Some(connection) = &mut this.connection else { return Poll::Ready(None) };
            if let Poll::Ready(Err(error)) = connection.poll_upload(&mut this.upload, cx) {
                return this.fail(error);
            }
            match this.decode() {
                Err(error) => return this.fail(error),
                Ok(Some(frame)) => {
                    this.stopwatch.restart();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(None) => {}
            }
            let Some(connection) = &mut this.connection else { return Poll::Ready(None) };
            match connection.poll_read(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) if this.decoder.ends_with_connection() => {
                    this.connection = None;
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(0)) => return this.fail(Error::new(ErrorKind::Reset, "the response was cut short")),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return this.fail(reset(&error)),
            }
        }
        if this.stopwatch.poll_expired(cx) {
            return this.fail(Error::new(ErrorKind::ResponseTimeout, "no next piece of the response body in time"));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_none() && self.connection.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (self.is_end_stream(), self.decoder.left()) {
            (true, _) => SizeHint::with_exact(0),
            (false, Some(left)) => SizeHint::with_exact(left),
            (false, None) => SizeHint::default(),
        }
    }
}

/// A body whose first frame is here.
struct First {
    first: Option<Frame<Bytes>>,
    rest: ResponseBody,
}

impl HttpBody for First {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        match this.first.take() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.first, self.rest.size_hint().exact()) {
            (None, _) => self.rest.size_hint(),
            (Some(first), Some(rest)) => SizeHint::with_exact(rest + first.data_ref().map_or(0, Bytes::len) as u64),
            (Some(_), None) => SizeHint::default(),
        }
    }
}
