//! One phase call in the gateway's own words: what a plugin is told, and what it answers.
//!
//! Everything between a chain and an instance speaks these types. An ABI (`wit`) is an adapter to them: it hands a
//! [`Call`] to the guest in its own form, and makes an [`Action`] of the answer that the phase has.

pub use plugin_rules::body::BodyMode;

use crate::error::Failure;
use crate::phase::{Phase, Phases};
use crate::sensitive::no_content;

/// What a body phase is given.
#[derive(Clone, Copy)]
pub struct Piece<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Nothing follows.
    pub end: bool,
    /// How the plugin reads the body.
    pub mode: BodyMode,
}

no_content!(Piece<'_>);

/// A phase of an exchange with what the plugin is told in it. The exchange itself is lent beside it.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// The request's head. `end`: no body follows.
    RequestHeaders {
        /// See above.
        end: bool,
    },
    /// A piece of the request's body, or all of it.
    RequestBody(Piece<'a>),
    /// The response's head. `end`: no body follows.
    ResponseHeaders {
        /// See above.
        end: bool,
    },
    /// A piece of the response's body, or all of it.
    ResponseBody(Piece<'a>),
    /// There is no response from the upstream, for this reason.
    UpstreamFailure(Failure),
    /// The exchange is over.
    Log,
}

impl Call<'_> {
    /// Which phase it is.
    pub const fn phase(&self) -> Phase {
        match self {
            Self::RequestHeaders { .. } => Phase::RequestHeaders,
            Self::RequestBody(_) => Phase::RequestBody,
            Self::ResponseHeaders { .. } => Phase::ResponseHeaders,
            Self::ResponseBody(_) => Phase::ResponseBody,
            Self::UpstreamFailure(_) => Phase::UpstreamFailure,
            Self::Log => Phase::Log,
        }
    }

    /// How many bytes of a body it hands over.
    pub const fn bytes(&self) -> usize {
        match self {
            Self::RequestBody(piece) | Self::ResponseBody(piece) => piece.data.len(),
            _ => 0,
        }
    }

    /// How a body phase reads; nothing in others.
    pub const fn mode(&self) -> BodyMode {
        match self {
            Self::RequestBody(piece) | Self::ResponseBody(piece) => piece.mode,
            _ => BodyMode::Skip,
        }
    }
}

/// What a plugin answers. Not every phase has every action; see each.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// Go on: a headers phase says what it wants of the body, a chunk passes as it is. Every phase has it.
    Continue(BodyMode),
    /// These bytes in place of the chunk; none hold it back. Body phases.
    Replace(Vec<u8>),
    /// A response of the plugin's own. All phases but `Log`.
    Respond(LocalResponse),
    /// A response that was stored earlier. Headers phases and `UpstreamFailure`.
    RespondStored(StoredResponse),
    /// Ask the upstream once more. `UpstreamFailure`.
    Retry,
    /// Reset the stream. Body phases.
    Abort,
}

no_content!(Action);

impl Action {
    /// The word used in traces.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Continue(_) => "continue",
            Self::Replace(_) => "replace",
            Self::Respond(_) => "respond",
            Self::RespondStored(_) => "respond-stored",
            Self::Retry => "retry",
            Self::Abort => "abort",
        }
    }

    /// How many bytes it hands to the host.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Replace(bytes) => bytes.len(),
            Self::Respond(response) | Self::RespondStored(StoredResponse { otherwise: Some(response), .. }) => {
                response.bytes()
            }
            Self::Continue(_) | Self::RespondStored(_) | Self::Retry | Self::Abort => 0,
        }
    }
}

/// A header field, not checked yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Vec<u8>,
}

no_content!(Field);

/// A response that a plugin makes, not checked yet.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalResponse {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: Vec<Field>,
    /// The body.
    pub body: Vec<u8>,
}

no_content!(LocalResponse);

impl LocalResponse {
    fn bytes(&self) -> usize {
        self.headers.iter().map(|field| field.name.len() + field.value.len()).sum::<usize>() + self.body.len()
    }
}

/// A stored response that a plugin asks for.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// The plugin's part of its key.
    pub key: String,
    /// What to answer where there is none. Without that the exchange goes on.
    pub otherwise: Option<LocalResponse>,
}

no_content!(StoredResponse);

/// One mistake in a plugin's config, as the plugin found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginConfigError {
    /// A JSON pointer into the config.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

/// What a plugin says of itself, not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The phases that it wants to be called in.
    pub phases: Phases,
    /// Whether it decides who may pass.
    pub authenticator: bool,
    /// What later versions of the contract may want to know.
    pub attributes: Vec<(String, String)>,
}
