//! The phases of an exchange in which a plugin may be called, with the words that logs and metrics use for them.

use std::fmt;

/// A phase of an exchange, in which a plugin may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// `describe`, at load.
    Describe,
    /// `configure`, once per instance.
    Configure,
    /// The request's head.
    RequestHeaders,
    /// A piece, or the whole, of the request's body.
    RequestBody,
    /// The response's head.
    ResponseHeaders,
    /// A piece, or the whole, of the response's body.
    ResponseBody,
    /// No response from the upstream.
    UpstreamFailure,
    /// The end of the exchange.
    Log,
}

impl Phase {
    /// The word used in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Configure => "configure",
            Self::RequestHeaders => "request_headers",
            Self::RequestBody => "request_body",
            Self::ResponseHeaders => "response_headers",
            Self::ResponseBody => "response_body",
            Self::UpstreamFailure => "upstream_failure",
            Self::Log => "log",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
