//! The types of the config file's values: text, numbers, durations, lists, and what is built of them.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::error::suggest;
use super::fields::{Context, Type, parse};
use super::tree::{Kind, Node, Position, Scalar, shorten};
use super::value;

/// A value that is one `${NAME}` fits every type; see `$defs` in [`super::schema()`].
fn or_environment(schema: Value) -> Value {
    json!({"anyOf": [schema, {"$ref": "#/$defs/environment"}]})
}

/// What is said of a value with variables where there can be none.
pub(super) const NO_VARIABLES: &str = "has variables, which only the values of request_headers.set and response_headers.set may have; write $${ for a literal ${";

/// The scalar of a node, or an error about what was expected.
pub(super) fn scalar<'n>(node: &'n Node, expected: &str, context: &mut Context<'_>) -> Option<&'n Scalar> {
    match &node.kind {
        Kind::Scalar(scalar) if !scalar.is_null() || scalar.from_environment => Some(scalar),
        _ => {
            context.error(node.position, format!("expected {expected}, found {}", node.describe()));
            None
        }
    }
}

/// Text.
pub(super) struct Text;

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
pub(super) struct Parsed<T> {
    /// The function.
    pub(super) parse: fn(&str) -> Result<T, String>,
    /// The schema of the text.
    pub(super) schema: fn() -> Value,
    /// What to write instead of a refused text, where that can be told from the text.
    pub(super) hint: fn(&str) -> Option<String>,
}

impl<T> Parsed<T> {
    /// The same with a hint, which is shown only for a text that stands in the file as it is.
    pub(super) fn hint(self, hint: fn(&str) -> Option<String>) -> Self {
        Self { hint, ..self }
    }
}

/// [`Parsed`] without a narrower schema.
pub(super) fn text<T>(parse: fn(&str) -> Result<T, String>) -> Parsed<T> {
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
pub(super) struct Boolean;

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

/// A whole number within bounds.
pub(super) struct Integer(pub(super) RangeInclusive<u64>);

impl Type for Integer {
    type Value = u64;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<u64> {
        let (low, high) = (self.0.start(), self.0.end());
        let expected = format!("a whole number from {low} to {high}");
        let scalar = scalar(node, &expected, context)?;
        let number = scalar.text.parse::<u64>().ok().filter(|_| scalar.plain || scalar.from_environment);
        match number {
            Some(number) if self.0.contains(&number) => Some(number),
            _ => {
                context.error(node.position, format!("expected {expected}, found {}", node.describe()));
                None
            }
        }
    }

    fn schema(&self) -> Value {
        or_environment(json!({"type": "integer", "minimum": self.0.start(), "maximum": self.0.end()}))
    }
}

/// A duration within bounds.
pub(super) struct Time(pub(super) RangeInclusive<Duration>);

/// A duration from 1 ms up.
pub(super) fn time() -> Time {
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
pub(super) struct Size(pub(super) RangeInclusive<u64>);

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
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

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

/// A list; the items that are wrong are reported together.
pub(super) struct List<T>(pub(super) T);

impl<T: Type> Type for List<T> {
    type Value = Vec<T::Value>;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<Vec<T::Value>> {
        let Kind::List(items) = &node.kind else {
            context.error(node.position, format!("expected a list, found {}", node.describe()));
            return None;
        };
        let values: Vec<_> = items.iter().filter_map(|item| parse(&self.0, item, context)).collect();
        (values.len() == items.len()).then_some(values)
    }

    fn schema(&self) -> Value {
        json!({"type": "array", "items": self.0.schema()})
    }
}

/// A list with at least one item.
pub(super) struct NonEmpty<T>(pub(super) T);

impl<T: Type> Type for NonEmpty<T> {
    type Value = Vec<T::Value>;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<Vec<T::Value>> {
        if matches!(&node.kind, Kind::List(items) if items.is_empty()) {
            context.error(node.position, "the list is empty; at least one item is needed");
            return None;
        }
        // By way of a list, so that the two report alike.
        struct ByReference<'t, T>(&'t T);
        impl<T: Type> Type for ByReference<'_, T> {
            type Value = T::Value;
            fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<T::Value> {
                self.0.parse(node, context)
            }
            fn schema(&self) -> Value {
                self.0.schema()
            }
        }
        List(ByReference(&self.0)).parse(node, context)
    }

    fn schema(&self) -> Value {
        json!({"type": "array", "items": self.0.schema(), "minItems": 1})
    }
}

/// One value, or a list with at least one.
pub(super) struct Several<T>(pub(super) T);

