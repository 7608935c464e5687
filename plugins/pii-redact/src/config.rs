//! The plugin's config: what the operator writes, checked as a whole, and what it is compiled to.

mod compile;
mod pseudonyms;
mod streams;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::body::Unreadable;
use crate::rules::Rules;
pub use pseudonyms::{PseudonymConfig, Reach, Scope};
pub use streams::Streams;

/// The config of one use of the plugin. The README has the table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What of a request is read.
    pub request: Request,
    /// What of a response is read.
    pub response: Response,
    /// Whether the fields that plugins add to the log record are read.
    pub log: Log,
    /// Built-in categories and their actions.
    pub categories: Categories,
    /// JSON keys and form fields whose values always go.
    pub fields: Vec<String>,
    /// What is done with those values.
    pub fields_action: Choice,
    /// What happens to bodies that can't be read: refused where a category blocks, passed otherwise, unless it is said here.
    pub unreadable: Option<Unreadable>,
    /// Categories of the operator's own.
    pub custom: Vec<CustomConfig>,
    /// Streams in which texts go on from event to event.
    pub streams: Streams,
    /// How far the placeholders of `pseudonymise` reach.
    pub pseudonyms: PseudonymConfig,
    /// Whether numbers count that satisfy only the fødselsnummer rule of 2032.
    pub fnr_new_rule: Enabled,
}

/// A switch that is on unless it is turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Enabled(pub bool);

impl Default for Enabled {
    fn default() -> Self {
        Self(true)
    }
}

/// What of a request is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// The body. Off by default: what a service is sent it usually needs.
    pub body: bool,
    /// The query of the target.
    pub query: bool,
    /// Header fields, by name.
    pub headers: Vec<String>,
}

/// What of a response is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Response {
    /// The body.
    pub body: Enabled,
    /// Header fields, by name.
    pub headers: Vec<String>,
}

/// The log fields that are read: all of them, none, or those named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Log {
    /// All or none.
    All(bool),
    /// Those named.
    Named(Vec<String>),
}

impl<'de> Deserialize<'de> for Log {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Log;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false, or a list of log fields")
            }

            fn visit_bool<E>(self, all: bool) -> Result<Log, E> {
                Ok(Log::All(all))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Log, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(names)).map(Log::Named)
            }
        }
        from.deserialize_any(Either)
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::All(true)
    }
}

/// The actions of the built-in categories.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Categories {
    pub email: Choice,
    pub phone: Choice,
    pub card: Choice,
    pub iban: Choice,
    pub fodselsnummer: Choice,
    pub personnummer: Choice,
    pub cpr: Choice,
    pub hetu: Choice,
    pub organisation: Choice,
    pub kontonummer: Choice,
    pub ip: Choice,
    pub credential: Choice,
    pub token: Choice,
}

impl Default for Categories {
    fn default() -> Self {
        let on = Choice::default();
        let off = Choice::Named(ActionName::Off);
        Self {
            email: on.clone(),
            phone: on.clone(),
            card: on.clone(),
            iban: on.clone(),
            fodselsnummer: on.clone(),
            personnummer: on.clone(),
            cpr: on.clone(),
            hetu: on.clone(),
            organisation: on.clone(),
            kontonummer: on.clone(),
            ip: off.clone(),
            credential: on.clone(),
            token: on,
        }
    }
}

/// An action: its name, or its name and details.
#[derive(Clone, Debug)]
pub enum Choice {
    /// `mask`
    Named(ActionName),
    /// `{action: hash, secret: NAME}`
    Detailed(Details),
}

// An untagged enum would say only that nothing matched: neither which key is wrong, nor which names there are.
impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Choice;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of an action, or {action: NAME, …}")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Choice, E> {
                ActionName::deserialize(name.into_deserializer()).map(Choice::Named)
            }

            fn visit_map<A: MapAccess<'de>>(self, details: A) -> Result<Choice, A::Error> {
                Details::deserialize(MapAccessDeserializer::new(details)).map(Choice::Detailed)
            }
        }
        from.deserialize_any(Either)
    }
}

