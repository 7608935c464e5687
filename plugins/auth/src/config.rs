//! The plugin's config: what the operator writes, checked and turned into settings.

mod check;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use plugin_sdk::ConfigDuration;
use serde::Deserialize;

use crate::key::{LoadedKey, RawKey};

/// The config as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    api_keys: Option<RawApiKeys>,
    jwt: Option<RawJwt>,
    #[serde(default)]
    require: Require,
    #[serde(default)]
    required_scopes: Vec<String>,
    #[serde(default)]
    claims_to_headers: BTreeMap<String, String>,
    #[serde(default)]
    forward_credentials: bool,
    #[serde(default = "realm")]
    realm: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApiKeys {
    #[serde(default = "key_header")]
    header: String,
    query: Option<String>,
    name_header: Option<String>,
    keys: Vec<RawApiKey>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApiKey {
    name: String,
    sha256: String,
    #[serde(default)]
    scopes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJwt {
    issuer: String,
    #[serde(deserialize_with = "plugin_sdk::one_or_many")]
    audience: Vec<String>,
    types: Option<Vec<String>>,
    #[serde(default = "skew")]
    clock_skew: ConfigDuration,
    cookie: Option<String>,
    #[serde(default)]
    keys: Vec<RawKey>,
    jwks: Option<RawJwks>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJwks {
    upstream: String,
    path: String,
    #[serde(default = "cache_for")]
    cache_for: ConfigDuration,
    #[serde(default = "stale_for")]
    stale_for: ConfigDuration,
    #[serde(default = "timeout")]
    timeout: ConfigDuration,
}

/// What a request needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Require {
    /// One of the methods.
    #[default]
    Any,
    /// Every method.
    All,
    /// Nothing; but what it brings must hold.
    Optional,
}

/// Where API keys come from, and which there are.
#[derive(Debug)]
pub struct ApiKeys {
    /// The header that carries one.
    pub header: String,
    /// The query parameter that carries one.
    pub query: Option<String>,
    /// The header that tells the upstream the key's name.
    pub name_header: Option<String>,
    /// By SHA-256.
    pub keys: HashMap<[u8; 32], ApiKey>,
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
}

/// What a token must be like.
#[derive(Debug)]
pub struct Jwt {
    /// The `iss` claim.
    pub issuer: String,
    /// One of these is in the `aud` claim.
    pub audience: Vec<String>,
    /// Its `typ` is one of these media types, as [`media_type`](crate::token::media_type) writes them; none: of those that are usual, or not there.
    pub types: Option<Vec<String>>,
    /// How far clocks may differ, in seconds.
    pub clock_skew: u64,
    /// A cookie that carries a token.
    pub cookie: Option<String>,
    /// Keys of the config.
    pub keys: Vec<LoadedKey>,
    /// Where other keys are fetched.
    pub jwks: Option<Jwks>,
}

/// A remote key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwks {
    /// The granted upstream.
    pub upstream: String,
    /// Path and query there.
    pub path: String,
    /// How long a set is good, in milliseconds.
    pub cache_for_ms: u64,
    /// How much longer it is used while no new one comes.
    pub stale_for_ms: u64,
    /// Of one fetch.
    pub timeout: Duration,
}

/// The checked config.
#[derive(Debug)]
pub struct Settings {
    /// API keys.
    pub api_keys: Option<ApiKeys>,
    /// Tokens.
    pub jwt: Option<Jwt>,
    /// Which of them a request needs.
    pub require: Require,
    /// Scopes that a caller needs, all of them.
    pub required_scopes: Vec<String>,
    /// Claim and header.
    pub claims_to_headers: Vec<(String, String)>,
    /// Whether the upstream gets the credentials.
    pub forward_credentials: bool,
    /// Of `WWW-Authenticate`.
    pub realm: String,
}

fn realm() -> String {
    "gateway".to_owned()
}

fn key_header() -> String {
    "x-api-key".to_owned()
}

fn skew() -> ConfigDuration {
    ConfigDuration::from_secs(60)
}

fn cache_for() -> ConfigDuration {
    ConfigDuration::from_secs(600)
}

fn stale_for() -> ConfigDuration {
    ConfigDuration::from_secs(86_400)
}

fn timeout() -> ConfigDuration {
    ConfigDuration::from_secs(2)
}

#[cfg(test)]
mod tests {
    use plugin_sdk::parse_config;

    use super::*;

    #[test]
    fn a_wrong_type_is_said_in_plain_words() {
        for (json, pointer, message) in [
            (r#"{"realm": 10}"#, "/realm", r#"expected text, found the number 10"#),
            (r#"{"require": "some"}"#, "/require", r#""some" is unknown; use any, all or optional"#),
            (r#"{"required_scopes": "read"}"#, "/required_scopes", r#"expected a list, found the text "read""#),
            (
                r#"{"forward_credentials": "yes"}"#,
                "/forward_credentials",
                r#"expected true or false, found the text "yes""#,
            ),
            (
                r#"{"jwt": {"issuer": "a", "audience": 1}}"#,
                "/jwt/audience",
                r#"expected text or a list of texts, found the number 1"#,
            ),
            (r#"{"jwt": {"audience": "a"}}"#, "/jwt", r#""issuer" is missing"#),
            (r#"{"api_keys": {"keys": [{"name": "a"}]}}"#, "/api_keys/keys/0", r#""sha256" is missing"#),
        ] {
            let errors = parse_config::<Config>(json).unwrap_err();
            let error = errors.iter().next().unwrap();
            assert_eq!((error.pointer.as_str(), error.message.as_str()), (pointer, message), "{json}");
        }
    }
}
