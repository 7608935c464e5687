//! What a built plugin is told of its exchange's trace, and what comes of its notes, in a gateway that keeps neither traces nor
//! an audit trail: all of it is taken, and the exchange goes on as it would.

use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};

fn gateway(upstream: &Upstream) -> TestGateway {
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, plugins: [{{name: test-guest, config: {{id: a}}}}], upstream: one}}]
",
        upstream.address()
    );
    TestGateway::start(&yaml, &["test-guest"])
}

/// What the guest says that a verb gave.
fn told(client: &mut Client, verb: &str) -> String {
    client.get_with("/", &[("x-do", &format!("a/request_headers={verb}")), ("x-answer", "1")]).text()
}

#[test]
fn without_traces_a_plugin_has_no_context_and_nothing_that_it_adds_is_refused() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let gateway = gateway(&upstream);
    let mut client = Client::http1(gateway.address());
    assert_eq!(told(&mut client, "trace-context"), "none");
    assert_eq!(told(&mut client, "trace-attributes"), format!("[{}]", ["Ok(())"; 7].join(", ")));
    assert_eq!(told(&mut client, "trace-spans"), "Ok(Ok(()))");
    assert_eq!(told(&mut client, "trace-many"), "40 40");
    let response = client.get_with("/", &[("x-do", "a/request_headers=trace-spans,a/response_headers=trace-spans")]);
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
}

#[test]
fn notes_for_the_audit_trail_are_taken_also_where_there_is_none() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let gateway = gateway(&upstream);
    let mut client = Client::http1(gateway.address());
    let noted = told(&mut client, "audit-note");
    assert!(noted.starts_with("[Ok(()), Ok(()), Err(") && noted.contains("invalid-name"), "{noted}");
    let response = client.get_with("/", &[("x-do", "a/request_headers=audit-note,a/response_headers=audit-note")]);
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
}
