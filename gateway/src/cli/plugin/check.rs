//! `gateway plugin check`: what a wasm file is, and what it would need.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::output;
use crate::{plugin, watch};

pub(super) fn check(file: &Path) -> ExitCode {
    let bytes = match watch::read_regular(file, plugin::MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            let tried = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
            eprintln!("{}: can't be read: {error}; tried {}", file.display(), tried.display());
            return ExitCode::FAILURE;
        }
    };
    match plugin::inspect(&plugin::this_program(), &bytes) {
        Ok(inspection) => output::show(&inspection.to_string()),
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}
