//! `gateway check`: the configuration and every plugin that it uses, with all mistakes at once.

use std::path::Path;
use std::process::ExitCode;

use crate::gateway;

pub(super) fn run(config: &Path) -> ExitCode {
    match gateway::check(config) {
        Ok(warnings) => {
            for warning in &warnings {
                eprintln!("warning: {warning}");
            }
            println!("{}: fine", config.display());
            ExitCode::SUCCESS
        }
        Err(error) => super::refuse(config, &error),
    }
}
