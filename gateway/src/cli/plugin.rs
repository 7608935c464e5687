//! `gateway plugin …`: what somebody does with a plugin before a gateway loads it.

mod check;
mod install;
mod keygen;
mod sign;

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
    /// Check a plugin, and put it into a gateway's plugin directory as one change.
    Install(install::Arguments),
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
        PluginCommand::Keygen(arguments) => keygen::run(&arguments),
        PluginCommand::Sign(arguments) => sign::run(&arguments),
    }
}
