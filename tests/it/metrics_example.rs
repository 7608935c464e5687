//! `examples/observability`: what its dashboard and its alert rules name is there, and its files are good ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::prometheus::promtool;
use gateway_tests::upstream::{Upstream, text};
use serde_json::Value;

use crate::examples::example;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/observability")
}

fn file(name: &str) -> String {
    std::fs::read_to_string(directory().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What the page has: by sample, and by family, the names of the labels.
type Samples = BTreeMap<String, BTreeSet<String>>;

fn samples(page: &str) -> Samples {
    let mut samples = Samples::new();
    for line in page.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next()) {
            // A native histogram is the family itself.
            samples.entry(family.to_owned()).or_default();
        } else if !line.starts_with('#') {
            let (name, labels) = line.split_once('{').unwrap_or((line.split(' ').next().unwrap_or_default(), ""));
            let labels: BTreeSet<String> =
                labels.split("\",").filter_map(|label| Some(label.split_once("=\"")?.0.to_owned())).collect();
            let native = name.strip_suffix("_count").unwrap_or(name).to_owned();
            for name in [name.to_owned(), native] {
                samples.entry(name).or_default().extend(labels.clone());
            }
        }
    }
    samples
}

/// The gateway of the example after a call of everything, with everything that can fail failed.
fn page_after_traffic() -> String {
    let upstream = Upstream::start(|seen| text(if seen.target.contains("bad") { 500 } else { 200 }, ""));
    let yaml = [
        ("../../target/plugins", "plugins"),
        ("127.0.0.1:5000", &upstream.address().to_string()),
        ("requests: 100, per: 1s", "requests: 20, per: 1h"),
        // Nobody takes it, which has to be seen too.
        ("http://127.0.0.1:4317", "http://127.0.0.1:1"),
        ("interval: 30s", "interval: 1s"),
    ]
    .into_iter()
    .fold(example("observability"), |text, (from, to)| {
        assert!(text.contains(from), "the example has no {from}");
        text.replace(from, to)
    });
    let gateway = TestGateway::start(&yaml, &["rate-limit", "circuit-breaker"]);
    let mut client = Client::http1(gateway.listener("clear"));
    assert_eq!(client.get("/health").status, 204);
    assert_eq!(client.get("/orders").status, 200);
    let statuses: BTreeSet<u16> = (0..40).map(|_| client.get("/orders/bad").status).collect();
    assert_eq!(statuses, BTreeSet::from([429, 500, 503]), "failures, an open breaker, a limit");
    Client::tls("http2", gateway.listener("public"), "localhost").get("/health");
    std::fs::write(gateway.directory().join("plugins/rate-limit.wasm"), "no plugin at all").expect("written");
    eventually("all is on the page", || {
        let (_, page) = gateway.admin_page("/metrics");
        let there =
            ["plugin_load_failures_total{", "worker_cpu_seconds_total{", "export_dropped_total{signal=\"metrics\""];
        there.iter().all(|name| page.contains(&format!("gateway_{name}"))).then_some(page)
    })
}

/// The words of an expression that can be names.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || "_:".contains(char);
    expression.split(move |char| !is_part(char)).filter(|word| !word.is_empty())
}

/// The names of metrics, and of the labels that each is asked for.
fn asked(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut asked = Vec::new();
    for (place, _) in expression.match_indices("gateway_").chain(expression.match_indices("process_")) {
        let name = names(&expression[place..]).next().unwrap_or_default();
        let inside =
            expression[..place].chars().next_back().is_some_and(|char| char.is_alphanumeric() || "_:".contains(char));
        if inside || name.contains(':') {
            continue;
        }
        let selector = expression[place + name.len()..].strip_prefix('{').and_then(|rest| rest.split('}').next());
        let matchers = selector.unwrap_or_default().split(',');
        let labels = matchers.filter_map(|matcher| Some(matcher.split(['=', '!']).next()?.trim().to_owned()));
        let ours = labels.filter(|label| !label.is_empty() && label != "job" && label != "instance").collect();
        asked.push((name.to_owned(), ours));
    }
    asked
}

/// The labels that sums keep.
fn grouped(expression: &str) -> BTreeSet<String> {
    let groups = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    let labels = groups.flat_map(|group| group.split(',')).map(|label| label.trim().to_owned());
    labels.filter(|label| label != "instance").collect()
}

/// All strings below the key `expr`, and queries of variables.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), value) {
                    ("expr" | "definition", Value::String(text)) => found.push(text.clone()),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn every_metric_and_label_of_dashboard_and_rules_is_on_the_page() {
    let dashboard: Value = serde_json::from_str(&file("dashboard.json")).expect("JSON");
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    let rules = file("rules.yaml");
    found.extend(rules.split("expr:").skip(1).map(|rest| {
        let end = ["}\n", "\n        labels:", "\n        for:"].iter().filter_map(|end| rest.find(end)).min();
        rest[..end.unwrap_or(rest.len())].to_owned()
    }));
    assert!(found.len() > 60, "only {} expressions", found.len());
    let samples = samples(&page_after_traffic());
    let mut checked = BTreeSet::new();
    for expression in &found {
        let mut known = BTreeSet::new();
        for (name, labels) in asked(expression) {
            let Some(there) = samples.get(&name) else { panic!("{name} of {expression} is not on the page") };
            assert!(labels.is_subset(there), "{name} has {there:?}, but {expression} asks for {labels:?}");
            known.extend(there.clone());
            checked.insert(name);
        }
        if !known.is_empty() {
            assert!(grouped(expression).is_subset(&known), "{expression} groups by what is not in {known:?}");
        }
    }
    assert!(checked.len() > 35, "only {checked:?}");
}

#[test]
fn the_dashboard_can_be_imported() {
    let dashboard: Value = serde_json::from_str(&file("dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len(), "an id twice");
    let rows: Vec<_> = panels.iter().filter(|panel| panel["type"] == "row").map(|row| &row["title"]).collect();
    assert!(rows.len() > 5, "{rows:?}");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{}", panel["title"]);
        let (x, width) = (panel["gridPos"]["x"].as_u64(), panel["gridPos"]["w"].as_u64());
        assert!(x.zip(width).is_some_and(|(x, width)| x + width <= 24), "{}", panel["title"]);
    }
    let variables: Vec<_> =
        dashboard["templating"]["list"].as_array().expect("variables").iter().map(|one| &one["name"]).collect();
    assert_eq!(variables, ["datasource", "job", "instance", "route"]);
}

#[test]
fn the_rules_are_good_ones_and_say_what_they_should() {
    for (arguments, sign) in [
        (["check", "rules", "rules.yaml"], "SUCCESS"),
        (["test", "rules", "rules_test.yaml"], "SUCCESS"),
        (["check", "config", "prometheus.yaml"], "SUCCESS"),
    ] {
        let said = promtool(&arguments, &directory(), "");
        assert!(said.as_ref().is_ok_and(|text| text.contains(sign) && !text.contains("FAILED")), "{said:?}");
    }
    for name in ["collector.yaml", "prometheus.yaml", "rules.yaml", "rules_test.yaml"] {
        let text = file(name);
        let wrong = saphyr_parser::Parser::new_from_str(&text).find_map(Result::err);
        assert!(wrong.is_none(), "{name}: {wrong:?}");
    }
}
