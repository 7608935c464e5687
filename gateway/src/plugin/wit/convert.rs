//! Between the contract's types and the gateway's own. Lists are converted where they lie: records have the same layout
//! on both sides.

use plugin_rules::same_variants;

use super::bindings::edge::gateway::http::{FieldError, Part};
use super::bindings::edge::gateway::types as wit;
use super::state::HostState;
use crate::error::Failure;
use crate::phase::{Phase, Phases};
use crate::plugin::call::{Action, BodyMode, Description, Field, LocalResponse, PluginConfigError, StoredResponse};
use crate::plugin::host::fields;

impl wit::Host for HostState {}

same_variants!(wit::BodyMode => BodyMode { Skip Chunks Whole });
same_variants!(Failure => wit::Failure {
    Dns Connect Tls Timeout Reset Protocol Overload NoEndpoint Cancelled Other
});
same_variants!(Part => fields::Part { Request RequestTrailers Response ResponseTrailers });
same_variants!(fields::FieldError => FieldError { InvalidName InvalidValue NotAllowed TooLarge TooLate });

impl From<wit::LocalResponse> for LocalResponse {
    fn from(response: wit::LocalResponse) -> Self {
        let field = |wit::Header { name, value }| Field { name, value };
        let headers = response.headers.into_iter().map(field).collect();
        Self { status: response.status, headers, body: response.body }
    }
}

impl From<wit::StoredResponse> for StoredResponse {
    fn from(stored: wit::StoredResponse) -> Self {
        Self { key: stored.key, otherwise: stored.otherwise.map(Into::into) }
    }
}

impl From<wit::RequestAction> for Action {
    fn from(action: wit::RequestAction) -> Self {
        match action {
            wit::RequestAction::Continue(mode) => Self::Continue(mode.into()),
            wit::RequestAction::Respond(response) => Self::Respond(response.into()),
            wit::RequestAction::RespondStored(stored) => Self::RespondStored(stored.into()),
        }
    }
}

impl From<wit::ResponseAction> for Action {
    fn from(action: wit::ResponseAction) -> Self {
        match action {
            wit::ResponseAction::Continue(mode) => Self::Continue(mode.into()),
            wit::ResponseAction::Respond(response) => Self::Respond(response.into()),
            wit::ResponseAction::RespondStored(stored) => Self::RespondStored(stored.into()),
        }
    }
}

impl From<wit::FailureAction> for Action {
    fn from(action: wit::FailureAction) -> Self {
        match action {
            wit::FailureAction::Continue => Self::Continue(BodyMode::Skip),
            wit::FailureAction::Respond(response) => Self::Respond(response.into()),
            wit::FailureAction::RespondStored(stored) => Self::RespondStored(stored.into()),
            wit::FailureAction::Retry => Self::Retry,
        }
    }
}

impl From<wit::ChunkAction> for Action {
    fn from(action: wit::ChunkAction) -> Self {
        match action {
            wit::ChunkAction::Pass => Self::Continue(BodyMode::Skip),
            wit::ChunkAction::Replace(bytes) => Self::Replace(bytes),
            wit::ChunkAction::Respond(response) => Self::Respond(response.into()),
            wit::ChunkAction::Abort => Self::Abort,
        }
    }
}

impl From<wit::Phases> for Phases {
    fn from(phases: wit::Phases) -> Self {
        const PAIRS: [(wit::Phases, Phase); 7] = [
            (wit::Phases::REQUEST_HEADERS, Phase::RequestHeaders),
            (wit::Phases::REQUEST_BODY, Phase::RequestBody),
            (wit::Phases::RESPONSE_HEADERS, Phase::ResponseHeaders),
            (wit::Phases::RESPONSE_BODY, Phase::ResponseBody),
            (wit::Phases::UPSTREAM_FAILURE, Phase::UpstreamFailure),
            (wit::Phases::LOG, Phase::Log),
            (wit::Phases::TICK, Phase::Tick),
        ];
        PAIRS.into_iter().filter(|(flag, _)| phases.contains(*flag)).map(|(_, phase)| phase).collect()
    }
}

impl From<wit::Manifest> for Description {
    fn from(manifest: wit::Manifest) -> Self {
        let wit::Manifest { name, version, phases, traits, attributes } = manifest;
        let authenticator = traits.contains(wit::Traits::AUTHENTICATOR);
        let phases = Phases::from(phases) | Phases::of_attributes(&attributes);
        Self { name, version, phases, authenticator, attributes }
    }
}

impl From<wit::ConfigError> for PluginConfigError {
    fn from(error: wit::ConfigError) -> Self {
        Self { pointer: error.pointer, message: error.message }
    }
}
