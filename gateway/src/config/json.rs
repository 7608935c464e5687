//! A sub-tree as JSON, for a plugin's config, with the place of every pointer.

use serde_json::{Map, Value};

use super::context::{Context, Type};
use super::tree::{Kind, Node, Position};
use super::types::NO_VARIABLES;
use super::value::core_schema;
use crate::model::{Hidden, Positions};

/// An object that the gateway doesn't read itself: it comes out as JSON, in the order of the file. `5` is a number,
/// `"5"` is text.
pub(super) struct AnyObject;

impl Type for AnyObject {
    type Value = (Value, Positions, Hidden);

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<(Value, Positions, Hidden)> {
        if !matches!(node.kind, Kind::Map(_)) {
            context.error(node.position, format!("expected an object, found {}", node.describe()));
            return None;
        }
        let mut positions = Positions::default();
        let errors = context.errors.len();
        let value = convert(node, node.position, &mut String::new(), &mut positions, Some(context));
        let mut hidden = Hidden::default();
        hide(node, &mut hidden);
        (context.errors.len() == errors).then_some((value, positions, hidden))
    }

    fn schema(&self) -> Value {
        serde_json::json!({"type": "object"})
    }
}

/// The value alone, for defaults in the schema.
pub(super) fn plain(node: &Node) -> Value {
    convert(node, node.position, &mut String::new(), &mut Positions::default(), None)
}

/// Notes the values that may not be shown. The tree's depth is bounded.
fn hide(node: &Node, hidden: &mut Hidden) {
    match &node.kind {
        Kind::Failed => {}
        Kind::Scalar(scalar) => {
            scalar.brought.iter().for_each(|value| hidden.add(value));
            if node.secret {
                hidden.add(&scalar.text);
            }
        }
        Kind::List(items) => items.iter().for_each(|item| hide(item, hidden)),
        Kind::Map(entries) => entries.iter().for_each(|entry| hide(&entry.value, hidden)),
    }
}

/// `place` is where a reader should look: a member's key, a list's item. The tree's depth is bounded.
fn convert(
    node: &Node,
    place: Position,
    pointer: &mut String,
    positions: &mut Positions,
    mut context: Option<&mut Context<'_>>,
) -> Value {
    positions.0.insert(pointer.clone(), place);
    let length = pointer.len();
    match &node.kind {
        Kind::Failed => Value::Null,
        Kind::Scalar(scalar) if scalar.variables => {
            if let Some(context) = context {
                context.error(node.position, format!("{} {NO_VARIABLES}", node.describe()));
            }
            Value::Null
        }
        Kind::Scalar(scalar) if !scalar.plain => Value::String(scalar.text.clone()),
        Kind::Scalar(scalar) => core_schema(&scalar.text).unwrap_or_else(|message| {
            if let Some(context) = context {
                context.error(node.position, format!("{} {message}", node.describe()));
            }
            Value::Null
        }),
        Kind::List(items) => {
            let convert_item = |(index, item): (usize, &Node)| {
                pointer.push_str(&format!("/{index}"));
                let value = convert(item, item.position, pointer, positions, context.as_deref_mut());
                pointer.truncate(length);
                value
            };
            Value::Array(items.iter().enumerate().map(convert_item).collect())
        }
        Kind::Map(entries) => {
            let mut object = Map::new();
            for entry in entries {
                // RFC 6901 section 3.
                pointer.push('/');
                pointer.push_str(&entry.key.replace('~', "~0").replace('/', "~1"));
                let value = convert(&entry.value, entry.position, pointer, positions, context.as_deref_mut());
                pointer.truncate(length);
                object.insert(entry.key.clone(), value);
            }
            Value::Object(object)
        }
    }
}
