//! `gateway audit query`: exchanges that match.

use std::process::ExitCode;

use ::audit::query::{Filter, query};
use ::audit::render;
use ::audit::subjects::store;
use ::audit::time::Timestamp;
use ::audit::vocabulary::Category;
use ::audit::words::{Country, Name};
use clap::Args;

use super::format::{Format, show};
use super::place::{self, Failed, Place, parsed, unreadable};

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Whose: a principal, as the auth plugin names it. Needs the configuration, for the pseudonym key.
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Personal data of this category was seen.
    #[arg(long, value_parser = parsed::<Category>)]
    category: Option<Category>,
    /// It went to this upstream.
    #[arg(long, value_name = "NAME", value_parser = parsed::<Name>)]
    upstream: Option<Name>,
    /// It went to this country (ISO 3166-1, for example NO).
    #[arg(long, value_name = "CODE", value_parser = parsed::<Country>)]
    country: Option<Country>,
    /// It came by this route.
    #[arg(long, value_name = "NAME", value_parser = parsed::<Name>)]
    route: Option<Name>,
    /// It began then or later: 2026-01-31, or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parsed::<Timestamp>)]
    from: Option<Timestamp>,
    /// It began before then.
    #[arg(long, value_name = "TIME", value_parser = parsed::<Timestamp>)]
    to: Option<Timestamp>,
    /// How the result looks.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failed> {
    let directory = arguments.place.directory()?;
    let callers = match &arguments.subject {
        None => None,
        Some(subject) => {
            let caller = place::caller(&arguments.place.settings()?, subject)?;
            Some(store::find_in_all(&directory, &caller).map_err(unreadable(&directory))?)
        }
    };
    let filter = Filter {
        callers,
        category: arguments.category.clone(),
        upstream: arguments.upstream.clone(),
        country: arguments.country,
        route: arguments.route.clone(),
        from: arguments.from,
        to: arguments.to,
    };
    let found = query(&directory, &filter).map_err(unreadable(&directory))?;
    show(arguments.format, &found, |found| render::exchanges(found))
}
