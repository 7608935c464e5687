//! What the command line shows, as text: pure functions over what was found. JSON is serde's.

use std::fmt::Write as _;

use crate::head::SignedHead;
use crate::query::Exchange;
use crate::record::Upstream;
use crate::report::Span;
use crate::report::breach::Breach;
use crate::report::processing::{Activity, Counted, Processing};
use crate::verify::{Chain, Finding, Trust, Verification};

/// A result for programs, as indented JSON with an end of line.
///
/// # Errors
///
/// What serde makes of a value that can't be JSON; those of this crate can.
pub fn json(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// What verification came to: each chain, then everything that is wrong.
pub fn verification(verification: &Verification) -> String {
    let mut out = String::new();
    if verification.chains.is_empty() {
        out += "there is no chain here\n";
    }
    verification.chains.iter().for_each(|found| chain(&mut out, found));
    verification.findings.iter().for_each(|found| finding(&mut out, found));
    if verification.findings.is_empty() {
        out += "nothing is wrong\n";
    }
    out
}

// Writing to a string does not fail, so what `write!` returns is dropped throughout.

fn chain(out: &mut String, chain: &Chain) {
    let _ = writeln!(out, "{}: {} records in {} segments", chain.name, chain.records, chain.segments);
    if let Some(head) = &chain.head {
        let _ = writeln!(out, "  head: {head}");
    }
    let trust = match chain.trust {
        Trust::Signed => format!("{} heads are signed by a known key", chain.signed_heads),
        Trust::SignedByItsOwnWord => format!(
            "{} heads are signed by the key that the chain itself names: {}; compare it with the gateway's",
            chain.signed_heads,
            chain.signer.as_deref().unwrap_or("?")
        ),
        Trust::Ordered => {
            "ordered, not tamper-proof: its heads are not signed, so whoever can write the files could have \
                           made all of them"
                .to_owned()
        }
    };
    let _ = writeln!(out, "  {trust}");
    for (count, what) in [
        (chain.deleted_segments, "segments were deleted by age, as the chain says"),
        (chain.unconfirmed, "records were written to a failing disk and never confirmed, as the chain says"),
        (chain.cut, "bytes were cut after crashes, as the chain says"),
        (chain.erased, "subjects were erased"),
    ] {
        if count > 0 {
            let _ = writeln!(out, "  {count} {what}");
        }
    }
}

fn finding(out: &mut String, finding: &Finding) {
    out.push_str("WRONG: ");
    match (&finding.file, finding.line) {
        (Some(file), Some(line)) => _ = write!(out, "{file}:{line}: "),
        _ => _ = write!(out, "{}: ", finding.chain),
    }
    if let Some(seq) = finding.seq {
        let _ = write!(out, "record {seq}: ");
    }
    let _ = writeln!(out, "{}", finding.problem);
}

/// Heads as somebody else keeps them: a line each. With notes, the signed note of each that has one.
pub fn heads(heads: &[SignedHead], notes: bool) -> String {
    let mut out = String::new();
    for SignedHead { head, note } in heads {
        match note {
            Some(note) if notes => _ = writeln!(out, "{note}"),
            _ => _ = writeln!(out, "{head}"),
        }
    }
    out
}

/// Exchanges as a table.
pub fn exchanges(exchanges: &[Exchange]) -> String {
    let header = ["TIME", "CALLER", "ROUTE", "UPSTREAM", "COUNTRY", "DATA", "STATUS", "OUTCOME", "REQUEST"];
    let mut rows = vec![header.map(str::to_owned)];
    for exchange in exchanges {
        let upstream = exchange.opening.upstream.as_ref();
        let closing = exchange.closing.as_ref();
        let notes = closing.map_or(&[][..], |closing| &closing.categories);
        let data: Vec<String> =
            notes.iter().map(|note| format!("{}:{}:{}", note.category.as_str(), note.action, note.count)).collect();
        rows.push([
            exchange.time.to_string(),
            or_dash(exchange.caller),
            exchange.opening.route.name.to_string(),
            or_dash(upstream.map(|upstream| &upstream.name)),
            or_dash(upstream.and_then(|upstream| upstream.country)),
            if data.is_empty() { "-".to_owned() } else { data.join(",") },
            or_dash(closing.map(|closing| closing.status)),
            closing.map_or("open", |closing| closing.outcome.as_str()).to_owned(),
            exchange.opening.request.to_string(),
        ]);
    }
    table(&rows)
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    out
}

/// The record of processing activities as Markdown.
pub fn processing(report: &Processing) -> String {
    let mut out =
        "# Record of processing activities\n\nGDPR, article 30(1), as far as the gateway has seen it".to_owned();
    out += &span(&report.span);
    out += ".\n\n| Purpose | Legal basis | Route | Recipient | Region | Country | Exchanges | Subjects | Categories | Kept for |\n";
    out += "|---|---|---|---|---|---|---|---|---|---|\n";
    report.activities.iter().for_each(|found| activity(&mut out, found));
    if report.activities.is_empty() {
        out += "\nNo exchange is recorded.\n";
    }
    out
}

fn activity(out: &mut String, activity: &Activity) {
    let route = &activity.route;
    let _ = writeln!(
        out,
        "| {} | {} | {} | {} | {} | {} | {} | {} |",
        route.purpose,
        route.legal_basis,
        route.name,
        recipient(activity.recipient.as_ref()),
        activity.exchanges,
        activity.subjects,
        categories(&activity.categories),
        route.retention,
    );
}

/// Controller and upstream, region and country, as three cells.
fn recipient(upstream: Option<&Upstream>) -> String {
    let Some(upstream) = upstream else { return "none | - | -".to_owned() };
    let name = match &upstream.controller {
        Some(controller) => format!("{controller} ({})", upstream.name),
        None => format!("{} (controller not declared)", upstream.name),
    };
    format!("{name} | {} | {}", or_dash(upstream.region.as_ref()), or_dash(upstream.country))
}

fn categories(counted: &[Counted]) -> String {
    let one = |counted: &Counted| {
        format!("{} ({}, {})", counted.category.as_str(), counted.action, exchanges_of(counted.exchanges))
    };
    if counted.is_empty() { "none seen".to_owned() } else { counted.iter().map(one).collect::<Vec<_>>().join(", ") }
}

fn exchanges_of(count: u64) -> String {
    if count == 1 { "1 exchange".to_owned() } else { format!("{count} exchanges") }
}

fn span(span: &Span) -> String {
    let from = span.from.map(|from| format!(" from {from}")).unwrap_or_default();
    let to = span.to.map(|to| format!(" up to {to}")).unwrap_or_default();
    from + &to
}

/// The extract for the notification of a breach as Markdown.
pub fn breach(report: &Breach) -> String {
    let mut out = "# Extract for the notification of a breach\n\nGDPR, article 33(3)(a): exchanges".to_owned();
    out += &span(&report.span);
    let subjects = report.subjects.iter().filter(|subject| subject.caller.is_some()).count();
    let _ = write!(
        out,
        ".\n\n- Exchanges: {}\n- Data subjects known by pseudonym: {subjects}\n- Exchanges of unknown callers: {}\n- Categories \
         of personal data: {}\n\n",
        report.exchanges,
        report.unknown_callers,
        categories(&report.categories)
    );
    out += "| Subject | Recipient | Region | Country | Exchanges | First | Last | Disclosed | Seen, not disclosed |\n";
    out += "|---|---|---|---|---|---|---|---|---|\n";
    for subject in &report.subjects {
        for flow in &subject.flows {
            let data = |disclosed: bool| {
                let data = flow.data.iter().filter(|data| data.disclosed == disclosed);
                let data: Vec<_> = data.map(|data| format!("{} ({})", data.category.as_str(), data.action)).collect();
                if data.is_empty() { "-".to_owned() } else { data.join(", ") }
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} |",
                subject.caller.map_or("unknown".to_owned(), |caller| caller.to_string()),
                recipient(flow.recipient.as_ref()),
                flow.exchanges,
                flow.first,
                flow.last,
                data(true),
                data(false)
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Filter, query};
    use crate::report::{breach as extract, processing as record};
    use crate::samples;
    use crate::verify::{Known, Problem, verify};
    use crate::vocabulary::Action;

    fn ledger(signed: bool) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = samples::settings(directory.path());
        if !signed {
            settings.signing_key = None;
        }
        let ledger = samples::open(settings);
        samples::write(&ledger, 1);
        let [opening, closing] = samples::exchange(1, "ola", "mail", "DE", &[samples::note("email", Action::Pass)]);
        let [unended, _] = samples::exchange(2, "ola", "mail", "DE", &[]);
        for entry in [opening, closing, unended] {
            samples::run(ledger.append(entry)).unwrap();
        }
        ledger.close();
        directory
    }

    #[test]
    fn verification_says_how_far_the_ledger_can_be_trusted() {
        let shown = |signed, keys| {
            let directory = ledger(signed);
            verification(&verify(directory.path(), &Known { heads: Vec::new(), keys }).unwrap())
        };
        let key = samples::signing_key(1).verifier().clone();
        let known = shown(true, vec![key.clone()]);
        assert!(known.contains("edge-1/365d: 11 records in 1 segments\n  head: edge-1/365d:11:"), "{known}");
        assert!(known.ends_with("  5 heads are signed by a known key\nnothing is wrong\n"), "{known}");
        let named = shown(true, Vec::new());
        assert!(named.contains(&format!("the key that the chain itself names: {key}; compare it")), "{named}");
        assert!(shown(false, Vec::new()).contains("ordered, not tamper-proof"));
        assert!(
            shown(false, vec![key])
                .contains("WRONG: edge-1/365d/0000000001.jsonl:3: record 3: the head is not signed\n")
        );
    }

    #[test]
    fn a_finding_without_a_line_has_its_chain() {
        let problem = Problem::Tail { last: 7, expected: 9 };
        let mut out = String::new();
        finding(&mut out, &Finding { chain: samples::chain_name(), file: None, line: None, seq: Some(9), problem });
        let expected = "the end is missing: the chain ends at record 7, and record 9 was there";
        assert_eq!(out, format!("WRONG: edge-1/365d: record 9: {expected}\n"));
    }

    #[test]
    fn exchanges_are_a_table_and_json() {
        let directory = ledger(true);
        let found = query(directory.path(), &Filter::default()).unwrap();
        let table = exchanges(&found);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        let column = |column: usize| lines.iter().map(|line| line[column]).collect::<Vec<_>>();
        assert_eq!(column(3), ["UPSTREAM", "billing", "mail", "mail"]);
        assert_eq!(column(5), ["DATA", "card:mask:2", "email:pass:2", "-"]);
        assert_eq!(column(7), ["OUTCOME", "complete", "complete", "open"]);
        let value: serde_json::Value = serde_json::from_str(&json(&found).unwrap()).unwrap();
        assert_eq!(value[1]["opening"]["upstream"]["country"], "DE");
        assert_eq!(value[2]["closing"], serde_json::Value::Null);
    }

    #[test]
    fn reports_are_markdown_tables() {
        let directory = ledger(true);
        let shown = processing(&record::processing(directory.path(), Span::default()).unwrap());
        let row = "| order handling | contract | orders | Example AS (mail) | oslo | DE | 2 | 1 | email (pass, 1 exchange) | 365d |\n";
        assert!(shown.contains(row), "{shown}");
        let span = Span { from: Some(samples::time(0)), to: Some(samples::time(2)) };
        let shown = breach(&extract::breach(directory.path(), span).unwrap());
        assert!(shown.contains("- Exchanges: 2\n- Data subjects known by pseudonym: 2\n"), "{shown}");
        assert!(shown.contains("| Example AS (mail) | oslo | DE | 1 | 2026-11-30"), "{shown}");
        assert!(shown.contains("| email (pass) | - |\n") && shown.contains("| - | card (mask) |\n"), "{shown}");
        // Every row has as many cells as the head of its table.
        let cells = |line: &&str| line.matches('|').count();
        let counts: std::collections::BTreeSet<usize> =
            shown.lines().map(|line| cells(&line)).filter(|n| *n > 0).collect();
        assert_eq!(counts.len(), 1, "{shown}");
    }

    #[test]
    fn heads_are_lines_or_notes() {
        let directory = ledger(true);
        let found = crate::verify::heads(directory.path()).unwrap();
        let lines = heads(&found, false);
        assert_eq!(lines.trim_end().parse(), Ok(found[0].head.clone()));
        assert!(heads(&found, true).starts_with("audit-chain/edge-1/365d/"));
    }
}
