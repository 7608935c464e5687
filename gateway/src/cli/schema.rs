//! `gateway schema`: prints the JSON Schema of the config file.

use std::io::Write;
use std::process::ExitCode;

/// Prints the schema to standard output.
pub(super) fn run() -> ExitCode {
    let mut text = format!("{:#}", crate::config::schema());
    text.push('\n');
    // A reader that has seen enough (`gateway schema | head`) is no failure.
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
