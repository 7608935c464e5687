//! The client's direction of a request's stream: its frames as they come.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::error::Code;

use super::codes::var_int;
use super::frames::{Frames, Piece, Violation};
use super::peer::Peer;

/// How much is read from the transport at a time, at most.
const CHUNK: usize = 64 << 10;

/// Why nothing more comes although the request is not over.
#[derive(Debug)]
pub(super) enum Cut {
    /// The client has reset the stream.
    Reset,
    /// The connection is gone.
    Lost,
    /// The client broke a rule. It has been told, on the stream or by the end of the connection.
    Refused(Violation),
}

/// What comes on the stream of a request.
pub(super) struct Incoming {
    stream: quinn::RecvStream,
    frames: Frames,
    /// What was read and is not parsed.
    input: Bytes,
    peer: Rc<Peer>,
    ended: bool,
}

impl Incoming {
    /// Who sends it.
    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) const fn new(stream: quinn::RecvStream, frames: Frames, peer: Rc<Peer>) -> Self {
        Self { stream, frames, input: Bytes::new(), peer, ended: false }
    }

    /// From here on there is content only: the stream has become a tunnel.
    pub(super) fn tunnel(&mut self) {
        self.frames.tunnel();
    }

    /// The next piece; `None` at the end of the request. Nobody asks again after that, or after an error.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece>, Cut>> {
        loop {
            let next = self.frames.next(&mut self.input);
            self.peer.count(&mut self.frames.counts);
            match next {
                Ok(Some(piece)) => return Poll::Ready(Ok(Some(piece))),
                Ok(None) => {}
                Err(violation) => return Poll::Ready(Err(self.refuse(violation))),
            }
            // The future keeps nothing between two polls.
            let chunk = ready!(pin!(self.stream.read_chunk(CHUNK, true)).poll(cx));
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
                    return Poll::Ready(Err(match error {
                        quinn::ReadError::Reset(_) => Cut::Reset,
                        _ => Cut::Lost,
                    }));
                }
            }
        }
    }

    fn refuse(&mut self, violation: Violation) -> Cut {
        if violation.fatal {
            self.peer.close(violation);
        }
        self.stop(violation.code);
        Cut::Refused(violation)
    }

    /// Wants nothing more of the stream.
    pub(super) fn stop(&mut self, code: Code) {
        if !std::mem::replace(&mut self.ended, true) {
            // An error says that the stream is over already.
            let _ = self.stream.stop(var_int(code.value()));
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // RFC 9114 section 4.1: a server that does not need the rest of a request asks the client to stop.
        self.stop(Code::H3_NO_ERROR);
    }
}
