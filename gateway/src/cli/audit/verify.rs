//! `gateway audit verify`: whether a ledger can be trusted.

use std::path::PathBuf;
use std::process::ExitCode;

use ::audit::head::Head;
use ::audit::keys::VerifierKey;
use ::audit::render;
use ::audit::verify::{Known, verify};
use clap::Args;

use super::format::{Format, show};
use super::place::{Failed, Place, parsed, unreadable};

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// A head that was kept elsewhere, as `gateway audit head`, the log and the metrics have it; may be repeated. Without one a
    /// removed tail is not found.
    #[arg(long, value_name = "HEAD", value_parser = parsed::<Head>)]
    expect: Vec<Head>,
    /// A gateway's verifier key that was kept elsewhere, NAME+ID+KEY; may be repeated. Without one each chain's own word counts.
    #[arg(long, value_name = "KEY", value_parser = parsed::<VerifierKey>)]
    key: Vec<VerifierKey>,
    /// How the result looks.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failed> {
    let directory: PathBuf = arguments.place.directory()?;
    let known = Known { heads: arguments.expect.clone(), keys: arguments.key.clone() };
    let found = verify(&directory, &known).map_err(unreadable(&directory))?;
    let shown = show(arguments.format, &found, render::verification)?;
    Ok(if found.is_good() { shown } else { ExitCode::FAILURE })
}
