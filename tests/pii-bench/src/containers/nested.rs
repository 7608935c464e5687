//! One format inside a string of another: the arguments of tool calls, queue messages, form values.

use fastrand::Rng;
use serde_json::{Value, json};

use super::{Container, any, form, json};
use crate::item::Item;

pub(super) const ALL: &[Container] = &[
    of("JSON in JSON", |rng, items| nest(rng, items, 1)),
    of("JSON in JSON, 2 levels", |rng, items| nest(rng, items, 2)),
    of("JSON in JSON, 3 levels", |rng, items| nest(rng, items, 3)),
    Container {
        name: "form in JSON",
        content_type: "application/json",
        holds: any,
        write: |_, items| json!({"id": 7, "body": form::pairs(items)}).to_string().into_bytes(),
        read: |bytes| {
            let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("invalid JSON: {error}"))?;
            form::read(value["body"].as_str().ok_or("no body")?.as_bytes())
        },
    },
    Container {
        name: "JSON in form",
        content_type: "application/x-www-form-urlencoded",
        holds: any,
        write: |_, items| format!("id=7&payload={}", form::encoded(&document(items))).into_bytes(),
        read: |bytes| {
            let text = form::read(bytes)?;
            let inner = text.split_once("payload\n").ok_or("no payload")?.1;
            json::read(inner.trim_end().as_bytes())
        },
    },
];

const fn of(name: &'static str, write: fn(&mut Rng, &[Item]) -> Vec<u8>) -> Container {
    Container { name, content_type: "application/json", holds: any, write, read }
}

fn read(bytes: &[u8]) -> Result<String, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("invalid JSON: {error}"))?;
    let mut out = String::new();
    json::walk(&value, &mut out, 3)?;
    Ok(out)
}

fn document(items: &[Item]) -> String {
    items.iter().map(|item| json!({item.name.key: item.whole()})).collect::<Value>().to_string()
}

/// Prose in which a line break stands right before the value, as tools write it, and members with names.
fn nest(rng: &mut Rng, items: &[Item], levels: usize) -> Vec<u8> {
    let member = |item: &Item| {
        if rng.bool() {
            json!({"text": format!("{}\n{}", item.name.words.trim_end(), item.whole())})
        } else {
            json!({item.name.key: item.whole()})
        }
    };
    let mut text = items.iter().map(member).collect::<Value>().to_string();
    for _ in 0..levels {
        text = json!({"name": "send", "arguments": text}).to_string();
    }
    text.into_bytes()
}
