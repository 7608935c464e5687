//! The command line, as somebody meets it who has read nothing.

use std::path::Path;
use std::process::Command;

use gateway_tests::process::binary;

/// Runs in a directory; whether it succeeded, and everything that it printed.
fn gateway(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(binary("gateway")).args(arguments).current_dir(directory).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_configuration_that_is_not_there_is_no_mistake_at_its_first_line() {
    let directory = tempfile::tempdir().expect("a directory");
    for command in ["run", "check"] {
        let (succeeded, text) = gateway(directory.path(), &[command]);
        assert!(!succeeded && text.contains("gateway.yaml: can't be read"), "{text}");
        assert!(text.contains("-c FILE"), "{text}");
        let (succeeded, text) = gateway(directory.path(), &[command, "-c", "."]);
        assert!(!succeeded && text.contains(": can't be read: it is not a regular file"), "{text}");
        let (succeeded, text) = gateway(directory.path(), &[command, "gateway.yaml"]);
        assert!(!succeeded && text.contains(&format!("gateway {command} [-c FILE]")), "{text}");
    }
}

#[test]
fn a_file_that_is_no_plugin_is_shown_by_how_it_begins() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("notes.wasm"), "listeners: []\n").expect("written");
    let (succeeded, text) = gateway(directory.path(), &["plugin", "check", "notes.wasm"]);
    assert!(!succeeded && text.contains("not a wasm binary: it starts with `list`"), "{text}");
}

#[test]
fn a_module_for_wasi_is_refused_by_that_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let import = r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
    let module = wat::parse_str(format!("(module {import})")).expect("wasm");
    std::fs::write(directory.path().join("wasi.wasm"), module).expect("written");
    let (succeeded, text) = gateway(directory.path(), &["plugin", "check", "wasi.wasm"]);
    assert!(!succeeded && text.contains("WASI") && text.contains("wasm32-unknown-unknown"), "{text}");
}
