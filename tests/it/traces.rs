//! The place of a request in a trace: how it is read, passed on and told.

use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::collector::Collector;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Seen, Upstream, text};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRUSTED: &str = "forwarding: {trusted: [127.0.0.0/8]}";

/// A gateway in clear text with one route; `tracing` is that section, `more` what else there is.
fn yaml(upstream: &Upstream, tracing: &str, more: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: one}}, {{name: off, match: {{path: {{prefix: /off}}}}, upstream: one, tracing: off}}]
tracing: {tracing}
{more}
",
        upstream.address()
    )
}

fn quiet() -> Upstream {
    Upstream::start(|_| text(200, "hello"))
}

fn field<'a>(seen: &'a Seen, name: &str) -> &'a str {
    seen.headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

/// What the upstream saw of a request with these fields.
fn passed(upstream: &Upstream, gateway: &TestGateway, path: &str, fields: &[(&str, &str)]) -> Seen {
    assert_eq!(Client::http1(gateway.address()).get_with(path, fields).status, 200);
    upstream.seen().pop().expect("a request")
}

#[test]
fn a_trace_goes_on_over_every_protocol() {
    let upstream = quiet();
    let yaml = yaml(&upstream, "{}", TRUSTED).replace(
        "name: clear, address: \"127.0.0.1:0\", protocols: [http1]",
        "name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {self_signed: [localhost]}",
    );
    let gateway = TestGateway::start(&yaml, &[]);
    for protocol in PROTOCOLS {
        let fields = [("traceparent", PARENT), ("tracestate", "rojo=1,congo=2")];
        Client::tls(protocol, gateway.address(), "localhost").get_with("/", &fields);
        let seen = upstream.seen().pop().expect("a request");
        let told = field(&seen, "traceparent");
        assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-01"), "{protocol}: {told}");
        assert!(!told.contains("b7ad6b7169203331"), "{protocol}: the parent is the gateway's span: {told}");
        assert_eq!(field(&seen, "tracestate"), "rojo=1,congo=2", "{protocol}");
    }
}

