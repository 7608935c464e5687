//! Routing as a client sees it; the rules themselves are tested beside the router.

use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};

#[test]
fn routes_are_chosen_by_hostname_path_method_header_and_query_and_the_rest_is_404() {
    let upstream = Upstream::start(|seen| {
        text(200, format!("{} {}", seen.headers["x-route"].to_str().unwrap_or(""), seen.target))
    });
    let route = |name: &str, conditions: &str| {
        format!(
            "  - {{name: {name}, match: {{{conditions}}}, upstream: echo, request_headers: {{set: {{x-route: {name}}}}}}}\n"
        )
    };
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{echo: {{endpoints: [\"{}\"]}}}}
routes:
{}{}{}{}{}{}",
        upstream.address(),
        route("exact", "hostnames: [a.example.no], path: {exact: /x}"),
        route("prefix", "hostnames: [a.example.no], path: {prefix: /x}"),
        route("wildcard", "hostnames: [\"*.example.no\"], path: {prefix: /}"),
        route("post", "hostnames: [b.test], path: {prefix: /}, methods: [POST]"),
        route("header", "hostnames: [b.test], path: {prefix: /}, headers: {x-kind: gold}"),
        route("query", "hostnames: [b.test], path: {prefix: /}, query: {v: \"2\"}"),
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let mut client = Client::http1(gateway.address());
    let mut ask = |host: &str, method: &str, path: &str, extra: &[(&str, &str)]| {
        let request = http::Request::builder().method(method).uri(path).header("host", host);
        let request = extra.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = client.send(request, "");
        (response.status, response.text())
    };
    assert_eq!(ask("a.example.no", "GET", "/x", &[]), (200, "exact /x".into()));
    assert_eq!(ask("A.Example.no", "GET", "/x/y", &[]), (200, "prefix /x/y".into()));
    assert_eq!(ask("a.example.no", "GET", "/x/../x/./y", &[]), (200, "prefix /x/y".into()), "one normalised path");
    assert_eq!(ask("c.example.no", "GET", "/xy", &[]), (200, "wildcard /xy".into()));
    assert_eq!(ask("b.test", "POST", "/", &[]), (200, "post /".into()));
    assert_eq!(ask("b.test", "GET", "/", &[("x-kind", "gold")]), (200, "header /".into()));
    assert_eq!(ask("b.test", "GET", "/?v=2", &[]), (200, "query /?v=2".into()));
    let (status, body) = ask("b.test", "GET", "/", &[]);
    assert_eq!(status, 404);
    let problem: serde_json::Value = serde_json::from_str(&body).expect("problem+json");
    assert_eq!(problem["status"], 404);
}

#[test]
fn a_prefix_is_rewritten_before_the_request_goes_upstream() {
    let upstream = Upstream::start(|seen| text(200, seen.target.clone()));
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{echo: {{endpoints: [\"{}\"]}}}}
routes:
  - {{name: api, match: {{path: {{prefix: /api}}}}, rewrite: {{prefix: /v2}}, upstream: echo}}
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.get("/api/items?x=1").text(), "/v2/items?x=1");
    assert_eq!(client.get("/api").text(), "/v2");
    assert_eq!(client.get("/apix").status, 404, "prefixes end on segment borders");
}
