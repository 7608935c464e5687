//! Between quinn and h3: h3's transport traits over quinn's streams.
//!
//! Modelled on the crate h3-quinn, with what a gateway needs besides: a stream that is dropped unfinished is reset
//! (quinn would end it well, and a cut response would look whole); the bytes that h3 buffers before it gives anything
//! to the application are bounded; a request's field section is checked before h3 decodes it; and a client's
//! STOP_SENDING can be awaited while nothing is being written.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::Stream;
use futures_util::stream::unfold;
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::VarInt;

use super::field_section::{Head, Limits};

type Accepted<T> = Pin<Box<dyn Stream<Item = Result<T, quinn::ConnectionError>> + Send + Sync>>;
type Bidi = (quinn::SendStream, quinn::RecvStream);

/// Ends when the client no longer wants the response: with STOP_SENDING, or because it has all of it.
pub(super) type Stopped = Pin<Box<dyn Future<Output = bool> + Send + Sync>>;

/// What the request's task needs of its stream beside what h3 gives it.
pub(super) struct Handle {
    pub(super) stopped: Stopped,
    pub(super) budget: Budget,
    /// Set once the request has reached the application. Until then h3 answers by itself (431), and what it has written
    /// is the whole response.
    pub(super) engaged: Arc<AtomicBool>,
}

/// Bytes that may still be read before something reaches the application; see [`Budget::refill`].
#[derive(Clone)]
pub(super) struct Budget {
    left: Arc<AtomicUsize>,
    full: usize,
}

impl Budget {
    fn new(full: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(full)), full }
    }

    /// The application got something, so what was read was not hoarded.
    pub(super) fn refill(&self) {
        self.left.store(self.full, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(bytes), Ordering::Relaxed);
        bytes <= left
    }
}

/// A QUIC connection for h3.
pub(super) struct Connection {
    quinn: quinn::Connection,
    bidi: Accepted<Bidi>,
    uni: Accepted<quinn::RecvStream>,
    limits: Limits,
    /// The handle of the request stream that was accepted last.
    latest: Latest,
}

/// Hands the handle of a new request stream past h3 to whoever accepts requests.
#[derive(Clone, Default)]
pub(super) struct Latest(Arc<Mutex<Option<Handle>>>);

impl Latest {
    /// The handle of the request that h3 gave out last.
    pub(super) fn take(&self) -> Option<Handle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, handle: Handle) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    }
}

impl Connection {
    pub(super) fn new(quinn: quinn::Connection, limits: Limits) -> (Self, Latest) {
        let latest = Latest::default();
        let bidi = Box::pin(unfold(quinn.clone(), async |quinn| Some((quinn.accept_bi().await, quinn))));
        let uni = Box::pin(unfold(quinn.clone(), async |quinn| Some((quinn.accept_uni().await, quinn))));
        (Self { quinn, bidi, uni, limits, latest: latest.clone() }, latest)
    }
}

fn connection_error(error: quinn::ConnectionError) -> ConnectionErrorIncoming {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into() }
        }
        quinn::ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}

fn next<T>(stream: &mut Accepted<T>, cx: &mut Context<'_>) -> Poll<Result<T, ConnectionErrorIncoming>> {
    match ready!(stream.as_mut().poll_next(cx)) {
        Some(accepted) => Poll::Ready(accepted.map_err(connection_error)),
        None => Poll::Ready(Err(ConnectionErrorIncoming::InternalError("the stream of streams ended".to_owned()))),
    }
}

impl<B: Buf> quic::Connection<B> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = OpenStreams;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        let stream = ready!(next(&mut self.uni, cx))?;
        // Control and QPACK streams: what they say is small, and h3 acts on each frame.
        Poll::Ready(Ok(RecvStream::new(stream, None, None)))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream<B>, ConnectionErrorIncoming>> {
        let (send, recv) = ready!(next(&mut self.bidi, cx))?;
        let stopped = send.stopped();
        let budget = Budget::new(self.limits.buffered);
        let engaged = Arc::new(AtomicBool::new(false));
        self.latest.put(Handle {
            stopped: Box::pin(async move { matches!(stopped.await, Ok(Some(_)) | Err(_)) }),
            budget: budget.clone(),
            engaged: engaged.clone(),
        });
        let recv = RecvStream::new(recv, Some(budget), Some(Head::new(self.limits)));
        let mut send = SendStream::new(send);
        send.engaged = Some(engaged);
        Poll::Ready(Ok(BidiStream { send, recv }))
    }

    fn opener(&self) -> OpenStreams {
        OpenStreams::new(self.quinn.clone())
    }
}

