//! Runs every test: unit tests, doc tests, the plugins natively, and the end-to-end tests on built wasm files.
//!
//! What tests print is shown where they fail. The last line is the total over all of them: `N passed, N failed, N skipped`.

mod report;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use clap::Args;

use crate::process::{announce_first_build, cargo, run as run_command, target_directory};
use crate::{Result, debian, plugins, setup};
use report::Report;

/// Options of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Only tests whose names contain this.
    filter: Option<String>,
}

/// The task.
pub(crate) fn run(options: &Options) -> Result {
    setup::wasm()?;
    setup::tools(&setup::PEERS)?;
    let python = setup::python()?;
    let prometheus = debian::prometheus()?;
    announce_first_build()?;
    let wasm = plugins::build(&plugins::Kind::ALL)?;
    // The end-to-end tests start programs as processes of their own. All in one, because cargo builds dependencies once more
    // for other sets of packages and targets, whose features differ.
    run_command(cargo().args(["build", "--workspace", "--bins", "--tests"]))?;
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command.env("GATEWAY_PLUGINS", wasm).env("GATEWAY_PYTHON", python).env("GATEWAY_PROMETHEUS", prometheus);
    let target = target_directory()?;
    command.env("GATEWAY_BINARIES", target.join("debug"));
    // Gateways in the tests' own processes keep compiled plugins here, not with those of the user's.
    let cache = target.join("tests-cache");
    std::fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    command.env("CACHE_DIRECTORY", cache);
    if let Some(filter) = &options.filter {
        command.arg(filter);
    }
    watch(command)
}

/// Runs `cargo test` and reports what it prints.
fn watch(mut command: std::process::Command) -> Result {
    // One pipe for both, so that what the gateway logs in a test's process stands where it was logged.
    let pipe = std::io::pipe().and_then(|(reader, writer)| Ok((reader, writer.try_clone()?, writer)));
    let (reader, stdout, stderr) = pipe.map_err(|error| format!("no pipe: {error}"))?;
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let mut child = command.spawn().map_err(|error| format!("`cargo test` could not be started: {error}"))?;
    // Its ends of the pipe are closed with it; otherwise the last line would never be the last one.
    drop(command);
    let mut report = Report::new(std::io::stdout());
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(|error| format!("can't read what `cargo test` prints: {error}"))?;
        report.line(&String::from_utf8_lossy(&line));
    }
    let status = child.wait().map_err(|error| format!("`cargo test` is lost: {error}"))?;
    let total = report.finish();
    match (total.failed, status.success()) {
        (0, true) => Ok(()),
        (0, false) => Err(format!("`cargo test` failed: {status}")),
        (failed, _) => Err(format!("{failed} failed")),
    }
}
