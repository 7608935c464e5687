//! The examples' configurations are good ones. `cargo xtask demo --check` runs the microservices example with its
//! services; this finds a mistake in seconds.

use std::path::Path;

use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};

pub(crate) const PLUGINS: [&str; 6] =
    ["auth", "circuit-breaker", "hello-plugin", "lookup-log", "pii-redact", "rate-limit"];

/// An example's configuration, on ports that the system chooses.
pub(crate) fn example(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name).join("gateway.yaml");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    ["8443", "8080", "9901"].iter().fold(text, |text, port| {
        let (from, to) = (format!("127.0.0.1:{port}"), "127.0.0.1:0");
        assert!(name != "microservices" || text.contains(&from), "{name} has no port {port}");
        text.replace(&from, to)
    })
}

#[test]
fn the_microservices_example_starts_and_asks_for_credentials_on_every_route_with_a_service() {
    let gateway = TestGateway::start(&example("microservices"), &PLUGINS);
    for path in ["/orders", "/inventory/boots", "/customers/1"] {
        let mut client = Client::tls("http2", gateway.listener("public"), "localhost");
        assert_eq!(client.get(path).status, 401, "{path}");
    }
    assert_eq!(Client::http1(gateway.listener("plain")).get("/orders").status, 308);
}

#[test]
fn the_minimal_example_passes_requests_to_its_service() {
    let upstream = Upstream::start(|seen| text(200, format!("hello from {}", seen.target)));
    let yaml = example("minimal").replace("127.0.0.1:5000", &upstream.address().to_string());
    let gateway = TestGateway::start(&yaml, &[]);
    assert_eq!(Client::http1(gateway.address()).get("/x").text(), "hello from /x");
}
