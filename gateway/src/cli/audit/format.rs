//! How an answer looks: for people, or for programs.

use std::process::ExitCode;

use clap::ValueEnum;

use super::place::Failed;
use crate::cli::output;

/// How an answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people: a table, or Markdown.
    #[value(alias = "markdown")]
    Table,
    /// For programs.
    Json,
}

/// Prints an answer in one of two forms.
pub(super) fn show<T: serde::Serialize>(
    format: Format,
    answer: &T,
    for_people: impl FnOnce(&T) -> String,
) -> Result<ExitCode, Failed> {
    let text = match format {
        Format::Table => for_people(answer),
        Format::Json => {
            let mut text = ::audit::render::json(answer).map_err(|error| Failed(error.to_string()))?;
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text
        }
    };
    Ok(output::show(&text))
}
