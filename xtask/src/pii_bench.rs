//! Measures what pii-redact finds, what it takes for personal data without need, and how fast: the tables of its README.
//!
//! The measurement is a program of its own (`tests/pii-bench`), because only a release build says how fast something is; this
//! task builds it, brings the files of packages that it reads, and hands its options on.

mod corpus;
mod gateway;
mod packages;

use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::Result;
use crate::process::{cargo, run as run_command, target_directory};

/// Options of `cargo xtask pii-bench`.
#[derive(Args)]
pub(crate) struct Options {
    /// Leave out the files of packages, which are downloaded once.
    #[arg(long)]
    no_files: bool,
    /// Exit with an error where a goal is missed.
    #[arg(long)]
    check: bool,
    /// Print each false positive and each leak with its surroundings.
    #[arg(long)]
    verbose: bool,
    /// Measure instead how much CPU time this gateway needs for each byte, with the plugin and without.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// With `--gateway`: a directory with a built plugin. Without it, the plugin is built.
    #[arg(long, requires = "gateway")]
    plugins: Option<PathBuf>,
    /// With `--gateway`: how often each text is measured.
    #[arg(long, default_value_t = 3, requires = "gateway")]
    rounds: usize,
    /// Further options of the measurement behind `--`, such as `--seed 7`, `--messages 40`, `--matrix`, `--container JSON`,
    /// `--category phone`, `--speed-runs 0`, `--no-messages`; `-- --help` shows all.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// The task.
pub(crate) fn run(options: &Options) -> Result {
    run_command(cargo().args(["build", "--release", "--package", "pii-bench"]))?;
    let target = target_directory()?;
    let mut command = Command::new(target.join("release/pii-bench"));
    if let Some(binary) = &options.gateway {
        return gateway::run(command, binary, options.plugins.as_deref(), options.rounds, options.check);
    }
    if !options.no_files {
        match corpus::fetch(&target.join("pii-bench"))? {
            Some(list) => drop(command.arg("--files-from").arg(list)),
            None if options.check => {
                return Err("without the files of packages not all goals can be checked".to_owned());
            }
            None => {}
        }
    }
    let flags = [(options.check, "--check"), (options.verbose, "--verbose")];
    command.args(flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag));
    run_command(command.args(&options.rest))
}
