//! What can go wrong with one request: the kind, the side that caused it, and what each kind means as a status
//! (RFC 9110), as a `Proxy-Status` error type (RFC 9209 section 2.3) and as a failure that plugins see.

use std::fmt;

use http::StatusCode;

pub use plugin_rules::failure::Failure;

use crate::sanitize::SafeText;

/// The side of the gateway on which an error arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client sent something unacceptable, or left.
    Downstream,
    /// The service behind the gateway failed.
    Upstream,
    /// A plugin failed.
    Plugin,
    /// The gateway itself.
    Gateway,
}

/// What happened. Each kind has one row in `ErrorKind::row`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is malformed or ambiguous.
    BadRequest,
    /// The request's header section exceeds the listener's limits.
    HeadersTooLarge,
    /// The client did not send its request in time.
    RequestTimeout,
    /// The request body exceeds the route's limit.
    BodyTooLarge,
    /// A plugin reads the body, and the request's body has a content coding that is not known, or that can't be taken off.
    UnsupportedEncoding,
    /// The method or an Upgrade that the gateway does not implement.
    NotImplemented,
    /// The client went away or reset its stream.
    ClientGone,
    /// No route matches.
    NoRoute,
    /// The request has passed this gateway too often.
    Loop,
    /// The gateway has no capacity for the request.
    Overload,
    /// What may be held of bodies is used up.
    BodyMemory,
    /// What plugins' instances may have together is used up.
    PluginMemory,
    /// The upstream has as many requests in flight as it may have.
    UpstreamLimit,
    /// No endpoint of the upstream is usable.
    NoEndpoint,
    /// The endpoint's name did not resolve.
    Dns,
    /// The connection was refused or failed.
    Connect,
    /// The connection was not made in time.
    ConnectTimeout,
    /// The TLS handshake with the upstream failed.
    Tls,
    /// No response head, or no next piece of the body, in time.
    ResponseTimeout,
    /// The whole exchange took longer than the route allows.
    ExchangeTimeout,
    /// The upstream ended the connection or stream before the message was complete.
    Reset,
    /// The upstream's response breaks HTTP's rules or the gateway's limits.
    Protocol,
    /// A plugin reads the body, and the response's content coding is not known or its encoded content is malformed.
    EncodedResponse,
    /// A response's head has too many fields or bytes.
    ResponseHeadTooLarge,
    /// A response body that a plugin wants whole exceeds the limit.
    ResponseTooLarge,
    /// A plugin trapped, overran a limit or answered nonsense, and its policy is `closed`.
    Plugin,
    /// A plugin gave back more than it may. It has decided something, and nobody knows what: no policy passes that by.
    PluginAnswer,
    /// A plugin gave the stream up.
    PluginAbort,
    /// The audit trail could not confirm a record, and the exchange may not go on without it.
    Audit,
    /// A defect of the gateway.
    Internal,
}

/// The meaning of an [`ErrorKind`].
struct Row(Side, StatusCode, &'static str, Failure, &'static str);

