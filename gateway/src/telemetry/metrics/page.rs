//! What a scrape finds: families with their series, in no format yet.

use std::borrow::Cow;
use std::time::SystemTime;

use super::histogram::HistogramSum;

/// All families, as they stood at a moment.
#[derive(Debug)]
pub struct Page {
    pub(super) families: Vec<Family>,
    /// When counting began.
    pub(super) started: SystemTime,
}

/// What is measured, with its series.
#[derive(Debug)]
pub(super) struct Family {
    /// Its name; that of a counter ends in `_total`.
    pub(super) name: Cow<'static, str>,
    /// What kind of numbers its series have.
    pub(super) kind: Kind,
    /// What it means.
    pub(super) help: &'static str,
    /// Its series, which differ in the values of their labels.
    pub(super) series: Vec<Series>,
}

/// What kind of numbers a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// They only grow.
    Counter,
    /// They go up and down.
    Gauge,
    /// How often which size was seen.
    Histogram,
}

impl Kind {
    /// As text formats have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One combination of labels.
#[derive(Debug)]
pub(super) struct Series {
    /// Names and values, without control characters other than line feeds.
    pub(super) labels: Vec<(Cow<'static, str>, String)>,
    /// Its value.
    pub(super) value: Value,
}

/// What a series has.
#[derive(Debug)]
pub(super) enum Value {
    /// Of a counter or a gauge.
    Number(Number),
    /// Of a histogram.
    Histogram(Box<HistogramSum>),
}

/// A number that is shown as exactly as it was counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// A count.
    Count(u64),
    /// A difference of counts.
    Balance(i64),
    /// What was measured.
    Measure(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Count(number)
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Count(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self::Balance(number)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Measure(number)
    }
}

impl Number {
    /// The nearest floating-point number.
    pub(super) const fn as_f64(self) -> f64 {
        match self {
            Self::Count(number) => number as f64,
            Self::Balance(number) => number as f64,
            Self::Measure(number) => number,
        }
    }
}

impl Family {
    /// The unit that its name ends in, besides `_total` (OpenMetrics 1.0.0, section "Unit").
    pub(super) fn unit(&self) -> Option<&'static str> {
        let name = self.name.strip_suffix("_total").unwrap_or(&self.name);
        let is = |unit: &&str| name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
        ["seconds", "bytes"].into_iter().find(is)
    }
}

/// Labels as name and value.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// Collects families one after the other.
#[derive(Debug, Default)]
pub(super) struct Families(Vec<Family>);

impl Families {
    /// Begins a family, which the samples that follow belong to.
    pub(super) fn begin(&mut self, name: impl Into<Cow<'static, str>>, kind: Kind, help: &'static str) {
        self.0.push(Family { name: name.into(), kind, help, series: Vec::new() });
    }

    /// One sample.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Into<Number>) {
        self.push(owned(labels), Value::Number(value.into()));
    }

    /// One histogram.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, histogram: HistogramSum) {
        self.push(owned(labels), Value::Histogram(Box::new(histogram)));
    }

    /// One series with labels whose names are not known beforehand.
    pub(super) fn push(&mut self, labels: Vec<(Cow<'static, str>, String)>, value: Value) {
        if let Some(family) = self.0.last_mut() {
            family.series.push(Series { labels, value });
        }
    }

    /// All of them, with when counting began.
    pub(super) fn finish(self, started: SystemTime) -> Page {
        Page { families: self.0, started }
    }
}

fn owned(labels: Labels<'_>) -> Vec<(Cow<'static, str>, String)> {
    labels.iter().map(|(name, value)| (Cow::Borrowed(*name), clean(value))).collect()
}

/// A label's value: what is made of other characters than text is nobody's name, and may confuse whoever shows it.
pub(super) fn clean(value: &str) -> String {
    value.chars().map(|char| if char.is_control() && char != '\n' { '\u{fffd}' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_what_names_end_in() {
        for (name, unit) in [
            ("gateway_request_duration_seconds", Some("seconds")),
            ("gateway_plugin_seconds_total", Some("seconds")),
            ("gateway_body_memory_bytes", Some("bytes")),
            ("gateway_requests_total", None),
            ("kilobytes", None),
        ] {
            let family = Family { name: name.into(), kind: Kind::Gauge, help: "", series: Vec::new() };
            assert_eq!(family.unit(), unit, "{name}");
        }
    }
}
