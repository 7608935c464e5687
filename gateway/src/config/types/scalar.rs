//! Single values: text, numbers, durations, sizes, words.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::context::{Context, Type};
use crate::config::error::suggest;
use crate::config::tree::{Kind, Node, Scalar, shorten};
use crate::config::value;

/// A value that is one `${NAME}` fits every type; see `$defs` in [`schema()`](crate::config::schema()).
fn or_environment(schema: Value) -> Value {
    json!({"anyOf": [schema, {"$ref": "#/$defs/environment"}]})
}

/// What is said of a value with variables where there can be none.
pub(in crate::config) const NO_VARIABLES: &str = "has variables, which only the values of request_headers.set and response_headers.set and templates of access logs may have; write $${ for a literal ${";

/// The scalar of a node, or an error about what was expected.
pub(in crate::config) fn scalar<'n>(node: &'n Node, expected: &str, context: &mut Context<'_>) -> Option<&'n Scalar> {
    match &node.kind {
        Kind::Scalar(scalar) if !scalar.is_null() || scalar.from_environment => Some(scalar),
        _ => {
            context.error(node.position, format!("expected {expected}, found {}", node.describe()));
            None
        }
    }
}

/// Text.
pub(in crate::config) struct Text;

impl Type for Text {
    type Value = String;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<String> {
        let scalar = scalar(node, "text", context)?;
        if scalar.variables {
            context.error(node.position, format!("{} {NO_VARIABLES}", node.describe()));
            return None;
        }
        let is_text = !scalar.plain
            || scalar.written != scalar.text
            || matches!(value::core_schema(&scalar.text), Ok(Value::String(_)));
        if !is_text {
            context.error(node.position, format!("expected text, found {}; put it in quotes", node.unquoted()));
            return None;
        }
        Some(scalar.text.clone())
    }

    fn schema(&self) -> Value {
        json!({"type": "string"})
    }
}

/// Text that a function turns into something else. The function's error follows the text: "is not ...". It never
/// quotes the text, which may have come from the environment and be a secret; that is what [`Parsed::hint`] is for.
pub(in crate::config) struct Parsed<T> {
    /// The function.
    pub(in crate::config) parse: fn(&str) -> Result<T, String>,
    /// The schema of the text.
    pub(in crate::config) schema: fn() -> Value,
    /// What to write instead of a refused text, where that can be told from the text.
    pub(in crate::config) hint: fn(&str) -> Option<String>,
}

impl<T> Parsed<T> {
    /// The same with a hint, which is shown only for a text that stands in the file as it is.
    pub(in crate::config) fn hint(self, hint: fn(&str) -> Option<String>) -> Self {
        Self { hint, ..self }
    }
}

/// [`Parsed`] without a narrower schema.
pub(in crate::config) fn text<T>(parse: fn(&str) -> Result<T, String>) -> Parsed<T> {
    Parsed { parse, schema: || json!({"type": "string"}), hint: |_| None }
}

impl<T> Type for Parsed<T> {
    type Value = T;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<T> {
        let text = Text.parse(node, context)?;
        match (self.parse)(&text) {
            Ok(value) => Some(value),
            Err(message) => {
                let instead = if node.may_be_shown() { (self.hint)(&text) } else { None };
                let hint = instead.map(|instead| format!("; write \"{}\"", shorten(&instead))).unwrap_or_default();
                context.error(node.position, format!("{} {message}{hint}", node.describe()));
                None
            }
        }
    }

    fn schema(&self) -> Value {
        (self.schema)()
    }
}

/// `true` or `false`.
pub(in crate::config) struct Boolean;

impl Type for Boolean {
    type Value = bool;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<bool> {
        let scalar = scalar(node, "true or false", context)?;
        if scalar.plain || scalar.from_environment {
            match scalar.text.as_str() {
                "true" | "True" | "TRUE" => return Some(true),
                "false" | "False" | "FALSE" => return Some(false),
                _ => {}
            }
        }
        context.error(node.position, format!("expected true or false, found {}", node.describe()));
        None
    }

    fn schema(&self) -> Value {
        or_environment(json!({"type": "boolean"}))
    }
}

/// The number that was read, if there is one and it lies within the bounds.
fn within<N: PartialOrd>(
    bounds: &RangeInclusive<N>,
    number: Option<N>,
    expected: &str,
    node: &Node,
    context: &mut Context<'_>,
) -> Option<N> {
    let number = number.filter(|number| bounds.contains(number));
    if number.is_none() {
        context.error(node.position, format!("expected {expected}, found {}", node.describe()));
    }
    number
}

