//! `gateway plugin install`: what gets into a plugin directory, and what a gateway there makes of it.

use std::path::Path;
use std::process::Command;

use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::guests::{built, other_build};
use gateway_tests::process::binary;

fn yaml(more: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins, {more}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, plugins: [{{name: test-guest}}], respond: {{status: 200}}}}]
"
    )
}

/// Runs `gateway plugin install` on a file that lies in a gateway's directory.
fn install(directory: &Path, file: &str) -> (bool, String) {
    let output = Command::new(binary("gateway"))
        .args(["plugin", "install", file, "-c", "gateway.yaml"])
        .current_dir(directory)
        .output()
        .expect("it runs");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn build(gateway: &TestGateway) -> String {
    Client::http1(gateway.address()).get("/").header("x-build").to_owned()
}

#[test]
fn a_build_gets_its_plugin_s_name_and_is_told_of_once_a_gateway_serves_it() {
    let gateway = TestGateway::start(&yaml(""), &["test-guest"]);
    let directory = gateway.directory();
    eventually("its status", || directory.join("plugins/test-guest.status.json").exists().then_some(()));
    std::fs::write(directory.join("test_guest.wasm"), other_build()).expect("written");
    let (succeeded, text) = install(directory, "test_guest.wasm");
    assert!(succeeded && text.contains("works with its entries in 1 route\n"), "{text}");
    assert!(text.contains("test-guest.wasm was replaced") && text.contains("serves it"), "{text}");
    assert_eq!(build(&gateway), "test-guest-build-B");
    let (succeeded, text) = install(directory, "test_guest.wasm");
    assert!(succeeded && text.contains("nothing was changed"), "{text}");
}

#[test]
fn what_a_gateway_would_refuse_is_refused_before_it_is_there() {
    let gateway = TestGateway::start(&yaml(""), &["test-guest"]);
    let directory = gateway.directory();
    let before = std::fs::read(directory.join("plugins/test-guest.wasm")).expect("there");
    let same_name = gateway_tests::guests::replaced(built("rate-limit"), b"rate-limit", b"test-guest");
    for (bytes, why) in [
        (b"not wasm at all, and long enough".to_vec(), "not a wasm binary"),
        // Another plugin of the same name, which needs a config that the entry does not have.
        (same_name, "gateway.yaml:3:"),
    ] {
        std::fs::write(directory.join("new.wasm"), bytes).expect("written");
        let (succeeded, text) = install(directory, "new.wasm");
        assert!(!succeeded && text.contains(why), "{text}");
    }
    assert_eq!(std::fs::read(directory.join("plugins/test-guest.wasm")).expect("there"), before);
    let leftovers = std::fs::read_dir(directory.join("plugins")).expect("readable").flatten();
    let leftovers: Vec<_> = leftovers
        .map(|file| file.file_name())
        .filter(|name| name != "test-guest.wasm" && name != "test-guest.status.json")
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn a_signed_plugin_comes_with_its_signature_and_never_without() {
    let keys = tempfile::tempdir().expect("a directory");
    let secret = keys.path().join("a.key").display().to_string();
    let plugin = |arguments: &[&str]| {
        let output = Command::new(binary("gateway")).arg("plugin").args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
    };
    plugin(&["keygen", "-W", "-s", &secret]);
    let public = std::fs::read_to_string(keys.path().join("a.pub")).expect("a key");
    let trust = format!("trusted_keys: [{}]", public.lines().nth(1).expect("two lines"));
    let gateway = TestGateway::prepare(&yaml(&trust), |directory| {
        let file = directory.join("plugins/test-guest.wasm");
        std::fs::write(&file, built("test-guest")).expect("written");
        plugin(&["sign", "-s", &secret, &file.display().to_string()]);
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let directory = gateway.directory();
    eventually("its status", || directory.join("plugins/test-guest.status.json").exists().then_some(()));
    let file = directory.join("new.wasm");
    std::fs::write(&file, other_build()).expect("written");
    let (succeeded, text) = install(directory, "new.wasm");
    assert!(!succeeded && text.contains("is not signed"), "{text}");
    plugin(&["sign", "-s", &secret, &file.display().to_string()]);
    let (succeeded, text) = install(directory, "new.wasm");
    assert!(
        succeeded && text.contains("test-guest.wasm.minisig is its signature") && text.contains("serves it"),
        "{text}"
    );
    assert_eq!(build(&gateway), "test-guest-build-B");
}

#[test]
fn the_first_plugin_of_a_directory_that_is_not_there_yet_makes_it() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("gateway.yaml"), yaml("")).expect("written");
    std::fs::write(directory.path().join("test_guest.wasm"), built("test-guest")).expect("written");
    let (succeeded, text) = install(directory.path(), "test_guest.wasm");
    assert!(succeeded && text.contains("plugins/test-guest.wasm is there now"), "{text}");
}
