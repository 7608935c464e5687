//! Instructions per request, counted by callgrind: repeatable to a few in a thousand, whatever else the machine does, so that a
//! change that costs 3 % is seen by whoever makes it. They say nothing of the kernel's part, or of what a cache miss costs.
//!
//! The figures of the last change that moved them stand in `instructions.txt`.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::scenario::{SCENARIOS, Scenario};
use super::{Bench, Peer, Subject};
use crate::Result;
use crate::process::output;
use crate::traffic::server::Origin;

/// What is counted. No plugins: what their engine reserves is more than valgrind has to give. `gateway plugin bench` counts theirs.
const COUNTED: [&str; 4] = ["h1_1k", "tls_h1_1k", "tls_h2_1k", "h3_1k"];
/// Requests that are counted: what happens once in a while is a few in a thousand of them.
const REQUESTS: u64 = 3000;
/// From this change on it is told, in percent.
const TELLING: f64 = 3.0;

/// Counts, and prints what was counted beside what is kept. `keep`: it is kept from now on. `check`: an error where one costs
/// more than 3 % more.
pub(super) fn run(bench: &Bench, origin: &Origin, keep: bool, check: bool) -> Result {
    let kept = kept()?;
    let mut text = String::new();
    let mut dearer = Vec::new();
    println!("\n| instructions per request, in user space | now | kept | |\n|---|--:|--:|--:|");
    for scenario in counted() {
        let count = count(bench, origin, scenario)?;
        let before = kept.iter().find(|(name, _)| name == scenario.name).map(|(_, count)| *count);
        let change = before.map_or(0.0, |before| (count as f64 / before as f64 - 1.0) * 100.0);
        let before = before.map_or_else(|| "-".to_owned(), |before| before.to_string());
        println!("| {} | {count} | {before} | {change:+.1} % |", scenario.name);
        if change > TELLING {
            dearer.push(scenario.name);
        }
        writeln!(text, "{} {count}", scenario.name).map_err(|error| error.to_string())?;
    }
    if keep {
        let file = file();
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    match dearer[..] {
        [] => Ok(()),
        _ if check => Err(format!("{} cost more than {TELLING} % more", dearer.join(", "))),
        _ => {
            println!("\nMore than {TELLING} % dearer: {}", dearer.join(", "));
            Ok(())
        }
    }
}

/// The scenarios that are counted.
pub(super) fn counted() -> Vec<&'static Scenario> {
    SCENARIOS.iter().filter(|scenario| COUNTED.contains(&scenario.name)).collect()
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bench/instructions.txt")
}

/// The figures of the last change that moved them.
fn kept() -> Result<Vec<(String, u64)>> {
    let file = file();
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    text.lines()
        .map(|line| {
            let (name, count) = line.split_once(' ').ok_or_else(|| format!("{}: `{line}`", file.display()))?;
            let count = count.parse().map_err(|_| format!("{}: no number in `{line}`", file.display()))?;
            Ok((name.to_owned(), count))
        })
        .collect()
}

/// The instructions of one request of a scenario.
fn count(bench: &Bench, origin: &Origin, scenario: &Scenario) -> Result<u64> {
    let out = bench.work.join(format!("callgrind.{}", scenario.name));
    let _ = fs::remove_file(&out);
    let script = bench.work.join("counted");
    let text = format!(
        "#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file='{}' --instr-atstart=no '{}' \"$@\"\n",
        out.display(),
        bench.gateway.display()
    );
    fs::write(&script, text).map_err(|error| format!("{}: {error}", script.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    let under = Bench { gateway: script, ..bench.clone() };
    let subject = Subject::start(&under, origin, scenario, Peer::Gateway, (REQUESTS as f64 / scenario.scale) as u64)?;
    let switch = |state: &str| {
        output(Command::new("callgrind_control").args(["-i", state, &subject.proxy.pid().to_string()])).map(drop)
    };
    switch("on")?;
    let sent = subject.send(REQUESTS);
    switch("off")?;
    sent?.expect_all(subject.body_bytes)?;
    subject.proxy.stop()?;
    let text = fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
    Ok(total.ok_or_else(|| format!("{}: no totals", out.display()))? / REQUESTS)
}
