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
        .env("TOKEN", "hunter2hunter2")
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

/// `gateway check` of a text, in a directory with `plugins/` and the files that `fill` puts there.
fn check_text(yaml: &str, fill: impl FnOnce(&Path)) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(directory.path().join("plugins")).expect("a directory");
    fill(directory.path());
    let config = directory.path().join("gateway.yaml");
    std::fs::write(&config, yaml).expect("written");
    check(&config).1
}

/// A configuration with one plugin entry.
fn with_plugin(name: &str, config: &str) -> String {
    format!(
        "listeners: [{{name: a, address: \"127.0.0.1:0\"}}]
plugins: {{directory: plugins, grants: {{auth: {{upstreams: []}}}}}}
routes:
  - name: r
    respond: {{status: 200}}
    plugins:
      - name: {name}
        config:
          {config}
"
    )
}

#[test]
fn what_a_plugin_finds_wrong_repeats_nothing_that_came_from_the_environment_or_is_a_secret() {
    for (name, config) in [
        ("rate-limit", "{limits: [{requests: 1, per: 1s, by: \"${TOKEN}\"}]}"),
        ("rate-limit", "{limits: [{requests: 1, per: \"${TOKEN}\"}]}"),
        ("rate-limit", "{limits: \"x-${TOKEN}\"}"),
        ("auth", "{api_keys: {keys: []}, required_scopes: [\"${TOKEN} x\"]}"),
        ("auth", "{jwt: {issuer: i, audience: a, keys: [{pem: hunter2hunter2}]}, require: \"${TOKEN}\"}"),
        ("circuit-breaker", "{fallback: \"${TOKEN}\", password: hunter2hunter2}"),
        ("pii-redact", "{categories: {email: \"${TOKEN}\"}}"),
    ] {
        let said = check_text(&with_plugin(name, config), |directory| install(name, &directory.join("plugins")));
        assert!(said.contains("gateway.yaml:9:") && !said.contains("hunter2"), "{config}: {said}");
    }
}

#[test]
fn a_wrong_type_in_a_plugin_s_config_is_said_in_plain_words_at_its_line() {
    for (name, config, said) in [
        ("rate-limit", "limits: [{requests: 1, per: 10}]", "expected a duration such as 2s, found the number 10"),
        ("auth", "realm: 10", "expected text, found the number 10"),
        ("circuit-breaker", "open_for: soon", "\"soon\" is not a duration"),
        ("pii-redact", "fields: password", "expected a list, found the text \"password\""),
    ] {
        let text = check_text(&with_plugin(name, config), |directory| install(name, &directory.join("plugins")));
        assert!(text.contains("gateway.yaml:9:") && text.contains(said), "{name}: {text}");
    }
}

#[test]
fn a_secret_that_a_plugin_is_not_granted_is_named_with_the_line_to_add() {
    let yaml = with_plugin("pii-redact", "{categories: {email: {action: hash, secret: pii-hash}}}");
    let said = check_text(&yaml, |directory| install("pii-redact", &directory.join("plugins")));
    assert!(said.contains("the secret `pii-hash` is not granted to the plugin `pii-redact`"), "{said}");
    assert!(said.contains("plugins: {grants: {pii-redact: {secrets: [pii-hash]}}}"), "{said}");
    assert!(said.contains("gateway.yaml:9:"), "{said}");
}

#[test]
fn a_missing_file_is_named_by_the_path_that_was_tried() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let yaml = "listeners:
  - {name: a, address: \"127.0.0.1:0\", tls: {certificates: [{certificate: no/cert.pem, private_key: no/cert.key}]}}
upstreams: {a: {endpoints: [\"127.0.0.1:1\"], tls: {ca: no/ca.pem}}}
secrets: {a: {file: no/secret}}
routes: [{name: r, upstream: a}]
";
    std::fs::write(directory.path().join("gateway.yaml"), yaml).expect("written");
    let said = |arguments: &[&str]| {
        let output = Command::new(binary("gateway")).args(arguments).current_dir(directory.path()).output();
        let output = output.expect("it runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let path = |name: &str| directory.path().canonicalize().expect("it exists").join(name).display().to_string();
    let text = said(&["check", "-c", "gateway.yaml"]);
    for name in ["no/cert.pem", "no/cert.key", "no/ca.pem", "no/secret"] {
        assert!(text.contains(&path(name)), "{name}: {text}");
    }
    assert!(said(&["check", "-c", "other.yaml"]).contains(&path("other.yaml")));
    assert!(said(&["run", "-c", "other.yaml"]).contains(&path("other.yaml")));
    assert!(said(&["plugin", "check", "other.wasm"]).contains(&path("other.wasm")));
    for (change, name) in [
        (
            "plugins: {directory: no}\nroutes: [{name: r, plugins: [{name: auth}], respond: {status: 200}}]",
            "no/auth.wasm",
        ),
        ("access_log: {path: no/access.log}\nroutes: [{name: r, respond: {status: 200}}]", "no/access.log"),
    ] {
        let yaml = format!("listeners: [{{name: a, address: \"127.0.0.1:0\"}}]\n{change}\n");
        std::fs::write(directory.path().join("gateway.yaml"), yaml).expect("written");
        let text = said(&["run", "-c", "gateway.yaml"]);
        assert!(text.contains(&path(name)), "{name}: {text}");
    }
}

#[test]
fn an_encrypted_private_key_is_called_that() {
    let section = |label: &str, content: &str| format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n");
    for key in [
        section("ENCRYPTED PRIVATE KEY", "MIIB"),
        section("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB"),
    ] {
        let yaml = "listeners:
  - {name: a, address: \"127.0.0.1:0\", tls: {certificates: [{certificate: a.pem, private_key: a.key}]}}
routes: [{name: r, respond: {status: 200}}]
";
        let said = check_text(yaml, |directory| {
            Authority::new().issue(directory, "a", &["localhost"]);
            std::fs::write(directory.join("a.key"), &key).expect("written");
        });
        assert!(said.contains("gateway.yaml:2:") && said.contains("encrypted with a passphrase"), "{said}");
        assert!(said.contains("openssl pkey"), "what to do: {said}");
    }
}
