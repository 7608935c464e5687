//! The test vectors of the standard plugins on the built wasm, in a gateway: the same files that each plugin's own
//! `tests/vectors.rs` runs natively, with the same results.

use std::path::Path;
use std::process::Command;

use gateway_tests::gateway::built_plugin;
use gateway_tests::process::binary;

fn run(plugin: &str) {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/{plugin}/tests/vectors.json"));
    let output = Command::new(binary("gateway"))
        .args(["plugin", "test"])
        .args([built_plugin(plugin), vectors])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains(" 0 failed") && !text.contains("\nskip  "), "{plugin}: {text}");
}

#[test]
fn auth_gives_natively_and_in_wasm_the_same() {
    run("auth");
}

#[test]
fn rate_limit_gives_natively_and_in_wasm_the_same() {
    run("rate-limit");
}

#[test]
fn circuit_breaker_gives_natively_and_in_wasm_the_same() {
    run("circuit-breaker");
}