impl ErrorKind {
    const fn row(self) -> Row {
        use Failure as F;
        use Side::{Downstream, Gateway, Plugin, Upstream};
        use StatusCode as S;
        match self {
            Self::BadRequest => Row(Downstream, S::BAD_REQUEST, "http_request_error", F::Other, "bad-request"),
            Self::HeadersTooLarge => {
                Row(Downstream, S::REQUEST_HEADER_FIELDS_TOO_LARGE, "http_request_error", F::Other, "headers-too-large")
            }
            Self::RequestTimeout => {
                Row(Downstream, S::REQUEST_TIMEOUT, "http_request_error", F::Other, "request-timeout")
            }
            Self::BodyTooLarge => {
                Row(Downstream, S::PAYLOAD_TOO_LARGE, "http_request_error", F::Other, "body-too-large")
            }
            Self::UnsupportedEncoding => {
                Row(Downstream, S::UNSUPPORTED_MEDIA_TYPE, "http_request_error", F::Other, "unsupported-encoding")
            }
            Self::NotImplemented => {
                Row(Downstream, S::NOT_IMPLEMENTED, "http_request_error", F::Other, "not-implemented")
            }
            Self::ClientGone => Row(Downstream, S::BAD_REQUEST, "http_request_error", F::Cancelled, "client-gone"),
            Self::NoRoute => Row(Downstream, S::NOT_FOUND, "destination_not_found", F::Other, "no-route"),
            // RFC 9209 section 2.3.16; the status is RFC 5842's for "infinite loop".
            Self::Loop => Row(Downstream, S::LOOP_DETECTED, "proxy_loop_detected", F::Other, "loop"),
            Self::Overload => Row(Gateway, S::SERVICE_UNAVAILABLE, "proxy_internal_response", F::Overload, "overload"),
            Self::BodyMemory => {
                Row(Gateway, S::SERVICE_UNAVAILABLE, "proxy_internal_response", F::Overload, "body-memory")
            }
            Self::PluginMemory => {
                Row(Plugin, S::SERVICE_UNAVAILABLE, "proxy_internal_response", F::Overload, "plugin-memory")
            }
            Self::UpstreamLimit => {
                Row(Upstream, S::SERVICE_UNAVAILABLE, "connection_limit_reached", F::Overload, "upstream-limit")
            }
            Self::NoEndpoint => {
                Row(Upstream, S::SERVICE_UNAVAILABLE, "destination_unavailable", F::NoEndpoint, "no-endpoint")
            }
            Self::Dns => Row(Upstream, S::BAD_GATEWAY, "dns_error", F::Dns, "dns"),
            Self::Connect => Row(Upstream, S::BAD_GATEWAY, "connection_refused", F::Connect, "connect"),
            Self::ConnectTimeout => {
                Row(Upstream, S::GATEWAY_TIMEOUT, "connection_timeout", F::Timeout, "connect-timeout")
            }
            Self::Tls => Row(Upstream, S::BAD_GATEWAY, "tls_protocol_error", F::Tls, "tls"),
            Self::ResponseTimeout => {
                Row(Upstream, S::GATEWAY_TIMEOUT, "http_response_timeout", F::Timeout, "response-timeout")
            }
            Self::ExchangeTimeout => {
                Row(Upstream, S::GATEWAY_TIMEOUT, "http_response_timeout", F::Timeout, "exchange-timeout")
            }
            Self::Reset => Row(Upstream, S::BAD_GATEWAY, "connection_terminated", F::Reset, "reset"),
            Self::Protocol => Row(Upstream, S::BAD_GATEWAY, "http_protocol_error", F::Protocol, "protocol"),
            Self::EncodedResponse => {
                Row(Upstream, S::BAD_GATEWAY, "http_response_content_coding", F::Protocol, "encoded-response")
            }
            Self::ResponseHeadTooLarge => {
                let word = "http_response_header_section_size";
                Row(Upstream, S::BAD_GATEWAY, word, F::Protocol, "response-head-too-large")
            }
            Self::ResponseTooLarge => {
                Row(Upstream, S::BAD_GATEWAY, "http_response_body_size", F::Protocol, "response-too-large")
            }
            Self::Plugin | Self::PluginAnswer => {
                Row(Plugin, S::SERVICE_UNAVAILABLE, "proxy_internal_error", F::Other, "plugin")
            }
            Self::PluginAbort => Row(Plugin, S::SERVICE_UNAVAILABLE, "proxy_internal_error", F::Other, "plugin-abort"),
            Self::Audit => Row(Gateway, S::SERVICE_UNAVAILABLE, "proxy_internal_response", F::Overload, "audit"),
            Self::Internal => Row(Gateway, S::INTERNAL_SERVER_ERROR, "proxy_internal_error", F::Other, "internal"),
        }
    }

    /// The side that caused it.
    pub const fn side(self) -> Side {
        self.row().0
    }

    /// Whether it passes by itself, so that the client is told to try again in a moment (RFC 9110 section 10.2.3).
    pub const fn is_passing(self) -> bool {
        matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE)
            && matches!(self.failure(), Failure::Overload | Failure::NoEndpoint)
    }

    /// The status of the synthetic response.
    pub const fn status(self) -> StatusCode {
        self.row().1
    }

    /// The error type for `Proxy-Status`, RFC 9209 section 2.3.
    pub const fn proxy_status(self) -> &'static str {
        self.row().2
    }

    /// The failure that plugins are told.
    pub const fn failure(self) -> Failure {
        self.row().3
    }

    /// The word used in the access log and in metrics.
    pub const fn name(self) -> &'static str {
        self.row().4
    }
}

/// An error of one request. Cheap to make and to clone; `detail` is for the log, never for the client.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Error {
    kind: ErrorKind,
    detail: SafeText,
}

impl Error {
    /// An error with what the operator should read about it.
    pub fn new(kind: ErrorKind, detail: impl Into<SafeText>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What happened.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// For the error log and the access log; not for the client.
    pub fn detail(&self) -> &str {
        self.detail.as_str()
    }

    /// The same, to be a part of another one.
    pub const fn safe_detail(&self) -> &SafeText {
        &self.detail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind, "")
    }
}

#[cfg(test)]
mod tests {
    use plugin_rules::failure::{ABORTED, ENCODED_REQUEST, ENCODED_RESPONSE};

    use super::*;

    #[test]
    fn what_tests_of_plugins_are_told_is_what_clients_are_told() {
        for (kind, status) in [
            (ErrorKind::UnsupportedEncoding, ENCODED_REQUEST),
            (ErrorKind::EncodedResponse, ENCODED_RESPONSE),
            (ErrorKind::PluginAbort, ABORTED),
        ] {
            assert_eq!(kind.status(), status, "{kind:?}");
        }
        for kind in [
            ErrorKind::UpstreamLimit,
            ErrorKind::NoEndpoint,
            ErrorKind::Dns,
            ErrorKind::Connect,
            ErrorKind::ConnectTimeout,
            ErrorKind::Tls,
            ErrorKind::ResponseTimeout,
            ErrorKind::ExchangeTimeout,
            ErrorKind::Reset,
            ErrorKind::Protocol,
        ] {
            assert_eq!(kind.status(), kind.failure().status(), "{kind:?}");
        }
    }
}
