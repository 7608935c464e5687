//! A body without its codings.
//!
//! What comes is decoded a step at a time, each bounded in what it makes, and between many steps the worker has its turn with
//! others. Nothing waits that its sender has flushed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use plugin_rules::codings::{Codings, Decoder, Fault, STEP, Unreadable};

use super::reader::Reader;
use crate::error::Error;
use crate::memory::Hold;
use crate::message::Body;

/// Bytes taken and made before other tasks of the worker have their turn.
const TURN: usize = 8 * STEP;
/// What a step counts at least: one that makes nothing of a few bytes costs something too.
const LEAST: usize = 2 << 10;

/// Takes the codings off a body.
pub(super) struct Decoded {
    body: Body,
    reader: Reader,
    decoder: Decoder,
    /// What has come and is not decoded yet.
    input: Bytes,
    /// More may come of what was given.
    moved: bool,
    /// What was decoded ahead, to see whether anything follows.
    ahead: Option<Bytes>,
    trailers: Option<HeaderMap>,
    /// No more input comes.
    ended: bool,
    done: bool,
    /// See [`TURN`].
    work: usize,
    held: Option<Hold>,
}

impl Decoded {
    /// # Errors
    /// Where there is no memory for it.
    pub(super) fn body(body: Body, codings: &Codings, reader: Reader) -> Result<Body, Error> {
        let decoder = Decoder::new(codings, reader.bounds).map_err(|fault| reader.fault(fault))?;
        let (input, ahead, trailers, held) = (Bytes::new(), None, None, None);
        let (moved, ended, done, work) = (false, false, false, 0);
        Ok(Body::boxed(Self { body, reader, decoder, input, moved, ahead, trailers, ended, done, work, held }))
    }

    /// Runs until something has come of what is there. `None`: nothing has; where `moved` is still set, it is the turn of
    /// others.
    fn decode(&mut self) -> Result<Option<Bytes>, Error> {
        while (self.moved || !self.input.is_empty()) && self.work < TURN {
            let step = self.decoder.step(&self.input).map_err(|fault| self.reader.fault(fault))?;
            let (used, moved, made) = (step.used, step.moved, Bytes::copy_from_slice(step.made));
            self.input.advance(used);
            if self.input.is_empty() {
                // What it is a part of may be large.
                self.input = Bytes::new();
            }
            self.moved = moved;
            self.work += (used + made.len()).max(LEAST);
            self.count_memory()?;
            if !made.is_empty() {
                return Ok(Some(made));
            }
        }
        Ok(None)
    }

    fn count_memory(&mut self) -> Result<(), Error> {
        let (needed, held) = (self.decoder.memory(), self.held.as_ref().map_or(0, Hold::bytes));
        if needed > held {
            let more = self.reader.memory.take_now(needed - held)?;
            match &mut self.held {
                Some(held) => held.merge(more),
                None => self.held = Some(more),
            }
        }
        Ok(())
    }

    /// Where all has come, decodes a step further than is asked for: the last bytes are given with their end, and a short
    /// content that is no good is found out before any of it is let go.
    fn look_ahead(&mut self) -> Result<(), Error> {
        if self.ended || self.body.is_end_stream() {
            self.ended = true;
            self.ahead = self.decode()?;
            if self.ahead.is_none() && !self.moved && self.input.is_empty() {
                self.finish()?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.done = true;
        self.held = None;
        self.decoder.finish().map_err(|fault: Fault| self.reader.fault(fault))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, Error>> {
        loop {
            let data = match self.ahead.take() {
                Some(data) => Some(data),
                None => self.decode()?,
            };
            if let Some(data) = data {
                self.look_ahead()?;
                return Poll::Ready(Ok(Some(Frame::data(data))));
            }
            if self.work >= TURN {
                self.work = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.ended && !self.done {
                self.finish()?;
            }
            if self.done {
                return Poll::Ready(Ok(self.trailers.take().map(Frame::trailers)));
            }
            let frame = Pin::new(&mut self.body).poll_frame(cx);
            if frame.is_pending() {
                self.work = 0;
            }
            match ready!(frame).transpose()?.map(Frame::into_data) {
                None => self.ended = true,
                Some(Ok(data)) => self.input = data,
                Some(Err(frame)) => {
                    self.trailers = frame.into_trailers().ok();
                    self.ended = true;
                }
            }
        }
    }
}

impl HttpBody for Decoded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let polled = ready!(this.poll(cx));
        if polled.is_err() {
            (this.done, this.moved, this.input, this.ahead, this.trailers) = (true, false, Bytes::new(), None, None);
        }
        Poll::Ready(polled.transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.done && self.ahead.is_none() && self.trailers.is_none()
    }
}

/// A body whose coding is not known: nobody can read it, but where there is nothing there is nothing to read.
pub(super) struct Unread {
    pub(super) body: Body,
    pub(super) reader: Reader,
    pub(super) why: Unreadable,
}

impl HttpBody for Unread {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let some = matches!(&frame, Some(Ok(frame)) if frame.data_ref().is_some_and(|data| !data.is_empty()));
        Poll::Ready(if some { Some(Err(this.reader.unreadable(this.why))) } else { frame })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body_util::BodyExt as _;
    use plugin_rules::codings::{Bounds, Coding, Encoder, RATIO};

    use super::*;
    use crate::error::ErrorKind;
    use crate::memory::Budget;
    use crate::message::headers::Direction;

    fn reader(memory: usize) -> Reader {
        let bounds = Bounds { size: None, ratio: RATIO };
        Reader { plugin: "p".into(), direction: Direction::Request, bounds, memory: Budget::new(memory) }
    }

    fn encoded(coding: Coding, content: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(coding).unwrap();
        encoder.write(content).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn what_takes_long_gives_others_their_turn() {
        let nothing = encoded(Coding::Gzip, b"");
        let content = [nothing.repeat(5000), encoded(Coding::Gzip, b"something")].concat();
        let mut body = Decoded::body(Body::full(content), &Codings::of([Coding::Gzip]), reader(1 << 20)).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut turns = 0;
        let frame = loop {
            match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Pending => turns += 1,
                Poll::Ready(frame) => break frame.unwrap().unwrap(),
            }
        };
        assert_eq!(frame.into_data().unwrap(), "something");
        assert!(turns >= 5000 / (TURN / LEAST), "{turns} turns");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_window_counts_as_memory_and_goes_back() {
        let content = encoded(Coding::Zstd, &[b'x'; 3 * STEP]);
        let reader = reader(8 << 20);
        let memory = reader.memory.clone();
        let codings = Codings::of([Coding::Zstd]);
        let mut body = Decoded::body(Body::full(content.clone()), &codings, reader).unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), STEP);
        assert!(memory.held() > 200 << 10, "{} bytes", memory.held());
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 2 * STEP);
        assert_eq!(memory.held(), 0);
        let mut body = Decoded::body(Body::full(content), &codings, self::reader(100 << 10)).unwrap();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BodyMemory);
        assert!(body.frame().await.is_none());
    }
}
