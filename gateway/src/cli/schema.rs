//! `gateway schema`: prints the JSON Schema of the config file.

use std::process::ExitCode;

use super::output;

/// Prints the schema to standard output.
pub(super) fn run() -> ExitCode {
    output::show(&format!("{:#}\n", crate::config::schema()))
}
