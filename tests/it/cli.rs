//! The command line, as somebody meets it who has read nothing.

use std::path::Path;
use std::process::{Command, Stdio};

use gateway_tests::gateway::{built_plugin, install};
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
fn a_file_that_is_no_plugin_is_refused_without_a_word_of_what_is_in_it() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("notes.wasm"), "listeners: []\n").expect("written");
    let (succeeded, text) = gateway(directory.path(), &["plugin", "check", "notes.wasm"]);
    assert!(!succeeded && text.contains("not a wasm binary: it does not begin with `\\0asm`"), "{text}");
    assert!(!text.contains("list"), "{text}");
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

#[test]
fn what_a_start_would_warn_of_is_told_by_the_check() {
    let directory = tempfile::tempdir().expect("a directory");
    let yaml = "listeners: [{name: a, address: \"127.0.0.1:0\"}]
upstreams: {lost: {endpoints: [\"nowhere.invalid:80\"]}}
routes: [{name: r, upstream: lost}]
";
    std::fs::write(directory.path().join("gateway.yaml"), yaml).expect("written");
    let (succeeded, text) = gateway(directory.path(), &["check"]);
    assert!(succeeded && text.contains("gateway.yaml: fine"), "{text}");
    assert!(text.contains("WARN") && text.contains("nowhere.invalid"), "{text}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_of_a_check() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(
        directory.path().join("gateway.yaml"),
        "listeners: [{name: a, address: \"127.0.0.1:0\"}]\nroutes: [{name: r, respond: {status: 200}}]\n",
    )
    .expect("written");
    let plugin = built_plugin("hello-plugin").display().to_string();
    for arguments in [&["check"][..], &["plugin", "check", &plugin]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let child = Command::new(binary("gateway"))
            .args(arguments)
            .current_dir(directory.path())
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_never_ends_is_no_plugin() {
    let directory = tempfile::tempdir().expect("a directory");
    let (succeeded, text) = gateway(directory.path(), &["plugin", "check", "/dev/zero"]);
    assert!(!succeeded && text.contains("/dev/zero: can't be read: it is not a regular file"), "{text}");
}

#[test]
fn a_plugin_that_uses_a_secret_only_where_its_config_names_one_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let check =
        |name: &str| gateway(directory.path(), &["plugin", "check", &built_plugin(name).display().to_string()]).1;
    let text = check("pii-redact");
    assert!(text.contains("grants   secrets, if its config names any (crypto::Key::from_secret)"), "{text}");
    assert!(text.contains("plugins: {grants: {pii-redact: {secrets: [NAME, ...]}}}"), "{text}");
    let text = check("auth");
    assert!(
        text.contains("grants   upstreams (optional: its config may need none)\n")
            && text.contains("secrets, if its config names any"),
        "{text}"
    );
    assert!(check("hello-plugin").contains("grants   none"), "{}", check("hello-plugin"));
}

/// Whoever can put another directory in its place would have code of his run.
#[test]
fn a_cache_that_another_user_could_replace_is_left_alone_and_named_and_the_plugin_works_without() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().expect("a directory");
    let (loose, cache) = (home.path().join("loose"), home.path().join("loose/cache/gateway-plugins"));
    for directory in [&loose, &home.path().join("plugins")] {
        std::fs::create_dir(directory).expect("made");
    }
    install("hello-plugin", &home.path().join("plugins"));
    let yaml = "listeners: [{name: a, address: \"127.0.0.1:0\"}]
plugins: {directory: plugins, cache: loose/cache}
routes: [{name: r, plugins: [{name: hello-plugin, config: {value: hello}}], respond: {status: 200}}]
";
    std::fs::write(home.path().join("gateway.yaml"), yaml).expect("written");
    let check = |mode| {
        std::fs::set_permissions(&loose, std::fs::Permissions::from_mode(mode)).expect("its mode is set");
        let (succeeded, text) = gateway(home.path(), &["check"]);
        assert!(succeeded && text.contains("gateway.yaml: fine"), "{text}");
        let kept = std::fs::read_dir(&cache).map_or(0, Iterator::count);
        (text, kept)
    };
    let (text, kept) = check(0o777);
    assert!(text.contains("WARN") && text.contains("/loose: other users may write to it (mode 0777)"), "{text}");
    assert!(text.contains("plugins.cache"), "{text}");
    assert_eq!(kept, 0);
    let (text, _) = check(0o755);
    assert!(!text.contains("WARN") && !cache.exists(), "a check leaves nothing behind: {text}");
    std::fs::create_dir_all(&cache).expect("made");
    for _ in 0..2 {
        let (text, kept) = check(0o755);
        assert!(!text.contains("WARN"), "{text}");
        assert_eq!(kept, 1);
    }
}

#[test]
fn a_home_that_is_not_there_costs_the_cache_and_not_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("plugins")).expect("made");
    install("hello-plugin", &directory.path().join("plugins"));
    let yaml = "listeners: [{name: a, address: \"127.0.0.1:0\"}]
plugins: {directory: plugins}
routes: [{name: r, plugins: [{name: hello-plugin, config: {value: hello}}], respond: {status: 200}}]
";
    std::fs::write(directory.path().join("gateway.yaml"), yaml).expect("written");
    let output = Command::new(binary("gateway"))
        .arg("check")
        .current_dir(directory.path())
        .env_remove("CACHE_DIRECTORY")
        .env_remove("XDG_CACHE_HOME")
        // Also for root, who could make what is merely missing.
        .env("HOME", "/dev/null")
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("compiled plugins are not kept"), "{text}");
}

#[test]
fn a_plugin_that_works_for_long_or_may_wait_is_measured_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = "person 30108299920, ".repeat(20_000);
    let case = format!(
        "- name: much\n  steps: [{{request: {{method: POST, headers: {{content-type: text/plain}}, body: \"{text}\"}}, expect: {{status: 200}}}}]\n"
    );
    std::fs::write(directory.path().join("cases.yaml"), case).expect("written");
    for plugin in ["pii-redact", "test-caller"] {
        let file = built_plugin(plugin).display().to_string();
        let (succeeded, text) = gateway(directory.path(), &["plugin", "bench", &file, "cases.yaml", "--time", "300"]);
        assert!(succeeded && text.contains("request_headers"), "{plugin}: {text}");
    }
}
