//! What h3 takes for the stream of a request: its frames, and its end, pass h3 by.

use std::task::{Context, Poll};

use bytes::Bytes;
use h3::frame::FrameStream;
use h3::quic::{self, StreamErrorIncoming, StreamId, WriteBuf};
use h3::stream::BufRecvStream;

/// At most a frame that h3 reads. Nothing that it does to the stream is done.
pub(super) struct OneFrame(pub(super) Option<Bytes>);

impl OneFrame {
    /// Of a request whose head h3 is given by itself.
    pub(super) fn none() -> FrameStream<Self, Bytes> {
        FrameStream::new(BufRecvStream::new(Self(None)))
    }

    fn id() -> StreamId {
        StreamId::try_from(0).expect("below 2^62")
    }
}

impl quic::RecvStream for OneFrame {
    type Buf = Bytes;

    fn poll_data(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        Poll::Ready(Ok(self.0.take()))
    }

    fn stop_sending(&mut self, _: u64) {}

    fn recv_id(&self) -> StreamId {
        Self::id()
    }
}

impl quic::SendStream<Bytes> for OneFrame {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, _: T) -> Result<(), StreamErrorIncoming> {
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, _: u64) {}

    fn send_id(&self) -> StreamId {
        Self::id()
    }
}

impl quic::BidiStream<Bytes> for OneFrame {
    type SendStream = Self;
    type RecvStream = Self;

    fn split(mut self) -> (Self, Self) {
        let frame = self.0.take();
        (Self(None), Self(frame))
    }
}
