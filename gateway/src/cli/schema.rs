//! `gateway schema`: prints the JSON Schema of the config file.

use std::process::ExitCode;

/// Prints the schema to standard output.
pub(super) fn run() -> ExitCode {
    super::show::show(&format!("{:#}\n", crate::config::schema()))
}
