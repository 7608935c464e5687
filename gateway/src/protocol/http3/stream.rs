//! Unidirectional streams, for h3: the client's control stream and those of the server.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};

use super::codes::{connection_error, var_int};
use super::frames::{Frames, Piece, Violation};
use super::peer::Peer;
use super::qpack::{self, Instructions};

/// How much is read from the transport at a time, at most.
const CHUNK: usize = 4 << 10;

/// A stream of the client.
pub(super) struct RecvStream {
    /// `None` once somebody else reads it.
    stream: Option<quinn::RecvStream>,
    id: quinn::StreamId,
    peer: Rc<Peer>,
    frames: Frames,
    /// What was read and has not passed the filter.
    input: Bytes,
    ended: bool,
    refused: bool,
}

impl RecvStream {
    pub(super) fn new(stream: quinn::RecvStream, peer: Rc<Peer>, frames: Frames) -> Self {
        let (id, input) = (stream.id(), Bytes::new());
        Self { stream: Some(stream), id, peer, frames, input, ended: false, refused: false }
    }

    /// Has QPACK's streams read, of which h3 wants nothing but the type.
    fn hand_over(&mut self) {
        if let Some(kind) = self.frames.instructions()
            && let Some(stream) = self.stream.take()
        {
            let (peer, first) = (self.peer.clone(), std::mem::take(&mut self.input));
            self.ended = true;
            tokio::task::spawn_local(qpack::read(stream, peer, Instructions::new(kind), first));
        }
    }

    fn refuse(&mut self, violation: Violation) -> StreamErrorIncoming {
        self.ended = true;
        self.refused = true;
        // Here and not through h3, which would close with another code.
        self.peer.close(violation);
        over()
    }
}

/// What h3 is told where the connection has been closed.
fn over() -> StreamErrorIncoming {
    let connection_error = ConnectionErrorIncoming::Undefined(Arc::new(quinn::ConnectionError::LocallyClosed));
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
}

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if self.refused {
            return Poll::Ready(Err(over()));
        }
        loop {
            let next = self.frames.next(&mut self.input);
            self.peer.count(&mut self.frames.counts);
            match next {
                Ok(Some(Piece::Other(bytes))) => {
                    if let Some(limit) = self.frames.field_limit {
                        self.peer.field_limit.set(limit);
                    }
                    self.hand_over();
                    return Poll::Ready(Ok(Some(bytes)));
                }
                // The others are a request's.
                Ok(_) => {}
                Err(violation) => return Poll::Ready(Err(self.refuse(violation))),
            }
            let Some(stream) = &mut self.stream else { return Poll::Pending };
            // The future keeps nothing between two polls.
            let chunk = ready!(pin!(stream.read_chunk(CHUNK, true)).poll(cx));
            match chunk {
                Ok(Some(chunk)) => self.input = chunk.bytes,
                Ok(None) => {
                    self.ended = true;
                    return Poll::Ready(match self.frames.end() {
                        Ok(()) => Ok(None),
                        Err(violation) => Err(self.refuse(violation)),
                    });
                }
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Err(read_error(error)));
                }
            }
        }
    }

    fn stop_sending(&mut self, code: u64) {
        self.ended = true;
        // An error says that the stream is over already.
        if let Some(stream) = &mut self.stream {
            let _ = stream.stop(var_int(code));
        }
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.id)
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if !self.ended {
            quic::RecvStream::stop_sending(self, Code::H3_NO_ERROR.value());
        }
    }
}

fn read_error(error: quinn::ReadError) -> StreamErrorIncoming {
    match error {
        quinn::ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() },
        quinn::ReadError::ConnectionLost(error) => {
            StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) }
        }
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}

fn write_error(error: quinn::WriteError) -> StreamErrorIncoming {
    match error {
        quinn::WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() },
        quinn::WriteError::ConnectionLost(error) => {
            StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) }
        }
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}

fn stream_id(id: quinn::StreamId) -> StreamId {
    StreamId::try_from(u64::from(id)).expect("both are QUIC stream ids, below 2^62")
}

/// A stream of the server, which lasts as long as the connection.
pub(super) struct SendStream<B: Buf> {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<B>>,
}

impl<B: Buf> SendStream<B> {
    pub(super) const fn new(stream: quinn::SendStream) -> Self {
        Self { stream, writing: None }
    }
}

impl<B: Buf> quic::SendStream<B> for SendStream<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(data) = &mut self.writing {
            while data.has_remaining() {
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, data.chunk())).map_err(write_error)?;
                data.advance(written);
            }
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            let connection_error = ConnectionErrorIncoming::InternalError("a write is under way".to_owned());
            return Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error });
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        ready!(self.poll_ready(cx))?;
        Poll::Ready(self.stream.finish().map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, code: u64) {
        let _ = self.stream.reset(var_int(code));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}
