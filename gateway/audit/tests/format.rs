//! `FORMAT.md` says what is so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use audit::head::{Head, Statement};
use audit::keys::VerifierKey;
use audit::line::Line;
use audit::record::{Body, Record};
use audit::verify::{Known, Trust, verify};

const FORMAT: &str = include_str!("../FORMAT.md");

/// What stands in the first fenced block behind a heading.
fn block(heading: &str) -> &'static str {
    let (_, section) = FORMAT.split_once(&format!("\n## {heading}\n")).unwrap();
    section.split("```").nth(1).unwrap().split_once('\n').unwrap().1
}

fn records() -> Vec<Record> {
    block("An example").lines().map(|line| Line::check(line.as_bytes()).unwrap().1).collect()
}

#[test]
fn the_example_is_a_ledger_that_its_key_verifies() {
    let key: VerifierKey = FORMAT.rsplit("```text\n").next().unwrap().split("\n```").next().unwrap().parse().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let chain = directory.path().join("edge-1/365d");
    fs::create_dir_all(&chain).unwrap();
    fs::write(chain.join("0000000001.jsonl"), block("An example")).unwrap();
    let found = verify(directory.path(), &Known { heads: Vec::new(), keys: vec![key] }).unwrap();
    assert!(found.is_good(), "{:?}", found.findings);
    assert_eq!((found.chains[0].trust, found.chains[0].records), (Trust::Signed, records().len() as u64));
}

#[test]
fn the_text_that_is_signed_is_that_of_the_first_head() {
    let records = records();
    let Body::Segment(start) = &records[0].body else { panic!("the first is no start") };
    let head = records.iter().find(|record| matches!(record.body, Body::Head(_))).unwrap();
    let name = audit::head::ChainName { gateway: start.gateway.clone(), retention: start.retention };
    let covered = Head { chain: name, seq: head.seq - 1, hash: head.prev };
    let statement = Statement { head: covered, id: start.chain, time: head.time };
    assert_eq!(block("Signatures"), statement.text());
}

#[test]
fn every_kind_and_member_of_the_example_is_described() {
    let (_, described) = FORMAT.split_once("\n## A line\n").unwrap();
    let (described, _) = described.split_once("\n## An example\n").unwrap();
    let mut names = 0;
    for line in block("An example").lines() {
        let mut values = vec![serde_json::from_str::<serde_json::Value>(line).unwrap()];
        while let Some(value) = values.pop() {
            match value {
                serde_json::Value::Object(members) => {
                    for (name, value) in members {
                        assert!(described.contains(&format!("`{name}`")), "{name} is not described");
                        names += 1;
                        values.push(value);
                    }
                }
                serde_json::Value::Array(items) => values.extend(items),
                _ => {}
            }
        }
    }
    assert!(names > 40, "only {names} members");
}

#[test]
fn a_line_can_be_taken_apart_by_the_places_that_are_said() {
    for line in block("An example").lines() {
        let split = Line::split(line.as_bytes()).unwrap();
        assert_eq!(line[9..73], split.hash.to_string());
        assert_eq!(line.as_bytes()[84..line.len() - 1], *split.record);
    }
}
