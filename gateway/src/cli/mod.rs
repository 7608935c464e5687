//! The command line: `run`, `check`, `schema`, `plugin …`, `audit …`.

mod audit;
mod check;
mod output;
mod panics;
mod plugin;
mod plugin_new;
mod run;
mod schema;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use output::DEFAULT_CONFIG;

/// A WebAssembly-extensible edge gateway.
#[derive(Parser)]
#[command(name = "gateway", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve traffic.
    #[command(override_usage = "gateway run [-c FILE]")]
    Run {
        /// The configuration file.
        #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check the configuration and every plugin that it uses, and print all mistakes.
    #[command(override_usage = "gateway check [-c FILE]")]
    Check {
        /// The configuration file.
        #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE")]
        config: PathBuf,
    },
    /// Print the JSON Schema of the configuration file.
    Schema,
    /// Make and inspect plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Ask an audit trail, and verify it.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// What the gateway starts to compile a plugin.
    #[command(hide = true)]
    CompilePlugin,
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    panics::tell_safely();
    match Arguments::parse().command {
        Command::Run { config } => run::run(&config),
        Command::Check { config } => check::run(&config),
        Command::Schema => schema::run(),
        Command::Plugin(command) => plugin::run(command),
        Command::Audit(command) => audit::run(command),
        Command::CompilePlugin => crate::plugin::serve_compilation(),
    }
}
