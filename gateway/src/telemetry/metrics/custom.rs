//! Counters and histograms that plugins make by the contract's `metrics` interface, bounded in number and size: a guest
//! that labels by user must not fill the gateway's memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use plugin_rules::metrics as series;

use super::cells::{ANYTHING, Counter, Histogram, HistogramSum};
use super::exposition::{Exposition, label};

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

/// Cells by key: the family's name, `{`, and the rendered labels.
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
            "" => Cell::Histogram(Box::new(Histogram::new(&ANYTHING))),
            _ => Cell::Counter(Counter::default()),
        };
        change(cells.entry(key.as_str().into()).or_insert(new));
    }
}

/// The name in our own name space, so that a guest can't forge the gateway's series; `None` if it is no name at all.
fn write_key(key: &mut String, plugin: &str, name: &str, suffix: &str, labels: &[(&str, &str)]) -> Option<()> {
    key.clear();
    key.push_str("gateway_plugin_custom_");
    key.extend(series::family(name)?);
    key.push_str(suffix);
    key.push('{');
    label(key, "plugin".chars(), plugin);
    if labels.len() > series::MAX_LABELS {
        return None;
    }
    for (place, (_, value)) in labels.iter().enumerate() {
        let name = series::last_label(&labels[..=place])?;
        key.push(',');
        label(key, name, series::label_value(value));
    }
    Some(())
}

/// A family's name and a series' labels.
type Place = (String, String);

/// Sums over workers.
#[derive(Debug, Default)]
pub(super) struct CustomSum {
    counters: BTreeMap<Place, u64>,
    histograms: BTreeMap<Place, HistogramSum>,
}

impl CustomSum {
    pub(super) fn add(&mut self, cells: &CustomCells) {
        for (key, cell) in &lock(&cells.series).cells {
            let (name, labels) = key.split_once('{').unwrap_or((key, ""));
            let place = (name.to_owned(), labels.to_owned());
            match cell {
                Cell::Counter(counter) => {
                    let sum = self.counters.entry(place).or_default();
                    *sum = sum.saturating_add(counter.value());
                }
                Cell::Histogram(histogram) => {
                    self.histograms.entry(place).or_insert_with(|| HistogramSum::new(&ANYTHING)).add(histogram)
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
