//! JSON documents (RFC 8259) that announce a value in different ways.

use fastrand::Rng;
use serde_json::{Value, json};

use super::{Container, any, text};
use crate::item::Item;
use crate::values::one_of;

const TYPE: &str = "application/json";

pub(super) const ALL: &[Container] = &[
    of("JSON", any, |rng, items| {
        array(items.iter().map(|item| json!({"id": rng.u32(1..99), item.name.key: item.whole()})))
    }),
    of("JSON prose", any, |rng, items| array(items.iter().map(|item| json!({"message": item.sentence(rng)})))),
    of("JSON text of lines", any, |rng, items| json!({"text": text::text(rng, items)}).to_string().into_bytes()),
    of("JSON parent", any, |rng, items| {
        array(items.iter().map(|item| {
            let member = one_of(rng, &["nummer", "value", "number", "verdi"]);
            json!({item.name.key: {"land": "NO", member: item.whole()}})
        }))
    }),
    of("JSON sibling", any, |rng, items| {
        array(items.iter().map(|item| {
            let (name, value) =
                [("type", "number"), ("name", "value"), ("system", "value"), ("key", "value")][rng.usize(..4)];
            json!({name: item.name.key, value: item.whole()})
        }))
    }),
    of("JSON array", any, |_, items| array(items.iter().map(|item| json!({item.name.key: [item.whole(), "-"]})))),
    of("JSON columns and rows", any, |_, items| {
        let columns: Vec<&str> = items.iter().map(|item| item.name.key).collect();
        let row: Vec<String> = items.iter().map(Item::whole).collect();
        json!({"columns": columns, "rows": [row]}).to_string().into_bytes()
    }),
    of("JSON number", is_number, |rng, items| {
        let member = |item: &Item| format!("{{\"id\": {}, \"{}\": {}}}", rng.u32(1..99), item.name.key, item.text);
        format!("[{}]", items.iter().map(member).collect::<Vec<_>>().join(", ")).into_bytes()
    }),
    of("JSON, escaped", any, |_, items| {
        let member = |item: &Item| format!("{{\"{}\":\"{}\"}}", item.name.key, escaped(&item.whole()));
        format!("[{}]", items.iter().map(member).collect::<Vec<_>>().join(",")).into_bytes()
    }),
    of("JSON member name", any, |_, items| array(items.iter().map(|item| json!({item.name.key: {item.whole(): 1}})))),
];

const fn of(name: &'static str, holds: fn(&Item) -> bool, write: fn(&mut Rng, &[Item]) -> Vec<u8>) -> Container {
    Container { name, content_type: TYPE, holds, write, read }
}

/// Digits that a JSON number can be.
fn is_number(item: &Item) -> bool {
    let digits = item.text.bytes().all(|byte| byte.is_ascii_digit());
    item.before.is_empty() && digits && !item.text.starts_with('0') && item.text.len() < 20
}

fn array(values: impl Iterator<Item = Value>) -> Vec<u8> {
    Value::Array(values.collect()).to_string().into_bytes()
}

/// Every character as `\uXXXX`.
fn escaped(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// The names and values of a document, each on a line.
pub(super) fn read(bytes: &[u8]) -> Result<String, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("invalid JSON: {error}"))?;
    let mut out = String::new();
    walk(&value, &mut out, 0)?;
    Ok(out)
}

/// Writes the texts of a value; strings down to so many levels have to be JSON documents themselves where they begin like
/// one.
pub(super) fn walk(value: &Value, out: &mut String, inner: usize) -> Result<(), String> {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                out.push_str(name);
                out.push('\n');
                walk(value, out, inner)?;
            }
        }
        Value::Array(elements) => elements.iter().try_for_each(|element| walk(element, out, inner))?,
        Value::String(text) if inner > 0 && text.starts_with(['{', '[']) => {
            let value = serde_json::from_str(text).map_err(|error| format!("invalid JSON in a string: {error}"))?;
            walk(&value, out, inner - 1)?;
        }
        Value::String(text) => {
            out.push_str(text);
            out.push('\n');
        }
        scalar => {
            out.push_str(&scalar.to_string());
            out.push('\n');
        }
    }
    Ok(())
}
