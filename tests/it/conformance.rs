//! The cases of the contract on the gateway's runtime: with the guest that was just built, and with the file that an earlier
//! SDK built. `tests/guests/conformance/tests/native.rs` runs the same on the SDK's test host.

use std::path::{Path, PathBuf};
use std::process::Command;

use gateway_tests::gateway::built_plugin;
use gateway_tests::process::binary;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a file of cases; every one of them passes.
fn passes(plugin: &Path, cases: &str, more: &[&str]) {
    let cases = repository().join("plugin-sdk/conformance").join(cases);
    let output = Command::new(binary("gateway"))
        .args(["plugin", "test"])
        .args([plugin, &cases])
        .args(more)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains(" 0 failed"), "{}: {text}", cases.display());
}

macro_rules! cases {
    ($($file:ident)*) => {
        $(
            #[test]
            fn $file() {
                passes(&built_plugin("conformance"), concat!(stringify!($file), ".yaml"), &[]);
            }
        )*

        #[test]
        fn a_plugin_that_an_earlier_sdk_built_passes_all_that_it_could_do() {
            for version in ["1", "2", "3"] {
                let kept = repository().join(format!("tests/kept/conformance-{version}.wasm"));
                for file in [$(concat!(stringify!($file), ".yaml")),*] {
                    passes(&kept, file, &["--since", version]);
                }
            }
        }

        #[test]
        fn every_file_of_cases_is_run() {
            let files = std::fs::read_dir(repository().join("plugin-sdk/conformance")).expect("readable");
            let names = files.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
            let mut found: Vec<_> = names.filter(|name| name.ends_with(".yaml")).collect();
            let mut run = vec![$(concat!(stringify!($file), ".yaml").to_owned()),*];
            found.sort();
            run.sort();
            assert_eq!(found, run);
        }
    };
}

cases! {
    codings
    phases
    fields
    state
    services
    limits
}

#[test]
fn a_case_that_does_not_hold_is_told_with_what_was_seen_instead() {
    let directory = tempfile::tempdir().expect("a directory");
    let cases = directory.path().join("cases.yaml");
    let text = "- name: wrong\n  steps: [{expect: {status: 201, headers: {x-a: b}}}]\n- name: right\n  steps: [{expect: {status: 200}}]\n";
    std::fs::write(&cases, text).expect("written");
    let test = |more: &[&str]| {
        let output = Command::new(binary("gateway"))
            .args(["plugin", "test"])
            .args([&built_plugin("conformance"), &cases])
            .args(more)
            .output()
            .expect("it runs");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (succeeded, told) = test(&[]);
    assert!(!succeeded && told.contains("step 1: status: expected 201, found 200"), "{told}");
    assert!(
        told.contains("header x-a: expected Some(\"b\"), found None") && told.contains("1 passed, 1 failed"),
        "{told}"
    );
    assert!(test(&["--only", "right"]).0);
}
