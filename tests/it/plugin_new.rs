//! `gateway plugin new`: what it makes, built by the machine's own cargo.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gateway_tests::process::binary;

const README: &str = include_str!("../../README.md");
const GUIDE: &str = include_str!("../../plugin-sdk/README.md");

fn plugin_new(name: &str, directory: &Path) -> Output {
    let mut command = Command::new(binary("gateway"));
    command.args(["plugin", "new", name, "--directory"]).arg(directory).output().expect("the gateway runs")
}

/// One place beside this build's own files, so that the next plugin, and the next run, find the dependencies compiled.
fn built() -> PathBuf {
    binary("gateway").with_file_name("plugin-new")
}

/// A fresh directory there.
fn fresh(name: &str) -> PathBuf {
    let directory = built().join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("made");
    directory
}

/// The workspace's lock file names crates that were fetched to build this test; so no network is needed.
fn lock() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Without what the build of this test was told.
fn quiet(command: &mut Command) -> &mut Command {
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"] {
        command.env_remove(variable);
    }
    command.env("CARGO_NET_OFFLINE", "true")
}

#[test]
fn a_new_plugin_tests_builds_and_is_one() {
    let directory = fresh("source");
    let made = plugin_new("add-header", &directory);
    let printed = String::from_utf8_lossy(&made.stdout);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(
        printed.contains("gateway plugin build") && printed.contains("release/add_header.wasm cases.yaml"),
        "{printed}"
    );

    let crate_directory = directory.join("add-header");
    std::fs::copy(lock(), crate_directory.join("Cargo.lock")).expect("copied");
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(cargo());
        let command = quiet(&mut command).args(arguments).current_dir(&crate_directory);
        let output = command.env("CARGO_TARGET_DIR", built()).output().expect("cargo runs");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success(), "cargo {arguments:?}:\n{text}");
        assert!(!text.contains("warning"), "cargo {arguments:?}:\n{text}");
        text
    };
    let tested = cargo(&["test"]);
    assert!(tested.contains("test result: ok. 3 passed"), "{tested}");
    let wasm = built().join("wasm32-unknown-unknown/release/add_header.wasm").display().to_string();
    let gateway = |arguments: &[&str]| {
        let mut command = Command::new(binary("gateway"));
        let command = quiet(&mut command).arg("plugin").args(arguments).current_dir(&crate_directory);
        let output = command.env("CARGO_TARGET_DIR", built()).output().expect("it runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "gateway plugin {arguments:?}:\n{text}");
        text
    };
    let told = gateway(&["build"]);
    assert!(told.contains("add-header") && told.contains("response_headers"), "{told}");
    assert!(told.contains("bytes in all") && told.contains("  code\n"), "{told}");
    let tested = gateway(&["test", &wasm, "cases.yaml"]);
    assert!(tested.contains("2 passed, 0 failed"), "{tested}");
    let measured = gateway(&["bench", &wasm, "cases.yaml", "--time", "20"]);
    let line = measured.lines().find(|line| line.contains("response_headers")).expect("its one phase");
    let instructions = line.split_whitespace().last().and_then(|count| count.parse::<u64>().ok());
    assert!(instructions.is_some_and(|count| count > 0) && line.contains(" µs"), "{measured}");
    let again = gateway(&["bench", &wasm, "cases.yaml", "--time", "20"]);
    let last = |text: &str| text.split_whitespace().last().map(str::to_owned);
    assert_eq!(last(&again), last(&measured), "the same instructions in every run");
}

