//! `gateway plugin check`: what a wasm file is, and what it would need.

use std::path::Path;
use std::process::ExitCode;

use crate::plugin;

pub(super) fn check(file: &Path) -> ExitCode {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("{}: can't be read: {error}", file.display());
            return ExitCode::FAILURE;
        }
    };
    match plugin::inspect(&bytes) {
        Ok(inspection) => {
            print!("{inspection}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}
