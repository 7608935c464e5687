//! Why there is no response from the upstream, and what the client is told then, where no plugin has an answer.

use crate::codings::Fault;

/// Why there was no (complete) response from the upstream, in the words of the plugin contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The endpoint's name could not be resolved.
    Dns,
    /// No connection could be made.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// Connect, response, idle or request timeout.
    Timeout,
    /// The connection or stream ended before the message did.
    Reset,
    /// The upstream broke the rules of HTTP.
    Protocol,
    /// Too many requests in flight.
    Overload,
    /// No endpoint was usable.
    NoEndpoint,
    /// The client left first.
    Cancelled,
    /// Anything else.
    Other,
}

impl Failure {
    /// The word used in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::Overload => "overload",
            Self::NoEndpoint => "no-endpoint",
            Self::Cancelled => "cancelled",
            Self::Other => "other",
        }
    }

    /// The status of the gateway's response where the upstream failed like this (RFC 9110 section 15.6).
    pub const fn status(self) -> u16 {
        match self {
            Self::Timeout => 504,
            Self::Overload | Self::NoEndpoint => 503,
            _ => 502,
        }
    }
}

/// The status of the gateway's response to a request body that a plugin was to read and that has a coding which is not known
/// here (RFC 9110 section 15.5.16).
pub const ENCODED_REQUEST: u16 = 415;
/// The same where a response has one, or breaks the rules of the one that it has, or becomes too large.
pub const ENCODED_RESPONSE: u16 = 502;

/// The status of the gateway's response where the coding of a request's body can't be taken off for this reason.
pub const fn of_fault(fault: Fault) -> u16 {
    match fault {
        Fault::Malformed | Fault::Truncated | Fault::Trailing => 400,
        Fault::TooLarge | Fault::Bomb => 413,
        Fault::Signed => ENCODED_REQUEST,
    }
}
/// Where a plugin gave a body up before any of it had gone out.
pub const ABORTED: u16 = 503;