/// The blocks of one language in a section of a document.
fn blocks(document: &'static str, section: &str, language: &str) -> Vec<&'static str> {
    let (_, section) = document.split_once(&format!("\n## {section}\n")).expect("the section");
    let (section, _) = section.split_once("\n## ").expect("its end");
    let begin = format!("```{language}\n");
    let blocks = section.split(begin.as_str()).skip(1);
    blocks.filter_map(|after| after.split_once("```")).map(|(block, _)| block).collect()
}

/// Stands before cargo: each crate that is built here shares what is compiled, and finds every dependency.
const CARGO: &str = r#"#!/bin/sh
[ -e target ] || ln -s "$TUTORIAL_TARGET" target
[ -e Cargo.lock ] || cp "$TUTORIAL_LOCK" Cargo.lock
exec "$TUTORIAL_CARGO" "$@"
"#;

#[test]
fn the_tutorial_of_the_readme_works_as_it_is_written() {
    let directory = fresh("tutorial");
    let of = |language| blocks(README, "A plugin in ten minutes", language);
    let (shell, configurations) = (of("sh"), of("yaml"));
    let (&[_install, build, serve], &[yaml]) = (&shell[..], &configurations[..]) else {
        panic!("the tutorial has three blocks for a shell and one configuration");
    };
    // The number in the README can be anybody's here.
    let address = format!("127.0.0.1:{}", gateway_tests::free_port());
    assert!(yaml.contains("127.0.0.1:8080") && serve.contains("127.0.0.1:8080"));
    std::fs::write(directory.join("gateway.yaml"), yaml.replace("127.0.0.1:8080", &address)).expect("written");
    let serve = serve.replace("127.0.0.1:8080", &address);
    let printed = run(&directory, &format!("{build}{serve}"));
    has_answers(&serve, &printed);
}

/// Runs lines for a shell in a directory, with this build's gateway and what crates share; what they print.
fn run(directory: &Path, lines: &str) -> String {
    let programs = directory.with_extension("bin");
    std::fs::create_dir_all(&programs).expect("made");
    for (name, make) in [("cargo", None), ("gateway", Some(binary("gateway")))] {
        let program = programs.join(name);
        let _ = std::fs::remove_file(&program);
        match make {
            Some(binary) => std::os::unix::fs::symlink(binary, program).expect("linked"),
            None => {
                std::fs::write(&program, CARGO).expect("written");
                std::fs::set_permissions(program, Permissions::from_mode(0o755)).expect("made executable");
            }
        }
    }
    let script = format!("set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{lines}");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path))).expect("a path");
    let mut command = Command::new("bash");
    let command = quiet(&mut command).args(["-c", &script]).current_dir(directory).env("PATH", path);
    let command = command.env("TUTORIAL_TARGET", built()).env("TUTORIAL_LOCK", lock());
    let command = command.env("TUTORIAL_CARGO", cargo()).env("CACHE_DIRECTORY", directory.join("cache"));
    let output = command.output().expect("bash runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    printed
}

/// What stands behind the lines of a block as comments was printed.
fn has_answers(lines: &str, printed: &str) {
    let mut answers = lines.lines().filter_map(|line| line.split_once(" # ")).map(|(_, answer)| answer).peekable();
    assert!(answers.peek().is_some());
    for answer in answers {
        assert!(printed.lines().any(|line| line.trim() == answer), "{answer:?} is not in\n{printed}");
    }
}

#[test]
fn the_first_ten_minutes_of_the_guide_work_as_they_are_written() {
    let directory = fresh("guide");
    // Another test builds the crate of this name, and a machine may have no `rustup`.
    let lines: String = blocks(GUIDE, "Ten minutes", "sh").concat();
    let lines: String = lines.split_inclusive('\n').filter(|line| !line.starts_with("rustup ")).collect();
    let address = format!("127.0.0.1:{}", gateway_tests::free_port());
    assert!(lines.contains("127.0.0.1:8080"));
    let lines = lines.replace("127.0.0.1:8080", &address);
    let lines = lines.replace("add-header", "guide-header").replace("add_header", "guide_header");
    let printed = run(&directory, &lines);
    has_answers(lines.lines().find(|line| line.starts_with("curl ")).expect("a question"), &printed);
    assert!(printed.contains("guide-header.wasm is there now"), "{printed}");
    assert!(printed.contains("\"state\": \"serving\""), "{printed}");
}

#[test]
fn the_plugins_tests_and_cases_of_the_guide_work_as_they_are_written() {
    let directory = fresh("guide-gate");
    assert!(plugin_new("gate", &directory).status.success());
    let gate = directory.join("gate");
    let put = |file: &str, text: &str| std::fs::write(gate.join(file), text).expect("written");
    put("src/lib.rs", blocks(GUIDE, "A plugin", "rust")[0]);
    run(&gate, "cargo check");
    let (rust, cases) = (blocks(GUIDE, "Testing", "rust"), blocks(GUIDE, "Testing", "yaml"));
    let (&[plugin, tests, of_cases], &[cases]) = (&rust[..], &cases[..]) else {
        panic!("a plugin, its tests, and the one that runs its cases");
    };
    put("src/lib.rs", plugin);
    put("src/tests.rs", &format!("{tests}{of_cases}"));
    put("cases.yaml", cases);
    let shell = blocks(GUIDE, "Testing", "sh").concat();
    let printed = run(&gate, &format!("cargo test\n{shell}"));
    assert!(printed.contains("test result: ok. 2 passed"), "{printed}");
    assert!(printed.contains("2 passed, 0 failed"), "{printed}");
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
