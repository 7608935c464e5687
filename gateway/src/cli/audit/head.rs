//! `gateway audit head`: the last record of each chain, which somebody else should keep.

use std::process::ExitCode;

use ::audit::render;
use ::audit::verify::heads;
use clap::Args;

use super::place::{Failed, Place, unreadable};
use crate::cli::output;

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Print the signed note of each head that has one.
    #[arg(long)]
    notes: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failed> {
    let directory = arguments.place.directory()?;
    let heads = heads(&directory).map_err(unreadable(&directory))?;
    Ok(output::show(&render::heads(&heads, arguments.notes)))
}
