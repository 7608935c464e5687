//! Exactly one record per request, without personal data.

use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};

#[test]
fn a_record_tells_the_request_without_personal_data() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let gateway = TestGateway::in_front_of(upstream.address(), "match: {path: {prefix: /people}}");
    let mut client = Client::http1(gateway.address());
    client.get_with("/people/02013299997/ola@example.no?token=s3cret", &[("authorization", "Bearer s3cret")]);
    client.get("/nowhere");
    let line = gateway.logged("the first record", |line| line["route"] == "all");
    assert_eq!(line["status"], 200);
    assert_eq!(line["client"], "127.0.0.0");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["protocol"], "http1");
    assert_eq!(line["upstream"], "one");
    assert_eq!(line["endpoint"], upstream.address().to_string());
    assert_eq!(line["bytes_out"], 5);
    let missing = gateway.logged("the 404", |line| line["status"] == 404);
    assert_eq!(missing["error"], "no-route");
    let text = std::fs::read_to_string(gateway.directory().join("access.log")).expect("the log");
    for secret in ["02013299997", "ola@example.no", "s3cret", "token"] {
        assert!(!text.contains(secret), "{secret} is in the log: {text}");
    }
    assert_eq!(gateway.access_log().len(), 2, "one record per request");
}
