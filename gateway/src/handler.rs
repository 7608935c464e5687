//! The seam between the protocols and what serves requests: a protocol makes an [`Inbound`] of each request, whatever the
//! version, gives it to the one [`Handler`], and sends what comes back.
//!
//! Protocols own how bytes travel (framing, pacing, limits of connections, drains); handlers see none of that.

use std::sync::Arc;
use std::time::Instant;

use crate::exchange::ConnectionInfo;
use crate::message::{Body, Head, Interim, OnUpgrade, Response};

/// A request as it came.
pub struct Inbound {
    /// What it came over.
    pub connection: Arc<ConnectionInfo>,
    /// When its head had been read.
    pub arrived: Instant,
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Body,
    /// Where responses before the response go.
    pub interim: Interim,
    /// The connection or stream itself, where the request may ask for it.
    pub upgrade: Option<OnUpgrade>,
}

impl Inbound {
    /// A request of a protocol that sends one response and keeps its connection to itself.
    pub fn new(connection: Arc<ConnectionInfo>, arrived: Instant, head: Head, body: Body) -> Self {
        Self { connection, arrived, head, body, interim: Interim::default(), upgrade: None }
    }
}

/// What answers requests: any function from a request to the future of its response. It never fails. The response's body
/// ends with an error when the response is cut short, and is told of what did not reach the client
/// ([`Body::undelivered`]).
pub trait Handler: Fn(Inbound) -> <Self as Handler>::Answer + 'static {
    /// The response, in time. Dropped when nobody waits for it any more.
    type Answer: Future<Output = Response> + 'static;
}

impl<F, R> Handler for F
where
    F: Fn(Inbound) -> R + 'static,
    R: Future<Output = Response> + 'static,
{
    type Answer = R;
}
