//! Tests of the whole config: what is accepted, what it becomes, what is said of the rest, and that the schema agrees.

mod accepted;
mod refused;
mod schema;
mod tracing;

use std::path::{Path, PathBuf};

use super::{ConfigErrors, Loaded, parse_all};

/// Parses as `gateway.yaml` in the working directory, with a small environment.
fn parse(text: &str) -> Result<Loaded, ConfigErrors> {
    parse_in(Path::new(""), text)
}

fn parse_in(directory: &Path, text: &str) -> Result<Loaded, ConfigErrors> {
    parse_all(text, &directory.join("gateway.yaml"), &|name| match name {
        "PORT" => Some("8080".to_owned()),
        "HOST" => Some("127.0.0.1".to_owned()),
        "KEY" => Some("123".to_owned()),
        "YES" => Some("true".to_owned()),
        "SIGNS" => Some("a$$b%%c$d%ef{g}".to_owned()),
        _ => None,
    })
}

fn accept(text: &str) -> Loaded {
    parse(text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// A directory with the files that the examples name.
fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    std::fs::create_dir(path.join("certs")).unwrap();
    for (name, content) in [("certs/api.pem", "c"), ("certs/api.key", "k"), ("hmac", "secret\n")] {
        std::fs::write(path.join(name), content).unwrap();
    }
    (directory, path)
}

/// A configuration with something of every section.
const EXAMPLE: &str = r#"listeners:
  - name: public
    address: 0.0.0.0:8443
    protocols: [http1, http2, http3]
    tls:
      certificates: [{certificate: certs/api.pem, private_key: certs/api.key}]
upstreams:
  inventory:
    endpoints: [10.0.0.7:5000, {address: "[::1]:80", weight: 3}]
    protocol: http1
    load_balancing: least_request
    keepalive: 64
    host: preserve
    passive_health: {max_failures: 3, fail_timeout: 30s}
    timeouts: {connect: 1s, response: 2s}
  idp:
    endpoints: [idp.internal:443]
    tls: {}
plugins:
  directory: plugins
  grants:
    auth: {upstreams: [idp], secrets: [session-hmac]}
routes:
  - name: inventory
    match: {hostnames: [api.example.no], path: {prefix: /inventory/}, methods: [GET]}
    plugins:
      - {name: auth}
      - {name: rate-limit, config: {limits: [{requests: 100, per: 1s, by: client.address}]}}
      - {name: circuit-breaker, config: {minimum_requests: 3, failure_ratio: 0.6, open_for: 5s}}
    upstream: inventory
    timeouts: {request: 10s}
secrets:
  session-hmac: {file: hmac}
state: {backend: memory}
admin: {address: 127.0.0.1:9901}
access_log: {path: stdout, format: json}
"#;