impl<T: Type> Type for Several<T> {
    type Value = Vec<T::Value>;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<Vec<T::Value>> {
        match &node.kind {
            Kind::List(items) if items.is_empty() => {
                context.error(node.position, "the list is empty; at least one item is needed");
                None
            }
            Kind::List(items) => {
                let values: Vec<_> = items.iter().filter_map(|item| parse(&self.0, item, context)).collect();
                (values.len() == items.len()).then_some(values)
            }
            _ => self.0.parse(node, context).map(|value| vec![value]),
        }
    }

    fn schema(&self) -> Value {
        let one = self.0.schema();
        json!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    /// Where it stands.
    pub(super) position: Position,
    /// The value.
    pub(super) value: T,
    /// As it stands in the file, for messages: without what came from the environment.
    pub(super) shown: String,
}

/// Keeps the place of a value, for messages that need other parts of the file.
pub(super) struct At<T>(pub(super) T);

impl<T: Type> Type for At<T> {
    type Value = Placed<T::Value>;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<Placed<T::Value>> {
        Some(Placed { position: node.position, value: self.0.parse(node, context)?, shown: node.describe() })
    }

    fn schema(&self) -> Value {
        self.0.schema()
    }
}

/// An object whose keys are names that the operator chose.
pub(super) struct Named<T> {
    /// What a key must be.
    pub(super) key: fn(&str) -> Result<(), String>,
    /// The values.
    pub(super) value: T,
}

impl<T: Type> Type for Named<T> {
    /// Key (with its place) and value, in the order of the file. A value that was wrong is `None`, so that a name is
    /// known even then.
    type Value = Vec<(Placed<String>, Option<T::Value>)>;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<Self::Value> {
        let Kind::Map(entries) = &node.kind else {
            context.error(node.position, format!("expected an object, found {}", node.describe()));
            return None;
        };
        let mut values = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Err(message) = (self.key)(&entry.key) {
                let shown = match node.secret {
                    true => "this key".to_owned(),
                    false => format!("\"{}\"", shorten(&entry.key)),
                };
                context.error(entry.position, format!("{shown} {message}"));
            }
            let shown = format!("\"{}\"", shorten(&entry.key));
            let key = Placed { position: entry.position, value: entry.key.clone(), shown };
            values.push((key, parse(&self.value, &entry.value, context)));
        }
        Some(values)
    }

    fn schema(&self) -> Value {
        json!({"type": "object", "additionalProperties": self.value.schema()})
    }
}

/// One of two forms, told apart by whether the value is an object.
pub(super) struct ObjectOr<O, S> {
    /// Where it is an object.
    pub(super) object: O,
    /// Where it is not.
    pub(super) other: S,
}

impl<V, O: Type<Value = V>, S: Type<Value = V>> Type for ObjectOr<O, S> {
    type Value = V;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<V> {
        match node.kind {
            Kind::Map(_) => self.object.parse(node, context),
            _ => self.other.parse(node, context),
        }
    }

    fn schema(&self) -> Value {
        json!({"anyOf": [self.object.schema(), self.other.schema()]})
    }
}

/// The word `off`, or a value.
pub(super) struct OrOff<T>(pub(super) T);

impl<T: Type> Type for OrOff<T> {
    type Value = Option<T::Value>;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<Option<T::Value>> {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.text == "off" => Some(None),
            _ => self.0.parse(node, context).map(Some),
        }
    }

    fn schema(&self) -> Value {
        json!({"anyOf": [{"const": "off"}, self.0.schema()]})
    }
}

/// A file that must be there; relative paths start at the config file's directory. Noted in [`Context::contents`].
pub(super) struct ExistingFile;

impl Type for ExistingFile {
    type Value = PathBuf;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<PathBuf> {
        let path = FilePath.parse(node, context)?;
        context.places.files.entry(path.clone()).or_insert(node.position);
        // Before anybody reads it, so that a change after this is seen as one.
        context.contents.add(&path);
        // A pipe or device would block the reader; opening tells whether the gateway may read it.
        let problem = match std::fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => "it is not a regular file".to_owned(),
            Ok(_) => match std::fs::File::open(&path) {
                Ok(_) => return Some(path),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let tried = if node.may_be_shown() { format!(" ({})", path.display()) } else { String::new() };
        context.error(node.position, format!("{} can't be read{tried}: {problem}", node.describe()));
        None
    }

    fn schema(&self) -> Value {
        FilePath.schema()
    }
}

/// A path; relative ones start at the config file's directory.
pub(super) struct FilePath;

impl Type for FilePath {
    type Value = PathBuf;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<PathBuf> {
        let text = Text.parse(node, context)?;
        if text.is_empty() || text.contains('\0') {
            context.error(node.position, "expected a path");
            return None;
        }
        Some(context.directory.join(text))
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "minLength": 1})
    }
}
