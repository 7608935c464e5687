//! What the documents say is what the program does.

use std::path::Path;

use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};
use serde_json::Value;

const README: &str = include_str!("../../README.md");
const REFERENCE: &str = include_str!("../../gateway/docs/configuration.md");
const HELLO: &str = include_str!("../../examples/hello-plugin/src/lib.rs");

/// A key of the configuration, as a row of the reference.
#[derive(Debug, PartialEq)]
struct Row {
    /// Written as `routes[].match.path.prefix`.
    key: String,
    default: String,
    meaning: String,
}

/// What stands under `Default`: nothing for what is empty or left out.
fn default(owner: &Value, name: &str, node: &Value) -> String {
    let required = owner["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
    match &node["default"] {
        _ if required => "**required**".to_owned(),
        Value::Null => String::new(),
        Value::Array(list) if list.is_empty() => String::new(),
        Value::Object(object) if object.is_empty() => String::new(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(list) => format!("`[{}]`", list.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")),
        other => format!("`{other}`"),
    }
}

/// Every key of the schema.
fn keys(schema: &Value, node: &Value, prefix: &str, depth: usize, found: &mut Vec<Row>) {
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
        let meaning = child["description"].as_str().unwrap_or_default().to_owned();
        found.push(Row { key, default: default(node, name, child), meaning });
    }
    let list = prefix.trim_end_matches('.');
    keys_of(schema, &node["items"], &format!("{list}[]."), depth, found);
    keys_of(schema, &node["additionalProperties"], &format!("{prefix}NAME."), depth, found);
    for choice in ["oneOf", "anyOf"] {
        let options = node[choice].as_array().map_or(&[][..], Vec::as_slice);
        // A list of what can stand there alone has the same keys once more.
        for option in options.iter().filter(|option| !options.contains(&option["items"])) {
            keys(schema, option, prefix, depth + 1, found);
        }
    }
}

fn keys_of(schema: &Value, node: &Value, prefix: &str, depth: usize, found: &mut Vec<Row>) {
    if node.is_object() {
        keys(schema, node, prefix, depth + 1, found);
    }
}

#[test]
fn the_configuration_reference_says_exactly_what_the_schema_says() {
    let schema = gateway::config::schema();
    let mut wanted = Vec::new();
    keys(&schema, &schema, "", 0, &mut wanted);
    assert!(wanted.len() > 80, "the walk found only {} keys", wanted.len());
    let documented: Vec<Row> = REFERENCE
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter_map(|(key, rest)| Some((key, rest.strip_suffix(" |")?.split_once(" | ")?)))
        .map(|(key, (default, meaning))| Row {
            key: key.into(),
            default: default.trim().into(),
            meaning: meaning.into(),
        })
        .collect();
    let lacking: Vec<&Row> = wanted.iter().filter(|row| !documented.contains(row)).collect();
    let untrue: Vec<&Row> = documented.iter().filter(|row| !wanted.contains(row)).collect();
    assert!(lacking.is_empty() && untrue.is_empty(), "configuration.md lacks {lacking:#?} and has {untrue:#?}");
}

#[test]
fn every_metric_of_the_plugins_is_in_their_readme() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let mut metrics = 0;
    let plugins = std::fs::read_dir(plugins).expect("readable").map(|plugin| plugin.expect("readable").path());
    for plugin in plugins.filter(|plugin| plugin.is_dir()) {
        let readme = std::fs::read_to_string(plugin.join("README.md")).expect("a README");
        for file in std::fs::read_dir(plugin.join("src")).expect("readable").map(|file| file.expect("readable").path())
        {
            let Ok(code) = std::fs::read_to_string(file) else { continue };
            for name in code.split("metrics::count(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                metrics += 1;
                assert!(readme.contains(name) && readme.contains("gateway_plugin_custom_"), "{name} of {plugin:?}");
            }
        }
    }
    assert!(metrics > 6, "only {metrics}");
}

fn yaml(document: &str) -> Vec<&str> {
    document.split("```yaml\n").skip(1).filter_map(|after| after.split_once("```")).map(|(yaml, _)| yaml).collect()
}

#[test]
fn every_configuration_of_the_readme_is_accepted() {
    let blocks = yaml(README);
    assert_eq!(blocks.len(), 2);
    for yaml in blocks {
        if let Err(errors) = gateway::config::parse(yaml, Path::new("gateway.yaml"), &|_| None) {
            panic!("{errors}\n{yaml}");
        }
    }
}

#[test]
fn the_first_configuration_of_the_readme_answers_the_curl_line_behind_it() {
    let line = README.lines().find(|line| line.starts_with("curl -ki ")).expect("a curl line");
    let (_, rest) = line.split_once("https://localhost:8443").expect("the listener's address");
    let path = rest.split(' ').next().unwrap_or_default();
    let service = Upstream::start(|seen| text(200, format!("{} is in stock", seen.target)));
    let yaml = yaml(README)[0]
        .replace("0.0.0.0:8443", "127.0.0.1:0")
        .replace("127.0.0.1:9901", "127.0.0.1:0")
        .replace("127.0.0.1:5000", &service.address().to_string());
    let gateway = TestGateway::start(&yaml, &[]);
    let response = Client::tls("http1", gateway.address(), "localhost").get(path);
    assert_eq!((response.status, response.text()), (200, format!("{path} is in stock")));
    service.kill();
    let response = Client::tls("http1", gateway.address(), "localhost").get(path);
    assert_eq!(response.status, 502);
    assert!(!response.header("proxy-status").is_empty(), "it says why");
}

/// The configurations in the plugins' READMEs, in a gateway with those plugins.
#[test]
fn every_configuration_of_a_plugins_readme_is_accepted_by_the_plugin() {
    let mut tried = 0;
    for plugin in ["auth", "pii-redact"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(plugin).join("README.md");
        let document = std::fs::read_to_string(file).expect("a README");
        for shown in yaml(&document) {
            let name = if plugin == "auth" { "orders" } else { "customers" };
            let service = format!("  {name}: {{endpoints: [\"127.0.0.1:5000\"]}}\n");
            let shown = match shown.split_once("upstreams:\n") {
                Some((before, after)) => format!("{before}upstreams:\n{service}{after}"),
                None => format!("{shown}upstreams:\n{service}"),
            };
            let shown = shown.replace("{env: PII_SECRET}", "{value: a-secret-of-the-test}");
            let yaml = format!("listeners: [{{name: clear, address: \"127.0.0.1:0\"}}]\n{shown}");
            TestGateway::start(&yaml, &[plugin]);
            tried += 1;
        }
    }
    assert_eq!(tried, 2);
}

#[test]
fn parts_of_the_reference_are_accepted() {
    let around = "listeners: [{name: a, address: \"127.0.0.1:0\"}]\nupstreams: {\
                  a: {endpoints: [\"a:1\"]}, b: {endpoints: [\"b:1\"]}, shop: {endpoints: [\"c:1\"]}, acme: {endpoints: [\"d:1\"]}}\n";
    let blocks = yaml(REFERENCE);
    assert_eq!(blocks.len(), 4);
    for yaml in blocks {
        let rest = match yaml.starts_with("plugins:") {
            true => "routes: []\n",
            false => "plugins: {directory: plugins}\n",
        };
        let config = gateway::config::parse(&format!("{around}{rest}{yaml}"), Path::new("gateway.yaml"), &|_| None);
        assert!(config.is_ok(), "{config:?}\n{yaml}");
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

#[test]
fn the_variables_of_the_reference_are_those_that_there_are() {
    let (_, after) = REFERENCE.split_once("## Variables\n").expect("a section");
    let section = after.split("\n## ").next().unwrap_or_default();
    let documented: Vec<(&str, &str)> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | ")).collect();
    let known: Vec<_> = gateway::model::VARIABLES.iter().map(|(name, _, about)| (*name, *about)).collect();
    assert_eq!(documented, known);
}
