//! A body on its way into a connection, framed as its head has said (RFC 9112 sections 6 and 7).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderName;
use http_body::{Body, Frame};
use rustc_hash::FxHashSet;

use super::encode::{chunk_size, last_chunk};
use super::{BodyLength, Outgoing};
use crate::message::{FieldMap, known};
use crate::sensitive::no_content;

/// So much is taken from a body before what was taken has been written.
pub const AHEAD: usize = 64 << 10;

/// Up to so many names are compared one by one.
const FEW: usize = 16;

/// Why a body can't be written to its end.
#[derive(Debug)]
pub enum WriteError<E> {
    /// The body has failed.
    Body(E),
    /// It is not as long as its head has said.
    Length,
}

/// Frames a body.
#[derive(Clone)]
pub struct BodyWriter {
    /// What is to come, in the form that the head has announced.
    length: BodyLength,
    begun: bool,
    ended: bool,
    /// The trailers that the head has named (RFC 9110 section 6.6.2). No other ones are written: who reads HTTP/1 and was not
    /// told of them might not expect any.
    named: Vec<HeaderName>,
}

no_content!(BodyWriter);

impl BodyWriter {
    /// For a body of which nothing has been written, behind a head with these fields.
    pub fn new(length: BodyLength, head: &FieldMap) -> Self {
        let mut named = Vec::new();
        if length == BodyLength::Chunked {
            for value in head.get_all(&known::TRAILER) {
                let names = value.expose().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
                named.extend(names.filter_map(|name| HeaderName::from_bytes(name).ok()));
            }
        }
        Self { length, begun: false, ended: length == BodyLength::Exact(0), named }
    }

    /// Whether anything has been taken from the body.
    pub const fn is_begun(&self) -> bool {
        self.begun
    }

    /// Whether its end is in the queue.
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Takes from the body what is there, until much waits to be written: then nobody is woken, and it is to be called again
    /// when that has been written. Ready at the body's end. `pass` makes bytes of its pieces.
    ///
    /// # Errors
    /// The body's, and where it is not as long as was said. The connection can carry nothing else then.
    pub fn poll_fill<B: Body + Unpin>(
        &mut self,
        body: &mut B,
        outgoing: &mut Outgoing,
        cx: &mut Context<'_>,
        pass: impl Fn(B::Data) -> Bytes,
    ) -> Poll<Result<(), WriteError<B::Error>>> {
        while !self.ended {
            if outgoing.len() >= AHEAD {
                return Poll::Pending;
            }
            let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
            self.begun = true;
            match frame {
                None => self.finish(None, outgoing)?,
                Some(Err(error)) => return Poll::Ready(Err(WriteError::Body(error))),
                Some(Ok(frame)) => self.frame(frame.map_data(&pass), outgoing)?,
            }
            if !self.ended && body.is_end_stream() {
                self.finish(None, outgoing)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn frame<E>(&mut self, frame: Frame<Bytes>, outgoing: &mut Outgoing) -> Result<(), WriteError<E>> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                let mut trailers = frame.into_trailers().map_or_else(|_| FieldMap::new(), FieldMap::from);
                self.keep_named(&mut trailers);
                return self.finish(Some(&trailers), outgoing);
            }
        };
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.length {
            BodyLength::Exact(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(WriteError::Length)?;
                self.ended = *left == 0;
                outgoing.push(data);
            }
            BodyLength::Chunked => {
                outgoing.write(|out| chunk_size(out, data.len()));
                outgoing.push(data);
                outgoing.write(|out| out.extend_from_slice(b"\r\n"));
            }
            BodyLength::UntilClose => outgoing.push(data),
        }
        Ok(())
    }

    /// Leaves the trailers that the head has named, which may have named thousands.
    fn keep_named(&self, trailers: &mut FieldMap) {
        if self.named.len() <= FEW {
            return trailers.retain(|name, _| self.named.iter().any(|named| name == *named));
        }
        let named: FxHashSet<&str> = self.named.iter().map(HeaderName::as_str).collect();
        trailers.retain(|name, _| named.contains(name.expose_str()));
    }

    fn finish<E>(&mut self, trailers: Option<&FieldMap>, outgoing: &mut Outgoing) -> Result<(), WriteError<E>> {
        match self.length {
            BodyLength::Exact(0) | BodyLength::UntilClose => {}
            BodyLength::Exact(_) => return Err(WriteError::Length),
            BodyLength::Chunked => outgoing.write(|out| last_chunk(out, trailers)),
        }
        self.ended = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::Waker;

    use http::HeaderMap;
    use http_body_util::StreamBody;

    use super::*;
    use crate::message::headers::map;

    fn write(length: BodyLength, frames: Vec<Frame<Bytes>>) -> Result<String, WriteError<Infallible>> {
        let (mut writer, mut outgoing) =
            (BodyWriter::new(length, &map(&[("trailer", "X-A, x-b")])), Outgoing::default());
        let mut body = StreamBody::new(futures_util::stream::iter(frames.into_iter().map(Ok)));
        let mut cx = Context::from_waker(Waker::noop());
        match writer.poll_fill(&mut body, &mut outgoing, &mut cx, |data| data) {
            Poll::Ready(written) => written?,
            Poll::Pending => panic!("the body is here"),
        }
        let mut sink = Vec::new();
        assert!(outgoing.poll_flush(&mut sink, &mut cx).is_ready());
        Ok(String::from_utf8(sink).unwrap())
    }

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn bodies_are_framed_as_their_heads_have_said() {
        let pieces = || vec![data("abc"), data(""), data("0123456789")];
        assert_eq!(write(BodyLength::Exact(13), pieces()).unwrap(), "abc0123456789");
        assert_eq!(write(BodyLength::UntilClose, pieces()).unwrap(), "abc0123456789");
        assert_eq!(write(BodyLength::Chunked, pieces()).unwrap(), "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-a", http::HeaderValue::from_static("1"));
        trailers.insert("x-unnamed", http::HeaderValue::from_static("1"));
        let frames = vec![data("abc"), Frame::trailers(trailers)];
        assert_eq!(write(BodyLength::Chunked, frames).unwrap(), "3\r\nabc\r\n0\r\nx-a: 1\r\n\r\n");
        assert_eq!(write(BodyLength::Exact(0), vec![]).unwrap(), "");
    }

    #[test]
    fn of_many_named_trailers_those_that_come_are_written() {
        let names: Vec<String> = (0..=FEW).map(|number| format!("x-{number}")).collect();
        let (mut writer, mut outgoing) =
            (BodyWriter::new(BodyLength::Chunked, &map(&[("trailer", &names.join(","))])), Outgoing::default());
        let mut trailers = HeaderMap::new();
        trailers.insert("x-16", http::HeaderValue::from_static("1"));
        trailers.insert("x-17", http::HeaderValue::from_static("1"));
        writer.frame::<Infallible>(Frame::trailers(trailers), &mut outgoing).unwrap();
        let mut sink = Vec::new();
        assert!(outgoing.poll_flush(&mut sink, &mut Context::from_waker(Waker::noop())).is_ready());
        assert_eq!(sink, b"0\r\nx-16: 1\r\n\r\n");
    }

    #[test]
    fn a_body_of_another_length_is_not_written_to_its_end() {
        for length in [4, 14] {
            let pieces = vec![data("abc"), data("0123456789")];
            assert!(matches!(write(BodyLength::Exact(length), pieces), Err(WriteError::Length)), "{length}");
        }
    }
}
