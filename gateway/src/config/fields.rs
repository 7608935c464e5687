//! How an object of the config file is declared: one function per object names each key once, with its type, its
//! default and what it means. Run over a [`Node`], the function parses; run without one, it yields the JSON Schema. So
//! the parser, the defaults, "did you mean" and `gateway schema` can't disagree.
//!
//! Such a function declares all of its fields before it leaves by `?`: a key that it hasn't declared is unknown.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::context::{Context, Type, parse};
use super::error::suggest;
use super::tree::{Entry, Kind, Node, Position, shorten};
use super::{json, yaml};

enum Mode<'f, 'c> {
    Parse { position: Position, entries: &'f [Entry], context: &'f mut Context<'c> },
    Schema { properties: Map<String, Value>, required: Vec<&'static str>, rules: Vec<Value> },
}

/// The fields of one object, while they are declared.
pub(super) struct Fields<'f, 'c> {
    mode: Mode<'f, 'c>,
    declared: Vec<&'static str>,
    errors_before: usize,
}

impl<'c> Fields<'_, 'c> {
    /// A field that has to be there.
    pub(super) fn required<T: Type>(&mut self, key: &'static str, about: &str, kind: T) -> Option<T::Value> {
        self.declare(key, about, || kind.schema(), None);
        match &mut self.mode {
            Mode::Schema { required, .. } => {
                required.push(key);
                None
            }
            Mode::Parse { position, entries, context } => match entry(entries, key) {
                Some(entry) => parse(&kind, &entry.value, context),
                None => {
                    context.error(*position, format!("\"{key}\" is missing: {}", lower_first(about)));
                    None
                }
            },
        }
    }

    /// A field that may be left out. `None` also when it is wrong.
    pub(super) fn optional<T: Type>(&mut self, key: &'static str, about: &str, kind: T) -> Option<T::Value> {
        self.declare(key, about, || kind.schema(), None);
        match &mut self.mode {
            Mode::Schema { .. } => None,
            Mode::Parse { entries, context, .. } => parse(&kind, &entry(entries, key)?.value, context),
        }
    }

    /// A field with a default, which is written as it would be in the file.
    pub(super) fn default<T: Type>(
        &mut self,
        key: &'static str,
        about: &str,
        kind: T,
        default: &str,
    ) -> Option<T::Value> {
        self.declare(key, about, || kind.schema(), Some(default));
        match &mut self.mode {
            Mode::Schema { .. } => None,
            Mode::Parse { entries, context, position } => match entry(entries, key) {
                Some(entry) => parse(&kind, &entry.value, context),
                None => {
                    let mut node = default_node(default, context.file)?;
                    node.position = *position;
                    parse(&kind, &node, context)
                }
            },
        }
    }

    /// Exactly one of these fields has to be there.
    pub(super) fn exactly_one(&mut self, keys: &[&'static str], otherwise: &str) {
        match &mut self.mode {
            Mode::Schema { rules, .. } => {
                let one_of: Vec<Value> = keys.iter().map(|key| json!({"required": [key]})).collect();
                rules.push(json!({"oneOf": one_of}));
            }
            Mode::Parse { position, entries, context } => {
                let present: Vec<&Entry> = entries.iter().filter(|entry| keys.contains(&entry.key.as_str())).collect();
                match present[..] {
                    [] => context.error(*position, format!("{otherwise}: one of {} is needed", keys.join(", "))),
                    [_] => {}
                    [first, second, ..] => context.error(second.position, excluding(first, second)),
                }
            }
        }
    }

    /// No two of these fields may be there.
    pub(super) fn at_most_one(&mut self, keys: &[&'static str]) {
        match &mut self.mode {
            Mode::Schema { rules, .. } => rules.push(json!({"not": {"required": keys}})),
            Mode::Parse { entries, context, .. } => {
                let mut present = entries.iter().filter(|entry| keys.contains(&entry.key.as_str()));
                if let (Some(first), Some(second)) = (present.next(), present.next()) {
                    context.error(second.position, excluding(first, second));
                }
            }
        }
    }

    /// At least one of these fields has to be there.
    pub(super) fn at_least_one(&mut self, keys: &[&'static str], otherwise: &str) {
        match &mut self.mode {
            Mode::Schema { rules, .. } => {
                let any_of: Vec<Value> = keys.iter().map(|key| json!({"required": [key]})).collect();
                rules.push(json!({"anyOf": any_of}));
            }
            Mode::Parse { position, entries, context } => {
                if !entries.iter().any(|entry| keys.contains(&entry.key.as_str())) {
                    context.error(*position, format!("{otherwise}: at least one of {} is needed", keys.join(", ")));
                }
            }
        }
    }

    /// Where the field's value stands, or the object where it doesn't.
    pub(super) fn position(&self, key: &str) -> Position {
        match &self.mode {
            Mode::Schema { .. } => (1, 1),
            Mode::Parse { position, entries, .. } => {
                entry(entries, key).map_or(*position, |entry| entry.value.position)
            }
        }
    }

    /// Whether the field is in the file, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        matches!(&self.mode, Mode::Parse { entries, .. } if entry(entries, key).is_some())
    }

    /// Whether nothing was wrong in this object so far: rules that span fields only make sense then.
    pub(super) fn is_valid(&self) -> bool {
        matches!(&self.mode, Mode::Parse { context, .. } if context.errors.len() == self.errors_before)
    }

    /// Notes a mistake of several fields together.
    pub(super) fn error(&mut self, position: Position, message: impl Into<String>) {
        if let Mode::Parse { context, .. } = &mut self.mode {
            context.error(position, message);
        }
    }

    /// The walk's context; `None` while the schema is made.
    pub(super) fn context(&mut self) -> Option<&mut Context<'c>> {
        match &mut self.mode {
            Mode::Schema { .. } => None,
            Mode::Parse { context, .. } => Some(context),
        }
    }

    fn declare(&mut self, key: &'static str, about: &str, schema: impl FnOnce() -> Value, default: Option<&str>) {
        self.declared.push(key);
        let Mode::Schema { properties, .. } = &mut self.mode else { return };
        let mut schema = schema();
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".to_owned(), Value::from(about));
            if let Some(node) = default.and_then(|default| default_node(default, Path::new("default"))) {
                schema.insert("default".to_owned(), json::plain(&node));
            }
        }
        properties.insert(key.to_owned(), schema);
    }
}

fn entry<'e>(entries: &'e [Entry], key: &str) -> Option<&'e Entry> {
    entries.iter().find(|entry| entry.key == key)
}

