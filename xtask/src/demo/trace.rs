//! The scene of the trace: one request through the gateway, two plugins and two services, as a collector was told of it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::client::Protocol;
use super::stage::{Stage, eventually};
use super::steps::{SHOP_KEY, with_key};
use crate::Result;

/// The trace that the client of the scene has begun, and its span in that: from the examples of W3C Trace Context.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT_SPAN: &str = "00f067aa0ba902b7";

/// Spans that the scene waits for, by the name of the service and what their names begin with.
const EXPECTED: [(&str, &str); 6] = [
    ("gateway", "GET orders"),
    ("gateway", "hello-plugin"),
    ("gateway", "auth"),
    ("orders", "GET"),
    ("orders", "inventory"),
    ("inventory", "GET"),
];

/// Sends the request and prints its trace as a tree.
pub(super) fn show(stage: &mut Stage) -> Result {
    stage.scene("One request through the gateway, two plugins and two services: one trace");
    let mut request = with_key(stage.place.https("/orders/stock/boots"), SHOP_KEY);
    request.headers.push(format!("traceparent: 00-{TRACE}-{CLIENT_SPAN}-01"));
    let response = stage.exchange(Protocol::Http2, &request, &["server-timing"])?;
    stage.expect("200, with the stock", response.status == 200 && response.body.contains("stock"))?;
    // Spans leave in batches, some time after their request.
    let spans = eventually(Duration::from_secs(20), || {
        let spans = spans_of(stage).ok()?;
        EXPECTED.iter().all(|(service, name)| find(&spans, service, name).is_some()).then_some(spans)
    });
    let spans = match spans {
        Some(spans) => spans,
        None => spans_of(stage)?,
    };
    println!("   what the collector was told:");
    print!("{}", tree(&spans));
    for (service, name) in EXPECTED {
        stage.expect(&format!("a span of {service}: {name}"), find(&spans, service, name).is_some())?;
    }
    let parent = |service, name| find(&spans, service, name).and_then(|span| span["parent_span_id"].as_str());
    stage.expect(
        "the gateway's span is a child of the client's",
        parent("gateway", "GET orders") == Some(CLIENT_SPAN),
    )?;
    let chained = ["orders", "inventory"]
        .iter()
        .all(|service| parent(service, "GET").is_some_and(|parent| spans.iter().any(|span| span["span_id"] == parent)));
    stage.expect("each service's span hangs below who asked it", chained)
}

fn spans_of(stage: &Stage) -> Result<Vec<Value>> {
    let url = format!("http://{}/-/spans?trace={TRACE}", stage.place.service("collector"));
    let answer = stage.clients.plain(&url)?;
    serde_json::from_str(&answer.body).map_err(|error| format!("the collector's answer: {error}"))
}

fn find<'a>(spans: &'a [Value], service: &str, name: &str) -> Option<&'a Value> {
    spans.iter().find(|span| span["service"] == service && text(span, "name").starts_with(name))
}

fn text<'a>(span: &'a Value, key: &str) -> &'a str {
    span[key].as_str().unwrap_or_default()
}

/// The spans as a tree, each level by the time at which its spans began.
fn tree(spans: &[Value]) -> String {
    let mut out = String::new();
    let is_root = |span: &Value| !spans.iter().any(|other| other["span_id"] == span["parent_span_id"]);
    let mut roots: Vec<_> = spans.iter().filter(|span| is_root(span)).collect();
    roots.sort_by_key(|span| span["start"].as_u64());
    for root in roots {
        branch(&mut out, spans, root, "   ", "   ");
    }
    out
}

/// A span behind `first`, and what is below it behind `rest`. Deep enough for any real trace: a loop of parents has no root.
fn branch(out: &mut String, spans: &[Value], span: &Value, first: &str, rest: &str) {
    let took = span["end"].as_u64().unwrap_or_default().saturating_sub(span["start"].as_u64().unwrap_or_default());
    let label = format!("{first}{:<9} {}", text(span, "service"), text(span, "name"));
    let _ = write!(out, "{label:<64}{:>10.3} ms", took as f64 / 1e6);
    if let Some(status) = span["attributes"]["http.response.status_code"].as_i64() {
        let _ = write!(out, "  {status}");
    }
    if let Some(error) = span["error"].as_str() {
        let _ = write!(out, "  error {error}");
    }
    out.push('\n');
    let mut below: Vec<_> = spans.iter().filter(|other| other["parent_span_id"] == span["span_id"]).collect();
    below.sort_by_key(|span| span["start"].as_u64());
    for (index, child) in below.iter().enumerate() {
        let (mark, under) = if index + 1 == below.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        branch(out, spans, child, &format!("{rest}{mark}"), &format!("{rest}{under}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trace_is_shown_as_a_tree_by_parents_and_times() {
        let span = |id: &str, parent: &str, service: &str, name: &str, start: u64, end: u64| {
            json!({"span_id": id, "parent_span_id": parent, "service": service, "name": name, "start": start, "end": end,
                   "attributes": {}, "error": null})
        };
        let mut failed = span("d", "b", "stock", "GET /x", 1_100_000, 1_500_000);
        failed["attributes"] = json!({"http.response.status_code": 500});
        failed["error"] = "server".into();
        let spans = [
            failed,
            span("c", "a", "gateway", "try 1", 1_000_000, 1_600_000),
            span("b", "a", "gateway", "auth", 500_000, 900_000),
            span("a", "elsewhere", "gateway", "GET r", 0, 2_000_000),
        ];
        let lines: Vec<_> =
            tree(&spans).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "gateway GET r 2.000 ms",
                "├─ gateway auth 0.400 ms",
                "│ └─ stock GET /x 0.400 ms 500 error server",
                "└─ gateway try 1 0.600 ms",
            ]
        );
    }
}
