//! A request's body over HTTP/3: DATA frames as they come, then trailers; its length checked against Content-Length.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::server::RequestStream;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::quic::{self, Budget};
use crate::error::{Error, ErrorKind};
use crate::message::Body;

type Recv = RequestStream<quic::RecvStream, Bytes>;

/// The body of one request.
pub(super) struct RequestBody {
    recv: Recv,
    budget: Budget,
    first: Option<Bytes>,
    /// What Content-Length says is still to come.
    declared: Option<u64>,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Data,
    Trailers,
    Ended,
}

impl RequestBody {
    /// Gives a request its body: none where the stream has ended with the head already.
    pub(super) async fn attach(request: http::Request<()>, mut recv: Recv, budget: Budget) -> http::Request<Body> {
        let declared =
            request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        // What has arrived with the head tells a request without a body from one whose body is on its way.
        let polled = poll_fn(|cx| Poll::Ready(recv.poll_recv_data(cx).map_ok(|data| data.map(copy)))).await;
        let (first, state) = match polled {
            Poll::Ready(Ok(None)) if declared.unwrap_or(0) == 0 => (None, State::Trailers),
            Poll::Ready(Ok(Some(data))) => {
                budget.refill();
                (Some(data), State::Data)
            }
            Poll::Pending | Poll::Ready(_) => (None, State::Data),
        };
        let mut body = Self { recv, budget, first, declared, state };
        if body.state == State::Trailers {
            let polled = poll_fn(|cx| Poll::Ready(body.recv.poll_recv_trailers(cx))).await;
            if matches!(polled, Poll::Ready(Ok(None))) {
                return request.map(|()| Body::empty());
            }
        }
        request.map(|()| Body::boxed(body))
    }

    fn account(&mut self, data: &Bytes) -> Result<(), Error> {
        if let Some(declared) = &mut self.declared {
            *declared = declared.checked_sub(data.len() as u64).ok_or_else(wrong_length)?;
        }
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.state = State::Ended;
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

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if this.state == State::Data {
            let data = match this.first.take() {
                Some(data) => Ok(Some(data)),
                None => ready!(this.recv.poll_recv_data(cx)).map(|data| data.map(copy)),
            };
            match data {
                Ok(Some(data)) => {
                    this.budget.refill();
                    return match this.account(&data) {
                        Ok(()) => Poll::Ready(Some(Ok(Frame::data(data)))),
                        Err(error) => this.fail(error),
                    };
                }
                Ok(None) if this.declared.unwrap_or(0) > 0 => return this.fail(wrong_length()),
                Ok(None) => this.state = State::Trailers,
                Err(error) => return this.fail(gone(&error)),
            }
        }
        if this.state == State::Trailers {
            match ready!(this.recv.poll_recv_trailers(cx)) {
                Ok(trailers) => {
                    this.state = State::Ended;
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Err(error) => return this.fail(gone(&error)),
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Ended
    }

    fn size_hint(&self) -> SizeHint {
        match self.declared {
            Some(declared) if self.state == State::Data => SizeHint::with_exact(declared),
            _ => SizeHint::default(),
        }
    }
}
