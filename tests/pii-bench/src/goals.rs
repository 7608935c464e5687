//! What has to be reached, and what of it is missed.

use std::collections::BTreeMap;

use crate::containers::{containers, is_llm};
use crate::findings::{Findings, Sums};
use crate::real::Kind;
use crate::speed::Speed;

/// Recall and precision of values with a check digit, in canonical spellings.
const CANONICAL: (f64, f64) = (1.0, 0.995);
/// Of all others.
const OTHERS: (f64, f64) = (0.99, 0.98);
/// Replaced without need, per MB of real files.
const PER_MEGABYTE: f64 = 0.5;
/// MB/s of the detector alone on clean JSON.
const CLEAN_JSON: f64 = 1000.0;

/// Goals that the generated messages miss.
pub(crate) fn of_messages(findings: &Findings) -> Vec<String> {
    let mut by_category: BTreeMap<(&str, bool), Sums> = BTreeMap::new();
    let mut llm = Sums::default();
    for (key, sums) in &findings.sums {
        by_category.entry((key.category, key.canonical)).or_default().add(sums);
        if containers().any(|container| container.name == key.container && is_llm(container)) {
            llm.add(sums);
        }
    }
    let mut missed = Vec::new();
    for ((category, canonical), sums) in by_category {
        let (name, goals) = if canonical { ("canonical", CANONICAL) } else { ("other", OTHERS) };
        for (what, value, goal) in [("recall", sums.recall(), goals.0), ("precision", sums.precision(), goals.1)] {
            if let Some(value) = value.filter(|value| *value < goal) {
                missed.push(format!("{category}, {name} spellings: {what} {value:.4}, not {goal:.3}"));
            }
        }
    }
    if llm.gone < llm.planted {
        missed.push(format!("streams of language models: {} of {} values leak", llm.planted - llm.gone, llm.planted));
    }
    for (what, counts) in [("no longer valid", &findings.invalid), ("other output when cut", &findings.cut)] {
        let messages: u64 = counts.values().sum();
        if messages > 0 {
            missed.push(format!("{messages} messages: {what}"));
        }
    }
    missed
}

/// Goals that real files miss.
pub(crate) fn of_files(kinds: &BTreeMap<&str, Kind>) -> Vec<String> {
    let (hits, bytes) = kinds.values().fold((0, 0), |(hits, bytes), kind| (hits + kind.hits.len(), bytes + kind.bytes));
    let rate = hits as f64 * 1e6 / bytes.max(1) as f64;
    let mangled: usize = kinds.values().map(|kind| kind.mangled.len()).sum();
    let mut missed = Vec::new();
    if rate > PER_MEGABYTE {
        missed.push(format!("real files: {rate:.2} false positives a MB, not {PER_MEGABYTE}"));
    }
    if mangled > 0 {
        missed.push(format!("real files: {mangled} came out as no copy with parts replaced"));
    }
    missed
}

/// Goals that the speed misses.
pub(crate) fn of_speed(speeds: &[Speed]) -> Vec<String> {
    let slow = speeds.iter().filter(|speed| speed.name == "clean JSON" && speed.median < CLEAN_JSON);
    slow.map(|speed| format!("{}: {:.0} MB/s, not {CLEAN_JSON:.0}", speed.name, speed.median)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Key;

    fn findings(canonical: bool, gone: u64) -> Findings {
        let key = Key { category: "card", canonical, spelling: "plain", container: "prose" };
        let sums = Sums { planted: 1000, gone, right: gone, ..Sums::default() };
        Findings { sums: [(key, sums)].into(), ..Findings::default() }
    }

    #[test]
    fn canonical_spellings_have_to_be_found_always() {
        assert!(of_messages(&findings(true, 1000)).is_empty());
        assert_eq!(of_messages(&findings(true, 999)).len(), 1);
        assert!(of_messages(&findings(false, 995)).is_empty());
        assert_eq!(of_messages(&findings(false, 980)).len(), 1);
    }
}
