//! Measures pii-redact: how many values of each category it finds in each kind of message, what it takes for personal data
//! and is none, and how fast it reads.
//!
//! `cargo xtask pii-bench` builds and runs this, with files from packages beside it.

mod adapter;
mod align;
mod checksum;
mod containers;
mod examples;
mod findings;
mod goals;
mod item;
mod measure;
mod near_miss;
mod real;
mod report;
mod review;
mod speed;
mod values;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use measure::{Choice, measure};

/// Measures what pii-redact finds, and how fast.
#[derive(Parser)]
struct Options {
    /// Starts the random numbers: the same seed makes the same messages.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Messages of each spelling in each container, with three values each.
    #[arg(long, default_value_t = 12)]
    messages: usize,
    /// Only containers whose name holds this.
    #[arg(long, default_value = "")]
    container: String,
    /// Only this category.
    #[arg(long, default_value = "")]
    category: String,
    /// Directories of real files, for false positives, separated by commas.
    #[arg(long, value_delimiter = ',')]
    files: Vec<PathBuf>,
    /// A file that names such directories, one on each line.
    #[arg(long)]
    files_from: Option<PathBuf>,
    /// Leave out the generated messages.
    #[arg(long)]
    no_messages: bool,
    /// Measure how fast it reads, so many times each.
    #[arg(long, default_value_t = 5)]
    speed_runs: usize,
    /// Only write the texts whose reading is timed into this directory, by the type that they are sent with.
    #[arg(long)]
    write_texts: Option<PathBuf>,
    /// Print the recall of every category in every container.
    #[arg(long)]
    matrix: bool,
    /// Print what leaked, what was masked wrongly, and the surroundings of each.
    #[arg(long)]
    verbose: bool,
    /// Exit with an error where a goal is missed.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints; `false` where a goal that was to be checked is missed.
fn run(options: &Options) -> Result<bool, String> {
    if let Some(directory) = &options.write_texts {
        speed::write(options.seed, directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        return Ok(true);
    }
    let rules = adapter::rules()?;
    let mut missed = Vec::new();
    if !options.no_messages {
        let choice = Choice { container: &options.container, category: &options.category };
        let findings = measure(&rules, options.seed, options.messages, &choice);
        report::findings(&findings, options.matrix, options.verbose);
        missed.extend(goals::of_messages(&findings));
    }
    let mut files = options.files.clone();
    if let Some(list) = &options.files_from {
        let text = std::fs::read_to_string(list).map_err(|error| format!("{}: {error}", list.display()))?;
        files.extend(text.lines().map(PathBuf::from));
    }
    if !files.is_empty() {
        let real = real::measure(&rules, &files)?;
        report::real(&real, options.verbose);
        missed.extend(goals::of_files(&real));
    }
    if options.speed_runs > 0 {
        let speeds = speed::measure(&rules, options.seed, options.speed_runs);
        report::speeds(&speeds);
        missed.extend(goals::of_speed(&speeds));
    }
    println!();
    for goal in &missed {
        println!("missed: {goal}");
    }
    if missed.is_empty() {
        println!("all goals are met");
    }
    Ok(missed.is_empty() || !options.check)
}
