//! YAML text to JSON values, as far as cases need it: the core schema, and values that are named and used again.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// A list or an object that is not at its end, with the number under which it can be used again.
enum Open {
    List(Vec<Value>, usize),
    Object(Map<String, Value>, Option<String>, usize),
}

/// The value of a text.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let (mut open, mut named, mut root) = (Vec::new(), HashMap::new(), None);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let at = |what: &str| format!("line {}: {what}", span.start.line());
        let (value, anchor) = match event {
            Event::SequenceStart(anchor, _) => {
                open.push(Open::List(Vec::new(), anchor));
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open::Object(Map::new(), None, anchor));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items, anchor)) => (Value::Array(items), anchor),
                Some(Open::Object(fields, _, anchor)) => (Value::Object(fields), anchor),
                None => return Err(at("an end without a beginning")),
            },
            Event::Scalar(text, style, anchor, _) => {
                if let Some(Open::Object(fields, key @ None, _)) = open.last_mut() {
                    if fields.contains_key(&*text) {
                        return Err(at(&format!("the key {text:?} is there twice")));
                    }
                    *key = Some(text.into_owned());
                    continue;
                }
                (scalar(&text, style), anchor)
            }
            Event::Alias(anchor) => (named.get(&anchor).cloned().ok_or_else(|| at("an alias of nothing"))?, 0),
            _ => continue,
        };
        if anchor != 0 {
            named.insert(anchor, Value::clone(&value));
        }
        match open.last_mut() {
            None => root = Some(value),
            Some(Open::List(items, _)) => items.push(value),
            Some(Open::Object(fields, key, _)) => {
                let key = key.take().ok_or_else(|| at("a key that is no text"))?;
                fields.insert(key, value);
            }
        }
    }
    root.ok_or_else(|| "there is nothing in it".to_owned())
}

/// What a text without quotes is.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" => return Value::Null,
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    // What JSON takes for a number is one here too.
    serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| Value::from(text), Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_yaml_writes_is_what_json_means() {
        let text = "a: &one {b: [1, 2.5, '3', ~, true]}\nc: *one\nd: |\n  two\n  lines\ne: -x\n";
        let one = json!({"b": [1, 2.5, "3", null, true]});
        assert_eq!(parse(text), Ok(json!({"a": one, "c": one, "d": "two\nlines\n", "e": "-x"})));
        let json = r#"[{"name": "a", "n": null}]"#;
        assert_eq!(parse(json), Ok(serde_json::from_str(json).unwrap()));
        for wrong in ["", "a: [", "a: 1\na: 2", "? [a]\n: b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
