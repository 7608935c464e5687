//! The examples' configurations are good ones. `cargo xtask demo --check` runs the microservices example with its
//! services; this finds a mistake in seconds.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::process::binary;
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

/// The configurations in `examples/redaction`.
const REDACTION: [&str; 3] = ["api", "files", "llm"];

/// One of them, with the plugins and the service of a test, on a port that the system chooses.
pub(crate) fn redaction(name: &str, service: SocketAddr) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/redaction/{name}.yaml"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let service = service.to_string();
    [
        ("../../target/plugins", "plugins"),
        ("127.0.0.1:5000", service.as_str()),
        ("127.0.0.1:8080", "127.0.0.1:0"),
        // As a `Duplex` asks for it.
        ("name: public", "name: clear"),
    ]
    .into_iter()
    .fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from}");
        text.replace(from, to)
    })
}

#[test]
fn the_redaction_examples_are_found_fine_with_the_plugin() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("plugins")).expect("the plugin directory");
    gateway_tests::gateway::install("pii-redact", &directory.path().join("plugins"));
    for name in REDACTION {
        let file = format!("{name}.yaml");
        let yaml = redaction(name, SocketAddr::from(([127, 0, 0, 1], 5000)));
        std::fs::write(directory.path().join(&file), yaml).expect("written");
        let output = Command::new(binary("gateway"))
            .args(["check", "-c", &file])
            .current_dir(directory.path())
            .env("CACHE_DIRECTORY", directory.path().join("cache"))
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && text.contains(": fine") && !text.contains("WARN"), "{name}: {text}");
    }
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

fn deployed(file: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/deploy").join(file);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn the_manifest_for_kubernetes_names_no_cache_that_is_refused_at_each_start() {
    let manifest = deployed("kubernetes.yaml");
    assert!(manifest.contains("env: [{name: XDG_CACHE_HOME, value: \"\"}, {name: HOME, value: \"\"}]"), "{manifest}");
    assert!(!manifest.contains("emptyDir:") && !manifest.contains("cache:"), "{manifest}");
    let home = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(home.path().join("plugins")).expect("the plugin directory");
    gateway_tests::gateway::install("hello-plugin", &home.path().join("plugins"));
    let yaml = "listeners: [{name: a, address: \"127.0.0.1:0\"}]
plugins: {directory: plugins}
routes: [{name: r, plugins: [{name: hello-plugin, config: {value: hello}}], respond: {status: 200}}]
";
    std::fs::write(home.path().join("gateway.yaml"), yaml).expect("written");
    let output = Command::new(binary("gateway"))
        .arg("check")
        .current_dir(home.path())
        .env_remove("CACHE_DIRECTORY")
        .envs([("XDG_CACHE_HOME", ""), ("HOME", "")])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !text.contains("WARN"), "{text}");
}

/// The number behind a key.
fn seconds(text: &str, key: &str) -> Duration {
    let (_, after) = text.split_once(key).unwrap_or_else(|| panic!("no {key}"));
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    Duration::from_secs(digits.parse().unwrap_or_else(|_| panic!("no number behind {key}")))
}

#[test]
fn what_stops_a_deployed_gateway_waits_for_longer_than_its_drain_takes() {
    let manifest = deployed("kubernetes.yaml");
    let (_, config) = manifest.split_once("  gateway.yaml: |\n").expect("the ConfigMap");
    let inner: String =
        config.lines().take_while(|line| *line != "---").map(|line| format!("{}\n", &line[4..])).collect();
    let unit = deployed("gateway.service");
    let stop_timeout = deployed("README.md");
    for (config, patience) in [
        (inner, seconds(&manifest, "terminationGracePeriodSeconds: ")),
        (deployed("gateway.yaml"), seconds(&unit, "TimeoutStopSec=")),
        (deployed("gateway.yaml"), seconds(&stop_timeout, "--stop-timeout ")),
    ] {
        let config = gateway::config::parse(&config, Path::new("gateway.yaml"), &|_| None);
        let drain = config.unwrap_or_else(|errors| panic!("{errors}\n")).drain;
        assert!(!drain.delay.is_zero() && drain.delay + drain.timeout < patience, "{drain:?} {patience:?}");
    }
}

#[test]
fn the_audit_example_starts_and_records_who_is_refused() {
    let gateway = TestGateway::start(&example("audit"), &["auth", "pii-redact"]);
    for (number, path) in ["/orders", "/inventory/boots", "/customers/1"].into_iter().enumerate() {
        assert_eq!(Client::http1(gateway.address()).get(path).status, 401, "{path}");
        assert_eq!(gateway_tests::audit::exchanges(gateway.directory()).len(), number + 1);
    }
}
