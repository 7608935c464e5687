//! What a phase returns, and responses made by a plugin.

use serde::Serialize;
use serde_json::json;

use crate::bindings::edge::gateway::types as wit;

pub use wit::BodyMode;

/// A response that the plugin answers with.
///
/// ```
/// use plugin_sdk::LocalResponse;
/// let response = LocalResponse::problem(429, "Too Many Requests", "The limit is 10 per second.")
///     .header("retry-after", "1");
/// assert_eq!(response.status, 429);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// The status code.
    pub status: u16,
    /// The fields, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; the host sets Content-Length.
    pub body: Vec<u8>,
}

impl LocalResponse {
    /// An empty response with this status.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Problem details (RFC 9457): what a program and a person can both read.
    pub fn problem(status: u16, title: &str, detail: &str) -> Self {
        let body = json!({"type": "about:blank", "title": title, "status": status, "detail": detail});
        Self::new(status).header("content-type", "application/problem+json").body(body.to_string())
    }

    /// A JSON document.
    ///
    /// ```
    /// use plugin_sdk::{LocalResponse, serde_json::json};
    /// assert_eq!(LocalResponse::json(200, &json!({"ok": true})).body, br#"{"ok":true}"#);
    /// ```
    ///
    /// # Panics
    /// Where the value is none that JSON has, for example a map whose keys are no texts.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(status).header("content-type", "application/json").body(body),
            Err(error) => panic!("the answer can't be written as JSON: {error}"),
        }
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl From<LocalResponse> for wit::LocalResponse {
    fn from(of: LocalResponse) -> Self {
        let headers = of.headers.into_iter().map(|(name, value)| wit::Header { name, value }).collect();
        Self { status: of.status, headers, body: of.body }
    }
}

/// What a headers phase decides.
///
/// ```
/// use plugin_sdk::{BodyMode, LocalResponse, RequestAction};
/// let on = RequestAction::next();
/// let scan = RequestAction::read_body(BodyMode::Chunks);
/// let refuse = RequestAction::problem(403, "Forbidden", "This key may not write.");
/// let stale = RequestAction::respond_stored("last-good", LocalResponse::new(503));
/// # let _ = (on, scan, refuse, stale);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision holds only where the phase returns it"]
pub enum HeadersAction {
    /// Go on; the body passes by as the mode says.
    Continue(BodyMode),
    /// Answer with this. Nothing goes further.
    Respond(LocalResponse),
    /// Answer with the response stored under the key; where there is none, with the other, or go on without one.
    RespondStored(String, Option<LocalResponse>),
}

/// What [`crate::Plugin::on_request_headers`] decides.
pub type RequestAction = HeadersAction;
/// What [`crate::Plugin::on_response_headers`] decides.
pub type ResponseAction = HeadersAction;

impl HeadersAction {
    /// Go on; the body passes by without a copy.
    pub fn next() -> Self {
        Self::Continue(BodyMode::Skip)
    }

    /// Go on, and call the body phase: per chunk, or once with all of it, where there is no body with nothing (but of a
    /// response there are no chunks then). Without that method the message goes nowhere: the call fails, whatever the failure policy.
    pub fn read_body(mode: BodyMode) -> Self {
        Self::Continue(mode)
    }

    /// Answer with this.
    pub fn respond(response: LocalResponse) -> Self {
        Self::Respond(response)
    }

    /// Answer with [`LocalResponse::problem`].
    pub fn problem(status: u16, title: &str, detail: &str) -> Self {
        Self::Respond(LocalResponse::problem(status, title, detail))
    }

    /// Answer with what [`crate::Exchange::store_response`] kept under this key, or with `otherwise`.
    pub fn respond_stored(key: impl Into<String>, otherwise: LocalResponse) -> Self {
        Self::RespondStored(key.into(), Some(otherwise))
    }

    /// Answer with what [`crate::Exchange::store_response`] kept under this key, or go on as [`Self::next`] does.
    pub fn respond_stored_or_next(key: impl Into<String>) -> Self {
        Self::RespondStored(key.into(), None)
    }
}

impl From<LocalResponse> for HeadersAction {
    fn from(response: LocalResponse) -> Self {
        Self::Respond(response)
    }
}

