//! Responses of upstreams: the head is checked, the body streams and holds what it comes over.

mod http1;
mod http2;

use std::time::Duration;

use super::connection::Sent;
use super::pool::Lease;
use crate::error::Error;
use crate::message::Response;
use crate::timer::Stopwatch;

/// A response whose head has come: refused where that is malformed. Its body ends in an error when no next piece comes
/// within `idle`, or when it is cut short.
pub(super) fn receive(sent: Sent, lease: Lease, stopwatch: Stopwatch, idle: Duration) -> Result<Response, Error> {
    match sent {
        Sent::Http1(sent) => http1::receive(sent, lease, stopwatch, idle),
        Sent::Http2(sent) => http2::receive(sent, lease, stopwatch, idle),
    }
}
