//! Calls that plugins make to upstreams, on their way to the task of the worker that makes them.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::message::FieldMap;
use crate::sensitive::no_content;

pub use plugin_rules::calls::MAX_BODY;

/// A call on its way from a plugin to the worker's task.
pub struct OutboundCall {
    /// The upstream; granted to the plugin, and looked up by whoever makes the call.
    pub upstream: String,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Header fields, validated.
    pub headers: FieldMap,
    /// The body.
    pub body: Bytes,
    /// Time limit of the whole call.
    pub timeout: Duration,
    /// When that has passed.
    pub deadline: Instant,
    /// Where the answer goes. Its other end is gone when nobody waits any more.
    pub reply: oneshot::Sender<Result<CallResponse, CallError>>,
}

no_content!(OutboundCall);

/// The answer to a call.
#[derive(Clone)]
pub struct CallResponse {
    /// The status.
    pub status: u16,
    /// Header fields.
    pub headers: FieldMap,
    /// The whole body, at most [`MAX_BODY`].
    pub body: Bytes,
}

no_content!(CallResponse);

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No grant, or not in this phase.
    Denied,
    /// No such upstream.
    UnknownUpstream,
    /// Not in time.
    Timeout,
    /// No connection.
    Connect,
    /// The gateway itself has no room for it: too many instances wait for calls already, or there is no memory. It says
    /// nothing of the upstream.
    Busy,
    /// A body above [`MAX_BODY`].
    TooLarge,
    /// The answer broke off.
    Reset,
}
