//! What a command prints.

use std::io::Write as _;
use std::process::ExitCode;

/// Prints what was asked for. A reader that has seen enough (`gateway schema | head`) is no failure.
pub(super) fn show(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
