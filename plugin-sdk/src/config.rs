//! A plugin's config: JSON into its type, with every mistake at its JSON pointer (RFC 6901).

mod input;
mod words;

use std::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeOwned};
use serde_path_to_error::Segment;

use input::Input;
use words::Wrong;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// JSON pointer into the config; empty for the whole of it.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Mistakes in a config, all of them.
///
/// ```
/// use plugin_sdk::ConfigErrors;
/// let mut errors = ConfigErrors::new();
/// errors.push("/limits/0/requests", "must be at least 1");
/// assert!(errors.result(|| "configured").is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One mistake.
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let mut errors = Self::new();
        errors.push(pointer, message);
        errors
    }

    /// Adds a mistake.
    pub fn push(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(ConfigError { pointer: pointer.into(), message: message.into() });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mistakes, in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }

    /// The value where there was no mistake, otherwise the mistakes.
    pub fn result<T>(self, value: impl FnOnce() -> T) -> Result<T, Self> {
        if self.is_empty() { Ok(value()) } else { Err(self) }
    }
}

impl IntoIterator for ConfigErrors {
    type Item = ConfigError;
    type IntoIter = std::vec::IntoIter<ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Parses a config, as the gateway's call of `configure` does.
pub fn parse_config<T: DeserializeOwned>(json: &str) -> Result<T, ConfigErrors> {
    // An entry without `config` arrives as null or as nothing; either is the empty mapping.
    let json = if matches!(json.trim(), "" | "null") { "{}" } else { json };
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|_| ConfigErrors::at("", "the config is not JSON"))?;
    serde_path_to_error::deserialize(Input(&value)).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path().iter() {
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } => push_key(&mut pointer, key),
                // The name of an enum's variant is a key of the mapping that holds its content.
                Segment::Enum { variant } => push_key(&mut pointer, variant),
                Segment::Unknown => {}
            }
        }
        let Wrong { message, unknown_key } = error.into_inner();
        if let Some(field) = unknown_key {
            let mut tail = String::new();
            push_key(&mut tail, &field);
            if !pointer.ends_with(&tail) {
                pointer.push_str(&tail);
            }
        }
        ConfigErrors::at(pointer, message)
    })
}

fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// Reads a text or a list of texts, for `#[serde(deserialize_with = "...")]`.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Config {
///     #[serde(deserialize_with = "plugin_sdk::one_or_many")]
///     audience: Vec<String>,
/// }
/// let config: Config = plugin_sdk::parse_config(r#"{"audience": "api"}"#).unwrap();
/// assert_eq!(config.audience, ["api"]);
/// ```
///
/// # Errors
/// Where it is neither.
pub fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text or a list of texts")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut all = Vec::new();
            while let Some(text) = list.next_element()? {
                all.push(text);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_any(Visitor)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(default)]
        #[allow(dead_code)]
        limits: Vec<Limit>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Limit {
        requests: u32,
        #[serde(default)]
        by: String,
        #[serde(default)]
        on: bool,
        #[serde(default)]
        how: How,
        #[serde(default = "second")]
        per: crate::ConfigDuration,
    }

    fn second() -> crate::ConfigDuration {
        crate::ConfigDuration::from_secs(1)
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum How {
        #[default]
        Slow,
        Quick,
    }

    fn pointer(json: &str) -> String {
        parse_config::<Outer>(json).unwrap_err().iter().next().unwrap().pointer.clone()
    }

    #[test]
    fn a_mistake_is_reported_where_it_is() {
        assert_eq!(pointer(r#"{"limits": [{"requests": 1}, {"requests": "x"}]}"#), "/limits/1/requests");
        assert_eq!(pointer(r#"{"limits": [{}]}"#), "/limits/0");
    }

    #[test]
    fn an_unknown_field_is_reported_at_its_own_place() {
        assert_eq!(pointer(r#"{"limit": []}"#), "/limit");
        assert_eq!(pointer(r#"{"limits": [{"requests": 1, "a/b": 2}]}"#), "/limits/0/a~1b");
        // The parent has the same name as the unknown field.
        assert_eq!(pointer(r#"{"limits": [{"requests": 1, "limits": 2}]}"#), "/limits/0/limits");
    }

    fn message(json: &str) -> String {
        parse_config::<Outer>(json).unwrap_err().iter().next().unwrap().message.clone()
    }

    #[test]
    fn a_wrong_type_is_said_in_the_words_of_the_config_and_not_in_serde_s() {
        for (json, said) in [
            (r#"{"limits": 3}"#, "expected a list, found the number 3"),
            (r#"{"limits": {}}"#, "expected a list, found an object"),
            (r#"{"limits": [7]}"#, "expected an object, found the number 7"),
            (r#"{"limits": [{}]}"#, "\"requests\" is missing"),
            (
                r#"{"limits": [{"requests": "ten"}]}"#,
                "expected a whole number from 0 to 4294967295, found the text \"ten\"",
            ),
            (r#"{"limits": [{"requests": -1}]}"#, "expected a whole number from 0 to 4294967295, found the number -1"),
            (
                r#"{"limits": [{"requests": 1.5}]}"#,
                "expected a whole number from 0 to 4294967295, found the number 1.5",
            ),
            (r#"{"limits": [{"requests": 1, "by": 10}]}"#, "expected text, found the number 10"),
            (r#"{"limits": [{"requests": 1, "by": null}]}"#, "expected text, found nothing"),
            (r#"{"limits": [{"requests": 1, "by": [1]}]}"#, "expected text, found a list"),
            (r#"{"limits": [{"requests": 1, "on": "yes"}]}"#, "expected true or false, found the text \"yes\""),
            (r#"{"limits": [{"requests": 1, "how": "fast"}]}"#, "\"fast\" is unknown; use slow or quick"),
            (r#"{"limits": [{"requests": 1, "how": 5}]}"#, "expected a name, found the number 5"),
            (r#"{"limits": [{"requests": 1, "rest": 5}]}"#, "unknown key \"rest\"; valid: requests, by, on, how, per"),
            (r#"{"limits": [{"requests": 1, "per": 10}]}"#, "expected a duration such as 2s, found the number 10"),
            (
                r#"{"limits": [{"requests": 1, "per": "10"}]}"#,
                "\"10\" is not a duration; write a whole number and ms, s, m, h or d, as in 2s",
            ),
            ("[1]", "expected an object, found a list"),
            ("{", "the config is not JSON"),
        ] {
            assert_eq!(message(json), said, "{json}");
        }
    }

    #[test]
    fn no_config_is_an_empty_one() {
        for json in ["", "null", "{}"] {
            assert!(parse_config::<Outer>(json).is_ok());
        }
    }
}
