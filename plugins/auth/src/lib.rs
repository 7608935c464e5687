//! Authentication by API keys and JSON Web Tokens.
//!
//! Order: identity headers of the client are taken off, credentials are found, checked, and taken off; then the caller is
//! told to the upstream (headers) and to later plugins (attributes). Signatures and digests are the host's work.

pub mod config;
pub mod credentials;
pub mod jwk;
pub mod jwks;
pub mod key;
pub mod pem;
pub mod refusal;
pub mod token;

use plugin_sdk::crypto::{self, Digest};
use plugin_sdk::encoding::{from_form, hex};
use plugin_sdk::prelude::*;
use plugin_sdk::{metrics, time};
use serde_json::{Map, Value};

use config::{ApiKey, ApiKeys, Config, Jwt, Require, Settings};
use jwks::{KeySet, Refused};
use refusal::Refusal;

/// Longest API key that is looked at.
const MAX_KEY: usize = 512;
/// Claims that become attributes: how many, and how long. The host ends a plugin that sets more than it allows.
const MAX_CLAIMS: usize = 32;
const MAX_CLAIM: usize = 2 << 10;

/// The plugin.
#[derive(Debug)]
pub struct Auth {
    settings: Settings,
    key_set: Option<KeySet>,
}

/// Who the caller is.
#[derive(Debug, Default)]
struct Caller<'a> {
    key: Option<&'a ApiKey>,
    claims: Option<(Map<String, Value>, String)>,
}

impl Caller<'_> {
    fn method(&self) -> &'static str {
        match (self.key, &self.claims) {
            (None, None) => "none",
            (Some(_), None) => "api_key",
            (None, Some(_)) => "jwt",
            (Some(_), Some(_)) => "api_key+jwt",
        }
    }

    /// What keeps this caller apart from every other one: responses are stored and requests are counted by it. The
    /// prefixes keep a key's name from being a token's subject, and a client's id from being a user's.
    fn principal(&self) -> Option<String> {
        let key = self.key.map(|key| format!("key:{}", key.name));
        let token = self.claims.as_ref().map(|(claims, token)| {
            let of = |name: &str| claims.get(name).and_then(Value::as_str).filter(|value| !value.is_empty());
            let named = [("sub", "jwt:"), ("client_id", "jwt/client_id:"), ("azp", "jwt/azp:")];
            let found = named.iter().find_map(|(name, prefix)| Some(format!("{prefix}{}", of(name)?)));
            found.unwrap_or_else(|| format!("jwt#{}", hex(&crypto::digest(Digest::Sha256, token.as_bytes()))))
        });
        match (key, token) {
            // No name of a key holds a `+`.
            (Some(key), Some(token)) => Some(format!("{key}+{token}")),
            (key, token) => key.or(token),
        }
    }

    fn has_scope(&self, wanted: &String) -> bool {
        let by_key = self.key.is_some_and(|key| key.scopes.contains(wanted));
        by_key || self.claims.as_ref().is_some_and(|(claims, _)| token::scopes(claims).contains(wanted))
    }
}

impl Auth {
    fn authenticate(&self, exchange: &Exchange) -> Result<(), Refusal> {
        // Always, also where the request is refused or nothing is required.
        self.strip_identity(exchange)?;
        let key =
            self.settings.api_keys.as_ref().map(|rules| take_key(rules, exchange, self.settings.forward_credentials));
        let token =
            self.settings.jwt.as_ref().map(|rules| take_token(rules, exchange, self.settings.forward_credentials));
        let (key, token) = (key.transpose()?.flatten(), token.transpose()?.flatten());
        let missing = match self.settings.require {
            Require::Any => key.is_none() && token.is_none(),
            Require::All => {
                (self.settings.api_keys.is_some() && key.is_none()) || (self.settings.jwt.is_some() && token.is_none())
            }
            Require::Optional => false,
        };
        if missing {
            return Err(Refusal::NoCredentials);
        }
        // What is sent must hold, also where something else would do.
        let mut caller = Caller::default();
        if let (Some(key), Some(rules)) = (key, &self.settings.api_keys) {
            caller.key = Some(find_key(rules, &key).ok_or(Refusal::UnknownKey)?);
        }
        if let (Some(token), Some(rules)) = (token, &self.settings.jwt) {
            caller.claims = Some((self.check_token(rules, &token)?, token));
        }
        if !self.settings.required_scopes.iter().all(|scope| caller.has_scope(scope)) {
            let anonymous = caller.key.is_none() && caller.claims.is_none();
            return Err(if anonymous { Refusal::NoCredentials } else { Refusal::Scope });
        }
        self.introduce(exchange, &caller)
    }

