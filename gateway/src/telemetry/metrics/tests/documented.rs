//! The reference of metrics says what the gateway writes, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::super::families::{BYTES, CLASSES, FAILURES, PHASES, PLUGIN_FAILURES, PROTOCOLS, REJECTIONS, SHED};
use super::super::{RELOADS, Reload};
use super::*;
use crate::memory::Memory;
use crate::model::Limits;

const REFERENCE: &str = include_str!("../../../../docs/metrics.md");

/// By name: the type and the labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// One of everything that the gateway can count.
fn everything() -> String {
    let metrics = metrics();
    let worker = metrics.worker();
    worker.route("r").finished(&finished(Protocol::Http1, Some(StatusCode::OK), Duration::ZERO));
    worker.runs_here();
    worker.upstream("u").attempts.add(1);
    worker.listener("l").accepted.add(1);
    worker.plugin_entry("p", "r").called(Duration::from_millis(1), 1, 1, 1);
    let plugin = worker.plugin("p");
    plugin.called(Phase::Log, Duration::from_millis(1));
    plugin.count("NAME", &[], 1);
    plugin.observe("NAME", &[], 1.0);
    metrics.reloaded(Reload::Config, true);
    metrics.plugin_load_failed("p");
    let (listener, certificate, not_after) = ("l".into(), "c".to_owned(), SystemTime::now());
    metrics.certificates_in_force(vec![CertificateExpiry { listener, certificate, not_after }]);
    metrics.show_memory(Memory::new(&Limits { requests_per_worker: 1, body_memory: Some(1), plugin_memory: Some(1) }));
    metrics.show_export(Signal::Traces, Arc::default());
    let heads = vec![("edge-1/365d".to_owned(), 1, "00".to_owned())];
    metrics.show_audit(move || AuditCounts { ships: true, heads: heads.clone(), ..AuditCounts::default() });
    metrics.plugin_in_force("p", "1", "a");
    metrics.show_endpoints(|| {
        vec![EndpointHealth { upstream: "u".into(), endpoint: ([127, 0, 0, 1], 1).into(), healthy: true, failures: 0 }]
    });
    metrics.page().text()
}

fn written() -> Families {
    let (text, mut families, mut current) = (everything(), Families::new(), String::new());
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            current = name.to_owned();
            families.insert(current.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let labels = line.split_once('{').map_or("", |(_, labels)| labels);
            let names = labels.split("\",").filter_map(|label| Some(label.split_once("=\"")?.0.to_owned()));
            families.get_mut(&current).unwrap().1.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

fn words(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rows(columns: usize) -> impl Iterator<Item = Vec<&'static str>> {
    let rows = REFERENCE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>())
        .filter(move |row| row.len() == columns)
}

#[test]
fn the_reference_has_exactly_the_families_that_are_written() {
    let documented: Families =
        rows(4).map(|row| (row[0].trim_matches('`').to_owned(), (row[1].to_owned(), words(row[2])))).collect();
    let written = written();
    assert!(written.len() > 30, "only {} families", written.len());
    for (name, family) in &written {
        assert_eq!(documented.get(name), Some(family), "{name} in gateway/docs/metrics.md");
    }
    for name in documented.keys() {
        assert!(written.contains_key(name), "{name} is documented and does not exist");
    }
}

#[test]
fn the_reference_has_exactly_the_values_that_labels_take() {
    let mut documented: BTreeMap<&str, BTreeSet<String>> = rows(2).map(|row| (row[0], words(row[1]))).collect();
    let known: [(&str, Vec<&str>); 12] = [
        ("`protocol`", PROTOCOLS.map(Protocol::name).to_vec()),
        ("`status`", CLASSES.to_vec()),
        ("`kind`", FAILURES.map(Failure::name).to_vec()),
        ("`phase`", PHASES.map(Phase::name).to_vec()),
        ("`reason` of plugins", PLUGIN_FAILURES.to_vec()),
        ("`reason` of listeners", REJECTIONS.to_vec()),
        ("`reason` of shed requests", SHED.map(ErrorKind::name).to_vec()),
        ("`reason` of exports", telemetry_export::DropReason::ALL.map(|reason| reason.as_str()).to_vec()),
        ("`signal`", Signal::ALL.map(Signal::name).to_vec()),
        ("`direction`", BYTES.to_vec()),
        ("`what`", RELOADS.map(|(_, what)| what).to_vec()),
        ("`result`", vec!["succeeded", "failed"]),
    ];
    for (label, values) in known {
        let values: BTreeSet<String> = values.into_iter().map(str::to_owned).collect();
        assert_eq!(documented.remove(label), Some(values), "{label} in gateway/docs/metrics.md");
    }
    assert!(documented.is_empty(), "{documented:?}");
}
