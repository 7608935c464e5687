//! A connection or a stream that stops carrying HTTP: Upgrade (RFC 9110 section 7.8) and CONNECT hand over its bytes.

use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes in both directions, whatever carries them.
pub trait ByteStream: AsyncRead + AsyncWrite {}

impl<S: AsyncRead + AsyncWrite> ByteStream for S {}

/// One end of a tunnel.
pub type Tunnel = Pin<Box<dyn ByteStream>>;

/// Ends with the client's end of the tunnel once a response that accepts it has gone out, and with `None` where that did
/// not happen. A request has one where its protocol can hand over what it came on.
pub type OnUpgrade = Pin<Box<dyn Future<Output = Option<Tunnel>>>>;
