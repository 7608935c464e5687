//! The schema and the parser agree.

use serde_json::Value;

use super::super::json::plain;
use super::super::{schema, yaml};
use super::{EXAMPLE, parse};

/// Enough of JSON Schema for the words that the schema uses; an unknown word is a failure.
fn violations(schema: &Value, root: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let check = |schema: &Value, value: &Value, at: &str| {
        let mut found = Vec::new();
        violations(schema, root, value, at, &mut found);
        found
    };
    let matches = |schemas: &Value| {
        schemas.as_array().unwrap().iter().filter(|schema| check(schema, value, at).is_empty()).count()
    };
    for (word, rule) in schema.as_object().unwrap() {
        let valid = match word.as_str() {
            "description" | "default" | "title" | "$schema" | "$defs" | "properties" => true,
            "$ref" => {
                check(root.pointer(rule.as_str().unwrap().trim_start_matches('#')).unwrap(), value, at).is_empty()
            }
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "integer" => value.is_u64(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                other => panic!("type {other}"),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "anyOf" => matches(rule) >= 1,
            "oneOf" => matches(rule) == 1,
            "not" => !check(rule, value, at).is_empty(),
            "allOf" => matches(rule) == rule.as_array().unwrap().len(),
            "required" => rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= rule.as_u64().unwrap()),
            "pattern" => {
                value.as_str().is_none_or(|text| regex::Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(check(rule, item, &format!("{at}/{index}")));
                }
                true
            }
            "additionalProperties" => {
                for (key, member) in value.as_object().into_iter().flatten() {
                    let at = format!("{at}/{key}");
                    match (schema["properties"].get(key), rule) {
                        (Some(schema), _) => found.extend(check(schema, member, &at)),
                        (None, Value::Bool(false)) => found.push(format!("{at}: unknown")),
                        (None, rule) => found.extend(check(rule, member, &at)),
                    }
                }
                true
            }
            other => panic!("the schema uses {other}"),
        };
        if !valid {
            found.push(format!("{at}: {word} {rule}"));
        }
    }
}

fn validate(text: &str) -> Vec<String> {
    let value = plain(&yaml::parse(text, "gateway.yaml".as_ref(), &|_| None).unwrap().root);
    let schema = schema();
    let mut found = Vec::new();
    violations(&schema, &schema, &value, "", &mut found);
    found
}

#[test]
fn the_example_is_valid() {
    assert_eq!(validate(EXAMPLE), Vec::<String>::new());
}

#[test]
fn mistakes_are_not_valid() {
    for (from, to, at) in [
        ("keepalive: 64", "keepalive: -1", "/upstreams/inventory/keepalive"),
        ("keepalive: 64", "keep_alive: 64", "/upstreams/inventory/keep_alive"),
        ("protocol: http1", "protocol: http9", "/upstreams/inventory/protocol"),
        ("connect: 1s", "connect: 1", "/upstreams/inventory/timeouts/connect"),
        ("    upstream: inventory\n", "", "/routes/0"),
        ("backend: memory", "backend: redis", "/state/backend"),
    ] {
        let text = EXAMPLE.replace(from, to);
        assert_ne!(text, EXAMPLE, "{from}");
        let found = validate(&text);
        assert!(found.iter().any(|found| found.starts_with(&format!("{at}:"))), "{at}: {found:?}");
    }
}

/// Calls back for every key that the schema has, with a document that contains the key with a wrong value.
fn each_key(schema: &Value, wrap: &dyn Fn(Value) -> Value, path: &str, visit: &mut dyn FnMut(&str, Value)) {
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{key}");
        let wrap = |value: Value| wrap(serde_json::json!({ key: value }));
        // A list where a scalar or an object is expected, and the other way round, is never an unknown key.
        visit(&path, wrap(serde_json::json!("?")));
        each_key(property, &wrap, &path, visit);
    }
    if let Some(items) = schema.get("items") {
        each_key(items, &|value| wrap(serde_json::json!([value])), &format!("{path}/0"), visit);
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        each_key(values, &|value| wrap(serde_json::json!({"x": value})), &format!("{path}/x"), visit);
    }
    for schema in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        each_key(schema, wrap, path, visit);
    }
}

#[test]
fn the_parser_knows_every_key_of_the_schema_and_no_other() {
    let mut seen = Vec::new();
    each_key(&schema(), &|value| value, "", &mut |path, document| {
        let errors = parse(&document.to_string()).unwrap_err().to_string();
        assert!(!errors.contains("unknown key"), "{path}: {errors}");
        let key = path.rsplit('/').next().unwrap();
        let misspelt = document.to_string().replace(&format!("\"{key}\":\"?\""), "\"qqq\":\"?\"");
        let errors = parse(&misspelt).unwrap_err().to_string();
        // Where secrets stand, a key may be one by mistake.
        let shown = if path.starts_with("/secrets/x/") { "(not shown)" } else { "\"qqq\"" };
        assert!(errors.contains(&format!("unknown key {shown}")), "{path}: {errors}");
        seen.push(path.to_owned());
    });
    // Once around: the sections and one key deep in each kind of container.
    for path in [
        "/listeners/0/tls/certificates/0/private_key",
        "/upstreams/x/endpoints/0/weight",
        "/plugins/grants/x/secrets",
        "/routes/0/match/headers/x/regex",
        "/admin/allow_remote",
    ] {
        assert!(seen.iter().any(|seen| seen == path), "{path} is not among {seen:#?}");
    }
}

#[test]
fn every_key_is_described_and_every_default_is_valid() {
    fn walk(schema: &Value, root: &Value, at: &str) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let at = format!("{at}/{key}");
            assert!(property["description"].as_str().is_some_and(|text| text.ends_with('.')), "{at}");
            if let Some(default) = property.get("default") {
                let mut found = Vec::new();
                violations(property, root, default, &at, &mut found);
                assert_eq!(found, Vec::<String>::new());
            }
            walk(property, root, &at);
        }
        for word in ["items", "additionalProperties"] {
            schema.get(word).filter(|schema| schema.is_object()).into_iter().for_each(|schema| walk(schema, root, at));
        }
        schema.get("anyOf").and_then(Value::as_array).into_iter().flatten().for_each(|schema| walk(schema, root, at));
    }
    let schema = schema();
    walk(&schema, &schema, "");
}
