//! What is built of other types: lists, objects with chosen keys, alternatives.

use serde_json::{Value, json};

use crate::config::context::{Context, Placed, Type, parse};
use crate::config::tree::{Kind, Node, shorten};

/// A list; the items that are wrong are reported together.
pub(in crate::config) struct List<T>(pub(in crate::config) T);

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
pub(in crate::config) struct NonEmpty<T>(pub(in crate::config) T);

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
pub(in crate::config) struct Several<T>(pub(in crate::config) T);

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

/// Keeps the place of a value, for messages that need other parts of the file.
pub(in crate::config) struct At<T>(pub(in crate::config) T);

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
pub(in crate::config) struct Named<T> {
    /// What a key must be.
    pub(in crate::config) key: fn(&str) -> Result<(), String>,
    /// The values.
    pub(in crate::config) value: T,
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
pub(in crate::config) struct ObjectOr<O, S> {
    /// Where it is an object.
    pub(in crate::config) object: O,
    /// Where it is not.
    pub(in crate::config) other: S,
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
pub(in crate::config) struct OrOff<T>(pub(in crate::config) T);

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
