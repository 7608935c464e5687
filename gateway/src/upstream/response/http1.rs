//! A response over HTTP/1.1. Its body owns the connection, and gives it back when all has been read.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use smallvec::SmallVec;

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
        ready: SmallVec::new(),
        decoder: BodyDecoder::new(length, Reading::Tolerant, LIMITS),
        persistent: headers::is_persistent(head.version, &head.fields),
        connection: Some(connection),
        upload,
        watch,
        lease,
        stopwatch,
    };
    body.decode()?;
    let (status, fields) = (head.status, head.fields);
    let body = match body.whole() {
        Some(bytes) => Body::full(bytes),
        None => Body::boxed(Merged::new(body)),
    };
    Ok(Response { status, fields, body })
}

/// A response body that owns its connection and drives it while it is read.
struct ResponseBody {
    /// What is decoded, the last first.
    ready: SmallVec<[Frame<Bytes>; 2]>,
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
        (self.connection, self.upload) = (None, None);
        self.ready.clear();
        // The client's own error explains it better than what it did to the connection.
        let error = self.watch.as_deref().and_then(BodyWatch::take_error).unwrap_or(error);
        self.lease.cut(&error);
        Poll::Ready(Some(Err(error)))
    }

    /// Decodes the next part of what has come: two pieces, because the end may stand right behind the first, and whoever takes
    /// that shall know that it was the last. At the end of the body the connection is gone.
    fn decode(&mut self) -> Result<(), Error> {
        while let Some(connection) = &mut self.connection
            && self.ready.len() < 2
        {
            match self.decoder.decode(connection.incoming()).map_err(malformed)? {
                Decoded::Partial => break,
                Decoded::Data(data) => self.ready.insert(0, Frame::data(data)),
                Decoded::End(trailers) => {
                    let trailers = trailers.map(|trailers| received(Frame::trailers(trailers.into_map())));
                    self.ready.insert_many(0, trailers);
                }
            }
            if self.decoder.is_ended() {
                self.release();
            }
        }
        Ok(())
    }

    /// The whole body, where it is here and has no trailers.
    fn whole(&mut self) -> Option<Bytes> {
        match (&self.connection, &self.ready[..]) {
            (None, []) => Some(Bytes::new()),
            (None, [frame]) if frame.is_data() => self.ready.pop()?.into_data().ok(),
            _ => None,
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(frame) = this.ready.pop() {
                this.stopwatch.restart();
                return Poll::Ready(Some(Ok(frame)));
            }
            let Some(connection) = &mut this.connection else { return Poll::Ready(None) };
            if let Poll::Ready(Err(error)) = connection.poll_upload(&mut this.upload, cx) {
                return this.fail(error);
            }
            if let Err(error) = this.decode() {
                return this.fail(error);
            }
            let Some(connection) = this.connection.as_mut().filter(|_| this.ready.is_empty()) else { continue };
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
        self.ready.is_empty() && self.connection.is_none()
    }

    /// A body with trailers has no length that could be told ahead: they could not follow it (RFC 9112 section 7.1.2).
    fn size_hint(&self) -> SizeHint {
        if self.ready.iter().any(Frame::is_trailers) {
            return SizeHint::default();
        }
        let ready: usize = self.ready.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        match (&self.connection, self.decoder.left()) {
            (None, _) => SizeHint::with_exact(ready as u64),
            (Some(_), Some(left)) => SizeHint::with_exact(ready as u64 + left),
            (Some(_), None) => SizeHint::default(),
        }
    }
}
