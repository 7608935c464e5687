//! `gateway audit report`: the record of processing activities, and what a notification of a breach has to say.

use std::process::ExitCode;

use ::audit::render;
use ::audit::report::{Span, breach, processing};
use ::audit::time::Timestamp;
use clap::{Args, ValueEnum};

use super::format::{Format, show};
use super::place::{Failed, Place, parsed, unreadable};

/// Which report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Article {
    /// Records of processing activities (article 30).
    #[value(name = "30")]
    Processing,
    /// An extract for the notification of a breach (article 33): whose data of which categories went where.
    #[value(name = "33")]
    Breach,
}

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The article of the GDPR that it is for.
    #[arg(long, value_enum, default_value = "30")]
    article: Article,
    /// Exchanges that began then or later: 2026-01-31, or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parsed::<Timestamp>)]
    from: Option<Timestamp>,
    /// Exchanges that began before then.
    #[arg(long, value_name = "TIME", value_parser = parsed::<Timestamp>)]
    to: Option<Timestamp>,
    /// How the report looks: Markdown, or JSON.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failed> {
    let directory = arguments.place.directory()?;
    let span = Span { from: arguments.from, to: arguments.to };
    match arguments.article {
        Article::Processing => {
            let report = processing::processing(&directory, span).map_err(unreadable(&directory))?;
            show(arguments.format, &report, render::processing)
        }
        Article::Breach => {
            let report = breach::breach(&directory, span).map_err(unreadable(&directory))?;
            show(arguments.format, &report, render::breach)
        }
    }
}
