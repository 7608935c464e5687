//! The plugin's config: what the operator writes, checked and turned into limits.

use std::time::Duration;

use plugin_sdk::{ConfigDuration, ConfigErrors};
use serde::Deserialize;

/// Limits of one entry.
const MAX_LIMITS: usize = 16;

/// The config as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    limits: Vec<RawLimit>,
    #[serde(default = "yes")]
    headers: bool,
    #[serde(default)]
    shadow: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimit {
    name: Option<String>,
    requests: u32,
    per: ConfigDuration,
    burst: Option<u32>,
    #[serde(default = "by_client", deserialize_with = "plugin_sdk::one_or_many")]
    by: Vec<String>,
    #[serde(default = "one")]
    cost: u32,
    #[serde(default = "prefix")]
    ipv6_prefix: u8,
    #[serde(default)]
    missing: Missing,
}

/// What a request is counted under that lacks a part of the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// The client's address stands in.
    #[default]
    Client,
    /// All such requests share one bucket.
    Shared,
    /// The limit doesn't hold for it.
    Skip,
}

/// A part of a bucket's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The client's address, IPv6 by prefix.
    Client,
    /// A request header's values.
    Header(String),
    /// The attribute `claim.NAME`.
    Claim(String),
    /// Who an authenticator said that the caller is.
    Principal,
    /// The route.
    Route,
}

/// A checked limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Its name, in the header fields and metrics.
    pub name: String,
    /// Requests per window.
    pub requests: u32,
    /// The window.
    pub per: Duration,
    /// What a full bucket holds.
    pub burst: u32,
    /// What makes up the key.
    pub by: Vec<Part>,
    /// What a request takes.
    pub cost: u32,
    /// IPv6 addresses that share this many bits are one client.
    pub ipv6_prefix: u8,
    /// What to do where a part of the key is missing.
    pub missing: Missing,
}

/// The checked config.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The limits.
    pub limits: Vec<Limit>,
    /// Whether responses carry RateLimit fields.
    pub headers: bool,
    /// Count, but let pass.
    pub shadow: bool,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn prefix() -> u8 {
    64
}

fn by_client() -> Vec<String> {
    vec!["client.address".to_owned()]
}

