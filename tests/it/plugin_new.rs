//! `gateway plugin new`: what it makes, built by the machine's own cargo.

use std::path::Path;
use std::process::{Command, Output};

use gateway_tests::process::binary;

fn plugin_new(name: &str, directory: &Path) -> Output {
    let mut command = Command::new(binary("gateway"));
    command.args(["plugin", "new", name, "--directory"]).arg(directory).output().expect("the gateway runs")
}

#[test]
fn a_new_plugin_tests_builds_and_is_one() {
    // One place beside this build's own files, so that the next run finds the dependencies compiled.
    let built = binary("gateway").with_file_name("plugin-new");
    let directory = built.join("source");
    let _ = std::fs::remove_dir_all(&directory);
    let made = plugin_new("add-header", &directory);
    let printed = String::from_utf8_lossy(&made.stdout);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(printed.contains("cargo test") && printed.contains("release/add_header.wasm"), "{printed}");

    let crate_directory = directory.join("add-header");
    // The workspace's lock file names crates that were fetched to build this test; so no network is needed.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    std::fs::copy(lock, crate_directory.join("Cargo.lock")).expect("copied");
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            command.env_remove(variable);
        }
        let command = command.args(arguments).arg("--offline").current_dir(&crate_directory);
        let output = command.env("CARGO_TARGET_DIR", &built).output().expect("cargo runs");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success(), "cargo {arguments:?}:\n{text}");
        assert!(!text.contains("warning"), "cargo {arguments:?}:\n{text}");
        text
    };
    let tested = cargo(&["test"]);
    assert!(tested.contains("test result: ok. 2 passed"), "{tested}");
    cargo(&["build", "--release", "--target", "wasm32-unknown-unknown"]);

    let wasm = built.join("wasm32-unknown-unknown/release/add_header.wasm");
    let checked = Command::new(binary("gateway")).args(["plugin", "check"]).arg(wasm).output().expect("it runs");
    let inspection = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert!(inspection.contains("add-header") && inspection.contains("response_headers"), "{inspection}");
}

#[test]
fn a_bad_name_or_a_directory_that_is_there_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let bad = plugin_new("Add_Header", directory.path());
    assert!(!bad.status.success());
    assert!(String::from_utf8_lossy(&bad.stderr).contains("lower-case letters"));
    std::fs::create_dir(directory.path().join("mine")).expect("made");
    let there = plugin_new("mine", directory.path());
    assert!(!there.status.success());
    assert!(String::from_utf8_lossy(&there.stderr).contains("is already there"));
    let left = std::fs::read_dir(directory.path().join("mine")).expect("readable").count();
    assert_eq!(left, 0);
}
