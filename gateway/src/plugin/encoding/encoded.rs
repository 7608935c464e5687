//! A body with a coding on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use plugin_rules::codings::{Coding, Encoder, STEP};

use crate::error::{Error, ErrorKind};
use crate::memory::{Budget, Hold};
use crate::message::Body;
use crate::sanitize::safe;

/// Bytes taken before other tasks of the worker have their turn.
const TURN: usize = 8 * STEP;

/// Puts a coding on a body. Whenever nothing more is there for the moment, what has been taken is let go: no event waits
/// for the next one.
pub(super) struct Encoded {
    body: Body,
    encoder: Option<Encoder>,
    /// What has come and is not encoded yet.
    input: Bytes,
    /// Something was taken since the last flush.
    taken: bool,
    ended: bool,
    trailers: Option<HeaderMap>,
    work: usize,
    _held: Option<Hold>,
}

impl Encoded {
    /// The body with the coding on; what is wholly here is encoded at once, so that its length is known. `Err`: as it was,
    /// because there is no memory for that.
    pub(super) fn body(body: Body, coding: Coding, memory: &Arc<Budget>) -> Result<Body, Body> {
        let whole = body.as_full().filter(|bytes| bytes.len() <= STEP);
        let held = match whole {
            Some(_) => None,
            None => match memory.take_now(Encoder::memory(coding)) {
                Ok(held) => Some(held),
                Err(_) => return Err(body),
            },
        };
        let Ok(mut encoder) = Encoder::new(coding) else { return Err(body) };
        if let Some(bytes) = whole {
            return match encoder.write(&bytes).and_then(|()| encoder.finish()) {
                Ok(encoded) => Ok(Body::full(encoded)),
                Err(_) => Err(body),
            };
        }
        let encoder = Some(encoder);
        let (input, trailers, taken, ended, work) = (Bytes::new(), None, false, false, 0);
        Ok(Body::boxed(Self { body, encoder, input, taken, ended, trailers, work, _held: held }))
    }

    /// Takes a piece of what has come, or comes to the end. What it lets go, if it is enough.
    fn take(&mut self) -> Result<Option<Bytes>, Error> {
        let failed = |error: std::io::Error| Error::new(ErrorKind::Internal, safe!("an encoder failed: ", error));
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        if !self.input.is_empty() {
            let count = self.input.len().min(STEP);
            encoder.write(&self.input[..count]).map_err(failed)?;
            self.input.advance(count);
            (self.taken, self.work) = (true, self.work + count);
            return Ok((encoder.made() >= STEP).then(|| encoder.take().into()));
        }
        if self.ended {
            let rest = self.encoder.take().map_or(Ok(Vec::new()), Encoder::finish).map_err(failed)?;
            return Ok(Some(rest.into()).filter(|rest: &Bytes| !rest.is_empty()));
        }
        Ok(None)
    }

    /// Lets go of what was taken.
    fn flush(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(encoder) = self.encoder.as_mut().filter(|_| std::mem::take(&mut self.taken)) else { return Ok(None) };
        let failed = |error: std::io::Error| Error::new(ErrorKind::Internal, safe!("an encoder failed: ", error));
        encoder.flush().map_err(failed)?;
        Ok(Some(encoder.take().into()).filter(|made: &Bytes| !made.is_empty()))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, Error>> {
        loop {
            if self.work >= TURN {
                self.work = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(made) = self.take()? {
                return Poll::Ready(Ok(Some(Frame::data(made))));
            }
            if !self.input.is_empty() {
                continue;
            }
            if self.ended {
                return Poll::Ready(Ok(self.trailers.take().map(Frame::trailers)));
            }
            match Pin::new(&mut self.body).poll_frame(cx)? {
                Poll::Pending => {
                    self.work = 0;
                    return match self.flush()? {
                        Some(made) => Poll::Ready(Ok(Some(Frame::data(made)))),
                        None => Poll::Pending,
                    };
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Ready(Some(frame)) => match frame.into_data() {
                    Ok(data) => self.input = data,
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        self.ended = true;
                    }
                },
            }
        }
    }
}

impl HttpBody for Encoded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let polled = this.poll(cx);
        if let Poll::Ready(Err(_)) = &polled {
            (this.encoder, this.input, this.ended, this.trailers) = (None, Bytes::new(), true, None);
        }
        polled.map(Result::transpose)
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn where_memory_is_short_the_body_stays_as_it_is() {
        let long = || Body::full(vec![b'x'; 10 * STEP]);
        let memory = Budget::new(1 << 20);
        let as_it_was = Encoded::body(long(), Coding::Br, &memory).err().expect("there is too little");
        assert_eq!(as_it_was.as_full().map(|bytes| bytes.len()), Some(10 * STEP));
        let encoded = Encoded::body(long(), Coding::Gzip, &memory).ok().expect("there is enough");
        assert_eq!(memory.held(), Encoder::memory(Coding::Gzip));
        assert!(encoded.collect().await.unwrap().to_bytes().len() < STEP);
        assert_eq!(memory.held(), 0);
    }
}
