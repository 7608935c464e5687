//! Prometheus' text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>), and OpenMetrics 1.0.0
//! (<https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>), which came of it.

use std::collections::HashSet;
use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::exemplar::Exemplar;
use super::histogram::HistogramSum;
use super::page::{Family, Kind, Number, Page, Series, Value};

impl Page {
    /// In the text format 0.0.4.
    pub fn text(&self) -> String {
        let mut writer = Writer { out: String::new(), open: None };
        for family in &self.families {
            writer.header(family, &family.name, family.kind.name());
            family.series.iter().for_each(|series| writer.series(&family.name, &family.name, family.kind, series));
        }
        writer.out
    }

    /// In OpenMetrics 1.0.0: with units, times of creation and exemplars.
    pub fn open_metrics(&self) -> String {
        let mut writer = Writer { out: String::new(), open: Some(self.started) };
        let others: HashSet<&str> =
            self.families.iter().filter(|family| family.kind != Kind::Counter).map(name).collect();
        for family in &self.families {
            // A counter's family has no `_total`, which its samples have. Where that is what another family is called (a
            // plugin counts and observes under one name), it is of no known type, for names must not clash.
            match family.name.strip_suffix("_total").filter(|_| family.kind == Kind::Counter) {
                Some(stem) if !others.contains(stem) => {
                    writer.header(family, stem, "counter");
                    family.series.iter().for_each(|series| writer.series(&family.name, stem, family.kind, series));
                }
                Some(_) => {
                    writer.header(family, &family.name, "unknown");
                    family.series.iter().for_each(|series| writer.series(&family.name, "", Kind::Gauge, series));
                }
                None => {
                    writer.header(family, &family.name, family.kind.name());
                    family
                        .series
                        .iter()
                        .for_each(|series| writer.series(&family.name, &family.name, family.kind, series));
                }
            }
        }
        writer.out.push_str("# EOF\n");
        writer.out
    }
}

fn name(family: &Family) -> &str {
    &family.name
}

/// Writes lines. Writing to a `String` does not fail.
struct Writer {
    out: String,
    /// When counting began, in OpenMetrics.
    open: Option<SystemTime>,
}

impl Writer {
    fn header(&mut self, family: &Family, name: &str, kind: &str) {
        let _ = writeln!(self.out, "# TYPE {name} {kind}");
        if let Some(unit) = family.unit().filter(|unit| self.open.is_some() && name.ends_with(unit)) {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.out, "# HELP {name} {}", Escaped(family.help, self.open.is_some()));
    }

    /// `name` is that of a sample, `stem` of the family.
    fn series(&mut self, name: &str, stem: &str, kind: Kind, series: &Series) {
        let labels = labels(series);
        match &series.value {
            Value::Number(number) => self.sample(name, &labels, *number),
            Value::Histogram(histogram) => self.histogram(name, &labels, histogram),
        }
        if let Some(started) = self.open.filter(|_| kind != Kind::Gauge) {
            self.sample(&format!("{stem}_created"), &labels, Number::Measure(seconds(started)));
        }
    }

    fn sample(&mut self, name: &str, labels: &str, number: Number) {
        let _ = if labels.is_empty() {
            writeln!(self.out, "{name} {number}")
        } else {
            writeln!(self.out, "{name}{{{labels}}} {number}")
        };
    }

    fn histogram(&mut self, name: &str, labels: &str, histogram: &HistogramSum) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, count, exemplar) in histogram.cumulative() {
            let _ = write!(self.out, "{name}_bucket{{{labels}{comma}le=\"{}\"}} {count}", Bound(bound));
            if let Some(exemplar) = exemplar.filter(|_| self.open.is_some()) {
                self.exemplar(exemplar);
            }
            self.out.push('\n');
        }
        self.sample(&format!("{name}_sum"), labels, Number::Measure(histogram.sum));
        self.sample(&format!("{name}_count"), labels, Number::Count(histogram.count()));
    }

    fn exemplar(&mut self, Exemplar { trace, span, value, time }: &Exemplar) {
        let _ = write!(self.out, " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {value} {:.3}", seconds(*time));
    }
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(number) => number.fmt(f),
            Self::Balance(number) => number.fmt(f),
            Self::Measure(number) => number.fmt(f),
        }
    }
}

/// The value of `le`. It always has a point, as Prometheus itself writes the bounds of what it scrapes as protobuf: a bucket
/// is the same series in every format.
struct Bound(f64);

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_infinite() {
            return f.write_str("+Inf");
        }
        // As Go's `%g` has it: with an exponent of two digits where the number is small or large.
        let scientific = format!("{:e}", self.0);
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        match exponent.parse::<i32>() {
            Ok(exponent) if !(-4..6).contains(&exponent) => write!(f, "{mantissa}e{exponent:+03}"),
            _ => write!(f, "{:?}", self.0),
        }
    }
}

/// `a="1",b="2"`.
fn labels(series: &Series) -> String {
    let mut out = String::new();
    for (name, value) in &series.labels {
        if !out.is_empty() {
            out.push(',');
        }
        let _ = write!(out, "{name}=\"{}\"", Escaped(value, true));
    }
    out
}

/// A text on one line. In labels, and in all texts of OpenMetrics, quotes are escaped as well.
struct Escaped<'t>(&'t str, bool);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.1 => f.write_str("\\\"")?,
                _ => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_written_as_prometheus_writes_them() {
        for (bound, written) in [
            (0.0005, "0.0005"),
            (0.00001, "1e-05"),
            (1.0, "1.0"),
            (2.5, "2.5"),
            (100_000.0, "100000.0"),
            (1_000_000.0, "1e+06"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(Bound(bound).to_string(), written);
        }
    }
}
