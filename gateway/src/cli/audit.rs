//! `gateway audit …`: what somebody asks an audit trail, without a gateway having to run.

mod erase;
mod format;
mod head;
mod place;
mod query;
mod report;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

use self::place::Failed;

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Read every record, and say what is wrong with which: exit 0 where nothing is, 1 where something is, 2 where it can't be
    /// read.
    Verify(verify::Arguments),
    /// List exchanges: whose personal data of which category went where.
    Query(query::Arguments),
    /// Summarise the processing (GDPR article 30), or a time span for a notification (article 33).
    Report(report::Arguments),
    /// Delete a subject's key, so that nobody can tell any more which records are theirs; exit 1 where there is no such subject.
    Erase(erase::Arguments),
    /// Print the last record of each chain, for whoever keeps it elsewhere.
    Head(head::Arguments),
}

pub(super) fn run(command: AuditCommand) -> ExitCode {
    let done = match command {
        AuditCommand::Verify(arguments) => verify::run(&arguments),
        AuditCommand::Query(arguments) => query::run(&arguments),
        AuditCommand::Report(arguments) => report::run(&arguments),
        AuditCommand::Erase(arguments) => erase::run(&arguments),
        AuditCommand::Head(arguments) => head::run(&arguments),
    };
    done.unwrap_or_else(|Failed(message)| {
        eprintln!("{message}");
        ExitCode::from(2)
    })
}
