//! Runs every test: unit tests, doc tests, the plugins natively, and the end-to-end tests on built wasm files.

use clap::Args;

use crate::process::{cargo, run as run_command, target_directory};
use crate::{Result, plugins, setup};

/// Options of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Only tests whose names contain this.
    filter: Option<String>,
}

/// The task.
pub(crate) fn run(options: &Options) -> Result {
    setup::wasm()?;
    setup::tools(&[setup::CURL, setup::PYTHON])?;
    let python = setup::python()?;
    let wasm = plugins::build(&plugins::Kind::ALL)?;
    // The end-to-end tests start these as processes of their own.
    run_command(cargo().args(["build", "--package", "gateway", "--package", "microservices"]))?;
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command.env("GATEWAY_PLUGINS", wasm).env("GATEWAY_PYTHON", python);
    let target = target_directory()?;
    command.env("GATEWAY_BINARIES", target.join("debug"));
    // Gateways in the tests' own processes keep compiled plugins here, not with those of the user's.
    let cache = target.join("tests-cache");
    std::fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    command.env("CACHE_DIRECTORY", cache);
    if let Some(filter) = &options.filter {
        command.arg(filter);
    }
    run_command(&mut command)
}
