//! May a request be sent again, and where? Pure decisions over what its tries have come to.

use std::time::Duration;

use http::Method;
use smallvec::SmallVec;

use crate::error::ErrorKind;

/// The most endpoints that one request is offered to when connections fail.
const MAX_ENDPOINTS: usize = 3;

/// How a try on an established connection failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AttemptFailure {
    /// The connection had carried a request before, so that it may have died of old age.
    pub(super) reused: bool,
    /// A byte of a response has come.
    pub(super) answered: bool,
    /// Bytes of the request have been handed to the socket.
    pub(super) written: bool,
    /// The upstream said that it has not processed the request (RFC 9113 section 8.7): REFUSED_STREAM, or GOAWAY
    /// with a lower last stream.
    pub(super) refused: bool,
    /// It was the clock that ended the try, not the connection.
    pub(super) timed_out: bool,
}

/// What one request's tries have come to so far.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// Endpoints that could not be reached, by id.
    excluded: SmallVec<[u64; MAX_ENDPOINTS]>,
    replayed: bool,
}

impl Tries {
    /// Endpoints that are not to be chosen any more.
    pub(super) fn excluded(&self) -> &[u64] {
        &self.excluded
    }

    /// Whether what is sent may have to be sent again, so that it is worth keeping.
    pub(super) const fn may_replay(&self) -> bool {
        !self.replayed
    }

    /// No connection to one of so many endpoints could be made: whether another one may be tried. Nothing has been sent,
    /// so any request may be, as with NGINX's `proxy_next_upstream error timeout`.
    pub(super) fn unreachable(&mut self, endpoint: u64, kind: ErrorKind, endpoints: usize) -> bool {
        self.excluded.push(endpoint);
        matches!(kind, ErrorKind::Connect | ErrorKind::ConnectTimeout | ErrorKind::Tls)
            && self.excluded.len() < endpoints.min(MAX_ENDPOINTS)
    }

    /// A connection failed under a request: whether that may be sent once more, over another connection to the same
    /// endpoint. `whole`: its head and body are there again.
    pub(super) fn failed(&mut self, method: &Method, whole: bool, failure: AttemptFailure) -> bool {
        let again = whole && !self.replayed && is_replayable(method, failure);
        self.replayed |= again;
        again
    }
}

/// Whether the request may be sent once more over another connection, given that its head and body are still whole.
fn is_replayable(method: &Method, failure: AttemptFailure) -> bool {
    if failure.answered || failure.timed_out {
        return false;
    }
    if failure.refused {
        return true;
    }
    // RFC 9110 section 9.2.2: "A proxy MUST NOT automatically retry non-idempotent requests." What was not written is
    // not a retry. A new connection that dies says something about the endpoint, so only reused ones get this grace.
    failure.reused && (!failure.written || method.is_idempotent())
}

/// Whether an endpoint that had been `silent` for so long is what made an exchange run into its `limit`. A client that
/// sends slowly, or a plugin that thinks for long, must not be able to take an endpoint out.
pub(super) fn is_to_blame(silent: Duration, limit: Duration) -> bool {
    silent >= limit / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_took_most_of_the_time_is_to_blame_for_its_end() {
        let limit = Duration::from_secs(10);
        assert!(is_to_blame(limit, limit));
        assert!(is_to_blame(Duration::from_secs(5), limit));
        assert!(!is_to_blame(Duration::from_secs(4), limit));
    }

    #[test]
    fn replay_rules() {
        let dead = AttemptFailure { reused: true, written: true, ..AttemptFailure::default() };
        assert!(is_replayable(&Method::GET, dead));
        assert!(is_replayable(&Method::PUT, dead));
        assert!(!is_replayable(&Method::POST, dead));
        assert!(!is_replayable(&Method::PATCH, dead));
        assert!(is_replayable(&Method::POST, AttemptFailure { written: false, ..dead }));
        assert!(!is_replayable(&Method::GET, AttemptFailure { reused: false, ..dead }));
        assert!(!is_replayable(&Method::GET, AttemptFailure { answered: true, ..dead }));
        assert!(!is_replayable(&Method::GET, AttemptFailure { timed_out: true, ..dead }));
        assert!(is_replayable(&Method::POST, AttemptFailure { refused: true, ..dead }));
        assert!(!is_replayable(&Method::POST, AttemptFailure { refused: true, answered: true, ..dead }));
    }

    #[test]
    fn a_request_is_sent_again_once_and_only_when_it_is_whole() {
        let dead = AttemptFailure { reused: true, written: true, ..AttemptFailure::default() };
        let mut tries = Tries::default();
        assert!(!tries.failed(&Method::GET, false, dead));
        assert!(tries.may_replay());
        assert!(tries.failed(&Method::GET, true, dead));
        assert!(!tries.may_replay());
        assert!(!tries.failed(&Method::GET, true, dead));
        assert!(tries.unreachable(1, ErrorKind::Connect, 2), "what could not even be sent again goes elsewhere");
    }

    #[test]
    fn endpoints_are_tried_within_limits() {
        let tried = |before: u64, kind, endpoints| {
            let mut tries = Tries::default();
            tries.excluded.extend(1..before);
            tries.unreachable(before, kind, endpoints)
        };
        assert!(tried(1, ErrorKind::Connect, 2));
        assert!(!tried(1, ErrorKind::Connect, 1));
        assert!(!tried(3, ErrorKind::Connect, 9));
        assert!(!tried(1, ErrorKind::ResponseTimeout, 9));
    }
}
