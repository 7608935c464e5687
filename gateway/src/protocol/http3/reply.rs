//! The server's direction of a request's stream: responses, which never look complete when they are not.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h3::error::Code;
use http::{HeaderMap, StatusCode};

use super::codes::var_int;
use super::encode;
use super::peer::Peer;
use crate::memory::Unread;
use crate::message::{FieldMap, InterimQueue, WriteInterim};

/// How much of a tunnel waits in one frame to be written, at most.
const TUNNEL_FRAME: usize = 16 << 10;

/// The response is not going to be complete.
#[derive(Debug)]
pub(super) struct Cut;

/// What the two directions of a request's stream know of each other.
#[derive(Default)]
pub(super) struct Exchange {
    /// Responses before the response.
    pub(super) interim: InterimQueue,
    /// Why the rest of the request was refused.
    pub(super) refused: Cell<Option<Code>>,
    given_up: Cell<bool>,
}

impl Exchange {
    /// The client gave the request up, in one of the ways that there are: it counts once.
    pub(super) fn give_up(&self, peer: &Peer) {
        if !self.given_up.replace(true) {
            peer.gave_up();
        }
    }
}

impl WriteInterim for Exchange {
    fn write(&self, status: StatusCode, fields: FieldMap) -> bool {
        self.interim.write(status, fields)
    }
}

/// What goes out on the stream of a request. Dropped unfinished, it is reset (quinn would end it well, and a cut response
/// would look whole).
pub(super) struct Reply {
    stream: quinn::SendStream,
    peer: Rc<Peer>,
    exchange: Rc<Exchange>,
    /// Frames that go out with what comes next.
    pending: BytesMut,
    /// How long a client may take for a piece.
    patience: Duration,
    over: bool,
}

impl Reply {
    pub(super) fn new(stream: quinn::SendStream, peer: Rc<Peer>, exchange: Rc<Exchange>, patience: Duration) -> Self {
        Self { stream, peer, exchange, pending: BytesMut::new(), patience, over: false }
    }

    /// The head of the response, or of one before it. It goes out with what follows. Cut: the client takes none that large.
    pub(super) fn head(&mut self, status: StatusCode, fields: &FieldMap) -> Result<(), Cut> {
        self.pending.reserve(fields.bytes() + 6 * fields.len() + 16 + encode::DATA_HEAD);
        self.peer.responded(0);
        encode::head(&mut self.pending, status, fields, self.peer.field_limit.get()).map_err(|_| Cut)
    }

    /// A piece of content. Where the client takes too little, `unsent` counts until it is written.
    pub(super) async fn data(&mut self, data: Bytes, unsent: &mut Unread) -> Result<(), Cut> {
        if data.is_empty() {
            return Ok(());
        }
        self.peer.responded(data.len());
        encode::data(&mut self.pending, data.len());
        let frames = std::mem::take(&mut self.pending).freeze();
        self.write(&mut [frames, data], Some(unsent)).await
    }

    /// Writes what waits for something to go with.
    pub(super) async fn flush(&mut self) -> Result<(), Cut> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let frames = std::mem::take(&mut self.pending).freeze();
        self.write(&mut [frames], None).await
    }

    /// The end of the response, behind trailers where it has some.
    pub(super) async fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Cut> {
        if let Some(trailers) = trailers {
            let limit = self.peer.field_limit.get();
            encode::trailers(&mut self.pending, &FieldMap::from(trailers), limit).map_err(|_| Cut)?;
        }
        self.flush().await?;
        self.end()
    }

    /// The end of the stream, where nothing waits.
    pub(super) fn end(&mut self) -> Result<(), Cut> {
        self.over = true;
        self.stream.finish().map_err(|_| Cut)
    }

    /// Has a DATA frame with as much of `content` wait as is returned.
    pub(super) fn offer(&mut self, content: &[u8]) -> usize {
        let taken = content.len().min(TUNNEL_FRAME);
        self.peer.responded(taken);
        self.pending.reserve(encode::DATA_HEAD + taken);
        encode::data(&mut self.pending, taken);
        self.pending.extend_from_slice(&content[..taken]);
        taken
    }

    /// Writes what waits.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending)).map_err(|_| Cut)?;
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the response up.
    pub(super) fn reset(&mut self, code: Code) {
        if !std::mem::replace(&mut self.over, true) {
            // An error says that the stream is over already.
            let _ = self.stream.reset(var_int(code.value()));
        }
    }

    async fn write(&mut self, chunks: &mut [Bytes], unsent: Option<&mut Unread>) -> Result<(), Cut> {
        let mut write = pin!(self.stream.write_all_chunks(chunks));
        // Mostly there is room at once: no timer then.
        let begun = poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await;
        match (begun, unsent) {
            (Poll::Ready(written), _) => written.map_err(|_| Cut),
            (Poll::Pending, None) => within(self.patience, write).await,
            (Poll::Pending, Some(unsent)) => {
                // What the connection may keep for the client is full.
                let _ = unsent.handed_out();
                within(self.patience, write).await?;
                unsent.awaited();
                Ok(())
            }
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.reset(self.exchange.refused.get().unwrap_or(Code::H3_REQUEST_CANCELLED));
    }
}

/// A write that a client must not delay for longer than `patience`.
async fn within<E>(patience: Duration, write: impl Future<Output = Result<(), E>>) -> Result<(), Cut> {
    match tokio::time::timeout(patience, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Cut),
    }
}
