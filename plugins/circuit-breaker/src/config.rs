//! The plugin's config: what the operator writes, checked.

use std::fmt;
use std::time::Duration;

use plugin_sdk::{ConfigDuration, ConfigErrors};
use serde::{Deserialize, Deserializer, de};

use crate::breaker::Policy;

/// Failures in a row that open it (Envoy's `consecutive_5xx` has the same default), unless `minimum_requests` is more: who
/// asks for many before it opens means these as well.
const CONSECUTIVE: u32 = 5;

/// The config as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    minimum_requests: u32,
    failure_ratio: f64,
    consecutive_failures: Option<u32>,
    interval: ConfigDuration,
    open_for: ConfigDuration,
    half_open_requests: u32,
    statuses: Vec<Statuses>,
    fallback: Fallback,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            minimum_requests: 3,
            failure_ratio: 0.6,
            consecutive_failures: None,
            interval: ConfigDuration::from_secs(60),
            open_for: ConfigDuration::from_secs(5),
            half_open_requests: 1,
            statuses: vec![Statuses { from: 500, to: 599 }],
            fallback: Fallback::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fallback {
    stored: bool,
    ttl: ConfigDuration,
    on_failure: bool,
    on_status: bool,
}

impl Default for Fallback {
    fn default() -> Self {
        Self { stored: true, ttl: ConfigDuration::from_secs(300), on_failure: true, on_status: false }
    }
}

/// Statuses that count as a failure: one, or a class as `5xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses {
    from: u16,
    to: u16,
}

impl Statuses {
    /// Whether it is one of them.
    pub fn contain(self, status: u16) -> bool {
        (self.from..=self.to).contains(&status)
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Statuses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status from 400 to 599, or 4xx or 5xx")
            }

            fn visit_u64<E: de::Error>(self, status: u64) -> Result<Statuses, E> {
                match u16::try_from(status) {
                    Ok(status) if (400..600).contains(&status) => Ok(Statuses { from: status, to: status }),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(status), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
                match text {
                    "4xx" => Ok(Statuses { from: 400, to: 499 }),
                    "5xx" => Ok(Statuses { from: 500, to: 599 }),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The checked config.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// When the breaker opens.
    pub policy: Policy,
    /// What counts as a failure.
    pub statuses: Vec<Statuses>,
    /// How long good responses are stored for an open breaker; `None`: not at all.
    pub store_for: Option<Duration>,
    /// Whether a stored response also answers where the upstream gave none.
    pub on_failure: bool,
    /// Whether it also stands in for a response with a failure's status.
    pub on_status: bool,
}

impl Config {
    /// Checks everything and reports every mistake.
    pub fn check(self) -> Result<Settings, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        let week = Duration::from_secs(7 * 86_400);
        if self.minimum_requests == 0 {
            errors.push("/minimum_requests", "must be at least 1");
        }
        if !(self.failure_ratio > 0.0 && self.failure_ratio <= 1.0) {
            errors.push("/failure_ratio", "must be more than 0 and at most 1");
        }
        if self.interval.0 > week {
            errors.push("/interval", "must be at most 7d (0s keeps the counts until the breaker opens)");
        }
        if self.open_for.0.is_zero() || self.open_for.0 > week {
            errors.push("/open_for", "must be more than zero and at most 7d");
        }
        if !(1..=100).contains(&self.half_open_requests) {
            errors.push("/half_open_requests", "must be 1 to 100");
        }
        if self.fallback.stored && (self.fallback.ttl.0.is_zero() || self.fallback.ttl.0 > week) {
            errors.push("/fallback/ttl", "must be more than zero and at most 7d");
        }
        if !self.fallback.stored && self.fallback.on_status {
            errors.push("/fallback/on_status", "needs `stored: true`");
        }
        let millis = |of: ConfigDuration| u64::try_from(of.0.as_millis()).unwrap_or(u64::MAX);
        let stored = self.fallback.stored;
        errors.result(|| Settings {
            policy: Policy {
                minimum_requests: self.minimum_requests,
                failure_ratio: self.failure_ratio,
                consecutive_failures: self.consecutive_failures.unwrap_or(CONSECUTIVE.max(self.minimum_requests)),
                interval_ms: millis(self.interval),
                open_for_ms: millis(self.open_for),
                half_open_requests: self.half_open_requests,
            },
            statuses: self.statuses,
            store_for: stored.then_some(self.fallback.ttl.0),
            on_failure: stored && self.fallback.on_failure,
            on_status: stored && self.fallback.on_status,
        })
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
    fn defaults_are_those_of_the_contract() {
        let settings = check("{}").unwrap();
        let Policy { minimum_requests, failure_ratio, open_for_ms, half_open_requests, .. } = settings.policy;
        assert_eq!((minimum_requests, failure_ratio, open_for_ms, half_open_requests), (3, 0.6, 5000, 1));
        assert_eq!(settings.policy.consecutive_failures, 5);
        let of = |json: &str| check(json).unwrap().policy.consecutive_failures;
        assert_eq!(of(r#"{"minimum_requests": 20}"#), 20);
        assert_eq!(of(r#"{"minimum_requests": 20, "consecutive_failures": 0}"#), 0);
        assert!(settings.statuses[0].contain(503) && !settings.statuses[0].contain(499));
        assert_eq!(settings.store_for, Some(Duration::from_secs(300)));
        assert!(settings.on_failure && !settings.on_status);
    }

    #[test]
    fn all_mistakes_are_reported_at_once_where_they_are() {
        let wrong = r#"{"minimum_requests": 0, "failure_ratio": 1.5, "open_for": "0s", "half_open_requests": 0,
            "fallback": {"ttl": "0s"}}"#;
        assert_eq!(
            check(wrong).unwrap_err(),
            ["/minimum_requests", "/failure_ratio", "/open_for", "/half_open_requests", "/fallback/ttl",]
        );
        assert_eq!(check(r#"{"statuses": ["5xx", 200]}"#).unwrap_err(), ["/statuses/1"]);
        assert_eq!(check(r#"{"fallback": {"tll": "1s"}}"#).unwrap_err(), ["/fallback/tll"]);
    }

    #[test]
    fn a_wrong_type_is_said_in_plain_words() {
        for (json, pointer, message) in [
            (r#"{"open_for": 5}"#, "/open_for", r#"expected a duration such as 2s, found the number 5"#),
            (
                r#"{"minimum_requests": "3"}"#,
                "/minimum_requests",
                r#"expected a whole number from 0 to 4294967295, found the text "3""#,
            ),
            (r#"{"failure_ratio": "60%"}"#, "/failure_ratio", r#"expected a number, found the text "60%""#),
            (r#"{"statuses": 500}"#, "/statuses", r#"expected a list, found the number 500"#),
            (
                r#"{"statuses": ["5xx", 200]}"#,
                "/statuses/1",
                r#"expected a status from 400 to 599, or 4xx or 5xx, found the number 200"#,
            ),
            (
                r#"{"fallback": {"stored": "yes"}}"#,
                "/fallback/stored",
                r#"expected true or false, found the text "yes""#,
            ),
        ] {
            let errors = parse_config::<Config>(json).unwrap_err();
            let error = errors.iter().next().unwrap();
            assert_eq!((error.pointer.as_str(), error.message.as_str()), (pointer, message), "{json}");
        }
    }
}
