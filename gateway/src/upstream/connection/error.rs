//! How sending on a connection fails, over either protocol, and what a response's head may be.

use http::Request;

use super::body::{BodyWatch, WatchedBody};
use crate::error::{Error, ErrorKind};
use crate::sanitize::safe;
use crate::upstream::retry::AttemptFailure;

/// The largest response head.
pub(in crate::upstream) const MAX_HEAD: usize = 64 << 10;
/// The most fields of a response, over either protocol: Envoy's default (`max_headers_count`).
pub(in crate::upstream) const MAX_FIELDS: usize = 100;
/// A request that brought no response head.
pub(in crate::upstream) struct SendError {
    pub(in crate::upstream) error: Error,
    /// What is known of how far it came.
    pub(in crate::upstream) failure: AttemptFailure,
    /// What of the request is whole again.
    pub(in crate::upstream) returned: Option<Returned>,
    /// Set when it was the client's body that failed: nothing to blame the upstream for.
    pub(in crate::upstream) client: Option<Error>,
}

/// What comes back of a request that was not sent.
pub(in crate::upstream) enum Returned {
    /// All of it.
    Request(Box<Request<WatchedBody>>),
    /// Its body, of which nothing was read. The head was never given away.
    Body(WatchedBody),
}

/// A head beyond the limits, which are the same for both protocols.
pub(in crate::upstream) fn head_too_large() -> Error {
    const { assert!(MAX_FIELDS == 100 && MAX_HEAD == 64 << 10) };
    Error::new(ErrorKind::ResponseHeadTooLarge, "the response's head has more than 100 fields or 64 KiB")
}

/// Why a response body ended early: the client's own error explains it better than what it did to the connection.
pub(in crate::upstream) fn cut_short(error: &h2::Error, watch: Option<&BodyWatch>) -> Error {
    watch
        .and_then(BodyWatch::take_error)
        .unwrap_or_else(|| Error::new(ErrorKind::Reset, safe!("the response was cut short: ", *error)))
}