impl<B: Buf> quic::OpenStreams<B> for Connection {
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

type Opening = Pin<Box<dyn Future<Output = Result<quinn::SendStream, quinn::ConnectionError>> + Send + Sync>>;

/// Opens the server's own streams: control and QPACK, one each, at the start of a connection.
pub(super) struct OpenStreams {
    quinn: quinn::Connection,
    opening: Option<Opening>,
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

fn var_int(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
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

type Reading =
    Pin<Box<dyn Future<Output = (quinn::RecvStream, Result<Option<quinn::Chunk>, quinn::ReadError>)> + Send>>;

/// The client's direction of a stream.
pub(super) struct RecvStream {
    /// Absent while a read is under way.
    stream: Option<quinn::RecvStream>,
    reading: Option<Reading>,
    id: StreamId,
    ended: bool,
    budget: Option<Budget>,
    head: Option<Head>,
}

impl RecvStream {
    fn new(stream: quinn::RecvStream, budget: Option<Budget>, head: Option<Head>) -> Self {
        let id = stream_id(stream.id());
        Self { stream: Some(stream), reading: None, id, ended: false, budget, head }
    }

    fn refuse(&mut self, code: Code, what: &'static str) -> StreamErrorIncoming {
        quic::RecvStream::stop_sending(self, code.value());
        StreamErrorIncoming::Unknown(what.into())
    }
}

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if let Some(mut stream) = self.stream.take() {
            self.reading = Some(Box::pin(async move {
                let chunk = stream.read_chunk(64 << 10, true).await;
                (stream, chunk)
            }));
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(Ok(None)) };
        let (stream, chunk) = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        self.stream = Some(stream);
        let bytes = match chunk {
            Ok(Some(chunk)) => chunk.bytes,
            Ok(None) => {
                self.ended = true;
                return Poll::Ready(Ok(None));
            }
            Err(error) => {
                self.ended = true;
                return Poll::Ready(Err(read_error(error)));
            }
        };
        if self.budget.as_ref().is_some_and(|budget| !budget.take(bytes.len())) {
            return Poll::Ready(
                Err(self.refuse(Code::H3_EXCESSIVE_LOAD, "a frame is larger than the limit of a head")),
            );
        }
        if let Some(head) = &mut self.head {
            match head.push(&bytes) {
                Ok(complete) => {
                    if complete {
                        self.head = None;
                    }
                }
                Err(what) => return Poll::Ready(Err(self.refuse(Code::H3_MESSAGE_ERROR, what))),
            }
        }
        Poll::Ready(Ok(Some(bytes)))
    }

    fn stop_sending(&mut self, code: u64) {
        self.ended = true;
        if let Some(stream) = &mut self.stream {
            // An error says that the stream is over already.
            let _ = stream.stop(var_int(code));
        }
    }

    fn recv_id(&self) -> StreamId {
        self.id
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if !self.ended {
            // RFC 9114 section 4.1: a server that does not need the rest of a request asks the client to stop.
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

/// The server's direction of a stream.
pub(super) struct SendStream<B: Buf> {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<B>>,
    over: bool,
    /// Whether anything was written.
    begun: bool,
    engaged: Option<Arc<AtomicBool>>,
}

impl<B: Buf> SendStream<B> {
    const fn new(stream: quinn::SendStream) -> Self {
        Self { stream, writing: None, over: false, begun: false, engaged: None }
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
        self.begun = true;
        Ok(())
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        ready!(self.poll_ready(cx))?;
        self.over = true;
        Poll::Ready(self.stream.finish().map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, code: u64) {
        self.over = true;
        let _ = self.stream.reset(var_int(code));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl<B: Buf> Drop for SendStream<B> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let answered_by_h3 =
            self.begun && self.engaged.as_ref().is_some_and(|engaged| !engaged.load(Ordering::Relaxed));
        if answered_by_h3 {
            let _ = self.stream.finish();
        } else {
            quic::SendStream::<B>::reset(self, Code::H3_REQUEST_CANCELLED.value());
        }
    }
}
