//! A new configuration takes over with no request lost; a bad one changes nothing.

use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;

fn config(body: &str, extra: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
routes: [{{name: all, match: {{path: {{prefix: /}}}}, respond: {{status: 200, body: {body}}}}}]
{extra}"
    )
}

#[test]
fn a_new_file_is_taken_over_on_open_connections_and_the_port_stays() {
    let gateway = TestGateway::start(&config("one", ""), &[]);
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.get("/").text(), "one");
    let address = gateway.address();
    gateway.reload(&config("two", "")).expect("applied");
    eventually("the new configuration serves", || (client.get("/").text() == "two").then_some(()));
    assert_eq!(gateway.address(), address);
}

#[test]
fn a_bad_file_changes_nothing_and_every_mistake_is_reported_with_its_place() {
    let gateway = TestGateway::start(&config("one", ""), &[]);
    let error =
        gateway.reload(&config("two", "upsteams: {}\nlimits: {requests_per_worker: many}\n")).expect_err("refused");
    assert!(error.contains("gateway.yaml:3:1") && error.contains("upstreams"), "{error}");
    assert!(error.contains("gateway.yaml:4:"), "{error}");
    assert_eq!(Client::http1(gateway.address()).get("/").text(), "one");
    assert!(gateway.metric("gateway_reloads_total", &["config", "failed"]) >= 1.0);
    assert_eq!(gateway.metric("gateway_reloads_total", &["config", "succeeded"]), 0.0);
}