/// A whole number within bounds.
pub(in crate::config) struct Integer(pub(in crate::config) RangeInclusive<u64>);

impl Type for Integer {
    type Value = u64;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<u64> {
        let (low, high) = (self.0.start(), self.0.end());
        let expected = format!("a whole number from {low} to {high}");
        let scalar = scalar(node, &expected, context)?;
        let number = scalar.text.parse::<u64>().ok().filter(|_| scalar.plain || scalar.from_environment);
        within(&self.0, number, &expected, node, context)
    }

    fn schema(&self) -> Value {
        or_environment(json!({"type": "integer", "minimum": self.0.start(), "maximum": self.0.end()}))
    }
}

/// A whole number of percent within bounds: `80%`.
pub(in crate::config) struct Percent(pub(in crate::config) RangeInclusive<u32>);

impl Type for Percent {
    type Value = u32;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<u32> {
        let (low, high) = (self.0.start(), self.0.end());
        let expected = format!("a share from {low}% to {high}%");
        let scalar = scalar(node, &expected, context)?;
        let number = scalar.text.strip_suffix('%').and_then(|number| number.parse().ok());
        within(&self.0, number, &expected, node, context)
    }

    fn schema(&self) -> Value {
        or_environment(json!({"type": "string", "pattern": "^[0-9]+%$"}))
    }
}

/// A duration within bounds.
pub(in crate::config) struct Time(pub(in crate::config) RangeInclusive<Duration>);

/// A duration from 1 ms up.
pub(in crate::config) fn time() -> Time {
    Time(Duration::from_millis(1)..=Duration::MAX)
}

impl Type for Time {
    type Value = Duration;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<Duration> {
        let scalar = scalar(node, "a duration such as 2s", context)?;
        let message = match value::duration(&scalar.text) {
            Ok(duration) if self.0.contains(&duration) => return Some(duration),
            Ok(duration) if duration < *self.0.start() => format!("is too short; at least {:?}", self.0.start()),
            Ok(_) => format!("is too long; at most {:?}", self.0.end()),
            Err(message) => message,
        };
        context.error(node.position, format!("{} {message}", node.describe()));
        None
    }

    fn schema(&self) -> Value {
        or_environment(json!({"type": "string", "pattern": value::DURATION_PATTERN}))
    }
}

/// A number of bytes within bounds.
pub(in crate::config) struct Size(pub(in crate::config) RangeInclusive<u64>);

impl Type for Size {
    type Value = u64;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<u64> {
        let scalar = scalar(node, "a size such as 16MiB", context)?;
        let message = match value::size(&scalar.text) {
            Ok(size) if self.0.contains(&size) => return Some(size),
            Ok(size) if size < *self.0.start() => format!("is too small; at least {} bytes", self.0.start()),
            Ok(_) => format!("is too large; at most {} bytes", self.0.end()),
            Err(message) => message,
        };
        context.error(node.position, format!("{} {message}", node.describe()));
        None
    }

    fn schema(&self) -> Value {
        let text = json!({"type": "string", "pattern": value::SIZE_PATTERN});
        or_environment(json!({"anyOf": [text, {"type": "integer", "minimum": self.0.start()}]}))
    }
}

/// One of a few words (or numbers), each with its value.
pub(in crate::config) struct Choice<T: 'static>(pub(in crate::config) &'static [(&'static str, T)]);

impl<T: Copy> Type for Choice<T> {
    type Value = T;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<T> {
        let words = self.0.iter().map(|(word, _)| *word);
        let expected = format!("one of {}", words.clone().collect::<Vec<_>>().join(", "));
        let scalar = scalar(node, &expected, context)?;
        let found = self.0.iter().find(|(word, _)| *word == scalar.text).map(|(_, value)| *value);
        if found.is_none() {
            context
                .error(node.position, format!("unknown value {}; {}", node.describe(), suggest(&scalar.text, words)));
        }
        found
    }

    fn schema(&self) -> Value {
        // A word that YAML takes for a number is accepted with quotes and without.
        let mut words: Vec<Value> = self.0.iter().map(|(word, _)| Value::from(*word)).collect();
        let numbers = self.0.iter().filter_map(|(word, _)| value::core_schema(word).ok());
        words.extend(numbers.filter(|value| !value.is_string()));
        or_environment(json!({"enum": words}))
    }
}
