//! The two directions of a QUIC stream, for h3.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};

use super::codes::{connection_error, var_int};
use super::frames::{Frames, Violation};
use super::qpack::{self, Instructions};

/// How much is read from the transport at a time, at most.
const CHUNK: usize = 64 << 10;

/// What the two directions of a request's stream, and the application, have to know of each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Arc<NotesInner>);

#[derive(Debug, Default)]
struct NotesInner {
    delivered: AtomicU64,
    engaged: AtomicBool,
    /// The code of the violation that ended the stream; 0 for none.
    refused: AtomicU64,
}

impl Notes {
    /// The application got that many bytes of content. h3 reads ahead of that with every frame; a stream that knows how
    /// far behind the application is gives it nothing more until it has caught up.
    pub(super) fn deliver(&self, bytes: usize) {
        self.0.delivered.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether the client broke a rule on this stream.
    pub(super) fn is_refused(&self) -> bool {
        self.0.refused.load(Ordering::Relaxed) != 0
    }

    /// The request has reached the application. Until then h3 answers by itself (431), and what it has written is the
    /// whole response.
    pub(super) fn engage(&self) {
        self.0.engaged.store(true, Ordering::Relaxed);
    }
}

/// The client's direction of a stream.
pub(super) struct RecvStream {
    /// `None` once somebody else reads it.
    stream: Option<quinn::RecvStream>,
    id: quinn::StreamId,
    connection: quinn::Connection,
    frames: Frames,
    /// What was read and has not passed the filter.
    input: Bytes,
    /// Content that h3 has been given.
    given: u64,
    notes: Notes,
    ended: bool,
    violation: Option<Violation>,
}

impl RecvStream {
    pub(super) fn new(stream: quinn::RecvStream, connection: quinn::Connection, frames: Frames, notes: Notes) -> Self {
        let (id, input) = (stream.id(), Bytes::new());
        let stream = Some(stream);
        Self { stream, id, connection, frames, input, given: 0, notes, ended: false, violation: None }
    }

    /// Has QPACK's streams read, of which h3 wants nothing but the type.
    fn hand_over(&mut self) {
        if let Some(kind) = self.frames.instructions()
            && let Some(stream) = self.stream.take()
        {
            let (connection, first) = (self.connection.clone(), std::mem::take(&mut self.input));
            self.ended = true;
            tokio::task::spawn_local(qpack::read(stream, connection, Instructions::new(kind), first));
        }
    }

