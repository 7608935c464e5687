//! Starting with, and checking, configurations that can't work.

use std::path::Path;
use std::process::Command;

use gateway_tests::certs::Authority;
use gateway_tests::gateway::{TestGateway, install};
use gateway_tests::process::binary;

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

/// `gateway check`: its exit code and what it says.
fn check(config: &Path) -> (Option<i32>, String) {
    let output = Command::new(binary("gateway"))
        .args(["check", "-c"])
        .arg(config)
        .env("CACHE_DIRECTORY", config.with_file_name("cache"))
        .output()
        .expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

const EVERYTHING: &str = "listeners:
  - name: one
    address: \"127.0.0.1:0\"
    tls: {certificates: [{certificate: a.pem, private_key: a.key}, {certificate: b.pem, private_key: b.key}]}
  - name: two
    address: \"127.0.0.1:0\"
    tls: {certificates: [{certificate: c.pem, private_key: c.key}]}
upstreams:
  service: {endpoints: [\"127.0.0.1:1\"], tls: {ca: ca.pem}}
plugins: {directory: plugins}
routes:
  - name: all
    match: {path: {prefix: /}}
    plugins:
      - {name: test-guest}
      - {name: rate-limit, config: {limits: [{requests: 1, per: 1s}]}}
    upstream: service
";

#[test]
fn check_tells_every_mistake_of_certificates_upstreams_and_plugins_at_once_as_the_start_does() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path();
    let plugins = path.join("plugins");
    std::fs::create_dir(&plugins).expect("the plugin directory");
    let authority = Authority::new();
    for name in ["a", "b", "c"] {
        authority.issue(path, name, &["localhost"]);
    }
    std::fs::write(path.join("ca.pem"), authority.pem()).expect("written");
    install("test-guest", &plugins);
    install("rate-limit", &plugins);
    let config = path.join("gateway.yaml");
    std::fs::write(&config, EVERYTHING).expect("written");
    let (code, said) = check(&config);
    assert_eq!((code, said.contains("fine")), (Some(0), true), "{said}");

    std::fs::write(path.join("b.pem"), "nonsense").expect("written");
    std::fs::copy(path.join("a.key"), path.join("c.key")).expect("written");
    std::fs::write(path.join("ca.pem"), "nonsense").expect("written");
    std::fs::remove_file(plugins.join("test-guest.wasm")).expect("removed");
    std::fs::write(&config, EVERYTHING.replace("requests: 1,", "requests: many,")).expect("written");
    let (code, said) = check(&config);
    assert_eq!(code, Some(1), "{said}");
    let at = |place: &str, what: &str| {
        let line = said.lines().find(|line| line.contains(&format!("gateway.yaml:{place}:")));
        let line = line.unwrap_or_else(|| panic!("nothing at {place}:\n{said}"));
        assert!(line.contains(what), "{line}");
    };
    at("4:82", "b.pem");
    at("7:60", "c.key");
    at("9:51", "ca.pem");
    at("15:16", "test-guest.wasm does not exist");
    at("16:47", "rate-limit");
    assert_eq!(said.lines().count(), 5, "{said}");
    let started = gateway::gateway::Gateway::start(&config, gateway_tests::gateway::compiler())
        .err()
        .expect("refused")
        .to_string();
    assert_eq!(started.trim(), said.trim());
}

#[test]
fn check_leaves_no_status_file_in_the_plugin_directory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let plugins = directory.path().join("plugins");
    std::fs::create_dir(&plugins).expect("the plugin directory");
    install("test-guest", &plugins);
    let config = directory.path().join("gateway.yaml");
    for (verb, code) in [("fine", 0), ("refuse", 1)] {
        let yaml = format!(
            "listeners: [{{name: a, address: \"127.0.0.1:0\"}}]
plugins: {{directory: plugins}}
routes: [{{name: r, plugins: [{{name: test-guest, config: {{configure: {verb}}}}}], respond: {{status: 200}}}}]
"
        );
        std::fs::write(&config, yaml).expect("written");
        let (found, said) = check(&config);
        assert_eq!(found, Some(code), "{said}");
        assert!(!plugins.join("test-guest.status.json").exists());
    }
}

#[test]
fn check_of_what_is_no_file_is_refused_at_once() {
    let (code, said) = check(Path::new("/dev/zero"));
    assert_eq!(code, Some(1));
    assert!(said.contains("not a regular file"), "{said}");
}