#[test]
fn what_is_invalid_is_replaced_by_a_new_trace() {
    let upstream = quiet();
    let gateway = TestGateway::start(&yaml(&upstream, "{sample: {share: 0%}}", TRUSTED), &[]);
    for fields in [
        [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-00"), ("tracestate", "a=1")],
        [("traceparent", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tracestate", "a=1")],
        [("traceparent", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"), ("tracestate", "a=1")],
        [("traceparent", PARENT), ("traceparent", PARENT)],
        [("x-other", "1"), ("tracestate", "a=1")],
    ] {
        let seen = passed(&upstream, &gateway, "/", &fields);
        let told = field(&seen, "traceparent");
        assert!(told.len() == 55 && !told.contains(TRACE) && told.ends_with("-02"), "{fields:?}: {told}");
        assert_eq!(seen.headers.get_all("traceparent").iter().count(), 1);
        assert!(!seen.headers.contains_key("tracestate"), "{fields:?}");
    }
    let invalid_state = passed(&upstream, &gateway, "/", &[("traceparent", PARENT), ("tracestate", "A=1")]);
    assert!(field(&invalid_state, "traceparent").contains(TRACE) && !invalid_state.headers.contains_key("tracestate"));
}

#[test]
fn b3_is_read_and_told_in_both_forms() {
    let upstream = quiet();
    let gateway = TestGateway::start(&yaml(&upstream, "{propagate: [w3c, b3, b3_multi]}", TRUSTED), &[]);
    let one = passed(&upstream, &gateway, "/", &[("b3", "64fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90")]);
    let several = [
        ("x-b3-traceid", "64fe8b2a57d3eff7"),
        ("x-b3-spanid", "e457b5a2e4d86bd1"),
        ("x-b3-parentspanid", "05e3ac9a4f6e3b90"),
        ("x-b3-sampled", "1"),
    ];
    let several = passed(&upstream, &gateway, "/", &several);
    let trace = "000000000000000064fe8b2a57d3eff7";
    for seen in [one, several] {
        assert!(field(&seen, "b3").starts_with(trace) && field(&seen, "b3").ends_with("-1"), "{seen:?}");
        assert_eq!((field(&seen, "x-b3-traceid"), field(&seen, "x-b3-sampled")), (trace, "1"));
        assert!(!seen.headers.contains_key("x-b3-parentspanid") && field(&seen, "traceparent").contains(trace));
        assert!(field(&seen, "b3").contains(field(&seen, "x-b3-spanid")));
    }
}

#[test]
fn baggage_passes_from_trusted_peers_and_from_others_only_where_that_is_said() {
    let upstream = quiet();
    for (tracing, more, passes) in
        [("{}", "", false), ("{}", TRUSTED, true), ("{baggage: keep}", "", true), ("{baggage: drop}", "", false)]
    {
        let gateway = TestGateway::start(&yaml(&upstream, tracing, more), &[]);
        let seen = passed(&upstream, &gateway, "/", &[("baggage", "user=ola;p=1")]);
        assert_eq!(seen.headers.contains_key("baggage"), passes, "{tracing} {more}");
        assert!(!passed(&upstream, &gateway, "/", &[("baggage", "not baggage")]).headers.contains_key("baggage"));
    }
}

#[test]
fn nothing_is_touched_without_tracing_and_on_routes_that_switch_it_off() {
    let upstream = quiet();
    let without = yaml(&upstream, "{}", "").replace("tracing: {}", "").replace(", tracing: off", "");
    let without = TestGateway::start(&without, &[]);
    let off = TestGateway::start(&yaml(&upstream, "{}", ""), &[]);
    for (gateway, path) in [(&without, "/"), (&off, "/off")] {
        let fields = [("traceparent", "whatever"), ("tracestate", "A,,"), ("b3", "x")];
        let seen = passed(&upstream, gateway, path, &fields);
        for (name, value) in fields {
            assert_eq!(field(&seen, name), value, "{path}");
        }
        assert!(!passed(&upstream, gateway, path, &[]).headers.contains_key("traceparent"), "{path}");
    }
    let missing = Client::http1(without.address()).get("http://a/");
    assert!(missing.header("server-timing").is_empty());
}

#[test]
fn a_stranger_s_flag_counts_within_the_rate_and_a_trusted_network_s_always() {
    let upstream = quiet();
    let tracing = "{sample: {share: 0%, untrusted_rate: 3}}";
    for (more, expected) in [("workers: 1", 3..=6), ("workers: 1\nforwarding: {trusted: [127.0.0.0/8]}", 40..=40)] {
        let gateway = TestGateway::start(&yaml(&upstream, tracing, more), &[]);
        let before = upstream.seen().len();
        let mut client = Client::http1(gateway.address());
        for _ in 0..40 {
            client.get_with("/", &[("traceparent", PARENT)]);
        }
        let seen = upstream.seen();
        let sampled = seen[before..].iter().filter(|seen| field(seen, "traceparent").ends_with("-01")).count();
        assert!(expected.contains(&sampled), "{sampled} of 40 with {more:?}");
        assert!(seen[before..].iter().all(|seen| field(seen, "traceparent").contains(TRACE)), "the trace goes on");
    }
}

#[test]
fn a_trusted_parent_that_is_not_sampled_decides_as_well() {
    let (upstream, collector) = (quiet(), Collector::start());
    let tracing = format!("{{sample: {{share: 100%}}, export: {}}}", collector.export());
    let gateway = TestGateway::start(&yaml(&upstream, &tracing, TRUSTED), &[]);
    let unsampled = PARENT.replace("-01", "-00");
    let seen = passed(&upstream, &gateway, "/silent", &[("traceparent", &unsampled)]);
    assert!(field(&seen, "traceparent").ends_with("-00"));
    passed(&upstream, &gateway, "/told", &[("traceparent", PARENT)]);
    let spans = collector.trace("/told");
    assert_eq!((spans[0].parent.as_str(), spans[0].trace.as_str()), ("b7ad6b7169203331", TRACE));
    assert!(collector.spans().iter().all(|span| span.get("url.path") != "/silent"));
}

#[test]
fn the_trace_is_told_in_problem_details_and_where_asked_for_in_server_timing() {
    let upstream = quiet();
    let yaml = yaml(&upstream, "{server_timing: true}", TRUSTED).replace("prefix: /}", "prefix: /here}");
    let gateway = TestGateway::start(&yaml, &[]);
    let mut client = Client::http1(gateway.address());
    let missing = client.get_with("/nowhere", &[("traceparent", PARENT)]);
    assert_eq!((missing.status, missing.json()["trace_id"].as_str()), (404, Some(TRACE)));
    assert!(missing.json()["request_id"].is_string());
    let answered = client.get_with("/here", &[("traceparent", PARENT)]);
    let timing = answered.header("server-timing");
    assert!(
        timing.starts_with(&format!("traceparent;desc=\"00-{TRACE}-")) && timing.contains("upstream;dur="),
        "{timing}"
    );
}

#[test]
fn what_a_plugin_writes_into_traceparent_reaches_no_upstream() {
    let upstream = quiet();
    let yaml = yaml(&upstream, "{}", TRUSTED).replace(
        "path: {prefix: /}}, upstream: one",
        "path: {prefix: /}}, upstream: one, request_headers: {set: {traceparent: mine}}",
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let seen = passed(&upstream, &gateway, "/", &[("traceparent", PARENT)]);
    assert!(field(&seen, "traceparent").starts_with(&format!("00-{TRACE}-")), "{seen:?}");
}
