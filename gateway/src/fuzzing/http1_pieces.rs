//! What both differential targets of HTTP/1.1 need: an input cut in several ways, and hyper fed with it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncWrite as _, DuplexStream};

use crate::http1::{
    BodyDecoder, BodyLength, BodyWriter, Decoded, Found, HeadLimits, Malformed, Outgoing, Reading, Section,
    parse_fields, write_fields,
};
use crate::message::FieldMap;

/// What a head may hold here: little enough for an input to reach it.
pub(super) const LIMITS: HeadLimits = HeadLimits { bytes: 2 << 10, fields: 24 };
/// More than hyper reads of any input, or writes in answer to it.
pub(super) const ROOM: usize = 4 << 20;

/// The content of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
    /// Whether its end has come.
    pub(super) whole: bool,
}

impl Content {
    /// Takes what a decoder gives. `false`: more has to come, or nothing.
    pub(super) fn take(&mut self, decoded: Decoded) -> bool {
        match decoded {
            Decoded::Data(data) => self.body.extend_from_slice(&data),
            Decoded::End(trailers) => {
                self.trailers = trailers.map(FieldMap::into_map);
                self.whole = true;
            }
            Decoded::Partial => return false,
        }
        !self.whole
    }

    /// Reads what hyper has of a body, to its end or to an error.
    pub(super) async fn of(mut body: hyper::body::Incoming) -> Self {
        let mut content = Self::default();
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => content.body.extend_from_slice(&data),
                Ok(Err(frame)) => content.trailers = frame.into_trailers().ok(),
                Err(_) => return content,
            }
        }
        content.whole = true;
        content
    }

    /// What we would write of it in chunks is read as the same.
    ///
    /// # Panics
    /// Where it is not.
    pub(super) fn check_written(&self) {
        let names: Vec<&str> = self.trailers.iter().flat_map(HeaderMap::keys).map(HeaderName::as_str).collect();
        let named = HeaderValue::try_from(names.join(",")).expect("names make a value");
        let head: FieldMap = [(http::header::TRAILER, named)].into_iter().collect();
        let mut frames = vec![Frame::data(Bytes::copy_from_slice(&self.body))];
        frames.extend(self.trailers.clone().map(Frame::trailers));
        let frames = frames.into_iter().map(Ok::<_, std::convert::Infallible>);
        let mut body = StreamBody::new(futures_util::stream::iter(frames));
        let (mut writer, mut outgoing) = (BodyWriter::new(BodyLength::Chunked, &head), Outgoing::default());
        let (mut written, mut cx) = (Vec::new(), Context::from_waker(Waker::noop()));
        loop {
            let filled = writer.poll_fill(&mut body, &mut outgoing, &mut cx, |data| data);
            assert!(matches!(outgoing.poll_flush(&mut written, &mut cx), Poll::Ready(Ok(()))));
            match filled {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => break,
                Poll::Ready(Err(error)) => panic!("{error:?}"),
            }
        }
        let limits = HeadLimits { bytes: LIMITS.bytes * 2, fields: LIMITS.fields };
        let (mut decoder, mut buffer) =
            (BodyDecoder::new(BodyLength::Chunked, Reading::Strict, limits), written[..].into());
        let mut read = Self::default();
        while read.take(decoder.decode(&mut buffer).expect("what we write is well-formed")) {}
        assert!(buffer.is_empty(), "something is left");
        assert_eq!((&read.body, read.whole), (&self.body, true));
        // A section without fields is not written.
        let fields = |trailers: &Option<HeaderMap>| trailers.clone().filter(|fields| !fields.is_empty());
        assert_eq!(fields(&read.trailers), fields(&self.trailers));
    }
}

/// Fields that we have read are read again as they were written.
///
/// # Panics
/// Where they are not.
pub(super) fn check_fields(fields: &FieldMap) {
    let mut written = Vec::new();
    write_fields(&mut written, fields);
    written.extend_from_slice(b"\r\n");
    let (written, found) = whole(written, 0);
    assert_eq!(parse_fields(written, &found, Reading::Strict).as_ref(), Ok(fields));
}

/// A section that we have written, and its lines.
///
/// # Panics
/// Where it is none.
pub(super) fn whole(written: Vec<u8>, before: usize) -> (BytesMut, Found) {
    const ANY: HeadLimits = HeadLimits { bytes: ROOM, fields: ROOM };
    let found = Section::default().find_end(&written, before, ANY, Reading::Strict);
    (BytesMut::from(&written[..]), found.expect("what we write is well-formed").expect("it is whole"))
}

/// The input as a whole, byte by byte, in halves, and in pieces; where it is cut comes from the input.
pub(super) fn cuts(data: &[u8]) -> [Vec<&[u8]>; 4] {
    let seed = data.iter().fold(0xcbf2_9ce4_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let seed = (seed ^ seed >> 15) as usize;
    let halves = data.split_at(seed % (data.len() + 1));
    [vec![data], data.chunks(1).collect(), vec![halves.0, halves.1], data.chunks(1 + seed % 61).collect()]
}

/// Where the minor version stands in a request line or a status line with these bytes, if it is one that we take for 1.
pub(super) fn later_minor(line: &[u8]) -> Option<usize> {
    let name = line.windows(7).position(|name| name == b"HTTP/1.")?;
    line.get(name + 7).filter(|digit| (b'2'..=b'9').contains(digit)).map(|_| name + 7)
}

/// Whether two answers of ours are one, however the input came: what is malformed may be too large as well, and which of
/// the two is seen first is a matter of what has come.
pub(super) fn same_refusal(one: Option<Malformed>, other: Option<Malformed>) -> bool {
    one == other || one.is_some() && other.is_some()
}

/// Runs what reads the other end of `near`, while one piece after the other is written to it, and then the end.
///
/// # Panics
/// Where it does not end by itself.
pub(super) fn feed<'a, T>(
    mut near: DuplexStream,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    running: impl Future<Output = T>,
) -> T {
    let (mut running, mut pieces) = (std::pin::pin!(running), pieces.into_iter());
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        if let Poll::Ready(end) = running.as_mut().poll(&mut cx) {
            return end;
        }
        match pieces.next() {
            // It fails where nobody reads any more.
            Some(piece) => {
                let written = Pin::new(&mut near).poll_write(&mut cx, piece);
                assert!(!matches!(written, Poll::Ready(Ok(count)) if count < piece.len()), "there is room");
            }
            None => drop(Pin::new(&mut near).poll_shutdown(&mut cx)),
        }
    }
    panic!("hyper does not end");
}

/// A body without content that hyper sends.
pub(super) fn nothing() -> impl Body<Data = Bytes, Error = std::convert::Infallible> {
    http_body_util::Empty::new()
}
