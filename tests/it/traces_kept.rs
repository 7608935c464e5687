//! Whose spans are exported, and what becomes of those that can't be.

use std::time::Duration;

use gateway_tests::client::Client;
use gateway_tests::collector::{Collector, export_to};
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};

/// A gateway whose routes end at one upstream; `sample` is what is exported.
fn yaml(upstream: &Upstream, export: &str, sample: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
workers: 1
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes:
  - {{name: all, match: {{path: {{prefix: /}}}}, upstream: one}}
  - {{name: whole, match: {{path: {{prefix: /whole}}}}, upstream: one, tracing: {{share: 100%}}}}
  - {{name: off, match: {{path: {{prefix: /off}}}}, upstream: one, tracing: off}}
tracing: {{sample: {sample}, export: {export}}}
",
        upstream.address()
    )
}

fn by_path() -> Upstream {
    Upstream::start_async(|seen| async move {
        match seen.target.as_str() {
            "/broken" | "/off/broken" => text(500, "broken"),
            "/slow" => {
                tokio::time::sleep(Duration::from_millis(120)).await;
                text(200, "slow")
            }
            _ => text(200, "hello"),
        }
    })
}

/// The paths of the server spans, once that of `last` is there: spans leave in the order in which exchanges ended.
fn paths(collector: &Collector, last: &str) -> Vec<String> {
    collector.trace(last);
    let servers = collector.spans().into_iter().filter(|span| span.kind == "server");
    servers.map(|span| span.get("url.path").to_owned()).collect()
}

#[test]
fn errors_and_slow_exchanges_are_kept_whatever_the_share() {
    let (upstream, collector) = (by_path(), Collector::start());
    let sample = "{share: 0%, errors: true, slower_than: 100ms}";
    let gateway = TestGateway::start(&yaml(&upstream, &collector.export(), sample), &[]);
    let mut client = Client::http1(gateway.address());
    for path in ["/fine", "/broken", "/slow", "/whole/end"] {
        client.get(path);
    }
    assert_eq!(paths(&collector, "/whole/end"), ["/broken", "/slow", "/whole/end"]);
    let broken = collector.trace("/broken");
    assert!(broken[0].is_error && broken[0].get("error.type") == "500" && broken[0].flags & 1 == 0, "{broken:#?}");
    assert!(broken.iter().any(|span| span.kind == "client" && span.is_error), "all of its spans: {broken:#?}");
}

#[test]
fn routes_have_shares_of_their_own_or_none() {
    let (upstream, collector) = (by_path(), Collector::start());
    let sample = "{share: 0%, errors: false, slower_than: off}";
    let gateway = TestGateway::start(&yaml(&upstream, &collector.export(), sample), &[]);
    let mut client = Client::http1(gateway.address());
    for path in ["/broken", "/whole/a", "/off/broken", "/fine", "/whole/end"] {
        client.get(path);
    }
    assert_eq!(paths(&collector, "/whole/end"), ["/whole/a", "/whole/end"]);
}

#[test]
fn a_share_is_of_traces_and_the_upstream_is_told() {
    let (upstream, collector) = (by_path(), Collector::start());
    let sample = "{share: 30%, errors: false, slower_than: off}";
    let gateway = TestGateway::start(&yaml(&upstream, &collector.export(), sample), &[]);
    let mut client = Client::http1(gateway.address());
    for _ in 0..300 {
        client.get("/share");
    }
    client.get("/whole/end");
    let exported = paths(&collector, "/whole/end").len() - 1;
    assert!((45..=150).contains(&exported), "{exported} of 300 at 30 %");
    let told = upstream.seen().iter().filter(|seen| seen.headers["traceparent"].as_bytes().ends_with(b"-03")).count();
    assert_eq!(told, exported + 1, "what is told is what is exported");
}

#[test]
fn a_response_that_is_cut_is_an_error() {
    let (upstream, collector) = (by_path(), Collector::start());
    let cut = Upstream::start(|_| {
        let mut response = text(200, "short");
        response.headers_mut().insert("content-length", http::HeaderValue::from_static("500"));
        response
    });
    let sample = "{share: 0%, slower_than: off}";
    let yaml = yaml(&upstream, &collector.export(), sample)
        .replace("upstreams: {", &format!("upstreams: {{cut: {{endpoints: [\"{}\"]}}, ", cut.address()))
        .replace("routes:", "routes:\n  - {name: cut, match: {path: {prefix: /cut}}, upstream: cut}");
    let gateway = TestGateway::start(&yaml, &[]);
    let request = http::Request::builder().uri("/cut");
    let _ = Client::http1(gateway.address()).try_send(request, "");
    let spans = collector.trace("/cut");
    assert!(spans[0].is_error && !spans[0].get("error.type").is_empty(), "{spans:#?}");
}

#[test]
fn spans_that_nobody_takes_are_counted_and_later_ones_arrive() {
    let upstream = by_path();
    let gone = Collector::start();
    let address = gone.address();
    drop(gone);
    let sample = "{share: 100%}";
    let gateway = TestGateway::start(&yaml(&upstream, &export_to(address), sample), &[]);
    let mut client = Client::http1(gateway.address());
    for _ in 0..10 {
        assert_eq!(client.get("/away").status, 200, "requests don't notice");
    }
    eventually("failed exports", || (gateway.metric("gateway_export_failures_total", &["traces"]) > 0.0).then_some(()));
    assert!(gateway.metric("gateway_export_queued", &["traces"]) > 0.0);
    let collector = Collector::start_at(address);
    client.get("/back");
    collector.trace("/back");
    eventually("counted as exported", || {
        (gateway.metric("gateway_export_sent_total", &["traces"]) >= 4.0).then_some(())
    });
}

#[test]
fn a_reload_exports_to_where_it_says_and_the_end_sends_what_is_left() {
    let (upstream, first, second) = (by_path(), Collector::start(), Collector::start());
    let sample = "{share: 100%}";
    let mut gateway = TestGateway::start(&yaml(&upstream, &first.export(), sample), &[]);
    Client::http1(gateway.address()).get("/first");
    gateway.reload(&yaml(&upstream, &second.export(), sample)).expect("applied");
    eventually("the new collector has spans", || {
        Client::http1(gateway.address()).get("/second");
        second.spans().iter().any(|span| span.get("url.path") == "/second").then_some(())
    });
    first.trace("/first");
    Client::http1(gateway.address()).get("/last");
    gateway.drain();
    assert!(second.spans().iter().any(|span| span.get("url.path") == "/last"), "sent with the end");
}