    fn identity_headers(&self) -> impl Iterator<Item = &str> {
        let name_header = self.settings.api_keys.as_ref().and_then(|rules| rules.name_header.as_deref());
        self.settings.claims_to_headers.iter().map(|(_, header)| header.as_str()).chain(name_header)
    }

    fn strip_identity(&self, exchange: &Exchange) -> Result<(), Refusal> {
        if self.identity_headers().next().is_none() {
            return Ok(());
        }
        let request = exchange.request();
        for header in self.identity_headers() {
            // Also where there is none: what is taken off here comes back in no trailer.
            request.remove_header(header).map_err(|_| Refusal::Unremovable)?;
        }
        for (name, _) in request.headers() {
            if self.identity_headers().any(|header| credentials::poses_as(&name, header)) {
                // One that can't be removed would be believed.
                request.remove_header(&name).map_err(|_| Refusal::Unremovable)?;
            }
        }
        Ok(())
    }

    fn check_token(&self, rules: &Jwt, text: &str) -> Result<Map<String, Value>, Refusal> {
        let token = token::parse(text).map_err(Refusal::Token)?;
        token.check_type(rules).map_err(Refusal::Token)?;
        let claims = || token.claims(rules, time::unix_ms() / 1000);
        let here = key::verify(&rules.keys, &token);
        match &self.key_set {
            // A kid of the config is not looked for elsewhere.
            Some(remote) if here.is_err() && !key::has_named(&rules.keys, &token) => {
                remote.verify(&token, || claims().map(|_| ())).map_err(|refused| match refused {
                    Refused::Invalid(invalid) => Refusal::Token(invalid),
                    Refused::NoKeys(after) => Refusal::NoKeys(after),
                })?;
            }
            _ => here.map_err(Refusal::Token)?,
        }
        claims().map_err(Refusal::Token)
    }

    /// Tells the upstream and later plugins who the caller is.
    fn introduce(&self, exchange: &Exchange, caller: &Caller<'_>) -> Result<(), Refusal> {
        let request = exchange.request();
        exchange.set_log_field("auth.method", Some(caller.method()));
        exchange.set_attribute("auth.method", caller.method()).map_err(|_| Refusal::Claim)?;
        exchange.set_trace_attribute("decision", "passed").ok();
        exchange.set_trace_attribute("credential", caller.method()).ok();
        if let Some(principal) = caller.principal() {
            exchange.set_principal(&principal).map_err(|_| Refusal::Claim)?;
        }
        let name_header = self.settings.api_keys.as_ref().and_then(|rules| rules.name_header.as_deref());
        if let (Some(key), Some(header)) = (caller.key, name_header) {
            request.set_header(header, &key.name).map_err(|_| Refusal::Claim)?;
        }
        let Some((claims, _)) = &caller.claims else { return Ok(()) };
        for (claim, header) in &self.settings.claims_to_headers {
            let Some(value) = claims.get(claim) else { continue };
            if token::is_ambiguous(value) {
                return Err(Refusal::Claim);
            }
            if let Some(value) = token::text(value) {
                // Around a field's value spaces mean nothing (RFC 9110 section 5.5), so ` admin` would arrive as `admin`.
                if value != value.trim() {
                    return Err(Refusal::Claim);
                }
                request.set_header(header, value).map_err(|_| Refusal::Claim)?;
            }
        }
        // Those that are configured first: they must not fall to the limit.
        let named = self.settings.claims_to_headers.iter().map(|(claim, _)| claim);
        let configured = |claim: &&String| self.settings.claims_to_headers.iter().any(|(name, _)| name == *claim);
        let others = claims.keys().filter(|claim| !configured(claim));
        let texts = named.chain(others).filter_map(|claim| Some((claim, claims.get(claim).and_then(token::text)?)));
        for (claim, value) in
            texts.filter(|(claim, value)| claim.len() <= 128 && value.len() <= MAX_CLAIM).take(MAX_CLAIMS)
        {
            // Who limits by a claim would do so without it.
            exchange.set_attribute(&format!("claim.{claim}"), &value).map_err(|_| Refusal::Claim)?;
        }
        Ok(())
    }
}

