//! Between quinn and h3: h3's transport traits over quinn's connections.
//!
//! Modelled on the crate h3-quinn, with what a gateway needs besides: a stream that is dropped unfinished is reset
//! (quinn would end it well, and a cut response would look whole); h3 is given checked frames only, see `frames`; a
//! client's STOP_SENDING can be awaited while nothing is being written; and requests that come after GOAWAY are refused.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use futures_util::stream::unfold;
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};

use super::codes::{connection_error, var_int};
use super::frames::Frames;
use super::stream::{Notes, RecvStream, SendStream};

type AcceptStream<T> = Pin<Box<dyn Stream<Item = Result<T, quinn::ConnectionError>> + Send + Sync>>;
type Bidi = (quinn::SendStream, quinn::RecvStream);

/// Ends when the client no longer wants the response: with STOP_SENDING, or because it has all of it.
pub(super) type Stopped = Pin<Box<dyn Future<Output = bool> + Send + Sync>>;

/// What the request's task needs of its stream beside what h3 gives it.
pub(super) struct StreamHandle {
    pub(super) stopped: Stopped,
    pub(super) notes: Notes,
    pub(super) acknowledgements: Acknowledgements,
}

/// What became of what was written.
pub(super) struct Acknowledgements(quinn::Connection);

impl Acknowledgements {
    /// Waits until the client has all of a finished stream, or wants no more of it. What is under way is sent again until
    /// somebody acknowledges it, so a client that says nothing for a while has vanished.
    pub(super) async fn finished(&self, mut stopped: Stopped) {
        const SILENCE: Duration = Duration::from_secs(3);
        let acknowledged = || self.0.stats().frame_rx.acks;
        let mut before = acknowledged();
        while tokio::time::timeout(SILENCE, &mut stopped).await.is_err() {
            let now = acknowledged();
            if now == before {
                return;
            }
            before = now;
        }
    }
}

/// A QUIC connection for h3.
pub(super) struct QuicConnection {
    quinn: quinn::Connection,
    bidi: AcceptStream<Bidi>,
    uni: AcceptStream<quinn::RecvStream>,
    /// The largest field section, as it is encoded.
    section: usize,
    side: SideChannel,
}

/// What passes h3 by between its transport and whoever accepts requests.
#[derive(Clone, Default)]
pub(super) struct SideChannel(Arc<SideNotes>);

#[derive(Default)]
struct SideNotes {
    latest: Mutex<Option<StreamHandle>>,
    refusing: AtomicBool,
}

impl SideChannel {
    /// The handle of the request that h3 gave out last.
    pub(super) fn take(&self) -> Option<StreamHandle> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, handle: StreamHandle) {
        *self.0.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    }

    /// From now on requests are refused as not processed (RFC 9114 section 4.1.1), so that the client may send them
    /// elsewhere. h3 0.0.8 would serve the first one that its GOAWAY excludes.
    pub(super) fn refuse(&self) {
        self.0.refusing.store(true, Ordering::Relaxed);
    }
}

impl QuicConnection {
    pub(super) fn new(quinn: quinn::Connection, section: usize) -> (Self, SideChannel) {
        let side = SideChannel::default();
        let bidi = Box::pin(unfold(quinn.clone(), async |quinn| Some((quinn.accept_bi().await, quinn))));
        let uni = Box::pin(unfold(quinn.clone(), async |quinn| Some((quinn.accept_uni().await, quinn))));
        (Self { quinn, bidi, uni, section, side: side.clone() }, side)
    }
}

fn next<T>(stream: &mut AcceptStream<T>, cx: &mut Context<'_>) -> Poll<Result<T, ConnectionErrorIncoming>> {
    match ready!(stream.as_mut().poll_next(cx)) {
        Some(accepted) => Poll::Ready(accepted.map_err(connection_error)),
        None => Poll::Ready(Err(ConnectionErrorIncoming::InternalError("the stream of streams ended".to_owned()))),
    }
}

impl<B: Buf> quic::Connection<B> for QuicConnection {
    type RecvStream = RecvStream;
    type OpenStreams = OpenStreams;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        let stream = ready!(next(&mut self.uni, cx))?;
        let frames = Frames::of_unidirectional();
        Poll::Ready(Ok(RecvStream::new(stream, self.quinn.clone(), frames, Notes::default())))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream<B>, ConnectionErrorIncoming>> {
        let (send, recv) = loop {
            let (mut send, mut recv) = ready!(next(&mut self.bidi, cx))?;
            if !self.side.0.refusing.load(Ordering::Relaxed) {
                break (send, recv);
            }
            let rejected = var_int(Code::H3_REQUEST_REJECTED.value());
            // An error says that the stream is over already.
            let (_, _) = (send.reset(rejected), recv.stop(rejected));
        };
        let stopped = send.stopped();
        let notes = Notes::default();
        self.side.put(StreamHandle {
            stopped: Box::pin(async move { matches!(stopped.await, Ok(Some(_)) | Err(_)) }),
            notes: notes.clone(),
            acknowledgements: Acknowledgements(self.quinn.clone()),
        });
        let recv = RecvStream::new(recv, self.quinn.clone(), Frames::of_request(self.section), notes.clone());
        Poll::Ready(Ok(BidiStream { send: SendStream::new(send, Some(notes)), recv }))
    }

    fn opener(&self) -> OpenStreams {
        OpenStreams::new(self.quinn.clone())
    }
}

impl<B: Buf> quic::OpenStreams<B> for QuicConnection {
    type BidiStream = BidiStream<B>;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream<B>, StreamErrorIncoming>> {
        OpenStreams::new(self.quinn.clone()).poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream<B>, StreamErrorIncoming>> {
        OpenStreams::new(self.quinn.clone()).poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.quinn.close(var_int(code.value()), reason);
    }
}

type OpenFuture = Pin<Box<dyn Future<Output = Result<quinn::SendStream, quinn::ConnectionError>> + Send + Sync>>;

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

impl Clone for OpenStreams {
    fn clone(&self) -> Self {
        Self::new(self.quinn.clone())
    }
}

impl<B: Buf> quic::OpenStreams<B> for OpenStreams {
    type BidiStream = BidiStream<B>;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<BidiStream<B>, StreamErrorIncoming>> {
        // RFC 9114 section 6.1: servers do not open bidirectional streams.
        let connection_error = ConnectionErrorIncoming::InternalError("a server opens no such stream".to_owned());
        Poll::Ready(Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error }))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream<B>, StreamErrorIncoming>> {
        let quinn = self.quinn.clone();
        let opening = self.opening.get_or_insert_with(|| Box::pin(async move { quinn.open_uni().await }));
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening = None;
        Poll::Ready(match opened {
            Ok(stream) => Ok(SendStream::new(stream, None)),
            Err(error) => {
                Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) })
            }
        })
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.quinn.close(var_int(code.value()), reason);
    }
}

/// A request stream.
pub(super) struct BidiStream<B: Buf> {
    send: SendStream<B>,
    recv: RecvStream,
}

impl<B: Buf> quic::BidiStream<B> for BidiStream<B> {
    type SendStream = SendStream<B>;
    type RecvStream = RecvStream;

    fn split(self) -> (SendStream<B>, RecvStream) {
        (self.send, self.recv)
    }
}

impl<B: Buf> quic::RecvStream for BidiStream<B> {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.recv.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.recv.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

impl<B: Buf> quic::SendStream<B> for BidiStream<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}
