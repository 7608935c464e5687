//! Starting with configurations that can't work.

use gateway_tests::gateway::TestGateway;

#[test]
fn a_port_that_is_taken_is_named_with_its_listener() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    let yaml = format!(
        "listeners: [{{name: front, address: \"{address}\", protocols: [http1]}}]
routes: [{{name: all, match: {{path: {{prefix: /}}}}, respond: {{status: 200, body: x}}}}]
"
    );
    let error = TestGateway::try_start(&yaml, &[]).err().expect("it must not start");
    assert!(error.contains("front") && error.contains(&address.to_string()), "{error}");
}

#[test]
fn a_plugin_that_is_missing_refuses_the_start_at_its_line() {
    let yaml = "listeners: [{name: front, address: \"127.0.0.1:0\", protocols: [http1]}]
plugins: {directory: plugins}
routes:
  - name: all
    match: {path: {prefix: /}}
    plugins: [{name: nobody}]
    respond: {status: 200, body: x}
";
    let error = TestGateway::try_start(yaml, &[]).err().expect("it must not start");
    assert!(error.contains("gateway.yaml:6:"), "{error}");
    assert!(error.contains("nobody"), "{error}");
}
