//! The Prometheus text format 0.0.4.

use std::fmt::{Display, Write};

use super::cells::HistogramSum;

/// Writes families one after the other; all samples of a family directly follow its header.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    out: String,
}

/// Labels as name and value.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Begins a family. Its kind is `counter`, `gauge` or `histogram`.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail; so below.
        let _ = writeln!(self.out, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"));
        let _ = writeln!(self.out, "# TYPE {name} {kind}");
    }

    /// One sample.
    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.rendered(name, &render_labels(labels), value);
    }

    /// One sample with rendered labels.
    pub(super) fn rendered(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = if labels.is_empty() {
            writeln!(self.out, "{name} {value}")
        } else {
            writeln!(self.out, "{name}{{{labels}}} {value}")
        };
    }

    /// The samples of one histogram.
    pub(super) fn histogram(&mut self, name: &str, labels: &str, histogram: &HistogramSum) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (index, bucket) in histogram.buckets.iter().enumerate() {
            count += bucket;
            let _ = match histogram.bounds.get(index) {
                Some(bound) => writeln!(self.out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}"),
                None => writeln!(self.out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}"),
            };
        }
        self.rendered(&format!("{name}_sum"), labels, histogram.sum);
        self.rendered(&format!("{name}_count"), labels, count);
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

/// `a="1",b="2"`, with values escaped as the format demands.
pub(super) fn render_labels(labels: Labels<'_>) -> String {
    let mut out = String::new();
    for (name, value) in labels {
        if !out.is_empty() {
            out.push(',');
        }
        label(&mut out, name.chars(), value);
    }
    out
}

/// One of them.
pub(super) fn label(out: &mut String, name: impl Iterator<Item = char>, value: &str) {
    out.extend(name);
    out.push_str("=\"");
    for char in value.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            _ if char.is_control() => out.push('\u{fffd}'),
            _ => out.push(char),
        }
    }
    out.push('"');
}
