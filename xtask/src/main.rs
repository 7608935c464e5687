//! `cargo xtask …`: everything that the project does beyond `cargo build`.
//!
//! Each task installs or builds what it needs, or says precisely what is missing.

mod bench;
mod debian;
mod demo;
mod dist;
mod pii_bench;
mod plugins;
mod process;
mod release;
mod setup;
mod test;
mod traffic;
mod wasm_target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The error of a task: a message for the person who ran it.
type Result<T = ()> = std::result::Result<T, String>;

/// Tasks of the gateway's repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install the wasm target and the tools that tests use.
    Setup,
    /// Build every plugin and example plugin into target/plugins/NAME.wasm, guests of tests into target/guests.
    Plugins,
    /// Show the gateway at work on real parts.
    Demo(demo::Options),
    /// Run every test.
    Test(test::Options),
    /// Measure CPU time per request beside NGINX.
    Bench(bench::Options),
    /// Measure what pii-redact finds, what it masks without need, and how fast it reads.
    PiiBench(pii_bench::Options),
    /// Make an archive of the release binary and the plugins.
    Dist(release::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Setup => setup::run(),
        Task::Plugins => setup::wasm().and_then(|()| plugins::build(&plugins::Kind::ALL).map(drop)),
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::PiiBench(options) => pii_bench::run(&options),
        Task::Dist(options) => dist::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_options_of_every_task_are_consistent() {
        Arguments::command().debug_assert();
    }
}