fn excluding(first: &Entry, second: &Entry) -> String {
    format!("\"{}\" and \"{}\" exclude each other; keep one of them", first.key, second.key)
}

/// The node of a default; every default is parsed by a test.
fn default_node(text: &str, file: &Path) -> Option<Node> {
    yaml::parse(text, file, &|_| None).ok().map(|tree| tree.root)
}

/// The first sentence of a description, to stand after a colon.
fn lower_first(text: &str) -> String {
    let text = text.split(". ").next().unwrap_or(text).trim_end_matches('.');
    let mut characters = text.chars();
    match (characters.next(), text.chars().nth(1)) {
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(characters).collect(),
        _ => text.to_owned(),
    }
}

/// An object, by the function that declares its fields.
pub(super) struct Object<T>(pub(super) fn(&mut Fields<'_, '_>) -> Option<T>);

impl<T> Type for Object<T> {
    type Value = T;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<T> {
        let entries: &[Entry] = match &node.kind {
            Kind::Map(entries) => entries,
            _ => {
                context.error(node.position, format!("expected an object, found {}", node.describe()));
                return None;
            }
        };
        let errors_before = context.errors.len();
        let mode = Mode::Parse { position: node.position, entries, context };
        let mut fields = Fields { mode, declared: Vec::new(), errors_before };
        let value = (self.0)(&mut fields);
        let Fields { declared, mode: Mode::Parse { context, .. }, .. } = fields else { return None };
        for entry in entries.iter().filter(|entry| !declared.contains(&entry.key.as_str())) {
            let hint = suggest(&entry.key, declared.iter().copied());
            let shown = match node.secret {
                true => " (not shown)".to_owned(),
                false => format!(" \"{}\"", shorten(&entry.key)),
            };
            context.error(entry.position, format!("unknown key{shown}; {hint}"));
        }
        value
    }

    fn schema(&self) -> Value {
        let mode = Mode::Schema { properties: Map::new(), required: Vec::new(), rules: Vec::new() };
        let mut fields = Fields { mode, declared: Vec::new(), errors_before: 0 };
        // Leaves at its first `?`, after everything was declared.
        let _ = (self.0)(&mut fields);
        let Mode::Schema { properties, required, rules } = fields.mode else { return Value::Null };
        let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if !rules.is_empty() {
            schema["allOf"] = Value::Array(rules);
        }
        schema
    }
}
