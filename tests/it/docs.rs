//! What the documents say is what the program does.

use std::path::Path;

use serde_json::Value;

const README: &str = include_str!("../../README.md");
const REFERENCE: &str = include_str!("../../gateway/docs/configuration.md");
const HELLO: &str = include_str!("../../examples/hello-plugin/src/lib.rs");

/// Every key of the schema, written as in the reference: `routes[].match.path.prefix`.
fn keys(schema: &Value, node: &Value, prefix: &str, depth: usize, found: &mut Vec<String>) {
    let node = match node["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        Some(name) => &schema["$defs"][name],
        None => node,
    };
    if depth > 8 {
        return;
    }
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        let key = format!("{prefix}{name}");
        keys(schema, child, &format!("{key}."), depth + 1, found);
        found.push(key);
    }
    let list = prefix.trim_end_matches('.');
    keys_of(schema, &node["items"], &format!("{list}[]."), depth, found);
    keys_of(schema, &node["additionalProperties"], &format!("{prefix}NAME."), depth, found);
    for choice in ["oneOf", "anyOf"] {
        for option in node[choice].as_array().into_iter().flatten() {
            keys(schema, option, prefix, depth + 1, found);
        }
    }
}

fn keys_of(schema: &Value, node: &Value, prefix: &str, depth: usize, found: &mut Vec<String>) {
    if node.is_object() {
        keys(schema, node, prefix, depth + 1, found);
    }
}

#[test]
fn the_configuration_reference_has_exactly_the_keys_of_the_schema() {
    let schema = gateway::config::schema();
    let mut wanted = Vec::new();
    keys(&schema, &schema, "", 0, &mut wanted);
    assert!(wanted.len() > 80, "the walk found only {} keys", wanted.len());
    let documented: Vec<&str> =
        REFERENCE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(key, _)| key).collect();
    for key in &wanted {
        assert!(documented.contains(&key.as_str()), "{key} is missing in gateway/docs/configuration.md");
    }
    for key in documented {
        assert!(wanted.iter().any(|known| known == key), "{key} is documented and does not exist");
    }
}

#[test]
fn every_configuration_of_the_readme_is_accepted() {
    let blocks: Vec<&str> =
        README.split("```yaml\n").skip(1).filter_map(|after| after.split_once("```")).map(|(yaml, _)| yaml).collect();
    assert_eq!(blocks.len(), 2);
    for yaml in blocks {
        if let Err(errors) = gateway::config::parse(yaml, Path::new("gateway.yaml"), &|_| None) {
            panic!("{errors}\n{yaml}");
        }
    }
}

#[test]
fn the_readme_shows_hello_plugin_as_it_is() {
    let (_, after) = README.split_once("```rust\n").expect("the README shows a plugin");
    let (shown, _) = after.split_once("```").expect("the block ends");
    let code = HELLO.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().skip_while(|line| line.starts_with("//!") || line.is_empty()).collect();
    assert_eq!(shown.trim(), code.join("\n").trim());
    let lines = code.iter().filter(|line| !line.trim().is_empty() && !line.trim().starts_with("//")).count();
    assert!(lines <= 20, "hello-plugin has {lines} lines of code");
}
