//! Counters and histograms that plugins make by the contract's `metrics` interface, bounded in number and size: a guest
//! that labels by user must not fill the gateway's memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cells::{ANYTHING, Counter, Histogram, HistogramSum};
use super::exposition::{Exposition, render_labels};

/// Series per plugin, over all workers.
const MAX_SERIES: usize = 1000;
const MAX_LABELS: usize = 8;
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 128;

/// A series: the family's name, and its rendered labels.
type Key = (String, String);

#[derive(Debug)]
enum Cell {
    Counter(Counter),
    Histogram(Box<Histogram>),
}

/// The series that one plugin has made, over all workers.
#[derive(Debug, Default)]
pub(super) struct Allowed(Mutex<HashSet<Key>>);

impl Allowed {
    fn admit(&self, key: &Key) -> bool {
        let mut series = lock(&self.0);
        series.contains(key) || (series.len() < MAX_SERIES && series.insert(key.clone()))
    }
}

/// One worker's series of one plugin. The lock is contended only while a scrape copies the numbers.
#[derive(Debug, Default)]
pub(super) struct CustomCells {
    series: Mutex<HashMap<Key, Cell>>,
    pub(super) dropped: Counter,
}

impl CustomCells {
    pub(super) fn count(&self, allowed: &Allowed, plugin: &str, name: &str, labels: &[(&str, &str)], delta: u64) {
        self.with(allowed, plugin, name, "_total", labels, |cell| {
            if let Cell::Counter(counter) = cell {
                counter.add(delta);
            }
        });
    }

    pub(super) fn observe(&self, allowed: &Allowed, plugin: &str, name: &str, labels: &[(&str, &str)], value: f64) {
        self.with(allowed, plugin, name, "", labels, |cell| {
            if let Cell::Histogram(histogram) = cell {
                histogram.observe(value);
            }
        });
    }

    fn with(
        &self,
        allowed: &Allowed,
        plugin: &str,
        name: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        change: impl FnOnce(&Cell),
    ) {
        let Some(key) = key(plugin, name, suffix, labels) else { return self.dropped.add(1) };
        let mut series = lock(&self.series);
        if let Some(cell) = series.get(&key) {
            return change(cell);
        }
        if !allowed.admit(&key) {
            return self.dropped.add(1);
        }
        let new = match suffix {
            "" => Cell::Histogram(Box::new(Histogram::new(&ANYTHING))),
            _ => Cell::Counter(Counter::default()),
        };
        change(series.entry(key).or_insert(new));
    }
}

/// The name in our own name space, so that a guest can't forge the gateway's series; `None` if it is no name at all.
fn key(plugin: &str, name: &str, suffix: &str, labels: &[(&str, &str)]) -> Option<Key> {
    let name = identifier(name.strip_suffix("_total").unwrap_or(name))?;
    if labels.len() > MAX_LABELS {
        return None;
    }
    let mut named = vec![("plugin".to_owned(), plugin)];
    for (label, value) in labels {
        let label = identifier(label)?;
        // `le` belongs to histograms, and repeated labels make a sample invalid.
        if label == "le" || named.iter().any(|(name, _)| *name == label) {
            return None;
        }
        let end = (0..=value.len().min(MAX_VALUE)).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
        named.push((label, &value[..end]));
    }
    let named: Vec<(&str, &str)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    Some((format!("gateway_plugin_custom_{name}{suffix}"), render_labels(&named)))
}

/// A metric's or label's name; other characters become underscores.
fn identifier(text: &str) -> Option<String> {
    let starts_well = text.starts_with(|char: char| char.is_ascii_alphabetic());
    (starts_well && text.len() <= MAX_NAME)
        .then(|| text.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect())
}

/// Sums over workers.
#[derive(Debug, Default)]
pub(super) struct CustomSum {
    counters: BTreeMap<Key, u64>,
    histograms: BTreeMap<Key, HistogramSum>,
}

impl CustomSum {
    pub(super) fn add(&mut self, cells: &CustomCells) {
        for (key, cell) in lock(&cells.series).iter() {
            match cell {
                Cell::Counter(counter) => *self.counters.entry(key.clone()).or_default() += counter.value(),
                Cell::Histogram(histogram) => {
                    self.histograms.entry(key.clone()).or_insert_with(|| HistogramSum::new(&ANYTHING)).add(histogram)
                }
            }
        }
    }

    pub(super) fn render(&self, out: &mut Exposition) {
        let mut last = "";
        for ((name, labels), value) in &self.counters {
            if name != last {
                out.family(name, "counter", "Counted by plugins.");
            }
            out.rendered(name, labels, value);
            last = name;
        }
        for ((name, labels), histogram) in &self.histograms {
            // A guest's histogram can't take the name of a guest's counter: only those end in `_total`.
            if name != last {
                out.family(name, "histogram", "Observed by plugins.");
            }
            out.histogram(name, labels, histogram);
            last = name;
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
