//! A connection or a stream that stops carrying HTTP: Upgrade (RFC 9110 section 7.8) and CONNECT hand over its bytes.

use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::sensitive::Sensitive;

/// Bytes in both directions, whatever carries them.
pub trait ByteStream: AsyncRead + AsyncWrite {}

impl<S: AsyncRead + AsyncWrite> ByteStream for S {}

/// One end of a tunnel.
pub type Tunnel = Pin<Box<dyn ByteStream>>;

/// Ends with the client's end of the tunnel once a response that accepts it has gone out, and with `None` where that did
/// not happen. A request has one where its protocol can hand over what it came on.
pub type OnUpgrade = Pin<Box<dyn Future<Output = Option<Tunnel>>>>;

/// What an extended CONNECT (RFC 8441 section 4, RFC 9220 section 3) asks for in `:protocol`: a name of the registry of
/// Upgrade, such as `websocket`.
///
/// ```
/// let protocol = gateway::message::ConnectProtocol::new("kari");
/// assert!(!format!("{protocol:?}").contains("kari"));
/// ```
///
/// ```compile_fail
/// let protocol = gateway::message::ConnectProtocol::new("kari");
/// assert!(!format!("{protocol}").contains("kari"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectProtocol(Sensitive<Box<str>>);

impl ConnectProtocol {
    /// The protocol of this name.
    pub fn new(name: &str) -> Self {
        Self(Sensitive::new(name.into()))
    }

    /// Its name, as the client has sent it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}
