//! May a request be sent again? Pure decisions; the caller counts.

use std::time::Duration;

use http::Method;

use crate::error::ErrorKind;

/// The most endpoints that one request is offered to when connections fail.
pub(super) const MAX_ENDPOINTS: usize = 3;

/// How an attempt on an established connection failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempt {
    /// The connection had carried a request before, so that it may have died of old age.
    pub(super) reused: bool,
    /// A byte of a response has come.
    pub(super) answered: bool,
    /// Bytes of the request have been handed to the socket.
    pub(super) written: bool,
    /// The upstream said that it has not processed the request (RFC 9113 section 8.7): REFUSED_STREAM, or GOAWAY
    /// with a lower last stream.
    pub(super) refused: bool,
    /// It was the clock that ended the attempt, not the connection.
    pub(super) timed_out: bool,
}

/// Whether the request may be sent once more over another connection, given that its head and body are still whole.
pub(super) fn may_replay(method: &Method, attempt: Attempt) -> bool {
    if attempt.answered || attempt.timed_out {
        return false;
    }
    if attempt.refused {
        return true;
    }
    // RFC 9110 section 9.2.2: "A proxy MUST NOT automatically retry non-idempotent requests." What was not written is
    // not a retry. A new connection that dies says something about the endpoint, so only reused ones get this grace.
    attempt.reused && (!attempt.written || method.is_idempotent())
}

/// Whether another endpoint may be tried after a connection could not be made: nothing has been sent, so any
/// request may be, as with NGINX's `proxy_next_upstream error timeout`.
pub(super) fn may_try_another_endpoint(kind: ErrorKind, tried: usize, endpoints: usize) -> bool {
    matches!(kind, ErrorKind::Connect | ErrorKind::ConnectTimeout | ErrorKind::Tls)
        && tried < endpoints.min(MAX_ENDPOINTS)
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
        let dead = Attempt { reused: true, written: true, ..Attempt::default() };
        assert!(may_replay(&Method::GET, dead));
        assert!(may_replay(&Method::PUT, dead));
        assert!(!may_replay(&Method::POST, dead));
        assert!(!may_replay(&Method::PATCH, dead));
        assert!(may_replay(&Method::POST, Attempt { written: false, ..dead }));
        assert!(!may_replay(&Method::GET, Attempt { reused: false, ..dead }));
        assert!(!may_replay(&Method::GET, Attempt { answered: true, ..dead }));
        assert!(!may_replay(&Method::GET, Attempt { timed_out: true, ..dead }));
        assert!(may_replay(&Method::POST, Attempt { refused: true, ..dead }));
        assert!(!may_replay(&Method::POST, Attempt { refused: true, answered: true, ..dead }));
    }

    #[test]
    fn endpoints_are_tried_within_limits() {
        assert!(may_try_another_endpoint(ErrorKind::Connect, 1, 2));
        assert!(!may_try_another_endpoint(ErrorKind::Connect, 1, 1));
        assert!(!may_try_another_endpoint(ErrorKind::Connect, 3, 9));
        assert!(!may_try_another_endpoint(ErrorKind::ResponseTimeout, 1, 9));
    }
}
