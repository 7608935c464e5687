//! Field sections of clients, decoded by h3. Its frames, and its end of a stream, pass it by.

use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{BufMut, Bytes, BytesMut};
use h3::SharedState;
use h3::connection::RequestStream;
use h3::error::StreamError;
use h3::frame::FrameStream;
use h3::proto::frame::Frame;
use h3::server::RequestResolver;
use h3::stream::BufRecvStream;
use http::{HeaderMap, HeaderName, Method};

use super::frames::HEADERS;
use super::one_frame::OneFrame;
use super::quic::QuicConnection;
use crate::message::{ConnectProtocol, FieldMap, Head};
use crate::sanitize::{SafeText, safe};

/// The name under which h3 is given a `:protocol`, and its encoding. A client may use it as well: its own comes behind.
const PROTOCOL: HeaderName = HeaderName::from_static("tunnel");
const PROTOCOL_ENCODED: &[u8] = b"\x26tunnel";

/// What decodes the head of one request.
pub(super) type Resolver = RequestResolver<QuicConnection, Bytes>;

/// Why there is no head.
#[derive(Debug)]
pub(super) enum NoHead {
    /// It has more or larger fields than it may.
    TooLarge,
    /// The request is malformed (RFC 9114 section 4.1.2).
    Malformed(SafeText),
    /// The connection is over: QPACK could not be decoded (RFC 9204 section 6).
    Fatal(SafeText),
}

/// Decodes the head of a request; `protocol` is the place of the name `:protocol`.
pub(super) fn head(resolver: Resolver, mut section: Bytes, protocol: Option<Range<usize>>) -> Result<Head, NoHead> {
    if let Some(name) = &protocol {
        section = [&section[..name.start], PROTOCOL_ENCODED, &section[name.end..]].concat().into();
    }
    let of = |error: StreamError| match error {
        StreamError::HeaderTooBig { .. } => NoHead::TooLarge,
        StreamError::ConnectionError(error) => NoHead::Fatal(safe!(error)),
        error => NoHead::Malformed(safe!(error)),
    };
    let resolved = resolver.accept_with_frame(Ok(Some(Frame::Headers(section)))).map_err(of)?;
    // It waits for nothing: `OneFrame` takes at once what h3 writes for an answer where the head is too large.
    let resolving = pin!(resolved.resolve());
    let Poll::Ready(resolved) = resolving.poll(&mut Context::from_waker(Waker::noop())) else {
        return Err(NoHead::Malformed("a head that h3 waits for".into()));
    };
    let (request, _) = resolved.map_err(of)?;
    let mut head = Head::from(request.into_parts().0);
    if protocol.is_some() {
        // RFC 8441 section 4.
        if head.method != Method::CONNECT {
            return Err(NoHead::Malformed("a :protocol without CONNECT".into()));
        }
        head.protocol = take_protocol(&mut head.fields);
        if head.protocol.is_none() {
            return Err(NoHead::Malformed("a :protocol that is no text".into()));
        }
    }
    Ok(head)
}

/// The first field of its name is the one that was a pseudo-header field: those come first.
fn take_protocol(fields: &mut FieldMap) -> Option<ConnectProtocol> {
    let value = fields.get(PROTOCOL)?.expose_str().ok().map(ConnectProtocol::new);
    let mut taken = false;
    fields.retain(|name, _| taken || name != PROTOCOL || !std::mem::replace(&mut taken, true));
    value
}

/// Decodes the trailers of a connection.
pub(super) struct Decoder {
    shared: Arc<SharedState>,
    limit: u64,
}

impl Decoder {
    /// `limit` is the largest section as it is decoded.
    pub(super) const fn new(shared: Arc<SharedState>, limit: u64) -> Self {
        Self { shared, limit }
    }

    /// Of no connection.
    #[cfg(test)]
    pub(super) fn for_tests(limit: u64) -> Self {
        Self::new(Arc::default(), limit)
    }

    /// Decodes trailers.
    ///
    /// # Errors
    /// Where they are malformed, or larger than the limit.
    pub(super) fn trailers(&self, section: &[u8]) -> Result<HeaderMap, SafeText> {
        let mut frame = BytesMut::with_capacity(section.len() + 9);
        frame.put_u8(HEADERS as u8);
        frame.put_u64(0xc000_0000_0000_0000 | section.len() as u64);
        frame.put_slice(section);
        let stream = FrameStream::new(BufRecvStream::<_, Bytes>::new(OneFrame(Some(frame.freeze()))));
        let mut stream = RequestStream::new(stream, self.limit, self.shared.clone(), false);
        match stream.poll_recv_trailers(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Some(trailers))) => Ok(trailers),
            Poll::Ready(Err(error)) => Err(safe!(error)),
            Poll::Ready(Ok(None)) | Poll::Pending => Err("trailers that h3 does not see".into()),
        }
    }
}