impl Default for Choice {
    fn default() -> Self {
        Self::Named(ActionName::Mask)
    }
}

/// The name of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the README's table says it")]
pub enum ActionName {
    Off,
    Mask,
    Replace,
    Hash,
    Drop,
    Block,
    Pseudonymise,
}

/// An action with its details.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// What is done.
    pub action: ActionName,
    /// For `mask`: how many of the last letters and digits stay, at most 4.
    pub keep_last: Option<usize>,
    /// For `replace`: the text, `[CATEGORY]` where it is missing.
    pub with: Option<String>,
    /// For `hash` and `pseudonymise`: the name of the secret that keys it.
    pub secret: Option<String>,
}

/// A category of the operator's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomConfig {
    /// Its name in metrics and attributes.
    pub name: String,
    /// What it looks like.
    pub pattern: String,
    /// The longest match; needed where the pattern has none of its own.
    pub max_length: Option<usize>,
    /// What is done, `mask` where it is missing.
    #[serde(default = "mask")]
    pub action: ActionName,
    /// As for the built-in categories.
    pub keep_last: Option<usize>,
    /// As for the built-in categories.
    pub with: Option<String>,
    /// As for the built-in categories.
    pub secret: Option<String>,
}

fn mask() -> ActionName {
    ActionName::Mask
}

/// One mistake: a JSON pointer into the config, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub pointer: String,
    /// What, and what to do about it.
    pub message: String,
}

