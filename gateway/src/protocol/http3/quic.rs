//! Between quinn and h3: h3's transport traits over quinn's connections, for all that is not a request. h3 opens the
//! server's streams, sends SETTINGS and GOAWAY, and reads the client's control stream.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming};

use super::codes::{connection_error, var_int};
use super::frames::{Counts, Frames};
use super::one_frame::OneFrame;
use super::peer::Peer;
use super::stream::{RecvStream, SendStream};

type AcceptStream<T> = Pin<Box<dyn Stream<Item = Result<T, quinn::ConnectionError>>>>;

/// A QUIC connection for h3.
pub(super) struct QuicConnection {
    peer: Rc<Peer>,
    uni: AcceptStream<quinn::RecvStream>,
    opener: OpenStreams,
}

impl QuicConnection {
    pub(super) fn new(peer: Rc<Peer>) -> Self {
        let uni = Box::pin(unfold(peer.quinn.clone(), async |quinn| Some((quinn.accept_uni().await, quinn))));
        let opener = OpenStreams::new(peer.quinn.clone());
        Self { peer, uni, opener }
    }
}

impl quic::Connection<Bytes> for QuicConnection {
    type RecvStream = RecvStream;
    type OpenStreams = OpenStreams;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        let Some(accepted) = ready!(self.uni.as_mut().poll_next(cx)) else {
            return Poll::Ready(Err(ConnectionErrorIncoming::InternalError("no more streams".to_owned())));
        };
        let stream = accepted.map_err(connection_error)?;
        // None of them is a request: those of unknown types are many only where somebody makes work.
        self.peer.count(&mut Counts { useful: 0, control: 1 });
        Poll::Ready(Ok(RecvStream::new(stream, self.peer.clone(), Frames::of_unidirectional())))
    }

    /// Requests are accepted beside h3, which would remember each that has no head for as long as the connection lasts.
    fn poll_accept_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<OneFrame, ConnectionErrorIncoming>> {
        Poll::Pending
    }

    fn opener(&self) -> OpenStreams {
        OpenStreams::new(self.peer.quinn.clone())
    }
}

impl quic::OpenStreams<Bytes> for QuicConnection {
    type BidiStream = OneFrame;
    type SendStream = SendStream<Bytes>;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<OneFrame, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream<Bytes>, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.peer.quinn.close(var_int(code.value()), reason);
    }
}

type OpenFuture = Pin<Box<dyn Future<Output = Result<quinn::SendStream, quinn::ConnectionError>>>>;

/// Opens the server's own streams: control and QPACK, one each, at the start of a connection.
pub(super) struct OpenStreams {
    quinn: quinn::Connection,
    opening: Option<OpenFuture>,
}

impl OpenStreams {
    const fn new(quinn: quinn::Connection) -> Self {
        Self { quinn, opening: None }
    }
}

impl quic::OpenStreams<Bytes> for OpenStreams {
    type BidiStream = OneFrame;
    type SendStream = SendStream<Bytes>;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<OneFrame, StreamErrorIncoming>> {
        // RFC 9114 section 6.1: servers do not open bidirectional streams.
        let connection_error = ConnectionErrorIncoming::InternalError("a server opens no such stream".to_owned());
        Poll::Ready(Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error }))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream<Bytes>, StreamErrorIncoming>> {
        let quinn = self.quinn.clone();
        let opening = self.opening.get_or_insert_with(|| Box::pin(async move { quinn.open_uni().await }));
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening = None;
        Poll::Ready(match opened {
            Ok(stream) => Ok(SendStream::new(stream)),
            Err(error) => {
                Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) })
            }
        })
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.quinn.close(var_int(code.value()), reason);
    }
}
