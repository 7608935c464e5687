//! `gateway plugin …`: what somebody does with a plugin before a gateway loads it.

mod bench;
mod build;
mod check;
mod install;
mod keygen;
mod sign;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::plugin_new;

#[derive(Subcommand)]
pub(super) enum PluginCommand {
    /// Make a plugin crate that builds, and whose test passes.
    New {
        /// The plugin's name: lower-case letters, digits and `-`. Also the name of the directory.
        name: String,
        /// Where to make the directory.
        #[arg(long, default_value = ".", value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print a plugin's name, version, phases, imports and the grants that it needs.
    Check {
        /// The wasm file.
        file: PathBuf,
    },
    /// Build a plugin crate for gateways, and tell what came of it and where its bytes are.
    Build(build::Arguments),
    /// Check a plugin, and put it into a gateway's plugin directory as one change.
    Install(install::Arguments),
    /// Run a plugin through the cases of a file, on the gateway's runtime.
    Test(test::Arguments),
    /// Measure what each phase of a plugin costs: time and instructions.
    Bench(bench::Arguments),
    /// Make a pair of keys to sign plugins with, as `minisign -G` does.
    Keygen(keygen::Arguments),
    /// Sign plugins for gateways whose plugins.trusted_keys has the public key, as `minisign -S` does.
    Sign(sign::Arguments),
}

pub(super) fn run(command: PluginCommand) -> ExitCode {
    match command {
        PluginCommand::New { name, directory } => plugin_new::run(&name, &directory),
        PluginCommand::Check { file } => check::check(&file),
        PluginCommand::Install(arguments) => install::run(&arguments),
        PluginCommand::Test(arguments) => test::run(&arguments),
        PluginCommand::Build(arguments) => build::run(&arguments),
        PluginCommand::Bench(arguments) => bench::run(&arguments),
        PluginCommand::Keygen(arguments) => keygen::run(&arguments),
        PluginCommand::Sign(arguments) => sign::run(&arguments),
    }
}
