//! Small pieces of a body, merged as far as they are there already.
//!
//! A sender may cut its body into single bytes. Each of them would be a frame of its own at the next hop, and peers that
//! count frames take a thousand small ones for an attack (h2 ends the whole connection). Nothing waits for more: what is
//! there when the next hop asks goes as one piece.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::error::Error;

/// From this size on a piece is not worth copying.
const LARGE: usize = 4 << 10;
/// Up to this size pieces are merged.
const FULL: usize = 16 << 10;

/// Wraps a body.
pub struct Merged<B> {
    inner: B,
    /// What followed the pieces that were merged last and is no small piece itself.
    next: Option<Result<Frame<Bytes>, Error>>,
    ended: bool,
}

impl<B> Merged<B> {
    /// Merges the small pieces of `inner`.
    pub const fn new(inner: B) -> Self {
        Self { inner, next: None, ended: false }
    }
}

impl<B: HttpBody<Data = Bytes, Error = Error> + Unpin> Merged<B> {
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.ended = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }
}

/// A piece that is worth merging, or the frame as it came.
fn small(frame: Frame<Bytes>) -> Result<Bytes, Frame<Bytes>> {
    match frame.into_data() {
        Ok(data) if data.len() < LARGE => Ok(data),
        Ok(data) => Err(Frame::data(data)),
        Err(frame) => Err(frame),
    }
}

impl<B: HttpBody<Data = Bytes, Error = Error> + Unpin> HttpBody for Merged<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Some(next) = this.next.take() {
            return Poll::Ready(Some(next));
        }
        let first = match ready!(this.poll_inner(cx)) {
            Some(Ok(frame)) => match small(frame) {
                Ok(data) => data,
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            },
            other => return Poll::Ready(other),
        };
        let mut merged = BytesMut::new();
        while this.next.is_none() && first.len().max(merged.len()) < FULL && !this.inner.is_end_stream() {
            match this.poll_inner(cx) {
                Poll::Pending if first.is_empty() && merged.is_empty() => return Poll::Pending,
                Poll::Pending | Poll::Ready(None) => break,
                Poll::Ready(Some(frame)) => match frame.map(small) {
                    Ok(Ok(data)) if data.is_empty() => {}
                    Ok(Ok(data)) => {
                        if merged.is_empty() {
                            merged.extend_from_slice(&first);
                        }
                        merged.extend_from_slice(&data);
                    }
                    Ok(Err(frame)) => this.next = Some(Ok(frame)),
                    Err(error) => this.next = Some(Err(error)),
                },
            }
        }
        let piece = if merged.is_empty() { first } else { merged.freeze() };
        Poll::Ready(if piece.is_empty() { this.next.take() } else { Some(Ok(Frame::data(piece))) })
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let held = match &self.next {
            Some(Ok(frame)) => frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) | None => 0,
        };
        let rest = if self.ended { SizeHint::with_exact(0) } else { self.inner.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + held);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use super::*;
    use crate::error::ErrorKind;

    /// Polls of a body: `None` is one at which nothing is there.
    struct Script(VecDeque<Option<Result<Frame<Bytes>, Error>>>);

    impl HttpBody for Script {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            match self.get_mut().0.pop_front() {
                None => Poll::Ready(None),
                Some(None) => Poll::Pending,
                Some(frame) => Poll::Ready(frame),
            }
        }
    }

    fn data(size: usize) -> Option<Result<Frame<Bytes>, Error>> {
        Some(Ok(Frame::data(vec![b'x'; size].into())))
    }

    fn trailers() -> Option<Result<Frame<Bytes>, Error>> {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-a", http::HeaderValue::from_static("1"));
        Some(Ok(Frame::trailers(trailers)))
    }

    fn broken() -> Option<Result<Frame<Bytes>, Error>> {
        Some(Err(ErrorKind::Reset.into()))
    }

    /// What comes out, in words.
    fn merged(script: impl IntoIterator<Item = Option<Result<Frame<Bytes>, Error>>>) -> Vec<String> {
        let mut body = Merged::new(Script(script.into_iter().collect()));
        let mut cx = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();
        loop {
            assert!(seen.len() < 100, "no end: {seen:?}");
            seen.push(match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Pending => "pending".to_owned(),
                Poll::Ready(None) => break,
                Poll::Ready(Some(Err(_))) => "error".to_owned(),
                Poll::Ready(Some(Ok(frame))) => {
                    frame.into_data().map_or_else(|_| "trailers".to_owned(), |data| data.len().to_string())
                }
            });
        }
        assert!(body.is_end_stream());
        seen
    }

    #[test]
    fn what_is_there_goes_as_one_piece() {
        assert_eq!(merged([data(1), data(2), data(3)]), ["6"]);
        assert_eq!(merged(std::iter::repeat_with(|| data(1)).take(20_000)), ["16384", "3616"]);
    }

    #[test]
    fn nothing_waits_for_more() {
        assert_eq!(merged([data(1), None, data(2), data(3)]), ["1", "5"]);
        assert_eq!(merged([None, data(1), None, None]), ["pending", "1", "pending"]);
    }

    #[test]
    fn a_large_piece_is_not_copied_and_stays_in_its_place() {
        let piece = Bytes::from(vec![b'x'; LARGE]);
        let frames = [data(1), Some(Ok(Frame::data(piece.clone()))), data(2)];
        let mut body = Merged::new(Script(frames.into()));
        let mut cx = Context::from_waker(Waker::noop());
        let mut next = || match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().expect("data"),
            _ => panic!("no frame"),
        };
        assert_eq!(next().len(), 1);
        assert_eq!(next().as_ptr(), piece.as_ptr());
        assert_eq!(next().len(), 2);
    }

    #[test]
    fn what_ends_a_body_comes_after_its_pieces() {
        assert_eq!(merged([data(1), data(2), trailers()]), ["3", "trailers"]);
        assert_eq!(merged([data(1), data(2), broken()]), ["3", "error"]);
        assert_eq!(merged([trailers()]), ["trailers"]);
    }

    #[test]
    fn an_empty_piece_is_no_piece() {
        assert_eq!(merged([data(0), None, data(0), data(1)]), ["pending", "1"]);
        assert_eq!(merged([data(1), data(0), None, data(0), trailers()]), ["1", "trailers"]);
        assert!(merged([data(0)]).is_empty());
    }

    #[test]
    fn the_size_counts_what_is_held() {
        let sized = Merged::new(crate::message::Body::full("abc"));
        assert_eq!(sized.size_hint().exact(), Some(3));
        let mut body = Merged::new(Script([data(1), data(LARGE)].into()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut body).poll_frame(&mut cx).is_ready());
        assert_eq!(body.size_hint().lower(), LARGE as u64);
        assert!(!body.is_end_stream());
    }
}
