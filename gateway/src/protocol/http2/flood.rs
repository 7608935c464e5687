//! Floods of frames that ask for nothing: what of HTTP/2 is useful and what is control (see `allowance`).
//!
//! Frames are counted by their heads (RFC 9113 section 4.1), before h2 reads them. Control are PING, SETTINGS, WINDOW_UPDATE,
//! PRIORITY, frames of unknown types, and DATA without content.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::protocol::allowance::Allowance;

const PREFACE: usize = 24;
const HEAD: usize = 9;

impl Allowance {
    fn count(&self, frame: Head, now: impl FnOnce() -> Instant) {
        const DATA: u8 = 0;
        const HEADERS: u8 = 1;
        const RST_STREAM: u8 = 3;
        const CONTINUATION: u8 = 9;
        match frame.kind {
            DATA if frame.length > 0 || frame.flags & 1 != 0 => self.useful(1),
            HEADERS => self.useful(1),
            // h2 bounds their number.
            CONTINUATION if frame.length > 0 => {}
            RST_STREAM => self.reset(now),
            _ => self.control(1, now),
        }
    }
}

/// The head of a frame, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    kind: u8,
    flags: u8,
    length: usize,
}

/// Finds the heads of frames in what comes.
struct Heads {
    /// Bytes up to the next head.
    skip: usize,
    /// What has come of it.
    head: [u8; HEAD],
    known: usize,
}

impl Heads {
    const fn new() -> Self {
        Self { skip: PREFACE, head: [0; HEAD], known: 0 }
    }

    fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(Head)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let part = (HEAD - self.known).min(bytes.len());
            self.head[self.known..self.known + part].copy_from_slice(&bytes[..part]);
            self.known += part;
            bytes = &bytes[part..];
            if self.known < HEAD {
                return;
            }
            let [a, b, c, kind, flags, ..] = self.head;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            (self.skip, self.known) = (length, 0);
            found(Head { kind, flags, length });
        }
    }
}

/// A connection whose incoming frames are counted. Once they are too many it is read no more.
pub(super) struct Watched<S> {
    pub(super) io: S,
    heads: Heads,
    allowance: Rc<Allowance>,
}

impl<S> Watched<S> {
    /// From the preface on.
    pub(super) const fn new(io: S, allowance: Rc<Allowance>) -> Self {
        Self { io, heads: Heads::new(), allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.allowance.is_exceeded() {
            // Whoever polls the connection looks after the allowance, and ends it.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.io).poll_read(cx, buffer);
        let come = buffer.filled().get(before..).unwrap_or_default();
        this.heads.feed(come, |frame| this.allowance.count(frame, Instant::now));
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::allowance::MOST;

    const fn frame(kind: u8, flags: u8, length: usize) -> Head {
        Head { kind, flags, length }
    }

    const PING: Head = frame(6, 0, 8);
    const GET: Head = frame(1, 5, 30);
    const RESET: Head = frame(3, 0, 4);

    /// How many times `frames` come before that is too much, at one moment.
    fn allowed(allowance: &Allowance, frames: &[Head], now: Instant) -> u32 {
        for times in 0..10 * MOST {
            frames.iter().for_each(|frame| allowance.count(*frame, || now));
            if allowance.is_exceeded() {
                return times;
            }
        }
        u32::MAX
    }

    #[test]
    fn heads_are_found_wherever_what_comes_is_cut() {
        let frames = [frame(4, 0, 12), frame(4, 1, 0), frame(1, 5, 300), frame(0, 1, 70_000), frame(255, 7, 1)];
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for frame in frames {
            let length = u32::try_from(frame.length).unwrap().to_be_bytes();
            bytes.extend([&length[1..], &[frame.kind, frame.flags, 0, 0, 0, 1]].concat());
            bytes.resize(bytes.len() + frame.length, 6);
        }
        for size in [1, 2, 8, 9, 10, 33, 1000, bytes.len()] {
            let (mut heads, mut found) = (Heads::new(), Vec::new());
            bytes.chunks(size).for_each(|part| heads.feed(part, |head| found.push(head)));
            assert_eq!(found, frames, "in parts of {size}");
        }
    }

    #[test]
    fn control_frames_without_requests_are_a_flood_after_ten_thousand() {
        let now = Instant::now();
        // PING, SETTINGS, WINDOW_UPDATE, PRIORITY, an unknown one, and empty DATA and CONTINUATION.
        for one in
            [PING, frame(4, 0, 0), frame(8, 0, 4), frame(2, 0, 5), frame(99, 0, 1), frame(0, 0, 0), frame(9, 0, 0)]
        {
            assert_eq!(allowed(&Allowance::new(now), &[one], now), MOST, "{one:?}");
        }
    }

    #[test]
    fn useful_frames_allow_for_ten_times_as_many_of_control() {
        let now = Instant::now();
        for useful in [GET, frame(0, 0, 1), frame(0, 1, 0)] {
            let with = |control: usize| [vec![PING; control], vec![useful]].concat();
            assert_eq!(allowed(&Allowance::new(now), &with(10), now), u32::MAX, "{useful:?}");
            assert!(allowed(&Allowance::new(now), &with(11), now) < 2 * MOST, "{useful:?}");
        }
    }

    #[test]
    fn a_client_that_takes_a_response_may_say_so_often_and_not_for_every_byte() {
        let now = Instant::now();
        let taken = |size: usize, updates: usize| {
            let allowance = Allowance::new(now);
            (0..100_000).all(|_| {
                allowance.responded(size);
                (0..updates).for_each(|_| allowance.count(frame(8, 0, 4), || now));
                !allowance.is_exceeded()
            })
        };
        // Windows of the stream and of the connection for every frame, for every little message, and for every kilobyte.
        assert!(taken(64 << 10, 8) && taken(20, 2) && taken(16 << 10, 32));
        assert!(!taken(16 << 10, 16 << 10));
    }

    #[test]
    fn requests_that_are_all_reset_are_a_flood_and_some_are_not() {
        let now = Instant::now();
        let all = allowed(&Allowance::new(now), &[GET, RESET], now);
        assert!((MOST - 20..=MOST).contains(&all), "{all}");
        let mostly = [[GET, RESET].repeat(9), vec![GET]].concat();
        assert_eq!(allowed(&Allowance::new(now), &mostly, now), u32::MAX);
    }

    #[test]
    fn time_that_passes_allows_for_more() {
        let start = Instant::now();
        let allowance = Allowance::new(start);
        for second in 1..1000 {
            let now = start + Duration::from_secs(second);
            (0..100).for_each(|_| allowance.count(PING, || now));
        }
        assert!(!allowance.is_exceeded(), "a hundred a second are nothing");
        assert!(allowed(&allowance, &[PING], start + Duration::from_secs(5000)) <= 2 * MOST);
    }
}
