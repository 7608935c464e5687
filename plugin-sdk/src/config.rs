//! A plugin's config: JSON into its type, with every mistake at its JSON pointer (RFC 6901).

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

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
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
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
        let message = error.inner().to_string();
        // The position is that of the JSON, which the author of the config never sees.
        let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
        if let Some(field) = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
            let mut tail = String::new();
            push_key(&mut tail, field);
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
    struct Limit {
        #[allow(dead_code)]
        requests: u32,
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

    #[test]
    fn the_message_has_no_position_of_its_own() {
        let errors = parse_config::<Outer>(r#"{"limits": 3}"#).unwrap_err();
        assert_eq!(errors.iter().next().unwrap().message, "invalid type: integer `3`, expected a sequence");
    }

    #[test]
    fn no_config_is_an_empty_one() {
        for json in ["", "null", "{}"] {
            assert!(parse_config::<Outer>(json).is_ok());
        }
    }
}
