//! Tables in Markdown, as the plugin's README has them.

use std::collections::{BTreeMap, BTreeSet};

use crate::containers::containers;
use crate::examples;
use crate::findings::{Findings, Key, Sums};
use crate::real::Kind;
use crate::speed::Speed;

/// What the generated messages showed.
pub(crate) fn findings(findings: &Findings, matrix: bool, verbose: bool) {
    println!("{} messages\n", findings.messages);
    by_category(findings);
    println!();
    by_spelling(findings);
    println!();
    by_container(findings);
    if matrix {
        println!();
        by_both(findings);
    }
    if verbose {
        examples::print(&findings.examples);
    }
}

fn grouped<K: Ord>(findings: &Findings, key: impl Fn(&Key) -> K) -> BTreeMap<K, Sums> {
    let mut groups: BTreeMap<K, Sums> = BTreeMap::new();
    for (of, sums) in &findings.sums {
        groups.entry(key(of)).or_default().add(sums);
    }
    groups
}

fn part(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"))
}

fn by_category(findings: &Findings) {
    println!("| Category | Spellings | Values | Recall | Characters leaked | Precision |\n|---|---|---|---|---|---|");
    for ((category, canonical), sums) in grouped(findings, |key| (key.category, !key.canonical)) {
        let spellings = if canonical { "other" } else { "canonical" };
        println!(
            "| {category} | {spellings} | {} | {} | {} | {} |",
            sums.planted,
            part(sums.recall()),
            sums.leaked,
            part(sums.precision())
        );
    }
}

/// Only those of which something leaked or that led to something wrong.
fn by_spelling(findings: &Findings) {
    println!("| Spelling, where less than all is found | Values | Recall | In prose | Characters leaked |");
    println!("|---|---|---|---|---|");
    let prose = grouped(findings, |key| (key.category, key.spelling, key.container == "prose"));
    let mut rows: Vec<_> = grouped(findings, |key| (key.category, key.spelling)).into_iter().collect();
    rows.retain(|(_, sums)| sums.gone < sums.planted);
    rows.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.planted - sums.gone));
    for ((category, spelling), sums) in rows {
        let in_prose = prose.get(&(category, spelling, true)).and_then(Sums::recall);
        let (recall, in_prose) = (part(sums.recall()), part(in_prose));
        println!("| {category}: {spelling} | {} | {recall} | {in_prose} | {} |", sums.planted, sums.leaked);
    }
}

fn by_container(findings: &Findings) {
    println!(
        "| Container | Values | Recall | Characters leaked | Precision | Invalid | Cut differs |\n|---|---|---|---|---|---|---|"
    );
    let groups = grouped(findings, |key| key.container);
    for container in containers() {
        let Some(sums) = groups.get(container.name) else { continue };
        let count = |counts: &BTreeMap<&str, u64>| counts.get(container.name).copied().unwrap_or_default();
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            container.name,
            sums.planted,
            part(sums.recall()),
            sums.leaked,
            part(sums.precision()),
            count(&findings.invalid),
            count(&findings.cut)
        );
    }
}

/// Recall by container and category.
fn by_both(findings: &Findings) {
    let categories: BTreeSet<&str> = findings.sums.keys().map(|key| key.category).collect();
    println!("| Recall | {} |", categories.iter().copied().collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---|".repeat(categories.len()));
    let groups = grouped(findings, |key| (key.container, key.category));
    for container in containers() {
        let cell = |category: &&str| {
            let sums = groups.get(&(container.name, *category)).filter(|sums| sums.planted > 0);
            sums.map_or_else(|| "–".to_owned(), |sums| format!("{:.3}", sums.gone as f64 / sums.planted as f64))
        };
        println!("| {} | {} |", container.name, categories.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
}

/// What was replaced in real files.
pub(crate) fn real(kinds: &BTreeMap<&str, Kind>, verbose: bool) {
    println!("\n| Real files | Number | MB | True by review | False | False per MB |\n|---|---|---|---|---|---|");
    let mut total = Kind::default();
    for (name, kind) in kinds {
        row(name, kind, kind.hits.len());
        total.files += kind.files;
        total.bytes += kind.bytes;
        total.reviewed += kind.reviewed;
    }
    let hits: usize = kinds.values().map(|kind| kind.hits.len()).sum();
    row("all", &total, hits);
    if verbose {
        println!();
        // Bundles, source maps and modules of a package repeat each other.
        let mut hits: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for hit in kinds.values().flat_map(|kind| &kind.hits) {
            hits.entry((hit.category, &hit.around)).or_default().push(&hit.path);
        }
        for ((category, around), paths) in hits {
            println!("{} × {category} in {}: {around:?}", paths.len(), paths[0]);
        }
        for kind in kinds.values() {
            for path in &kind.mangled {
                println!("mangled: {path}");
            }
        }
    }
}

fn row(name: &str, kind: &Kind, hits: usize) {
    let megabytes = kind.bytes as f64 / 1e6;
    println!(
        "| {name} | {} | {megabytes:.1} | {} | {hits} | {:.2} |",
        kind.files,
        kind.reviewed,
        hits as f64 / megabytes.max(1e-6)
    );
}

/// How fast the detector reads.
pub(crate) fn speeds(speeds: &[Speed]) {
    println!("\n| Text | What it is | MB/s of CPU time, median (least to most) |\n|---|---|---|");
    for speed in speeds {
        println!(
            "| {} | {} | {:.0} ({:.0} to {:.0}) |",
            speed.name, speed.about, speed.median, speed.least, speed.most
        );
    }
}