/// What [`crate::Plugin::on_upstream_failure`] decides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision holds only where the phase returns it"]
pub enum FailureAction {
    /// Go on to the next plugin; in the end the gateway answers.
    Continue,
    /// Answer with this.
    Respond(LocalResponse),
    /// Answer with the response stored under the key; where there is none, with the other, or go on without one.
    RespondStored(String, Option<LocalResponse>),
    /// Have the upstream asked once more, where the request has no body and is idempotent; otherwise, and the second time, as
    /// [`Self::Continue`].
    Retry,
}

impl FailureAction {
    /// Leave the answer to later plugins and the gateway.
    pub fn next() -> Self {
        Self::Continue
    }

    /// Answer with this.
    pub fn respond(response: LocalResponse) -> Self {
        Self::Respond(response)
    }

    /// Answer with [`LocalResponse::problem`].
    pub fn problem(status: u16, title: &str, detail: &str) -> Self {
        Self::Respond(LocalResponse::problem(status, title, detail))
    }

    /// Answer with what [`crate::Exchange::store_response`] kept under this key, or with `otherwise`.
    pub fn respond_stored(key: impl Into<String>, otherwise: LocalResponse) -> Self {
        Self::RespondStored(key.into(), Some(otherwise))
    }

    /// Answer with what [`crate::Exchange::store_response`] kept under this key, or go on as [`Self::next`] does.
    pub fn respond_stored_or_next(key: impl Into<String>) -> Self {
        Self::RespondStored(key.into(), None)
    }

    /// Have the upstream asked once more; see [`Self::Retry`].
    pub fn retry() -> Self {
        Self::Retry
    }
}

/// What a body phase decides about the bytes that it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision holds only where the phase returns it"]
pub enum ChunkAction {
    /// Send them on as they are, without copying them back.
    Pass,
    /// Send these in their place; none holds the chunk back.
    Replace(Vec<u8>),
    /// Answer with this. Honoured while no byte of the message has gone out; the head of a response that is read in chunks
    /// has, so there it aborts.
    Respond(LocalResponse),
    /// Reset the stream: what went out must not look complete.
    Abort,
}

impl ChunkAction {
    /// Send the bytes on.
    pub fn pass() -> Self {
        Self::Pass
    }

    /// Send these in their place.
    pub fn replace(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Replace(bytes.into())
    }

    /// Send nothing now.
    pub fn hold() -> Self {
        Self::Replace(Vec::new())
    }

    /// Answer with this.
    pub fn respond(response: LocalResponse) -> Self {
        Self::Respond(response)
    }

    /// Answer with [`LocalResponse::problem`].
    pub fn problem(status: u16, title: &str, detail: &str) -> Self {
        Self::Respond(LocalResponse::problem(status, title, detail))
    }

    /// Reset the stream.
    pub fn abort() -> Self {
        Self::Abort
    }
}

fn stored(key: String, otherwise: Option<LocalResponse>) -> wit::StoredResponse {
    wit::StoredResponse { key, otherwise: otherwise.map(Into::into) }
}

impl From<HeadersAction> for wit::RequestAction {
    fn from(of: HeadersAction) -> Self {
        match of {
            HeadersAction::Continue(mode) => Self::Continue(mode),
            HeadersAction::Respond(response) => Self::Respond(response.into()),
            HeadersAction::RespondStored(key, otherwise) => Self::RespondStored(stored(key, otherwise)),
        }
    }
}

impl From<HeadersAction> for wit::ResponseAction {
    fn from(of: HeadersAction) -> Self {
        match of {
            HeadersAction::Continue(mode) => Self::Continue(mode),
            HeadersAction::Respond(response) => Self::Respond(response.into()),
            HeadersAction::RespondStored(key, otherwise) => Self::RespondStored(stored(key, otherwise)),
        }
    }
}

impl From<FailureAction> for wit::FailureAction {
    fn from(of: FailureAction) -> Self {
        match of {
            FailureAction::Continue => Self::Continue,
            FailureAction::Respond(response) => Self::Respond(response.into()),
            FailureAction::RespondStored(key, otherwise) => Self::RespondStored(stored(key, otherwise)),
            FailureAction::Retry => Self::Retry,
        }
    }
}

impl From<ChunkAction> for wit::ChunkAction {
    fn from(of: ChunkAction) -> Self {
        match of {
            ChunkAction::Pass => Self::Pass,
            ChunkAction::Replace(bytes) => Self::Replace(bytes),
            ChunkAction::Respond(response) => Self::Respond(response.into()),
            ChunkAction::Abort => Self::Abort,
        }
    }
}
