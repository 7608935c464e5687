//! What is to be written to a connection: own bytes (heads, the lines of chunks) and pieces of bodies, in one queue, so that
//! a head and the first piece of its body leave together.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::sensitive::no_content;
use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;

/// Up to this size a piece is copied behind what stands before it: that is cheaper than a second place to write from.
const COPIED: usize = 2 << 10;
/// How many places are written from at a time.
const SLICES: usize = 16;
/// Own bytes that a connection keeps room for.
const KEPT: usize = 4 << 10;

/// See the module.
#[derive(Default)]
pub struct Outgoing {
    /// Own bytes; those before `written` have gone.
    own: Vec<u8>,
    written: usize,
    /// What is to be written, in order. Own bytes stand in `own` in the same order.
    parts: VecDeque<Part>,
    length: usize,
    /// Something was written that may lie in the buffer of TLS.
    unflushed: bool,
}

no_content!(Outgoing);

enum Part {
    Own(usize),
    Piece(Bytes),
}

no_content!(Part);

impl Outgoing {
    /// Bytes that are still to be written.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds what `write` appends.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        // A reader that is slow but never stops may leave something here at any time: what has gone must not stay.
        if self.written >= KEPT && self.written >= self.own.len() / 2 {
            self.own.drain(..self.written);
            self.written = 0;
        }
        let before = self.own.len();
        write(&mut self.own);
        let count = self.own.len() - before;
        if count == 0 {
            return;
        }
        self.length += count;
        match self.parts.back_mut() {
            Some(Part::Own(last)) => *last += count,
            Some(Part::Piece(_)) | None => self.parts.push_back(Part::Own(count)),
        }
    }

    /// Adds a piece of a body.
    pub fn push(&mut self, piece: Bytes) {
        if piece.len() <= COPIED {
            return self.write(|own| own.extend_from_slice(&piece));
        }
        self.length += piece.len();
        self.parts.push_back(Part::Piece(piece));
    }

    /// Forgets everything, and gives back what room was made for much.
    pub fn clear(&mut self) {
        self.parts.clear();
        self.own.clear();
        (self.written, self.length) = (0, 0);
        if self.own.capacity() > KEPT {
            self.own = Vec::new();
        }
    }

    /// Gives back all room.
    pub fn shrink(&mut self) {
        if self.is_empty() && !self.unflushed {
            *self = Self::default();
        }
    }

    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut own = &self.own[self.written..];
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(match part {
                Part::Own(length) => {
                    let (part, rest) = own.split_at(*length);
                    own = rest;
                    part
                }
                Part::Piece(piece) => piece,
            });
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        self.length -= count;
        while let Some(part) = self.parts.front_mut() {
            match part {
                Part::Own(length) => {
                    let taken = count.min(*length);
                    self.written += taken;
                    *length -= taken;
                    count -= taken;
                    if *length > 0 {
                        return;
                    }
                }
                Part::Piece(piece) => {
                    let taken = count.min(piece.len());
                    piece.advance(taken);
                    count -= taken;
                    if !piece.is_empty() {
                        return;
                    }
                }
            }
            self.parts.pop_front();
        }
        self.clear();
    }

    /// Writes everything, as far as the stream takes it, and has it sent.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_flush(&mut self, stream: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let written = match self.slices(&mut slices) {
                1 => ready!(Pin::new(&mut *stream).poll_write(cx, &slices[0])),
                count => ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count])),
            }?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.advance(written);
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    /// Takes so many bytes at a time.
    struct Slow(Vec<u8>, usize);

    impl AsyncWrite for Slow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let count = all.len().min(self.1);
            self.0.extend_from_slice(&all[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_was_written_is_not_kept_for_a_reader_that_is_always_behind() {
        struct Steps(Slow, bool);

        impl AsyncWrite for Steps {
            fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                self.1 = !self.1;
                if self.1 { Pin::new(&mut self.0).poll_write(cx, bytes) } else { Poll::Pending }
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }

        let (mut outgoing, mut steps) = (Outgoing::default(), Steps(Slow(Vec::new(), 1000), false));
        let mut cx = Context::from_waker(Waker::noop());
        outgoing.push(vec![0; 2000].into());
        let mut expected = vec![0; 2000];
        for number in 0..1000_usize {
            let piece = vec![number.to_le_bytes()[0]; 1000];
            expected.extend_from_slice(&piece);
            outgoing.push(piece.into());
            assert!(outgoing.poll_flush(&mut steps, &mut cx).is_pending());
            assert!(outgoing.own.capacity() <= 16 << 10, "{} bytes for {}", outgoing.own.capacity(), outgoing.len());
        }
        while outgoing.poll_flush(&mut steps, &mut cx).is_pending() {}
        assert_eq!(steps.0.0, expected);
    }

    proptest! {
        #[test]
        fn all_is_written_in_order(pieces in proptest::collection::vec((any::<bool>(), 0usize..5000), 0..40), step in 1usize..9000) {
            let (mut outgoing, mut expected, mut slow) = (Outgoing::default(), Vec::new(), Slow(Vec::new(), step));
            for (number, (own, size)) in (0u8..).zip(pieces) {
                let piece = vec![number; size];
                expected.extend_from_slice(&piece);
                if own {
                    outgoing.write(|out| out.extend_from_slice(&piece));
                } else {
                    outgoing.push(piece.into());
                }
            }
            prop_assert_eq!(outgoing.len(), expected.len());
            let mut cx = Context::from_waker(Waker::noop());
            prop_assert!(matches!(outgoing.poll_flush(&mut slow, &mut cx), Poll::Ready(Ok(()))));
            prop_assert_eq!(slow.0, expected);
            prop_assert!(outgoing.is_empty());
        }
    }
}
