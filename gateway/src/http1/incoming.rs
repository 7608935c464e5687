//! What has come over a connection and is not decoded yet.

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use crate::sensitive::no_content;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

/// Read at a time at most: of what comes without a pause more is read at a time.
const MOST: usize = 64 << 10;
/// What a connection that waits has room for on the stack: as much as most heads, and what comes with them.
const FIRST: usize = 4 << 10;

/// See the module.
pub struct Incoming {
    /// The bytes. Whoever decodes them takes them off.
    pub buffer: BytesMut,
    /// Read at a time: at least, and next.
    least: usize,
    size: usize,
    /// It has no room, and makes some only when something comes.
    rests: bool,
}

no_content!(Incoming);

impl Incoming {
    /// Without room. Afterwards at least so much is read at a time.
    pub fn new(least: usize) -> Self {
        Self { buffer: BytesMut::new(), least, size: least, rests: true }
    }

    /// Reads what has come. 0: the other end has said everything.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.rests {
            let mut room = [MaybeUninit::uninit(); FIRST];
            let mut read = ReadBuf::uninit(&mut room);
            ready!(Pin::new(stream).poll_read(cx, &mut read))?;
            if !read.filled().is_empty() {
                self.rests = false;
                self.buffer.reserve(self.least.max(FIRST));
                self.buffer.extend_from_slice(read.filled());
            }
            return Poll::Ready(Ok(read.filled().len()));
        }
        self.buffer.reserve(self.size);
        let room = self.buffer.capacity() - self.buffer.len();
        let count = ready!(pin!(stream.read_buf(&mut self.buffer)).poll(cx))?;
        if count == room {
            self.size = (self.size * 2).min(MOST);
        }
        Poll::Ready(Ok(count))
    }

    /// Nothing more is expected for a while: gives back room for more than `kept` bytes, where nothing lies there.
    pub fn shrink(&mut self, kept: usize) {
        self.size = self.least;
        if self.buffer.is_empty() && self.buffer.capacity() > kept {
            self.buffer = BytesMut::new();
            self.rests = kept == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn all_comes_in_reads_that_grow_and_room_is_given_back() {
        let data: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let (mut incoming, mut stream) = (Incoming::new(FIRST), &data[..]);
        let mut cx = Context::from_waker(Waker::noop());
        let (mut sizes, mut all) = (Vec::new(), Vec::new());
        while let Poll::Ready(Ok(count @ 1..)) = incoming.poll_read(&mut stream, &mut cx) {
            sizes.push(count);
            // Decoded as it comes, and the piece let go of.
            all.extend_from_slice(&incoming.buffer.split().freeze());
        }
        assert_eq!(all, data);
        assert_eq!(sizes[0], FIRST);
        assert!(sizes[1..sizes.len() - 1].is_sorted() && sizes.len() < 15, "{sizes:?}");
        incoming.shrink(MOST * 4);
        assert!(incoming.buffer.capacity() > 0 && !incoming.rests);
        incoming.shrink(0);
        assert!(incoming.buffer.capacity() == 0 && incoming.rests);
    }
}
