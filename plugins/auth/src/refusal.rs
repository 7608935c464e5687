//! Answers to requests that may not pass: 400, 401 and 403 with challenges (RFC 6750 section 3), 503 without keys.

use plugin_sdk::LocalResponse;

use crate::config::Settings;
use crate::token::Invalid;

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It brought nothing, or not all.
    NoCredentials,
    /// A credential stands in several places or fields: which one counts is anybody's guess.
    Repeated,
    /// The host doesn't let it be taken off, so the upstream would get it.
    Unremovable,
    /// No such API key.
    UnknownKey,
    /// A bad token.
    Token(Invalid),
    /// A caller that is known, and may not do this.
    Scope,
    /// A claim that can't be a header.
    Claim,
    /// The keys could not be fetched: whether the token holds nobody can say. It may be tried again after so many
    /// milliseconds.
    NoKeys(u64),
}

impl Refusal {
    /// For metrics and the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::Repeated => "repeated",
            Self::Unremovable => "unremovable",
            Self::UnknownKey => "unknown_api_key",
            Self::Token(invalid) => invalid.reason(),
            Self::Scope => "insufficient_scope",
            Self::Claim => "claim",
            Self::NoKeys(_) => "no_keys",
        }
    }

    /// The answer.
    pub fn response(self, settings: &Settings) -> LocalResponse {
        let (status, title, detail, error) = match self {
            // RFC 6750 section 3.1: no error code where the request lacks any authentication information.
            Self::NoCredentials => (401, "Unauthorized", "Credentials are needed.", None),
            // RFC 6750 section 3.1: "uses more than one method for including an access token".
            Self::Repeated => (400, "Bad Request", "Credentials were sent more than once", Some("invalid_request")),
            Self::Unremovable => {
                (400, "Bad Request", "Credentials or identity can't be taken off the request", Some("invalid_request"))
            }
            Self::UnknownKey => (401, "Unauthorized", "The API key is unknown.", Some("invalid_token")),
            Self::Token(invalid) => (401, "Unauthorized", invalid.description(), Some("invalid_token")),
            Self::Claim => {
                (401, "Unauthorized", "The token holds a claim that can't be passed on.", Some("invalid_token"))
            }
            Self::Scope => (403, "Forbidden", "The credentials lack a scope.", Some("insufficient_scope")),
            Self::NoKeys(after) => {
                return LocalResponse::problem(503, "Service Unavailable", "Tokens can't be checked at the moment.")
                    .header("cache-control", "no-store")
                    .header("retry-after", after.div_ceil(1000).max(1).to_string());
            }
        };
        let realm = &settings.realm;
        let mut response = LocalResponse::problem(status, title, detail).header("cache-control", "no-store");
        if settings.jwt.is_some() {
            let mut challenge = format!("Bearer realm=\"{realm}\"");
            match error {
                Some("insufficient_scope") => {
                    let scopes = settings.required_scopes.join(" ");
                    challenge.push_str(&format!(", error=\"insufficient_scope\", scope=\"{scopes}\""));
                }
                Some(error) if self != Self::UnknownKey => {
                    challenge.push_str(&format!(", error=\"{error}\", error_description=\"{detail}\""));
                }
                _ => {}
            }
            response = response.header("www-authenticate", challenge);
        }
        // RFC 9110 section 11.6.1 asks for a challenge with every 401; no scheme is registered for API keys.
        if settings.api_keys.is_some() && status == 401 {
            response = response.header("www-authenticate", format!("ApiKey realm=\"{realm}\""));
        }
        response
    }
}
