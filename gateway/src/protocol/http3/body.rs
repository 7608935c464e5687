//! A request's body over HTTP/3: DATA frames as they come, then trailers; its length checked against Content-Length.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::server::RequestStream;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::stream::{Notes, RecvStream};
use crate::error::{Error, ErrorKind};
use crate::memory::{Exhausted, Unread};
use crate::message::{Body, headers};

type Recv = RequestStream<RecvStream, Bytes>;

/// The body of one request.
pub(super) struct IncomingBody {
    recv: Recv,
    notes: Notes,
    unread: Unread,
    /// What came with the head.
    first: Option<Result<Frame<Bytes>, Error>>,
    /// What Content-Length says is still to come.
    declared: Option<u64>,
    reading: Reading,
}

#[derive(Clone, Copy, PartialEq)]
enum Reading {
    Data,
    Trailers,
    Ended,
}

impl IncomingBody {
    /// Gives a request its body: none where the stream has ended with the head already.
    pub(super) async fn attach(
        request: http::Request<()>,
        recv: Recv,
        notes: Notes,
        unread: Unread,
    ) -> http::Request<Body> {
        let declared =
            request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let mut body = Self { recv, notes, unread, first: None, declared, reading: Reading::Data };
        // What has arrived with the head tells a request without a body from one whose body is on its way.
        let first = poll_fn(|cx| Poll::Ready(body.poll_next(cx))).await;
        if let Poll::Ready(first) = first {
            match first {
                None => return request.map(|()| Body::empty()),
                some => body.first = some,
            }
        }
        // From now on nobody waits for it until somebody asks.
        let _ = body.unread.handed_out();
        request.map(|()| Body::boxed(body))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.reading == Reading::Data {
            let Poll::Ready(data) = self.recv.poll_recv_data(cx).map_ok(|data| data.map(copy)) else {
                self.unread.awaited();
                return Poll::Pending;
            };
            match data {
                Ok(Some(data)) => {
                    self.notes.deliver(data.len());
                    return match self.account(&data) {
                        Ok(()) if self.declared == Some(0) => {
                            self.unread.awaited();
                            Poll::Ready(Some(Ok(Frame::data(data))))
                        }
                        Ok(()) if !self.unread.handed_out() => self.fail(Exhausted.into()),
                        Ok(()) => Poll::Ready(Some(Ok(Frame::data(data)))),
                        Err(error) => self.fail(error),
                    };
                }
                Ok(None) if self.declared.unwrap_or(0) > 0 => return self.fail(wrong_length()),
                Ok(None) => self.reading = Reading::Trailers,
                Err(error) => return self.fail(gone(&error)),
            }
        }
        if self.reading == Reading::Trailers {
            let trailers = ready!(self.recv.poll_recv_trailers(cx));
            self.reading = Reading::Ended;
            return Poll::Ready(match trailers {
                Ok(None) => None,
                Ok(Some(trailers)) => Some(headers::check_stream_fields(&trailers).map(|()| Frame::trailers(trailers))),
                Err(error) => Some(Err(gone(&error))),
            });
        }
        Poll::Ready(None)
    }

    fn account(&mut self, data: &Bytes) -> Result<(), Error> {
        if let Some(declared) = &mut self.declared {
            *declared = declared.checked_sub(data.len() as u64).ok_or_else(wrong_length)?;
        }
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.reading = Reading::Ended;
        Poll::Ready(Some(Err(error)))
    }
}

fn copy(mut data: impl Buf) -> Bytes {
    data.copy_to_bytes(data.remaining())
}

/// RFC 9114 section 4.1.2.
fn wrong_length() -> Error {
    Error::new(ErrorKind::BadRequest, "the body's length differs from Content-Length")
}

fn gone(error: &h3::error::StreamError) -> Error {
    Error::new(ErrorKind::ClientGone, format!("reading the request body: {error}"))
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
        self.first.is_none() && self.reading == Reading::Ended
    }

    fn size_hint(&self) -> SizeHint {
        let first = match &self.first {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        match self.declared {
            Some(declared) if self.reading == Reading::Data => SizeHint::with_exact(declared + first as u64),
            _ => SizeHint::default(),
        }
    }
}
