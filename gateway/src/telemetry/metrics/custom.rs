//! Counters and histograms that plugins make by the contract's `metrics` interface, bounded in number and size: a guest
//! that labels by user must not fill the gateway's memory.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use plugin_rules::metrics as series;

use super::cells::Counter;
use super::histogram::{Histogram, HistogramSum, Layout};
use super::page::{Families, Kind, Value, clean};

/// Series per plugin, over all workers.
const MAX_SERIES: usize = 1000;

#[derive(Debug)]
enum Cell {
    Counter(Counter),
    Histogram(Box<Histogram>),
}

/// The series that one plugin has made, over all workers.
#[derive(Debug, Default)]
pub(super) struct Allowed(Mutex<HashSet<Box<str>>>);

impl Allowed {
    fn admit(&self, key: &str) -> bool {
        let mut series = lock(&self.0);
        series.contains(key) || (series.len() < MAX_SERIES && series.insert(key.into()))
    }
}

/// One worker's series of one plugin. The lock is contended only while a scrape copies the numbers.
#[derive(Debug, Default)]
pub(super) struct CustomCells {
    series: Mutex<Series>,
    pub(super) dropped: Counter,
}

/// Cells by key: the family's name and the labels' names and values, each behind a character that no name has and that is
/// not left in a value.
#[derive(Debug, Default)]
struct Series {
    cells: HashMap<Box<str>, Cell>,
    /// Where the key of a call is written: nothing is allocated for a series that is known.
    key: String,
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
                histogram.observe(value, None);
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
        let Series { cells, key } = &mut *lock(&self.series);
        if write_key(key, plugin, name, suffix, labels).is_none() {
            return self.dropped.add(1);
        }
        if let Some(cell) = cells.get(key.as_str()) {
            return change(cell);
        }
        if !allowed.admit(key) {
            return self.dropped.add(1);
        }
        let new = match suffix {
            "" => Cell::Histogram(Box::new(Histogram::new(&Layout::anything()))),
            _ => Cell::Counter(Counter::default()),
        };
        change(cells.entry(key.as_str().into()).or_insert(new));
    }
}

/// Between the parts of a key.
const SEPARATOR: char = '\0';

/// The name in our own name space, so that a guest can't forge the gateway's series; `None` if it is no name at all.
fn write_key(key: &mut String, plugin: &str, name: &str, suffix: &str, labels: &[(&str, &str)]) -> Option<()> {
    key.clear();
    key.push_str("gateway_plugin_custom_");
    key.extend(series::family(name)?);
    key.push_str(suffix);
    write_label(key, "plugin".chars(), plugin);
    if labels.len() > series::MAX_LABELS {
        return None;
    }
    for (place, (_, value)) in labels.iter().enumerate() {
        let name = series::last_label(&labels[..=place])?;
        write_label(key, name, series::label_value(value));
    }
    Some(())
}

fn write_label(key: &mut String, name: impl Iterator<Item = char>, value: &str) {
    key.push(SEPARATOR);
    key.extend(name);
    key.push(SEPARATOR);
    key.extend(value.chars().map(|char| if char == SEPARATOR { '\u{fffd}' } else { char }));
}

/// The name and the labels of a key.
fn read_key(key: &str) -> (&str, Vec<(Cow<'static, str>, String)>) {
    let mut parts = key.split(SEPARATOR);
    let name = parts.next().unwrap_or_default();
    let mut labels = Vec::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        labels.push((Cow::Owned(name.to_owned()), clean(value)));
    }
    (name, labels)
}

/// Sums over workers, by key.
#[derive(Debug, Default)]
pub(super) struct CustomSum {
    counters: BTreeMap<Box<str>, u64>,
    histograms: BTreeMap<Box<str>, HistogramSum>,
}

impl CustomSum {
    pub(super) fn add(&mut self, cells: &CustomCells) {
        for (key, cell) in &lock(&cells.series).cells {
            match cell {
                Cell::Counter(counter) => {
                    let sum = self.counters.entry(key.clone()).or_default();
                    *sum = sum.saturating_add(counter.value());
                }
                Cell::Histogram(histogram) => {
                    let empty = || HistogramSum::of(&Layout::anything(), []);
                    self.histograms.entry(key.clone()).or_insert_with(empty).add(histogram);
                }
            }
        }
    }

    /// Series of one family follow each other: what is between the parts of a key sorts before every character of a name.
    pub(super) fn render(self, out: &mut Families) {
        let mut last = String::new();
        let counters = self.counters.into_iter().map(|(key, sum)| (key, Kind::Counter, Value::Number(sum.into())));
        // A guest's histogram can't take the name of a guest's counter: only those end in `_total`.
        let histograms =
            self.histograms.into_iter().map(|(key, sum)| (key, Kind::Histogram, Value::Histogram(Box::new(sum))));
        for (key, kind, value) in counters.chain(histograms) {
            let (name, labels) = read_key(&key);
            if name != last {
                let help = if kind == Kind::Counter { "Counted by plugins." } else { "Observed by plugins." };
                out.begin(name.to_owned(), kind, help);
                name.clone_into(&mut last);
            }
            out.push(labels, value);
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
