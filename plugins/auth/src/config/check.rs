//! Turns the config as it is written into settings, with every mistake at its place.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use plugin_sdk::encoding::from_hex;
use plugin_sdk::{ConfigDuration, ConfigErrors, calls};

use super::{ApiKey, ApiKeys, Config, Jwks, Jwt, RawApiKeys, RawJwt, Settings};
use crate::credentials::poses_as;
use crate::token::media_type;

/// Fields that the host makes itself: a plugin can neither set nor remove them.
const OWNED_BY_HOST: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header can tell the upstream who the caller is: it is taken off what clients send, and set here.
fn can_identify(header: &str) -> bool {
    is_token(header) && !OWNED_BY_HOST.contains(&header) && !matches!(header, "authorization" | "cookie")
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_media_type(text: &str) -> bool {
    text.split('/').count() <= 2 && text.split('/').all(is_token)
}

/// RFC 6749 section 3.3; this also fits into a quoted string.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

fn sha256(hex: &str) -> Option<[u8; 32]> {
    from_hex(hex)?.try_into().ok()
}

impl Config {
    /// Checks everything and reports every mistake.
    pub fn check(self) -> Result<Settings, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        if self.api_keys.is_none() && self.jwt.is_none() {
            errors.push("", "needs `api_keys`, `jwt` or both");
        }
        if self.realm.is_empty() || !self.realm.bytes().all(|b| (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\') {
            errors.push("/realm", "must be printable ASCII, without quotes and backslashes");
        }
        for (index, scope) in self.required_scopes.iter().enumerate().filter(|(_, scope)| !is_scope(scope)) {
            errors.push(format!("/required_scopes/{index}"), format!("`{scope}` is not a scope (no spaces or quotes)"));
        }
        let names = self.api_keys.as_ref();
        let key_header = names.map(|keys| keys.header.as_str());
        let name_header = names.and_then(|keys| keys.name_header.as_deref());
        let is_key_header = |header: &str| key_header.is_some_and(|key| poses_as(key, header));
        let mut taken: Vec<String> = Vec::new();
        let mut claims_to_headers = Vec::new();
        for (claim, header) in self.claims_to_headers {
            let pointer = format!("/claims_to_headers/{}", claim.replace('~', "~0").replace('/', "~1"));
            let header = header.to_ascii_lowercase();
            if !can_identify(&header) {
                errors.push(pointer, format!("`{header}` can't be used as an identity header"));
            } else if is_key_header(&header) {
                errors.push(pointer, format!("`{header}` carries the API key"));
            } else if name_header.is_some_and(|name| poses_as(name, &header)) {
                errors.push(pointer, format!("`{header}` gets the name of the API key (`api_keys.name_header`)"));
            } else if taken.iter().any(|other| poses_as(other, &header)) {
                errors.push(pointer, format!("`{header}` is set from another claim already"));
            }
            taken.push(header.clone());
            claims_to_headers.push((claim, header));
        }
        if let (Some(keys), Some(jwt)) = (&self.api_keys, &self.jwt) {
            let carries_token = |header: &str| {
                header.eq_ignore_ascii_case("authorization")
                    || (header.eq_ignore_ascii_case("cookie") && jwt.cookie.is_some())
            };
            if carries_token(&keys.header) {
                errors.push("/api_keys/header", format!("`{}` carries the token (`jwt`)", keys.header));
            }
        }
        let api_keys = self.api_keys.map(|raw| raw.check(&mut errors));
        let jwt = self.jwt.map(|raw| raw.check(&mut errors));
        errors.result(|| Settings {
            api_keys,
            jwt,
            require: self.require,
            required_scopes: self.required_scopes,
            claims_to_headers,
            forward_credentials: self.forward_credentials,
            realm: self.realm,
        })
    }
}

impl RawApiKeys {
    fn check(self, errors: &mut ConfigErrors) -> ApiKeys {
        let lower = |name: &str| name.to_ascii_lowercase();
        if !is_token(&self.header) {
            errors.push("/api_keys/header", format!("`{}` is not the name of a header field", self.header));
        } else if OWNED_BY_HOST.contains(&lower(&self.header).as_str()) {
            errors.push("/api_keys/header", format!("`{}` can't carry an API key", self.header));
        }
        if let Some(name) = &self.name_header {
            if !can_identify(&lower(name)) {
                errors.push("/api_keys/name_header", format!("`{name}` can't be used as an identity header"));
            } else if poses_as(name, &self.header) {
                errors.push("/api_keys/name_header", format!("`{name}` carries the API key"));
            }
        }
        if self.query.as_deref().is_some_and(|name| !is_token(name)) {
            errors.push("/api_keys/query", "must be a name of letters, digits and marks");
        }
        if self.keys.is_empty() {
            errors.push("/api_keys/keys", "needs at least one key");
        }
        let mut keys = HashMap::new();
        let mut names = BTreeSet::new();
        for (index, raw) in self.keys.into_iter().enumerate() {
            let at = format!("/api_keys/keys/{index}");
            let visible = raw.name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+');
            if raw.name.is_empty() || raw.name.len() > 128 || !visible {
                // The plus stands between key and token in a principal.
                errors.push(format!("{at}/name"), "must be 1 to 128 visible ASCII characters, without `+`");
            } else if !names.insert(raw.name.clone()) {
                errors.push(format!("{at}/name"), format!("`{}` is the name of an earlier key", raw.name));
            }
            match sha256(&raw.sha256) {
                // The text is not repeated: it may be the key itself, put here by mistake.
                None => errors.push(format!("{at}/sha256"), "must be the SHA-256 of the key: 64 hexadecimal digits"),
                Some(digest) => {
                    if keys.insert(digest, ApiKey { name: raw.name, scopes: raw.scopes }).is_some() {
                        errors.push(format!("{at}/sha256"), "an earlier key has the same digest");
                    }
                }
            }
        }
        let name_header = self.name_header.as_deref().map(lower);
        ApiKeys { header: lower(&self.header), query: self.query, name_header, keys }
    }
}

impl RawJwt {
    fn check(self, errors: &mut ConfigErrors) -> Jwt {
        if self.issuer.is_empty() {
            errors.push("/jwt/issuer", "must not be empty");
        }
        if self.audience.is_empty() || self.audience.iter().any(String::is_empty) {
            errors.push("/jwt/audience", "needs at least one audience, and no empty one");
        }
        if self.types.as_ref().is_some_and(|types| types.is_empty() || types.iter().any(|typ| !is_media_type(typ))) {
            errors.push("/jwt/types", "needs at least one media type such as at+jwt, `application/` may be left out");
        }
        if self.clock_skew.0 > Duration::from_secs(600) {
            errors.push("/jwt/clock_skew", "must be at most 10m");
        }
        if self.cookie.as_deref().is_some_and(|name| !is_token(name)) {
            errors.push("/jwt/cookie", "is not the name of a cookie");
        }
        if self.keys.is_empty() && self.jwks.is_none() {
            errors.push("/jwt", "needs `keys`, `jwks` or both");
        }
        let mut keys = Vec::new();
        for (index, raw) in self.keys.into_iter().enumerate() {
            match raw.load() {
                Ok(key) => keys.push(key),
                Err((field, message)) => errors.push(format!("/jwt/keys/{index}{field}"), message),
            }
        }
        let millis = |of: ConfigDuration| u64::try_from(of.0.as_millis()).unwrap_or(u64::MAX);
        let jwks = self.jwks.map(|raw| {
            let visible = raw.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
            if !raw.path.starts_with('/') || raw.path.len() > 1024 || !visible {
                errors.push("/jwt/jwks/path", "must begin with `/` and be at most 1024 visible ASCII characters");
            }
            if !calls::is_granted(&raw.upstream) {
                let named = &raw.upstream;
                errors.push(
                    "/jwt/jwks/upstream",
                    format!("`{named}` is not granted to auth; add it to `plugins: {{grants: {{auth: {{upstreams: […]}}}}}}`"),
                );
            }
            if raw.cache_for.0 < Duration::from_secs(1) || raw.cache_for.0 > Duration::from_secs(7 * 86_400) {
                errors.push("/jwt/jwks/cache_for", "must be 1s to 7d");
            }
            if raw.stale_for.0 > Duration::from_secs(30 * 86_400) {
                errors.push("/jwt/jwks/stale_for", "must be at most 30d");
            }
            if raw.timeout.0.is_zero() || raw.timeout.0 > Duration::from_secs(60) {
                errors.push("/jwt/jwks/timeout", "must be more than zero and at most 60s");
            }
            Jwks {
                upstream: raw.upstream,
                path: raw.path,
                cache_for_ms: millis(raw.cache_for),
                stale_for_ms: millis(raw.stale_for),
                timeout: raw.timeout.0,
            }
        });
        let types = self.types.map(|types| types.iter().map(|typ| media_type(typ)).collect());
        let clock_skew = self.clock_skew.0.as_secs();
        Jwt { issuer: self.issuer, audience: self.audience, types, clock_skew, cookie: self.cookie, keys, jwks }
    }
}