/// A config that was checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is looked for, and what is done with it.
    pub rules: Rules,
    /// What happens to bodies that can't be read.
    pub unreadable: Unreadable,
    /// What of a request is read.
    pub request: Request,
    /// Whether the bodies of responses are read.
    pub response_body: bool,
    /// Header fields of responses.
    pub response_headers: Vec<String>,
    /// Log fields.
    pub log: Log,
    /// How far placeholders reach.
    pub reach: Reach,
    /// Where the config names a secret, and which.
    pub secrets: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Action, Category};

    fn mistakes(config: serde_json::Value) -> Vec<String> {
        let config: Config = serde_json::from_value(config).unwrap();
        config.compile().unwrap_err().into_iter().map(|mistake| mistake.pointer).collect()
    }

    #[test]
    fn defaults() {
        let settings = Config::default().compile().unwrap();
        assert!(settings.response_body && !settings.request.body && settings.log == Log::All(true));
        assert_eq!(settings.rules.action(Category::Email), Some(&Action::Mask { keep_last: 0 }));
        assert_eq!(settings.rules.action(Category::Ip), None);
    }

    #[test]
    fn what_can_not_be_read_is_refused_where_something_blocks_unless_it_is_said() {
        for (config, expected) in [
            (serde_json::json!({}), Unreadable::Pass),
            (serde_json::json!({"fields": ["a"], "fields_action": "block"}), Unreadable::Block),
            (serde_json::json!({"categories": {"card": "block"}}), Unreadable::Block),
            (serde_json::json!({"categories": {"card": "block"}, "unreadable": "pass"}), Unreadable::Pass),
            (serde_json::json!({"unreadable": "block"}), Unreadable::Block),
        ] {
            let compiled: Config = serde_json::from_value(config.clone()).unwrap();
            assert_eq!(compiled.compile().unwrap().unreadable, expected, "{config}");
        }
    }

    #[test]
    fn a_wrong_name_is_told_with_its_place_and_the_known_ones() {
        for (config, pointer, parts) in [
            (r#"{"categories": {"email": "msk"}}"#, "/categories/email", ["msk", "mask"]),
            (r#"{"categories": {"card": {"action": "msk"}}}"#, "/categories/card/action", ["msk", "mask"]),
            (
                r#"{"categories": {"card": {"action": "mask", "keep": 4}}}"#,
                "/categories/card/keep",
                ["keep", "keep_last"],
            ),
            (r#"{"categories": {"card": 4}}"#, "/categories/card", ["4", "name of an action"]),
            (r#"{"log": "all"}"#, "/log", ["all", "true, false"]),
            (r#"{"log": ["a", 1]}"#, "/log/1", ["number 1", "text"]),
        ] {
            let errors = plugin_sdk::parse_config::<Config>(config).unwrap_err();
            let error = errors.iter().next().unwrap();
            assert!(error.pointer.starts_with(pointer), "{config}: {error:?}");
            assert!(parts.iter().all(|part| error.message.contains(part)), "{config}: {error:?}");
        }
    }

    #[test]
    fn a_wrong_type_is_said_in_plain_words() {
        for (json, pointer, message) in [
            (
                r#"{"categories": {"email": 1}}"#,
                "/categories/email",
                "expected the name of an action, or {action: NAME, …}, found the number 1",
            ),
            (r#"{"fields": "password"}"#, "/fields", r#"expected a list, found the text "password""#),
            (r#"{"fields": [1]}"#, "/fields/0", "expected text, found the number 1"),
            (r#"{"request": {"body": "yes"}}"#, "/request/body", r#"expected true or false, found the text "yes""#),
            (r#"{"log": 5}"#, "/log", "expected true, false, or a list of log fields, found the number 5"),
            (r#"{"custom": [{"name": "a"}]}"#, "/custom/0", r#""pattern" is missing"#),
        ] {
            let errors = plugin_sdk::parse_config::<Config>(json).unwrap_err();
            let error = errors.iter().next().unwrap();
            assert_eq!((error.pointer.as_str(), error.message.as_str()), (pointer, message), "{json}");
        }
    }

    #[test]
    fn all_mistakes_at_once() {
        let found = mistakes(serde_json::json!({
            "categories": {"card": "hash", "email": {"action": "mask", "keep_last": 9}, "iban": {"action": "drop", "with": "x"}},
            "fields": ["ok", ""],
            "request": {"headers": ["x-ok", "bad name", "Content-Length"]},
            "custom": [
                {"name": "email", "pattern": "a+"},
                {"name": "x", "pattern": "(", "action": "replace", "with": "a\nb"},
            ],
        }));
        for pointer in [
            "/categories/card/secret",
            "/categories/email/keep_last",
            "/categories/iban/with",
            "/fields/1",
            "/request/headers/1",
            "/request/headers/2",
            "/custom/0/name",
            "/custom/0/pattern",
            "/custom/1/pattern",
            "/custom/1/with",
        ] {
            assert!(found.iter().any(|found| found == pointer), "{pointer} in {found:?}");
        }
        assert_eq!(found.len(), 10);
    }

    #[test]
    fn patterns_that_would_read_text_too_often_are_refused() {
        let custom = |patterns: &[(&str, &str)]| {
            let all = patterns
                .iter()
                .map(|(name, pattern)| serde_json::json!({"name": name, "pattern": pattern, "max_length": 512}));
            serde_json::json!({"custom": all.collect::<Vec<_>>()})
        };
        let jwt = ("jwt", "eyJ[A-Za-z0-9_-]+");
        assert_eq!(mistakes(custom(&[("slow", "x[a-z ]+y"), ("other", "b[0-9]")])), ["/custom/0/pattern"]);
        assert_eq!(mistakes(custom(&[jwt, ("another", "eyK[a-z]+")])), ["/custom/1/pattern"]);
        let fine: Config = serde_json::from_value(custom(&[jwt, ("spaced", "\\bx[a-z ]+y")])).unwrap();
        assert!(fine.compile().is_ok());
    }

    #[test]
    fn fields_and_credentials_are_never_kept_in_part() {
        assert_eq!(
            mistakes(serde_json::json!({"fields_action": {"action": "hash", "secret": "s"}})),
            ["/fields_action"]
        );
        for (action, category) in [("hash", "credential"), ("mask", "token")] {
            let details = if action == "hash" {
                serde_json::json!({"action": "hash", "secret": "s"})
            } else {
                serde_json::json!({"action": "mask", "keep_last": 4})
            };
            let config = serde_json::json!({"categories": {category: details}});
            assert_eq!(mistakes(config), [format!("/categories/{category}")]);
        }
        assert_eq!(mistakes(serde_json::json!({"fields_action": "off", "fields": ["a"]})), ["/fields_action"]);
    }
}