    fn refuse(&mut self, violation: Violation) -> StreamErrorIncoming {
        let first = self.violation.replace(violation).is_none();
        self.notes.0.refused.store(violation.code.value(), Ordering::Relaxed);
        if !violation.fatal {
            if first {
                quic::RecvStream::stop_sending(self, violation.code.value());
            }
            return StreamErrorIncoming::Unknown(violation.what.into());
        }
        self.ended = true;
        // Here and not through h3, which would close with another code.
        self.connection.close(var_int(violation.code.value()), violation.what.as_bytes());
        let connection_error = ConnectionErrorIncoming::Undefined(Arc::new(quinn::ConnectionError::LocallyClosed));
        StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
    }
}

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if let Some(violation) = self.violation {
            return Poll::Ready(Err(self.refuse(violation)));
        }
        // h3 looks at what it has before it believes that there is nothing, so nobody waits for the wake-up that this
        // does not promise.
        if self.given > self.notes.0.delivered.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        loop {
            match self.frames.next(&mut self.input) {
                Ok(Some(piece)) => {
                    self.hand_over();
                    self.given += piece.content as u64;
                    return Poll::Ready(Ok(Some(piece.bytes)));
                }
                Ok(None) => {}
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
    notes: Option<Notes>,
}

impl<B: Buf> SendStream<B> {
    pub(super) const fn new(stream: quinn::SendStream, notes: Option<Notes>) -> Self {
        Self { stream, writing: None, over: false, begun: false, notes }
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
        let notes = self.notes.as_ref().map(|notes| &*notes.0);
        let answered_by_h3 = self.begun && notes.is_some_and(|notes| !notes.engaged.load(Ordering::Relaxed));
        if answered_by_h3 {
            let _ = self.stream.finish();
            return;
        }
        let code = match notes.map_or(0, |notes| notes.refused.load(Ordering::Relaxed)) {
            0 => Code::H3_REQUEST_CANCELLED.value(),
            refused => refused,
        };
        quic::SendStream::<B>::reset(self, code);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use quic::RecvStream as _;

    use super::*;

    /// The two ends of a QUIC connection, with the endpoints that drive them.
    async fn pair() -> ((quinn::Connection, quinn::Endpoint), (quinn::Connection, quinn::Endpoint)) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(signed.cert.der().clone()).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
        let server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = quinn::crypto::rustls::QuicServerConfig::try_from(server).unwrap();
        let client = quinn::crypto::rustls::QuicClientConfig::try_from(client).unwrap();
        let loopback = "127.0.0.1:0".parse().unwrap();
        let accepting = quinn::Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(server)), loopback).unwrap();
        let connecting = quinn::Endpoint::client(loopback).unwrap();
        let to = accepting.local_addr().unwrap();
        let connect = connecting.connect_with(quinn::ClientConfig::new(Arc::new(client)), to, "localhost").unwrap();
        let accept = async { accepting.accept().await.unwrap().await.unwrap() };
        let (connected, accepted) = tokio::join!(connect, accept);
        ((connected.unwrap(), connecting), (accepted, accepting))
    }

    #[tokio::test]
    async fn h3_gets_no_content_ahead_of_the_application() {
        let ((client, _connecting), (server, _accepting)) = pair().await;
        let (mut send, _recv) = client.open_bi().await.unwrap();
        // `:method: GET`, then three pieces of content.
        send.write_all(&[1, 3, 0, 0, 0xc0 | 17, 0, 1, b'a', 0, 2, b'b', b'c', 0, 1, b'd']).await.unwrap();
        send.finish().unwrap();
        let (_send, recv) = server.accept_bi().await.unwrap();
        let notes = Notes::default();
        let mut stream = RecvStream::new(recv, server.clone(), Frames::of_request(100), notes.clone());

        let head = poll_fn(|cx| stream.poll_data(cx)).await.unwrap();
        assert_eq!(head.as_deref(), Some(&[1, 3, 0, 0, 0xc0 | 17][..]));
        for (piece, content) in [(&[0, 1, b'a'][..], 1), (&[0, 2, b'b', b'c'], 2), (&[0, 1, b'd'], 1)] {
            assert_eq!(poll_fn(|cx| stream.poll_data(cx)).await.unwrap().as_deref(), Some(piece));
            for _ in 0..content {
                assert!(
                    poll_fn(|cx| Poll::Ready(stream.poll_data(cx).is_pending())).await,
                    "{piece:?} is not delivered"
                );
                notes.deliver(1);
            }
        }
        assert_eq!(poll_fn(|cx| stream.poll_data(cx)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_violation_is_told_as_often_as_h3_asks() {
        let ((client, _connecting), (server, _accepting)) = pair().await;
        let (mut send, _recv) = client.open_bi().await.unwrap();
        send.write_all(&[0, 1, b'a']).await.unwrap();
        let (_send, recv) = server.accept_bi().await.unwrap();
        let mut stream = RecvStream::new(recv, server.clone(), Frames::of_request(100), Notes::default());
        for _ in 0..3 {
            assert!(poll_fn(|cx| stream.poll_data(cx)).await.is_err());
        }
        let quinn::ConnectionError::ApplicationClosed(close) = client.closed().await else { panic!("not closed") };
        assert_eq!(close.error_code, var_int(Code::H3_FRAME_UNEXPECTED.value()));
    }
}