/// The API key of a request, taken off it unless it is to go on.
fn take_key(rules: &ApiKeys, exchange: &Exchange, forward: bool) -> Result<Option<Vec<u8>>, Refusal> {
    let request = exchange.request();
    let mut found = request.header_all(&rules.header);
    // Written in each case, for the gateway then drops what only looks like this field (`X_Api_Key`): nobody checks that.
    let written = match found.as_slice() {
        [key] if forward => request.set_header(&rules.header, key.clone()),
        _ => request.remove_header(&rules.header),
    };
    written.map_err(|_| Refusal::Unremovable)?;
    if let Some(name) = &rules.query {
        let values = request.query_params().into_iter().filter(|(key, _)| key == name);
        let before = found.len();
        found.extend(values.map(|(_, value)| value.into_bytes()));
        if !forward && found.len() > before {
            // The name may be escaped: it is read as `query_params` reads it.
            let rest = credentials::without_param(&request.target(), |raw| from_form(raw) == *name);
            request.set_target(&rest).map_err(|_| Refusal::Unremovable)?;
        }
    }
    match found.len() {
        0 => Ok(None),
        1 => Ok(found.pop()),
        _ => Err(Refusal::Repeated),
    }
}

/// Looked up by its digest: how long that takes tells nothing of the keys themselves.
fn find_key<'a>(rules: &'a ApiKeys, key: &[u8]) -> Option<&'a ApiKey> {
    if key.is_empty() || key.len() > MAX_KEY {
        return None;
    }
    let digest: [u8; 32] = crypto::digest(Digest::Sha256, key).try_into().ok()?;
    rules.keys.get(&digest)
}

/// The token of a request, taken off it unless it is to go on.
fn take_token(rules: &Jwt, exchange: &Exchange, forward: bool) -> Result<Option<String>, Refusal> {
    let request = exchange.request();
    let mut found = Vec::new();
    let fields = request.header_all("authorization");
    for field in &fields {
        // RFC 6750 section 2.1: what isn't text is no Bearer token.
        if let Some(token) = std::str::from_utf8(field).ok().and_then(credentials::bearer) {
            found.push(token.to_owned());
        }
    }
    if !found.is_empty() {
        // Several Authorization fields: the upstream might read another one.
        if fields.len() > 1 {
            return Err(Refusal::Repeated);
        }
        if !forward {
            request.remove_header("authorization").map_err(|_| Refusal::Unremovable)?;
        }
    }
    if let Some(name) = &rules.cookie {
        // HTTP/2 and 3 may split cookies over fields (RFC 9113 section 8.2.3).
        let fields: Vec<String> = request
            .header_all("cookie")
            .into_iter()
            .map(|field| String::from_utf8_lossy(&field).into_owned())
            .collect();
        let all = fields.join("; ");
        let (values, rest) = credentials::cookie(&all, name);
        if !values.is_empty() {
            found.extend(values.into_iter().map(str::to_owned));
            if !forward {
                let written =
                    if rest.is_empty() { request.remove_header("cookie") } else { request.set_header("cookie", rest) };
                written.map_err(|_| Refusal::Unremovable)?;
            }
        }
    }
    match found.len() {
        0 => Ok(None),
        1 => Ok(found.pop()),
        _ => Err(Refusal::Repeated),
    }
}

#[plugin]
impl Plugin for Auth {
    const TRAITS: Traits = Traits::AUTHENTICATOR;
    // API keys and keys of the config need no upstream.
    const GRANTS_ARE_OPTIONAL: bool = true;
    type Config = Config;

    fn configure(config: Config) -> Result<Self, ConfigErrors> {
        let settings = config.check()?;
        let key_set = settings.jwt.as_ref().and_then(|jwt| jwt.jwks.as_ref()).map(KeySet::new);
        Ok(Self { settings, key_set })
    }

    fn on_request_headers(&self, exchange: &Exchange, _end: bool) -> RequestAction {
        match self.authenticate(exchange) {
            Ok(()) => RequestAction::next(),
            Err(refusal) => {
                metrics::count("auth_refused_total", &[("reason", refusal.reason())], 1);
                exchange.set_log_field("auth.refused", Some(refusal.reason()));
                exchange.set_trace_attribute("decision", "refused").ok();
                exchange.set_trace_attribute("reason", refusal.reason()).ok();
                refusal.response(&self.settings).into()
            }
        }
    }
}

plugin_sdk::export!(Auth);
