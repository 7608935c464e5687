//! A request's body over HTTP/3: DATA frames as they come, then trailers; its length checked against Content-Length.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h3::error::Code;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::decode::Decoder;
use super::frames::Piece;
use super::incoming::{Cut, Incoming};
use super::reply::Exchange;
use crate::error::{Error, ErrorKind};
use crate::memory::{Exhausted, Unread};
use crate::message::{Body, FieldMap, headers};
use crate::sanitize::{Variant, safe};

/// The body of one request.
pub(super) struct IncomingBody {
    incoming: Incoming,
    exchange: Rc<Exchange>,
    decoder: Rc<Decoder>,
    unread: Unread,
    /// What came with the head.
    first: Option<Result<Frame<Bytes>, Error>>,
    /// What Content-Length says is still to come.
    declared: Option<u64>,
    /// What is sent when the stream ends.
    trailers: Option<Bytes>,
    ended: bool,
}

impl IncomingBody {
    /// The body that comes behind these fields: none where the stream has ended with them.
    pub(super) async fn of(
        fields: &FieldMap,
        incoming: Incoming,
        exchange: &Rc<Exchange>,
        decoder: &Rc<Decoder>,
        unread: Unread,
    ) -> Body {
        let declared = fields.get(CONTENT_LENGTH).and_then(|length| length.expose_str().ok()?.parse::<u64>().ok());
        let (exchange, decoder, first, trailers) = (exchange.clone(), decoder.clone(), None, None);
        let mut body = Self { incoming, exchange, decoder, unread, first, declared, trailers, ended: false };
        // What has arrived with the head tells a request without a body from one whose body is on its way.
        let first = poll_fn(|cx| Poll::Ready(body.poll_next(cx))).await;
        match first {
            Poll::Ready(None) => return Body::empty(),
            Poll::Ready(first) => body.first = first,
            Poll::Pending => {}
        }
        // From now on nobody waits for it until somebody asks.
        let _ = body.unread.handed_out();
        Body::boxed(body)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            let Poll::Ready(next) = self.incoming.poll_next(cx) else {
                self.unread.awaited();
                return Poll::Pending;
            };
            return match next {
                Ok(Some(Piece::Content(data))) => match self.account(&data) {
                    Ok(()) if self.declared == Some(0) => {
                        self.unread.awaited();
                        Poll::Ready(Some(Ok(Frame::data(data))))
                    }
                    Ok(()) if !self.unread.handed_out() => self.fail(Exhausted.into()),
                    Ok(()) => Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(error) => self.fail(error),
                },
                Ok(_) if self.declared.unwrap_or(0) > 0 => self.fail(wrong_length()),
                // The request is not over before its stream is.
                Ok(Some(Piece::Fields { bytes, .. })) => {
                    self.trailers = Some(bytes);
                    continue;
                }
                // A request's stream has nothing else.
                Ok(Some(Piece::Other(_)) | None) => {
                    self.ended = true;
                    self.unread.awaited();
                    Poll::Ready(self.trailers.take().map(|section| self.decode(&section)))
                }
                Err(cut) => {
                    match cut {
                        Cut::Refused(violation) => self.exchange.refused.set(Some(violation.code)),
                        Cut::Reset => self.exchange.give_up(self.incoming.peer()),
                        Cut::Lost => {}
                    }
                    self.fail(Error::new(ErrorKind::ClientGone, safe!("reading the request body: ", Variant(&cut))))
                }
            };
        }
    }

    fn decode(&self, section: &[u8]) -> Result<Frame<Bytes>, Error> {
        let trailers = self.decoder.trailers(section).map_err(|error| {
            self.exchange.refused.set(Some(Code::H3_MESSAGE_ERROR));
            Error::new(ErrorKind::ClientGone, safe!("reading the request's trailers: ", error))
        })?;
        headers::check_stream_fields(&trailers).map(|()| Frame::trailers(trailers))
    }

    fn account(&mut self, data: &Bytes) -> Result<(), Error> {
        if let Some(declared) = &mut self.declared {
            *declared = declared.checked_sub(data.len() as u64).ok_or_else(wrong_length)?;
        }
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.ended = true;
        Poll::Ready(Some(Err(error)))
    }
}

/// RFC 9114 section 4.1.2.
fn wrong_length() -> Error {
    Error::new(ErrorKind::BadRequest, "the body's length differs from Content-Length")
}

impl HttpBody for IncomingBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        match this.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => this.poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.ended
    }

    fn size_hint(&self) -> SizeHint {
        let first = match &self.first {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        match self.declared {
            Some(declared) if !self.ended => SizeHint::with_exact(declared + first as u64),
            _ => SizeHint::default(),
        }
    }
}
