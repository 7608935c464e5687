//! What commands print, and with which code they exit.

use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// The configuration where no other is named.
pub(super) const DEFAULT_CONFIG: &str = "gateway.yaml";

/// Prints what was asked for. A reader that has seen enough (`gateway schema | head`) is no failure.
pub(super) fn show(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Prints what is wrong with a configuration.
pub(super) fn refuse(config: &Path, error: &dyn Display) -> ExitCode {
    eprintln!("{error}");
    if config == Path::new(DEFAULT_CONFIG) && !config.exists() {
        eprintln!("name the configuration: -c FILE");
    }
    ExitCode::FAILURE
}