fn part(text: &str) -> Result<Part, String> {
    match (text, text.split_once(':')) {
        ("client.address", _) => Ok(Part::Client),
        ("principal", _) => Ok(Part::Principal),
        ("route", _) => Ok(Part::Route),
        (_, Some(("header", name))) if is_token(name) => Ok(Part::Header(name.to_ascii_lowercase())),
        (_, Some(("header", name))) => Err(format!("`{name}` is not the name of a header field")),
        (_, Some(("claim", name))) if !name.is_empty() => Ok(Part::Claim(name.to_owned())),
        _ => Err(format!("`{text}` is unknown: use client.address, principal, route, header:NAME or claim:NAME")),
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

impl Config {
    /// Checks everything and reports every mistake.
    pub fn check(self) -> Result<Settings, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        if self.limits.is_empty() || self.limits.len() > MAX_LIMITS {
            errors.push("/limits", format!("needs 1 to {MAX_LIMITS} limits"));
        }
        let mut limits: Vec<Limit> = Vec::with_capacity(self.limits.len());
        for (index, raw) in self.limits.into_iter().enumerate() {
            let mut wrong = |field: &str, message: String| errors.push(format!("/limits/{index}{field}"), message);
            let name = raw.name.unwrap_or_else(|| format!("limit-{}", index + 1));
            // An RFC 9651 string; without the characters that need escapes.
            if name.is_empty()
                || name.len() > 64
                || !name.bytes().all(|b| (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\')
            {
                wrong("/name", "must be 1 to 64 printable ASCII characters, without quotes and backslashes".to_owned());
            }
            if limits.iter().any(|limit| limit.name == name) {
                wrong("/name", format!("`{name}` is the name of an earlier limit"));
            }
            if raw.requests == 0 {
                wrong("/requests", "must be at least 1".to_owned());
            }
            if raw.per.0.is_zero() || raw.per.0 > Duration::from_secs(30 * 86_400) {
                wrong("/per", "must be more than zero and at most 30d".to_owned());
            }
            let burst = raw.burst.unwrap_or(raw.requests);
            if raw.burst == Some(0) {
                wrong("/burst", "must be at least 1".to_owned());
            }
            if raw.cost == 0 {
                wrong("/cost", "must be at least 1".to_owned());
            } else if raw.cost > burst && burst > 0 {
                wrong(
                    "/cost",
                    format!("is more than a full bucket holds ({burst}), so that no request could ever pass"),
                );
            }
            if !(1..=128).contains(&raw.ipv6_prefix) {
                wrong("/ipv6_prefix", "must be 1 to 128".to_owned());
            }
            if raw.by.is_empty() {
                wrong("/by", "needs at least one part".to_owned());
            }
            let mut by = Vec::with_capacity(raw.by.len());
            for (at, text) in raw.by.iter().enumerate() {
                match part(text) {
                    Ok(part) => by.push(part),
                    Err(message) if raw.by.len() == 1 => wrong("/by", message),
                    Err(message) => wrong(&format!("/by/{at}"), message),
                }
            }
            limits.push(Limit {
                name,
                requests: raw.requests,
                per: raw.per.0,
                burst,
                by,
                cost: raw.cost,
                ipv6_prefix: raw.ipv6_prefix,
                missing: raw.missing,
            });
        }
        errors.result(|| Settings { limits, headers: self.headers, shadow: self.shadow })
    }
}

#[cfg(test)]
mod tests {
    use plugin_sdk::parse_config;

    use super::*;

    fn check(json: &str) -> Result<Settings, Vec<String>> {
        let config = parse_config::<Config>(json).and_then(Config::check);
        config.map_err(|errors| errors.iter().map(|error| error.pointer.clone()).collect())
    }

    #[test]
    fn defaults() {
        let settings = check(r#"{"limits": [{"requests": 100, "per": "1s"}]}"#).unwrap();
        let limit = &settings.limits[0];
        assert_eq!((limit.burst, limit.cost, limit.ipv6_prefix), (100, 1, 64));
        assert_eq!((limit.name.as_str(), limit.by.as_slice()), ("limit-1", [Part::Client].as_slice()));
        assert!(settings.headers && !settings.shadow);
    }

    #[test]
    fn all_mistakes_are_reported_at_once_where_they_are() {
        let wrong = r#"{"limits": [{"requests": 0, "per": "0s", "by": ["route", "cookie:x"], "name": "a\"b"},
            {"requests": 5, "per": "1m", "cost": 6, "ipv6_prefix": 0, "by": "header:a b", "burst": 5}]}"#;
        assert_eq!(
            check(wrong).unwrap_err(),
            [
                "/limits/0/name",
                "/limits/0/requests",
                "/limits/0/per",
                "/limits/0/by/1",
                "/limits/1/cost",
                "/limits/1/ipv6_prefix",
                "/limits/1/by",
            ]
        );
        assert_eq!(check(r#"{"limits": []}"#).unwrap_err(), ["/limits"]);
        assert_eq!(check(r#"{"limits": [{"requests": 1, "per": "fast"}]}"#).unwrap_err(), ["/limits/0/per"]);
        assert_eq!(
            check(r#"{"limits": [{"requests": 1, "per": "1s", "brust": 1}]}"#).unwrap_err(),
            ["/limits/0/brust"]
        );
    }

    #[test]
    fn a_wrong_type_is_said_in_plain_words() {
        for (json, pointer, message) in [
            (
                r#"{"limits": [{"requests": 10, "per": 1}]}"#,
                "/limits/0/per",
                r#"expected a duration such as 2s, found the number 1"#,
            ),
            (
                r#"{"limits": [{"requests": "10", "per": "1s"}]}"#,
                "/limits/0/requests",
                r#"expected a whole number from 0 to 4294967295, found the text "10""#,
            ),
            (
                r#"{"limits": [{"requests": 10, "per": "1s", "by": 10}]}"#,
                "/limits/0/by",
                r#"expected text or a list of texts, found the number 10"#,
            ),
            (
                r#"{"limits": [{"requests": 10, "per": "1s", "by": ["route", 10]}]}"#,
                "/limits/0/by/1",
                r#"expected text, found the number 10"#,
            ),
            (
                r#"{"limits": [{"requests": 10, "per": "1s", "missing": "reject"}]}"#,
                "/limits/0/missing",
                r#""reject" is unknown; use client, shared or skip"#,
            ),
            (r#"{"limits": {}}"#, "/limits", r#"expected a list, found an object"#),
        ] {
            let errors = parse_config::<Config>(json).unwrap_err();
            let error = errors.iter().next().unwrap();
            assert_eq!((error.pointer.as_str(), error.message.as_str()), (pointer, message), "{json}");
        }
    }
}
