//! What became of telemetry that was to be sent to collectors.

use std::collections::BTreeMap;
use std::sync::Arc;

use telemetry_export::{Counters, DropReason};

use super::page::{Families, Kind};

/// What is sent to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Spans of traces.
    Traces,
    /// Records of the access log.
    Logs,
    /// Points of metrics.
    Metrics,
}

impl Signal {
    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// As the value of a label.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

/// Numbers that only grow.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    sent: u64,
    failed: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl Totals {
    /// With those of one export.
    fn with(mut self, counters: &Counters) -> Self {
        self.sent += counters.sent();
        self.failed += counters.failed_exports();
        for (sum, reason) in self.dropped.iter_mut().zip(DropReason::ALL) {
            *sum += counters.dropped(reason);
        }
        self
    }
}

/// The exports by signal: the one that runs, and the numbers of those before it.
#[derive(Debug, Default)]
pub(super) struct Exports(BTreeMap<Signal, (Arc<Counters>, Totals)>);

impl Exports {
    /// From now on a signal is exported with these counters, which go on from those before them.
    pub(super) fn show(&mut self, signal: Signal, counters: Arc<Counters>) {
        let before = self.0.get(&signal).map(|(old, before)| before.with(old)).unwrap_or_default();
        self.0.insert(signal, (counters, before));
    }
}

pub(super) fn render(out: &mut Families, exports: &Exports) {
    let exports: Vec<_> = exports
        .0
        .iter()
        .map(|(signal, (counters, before))| ([("signal", signal.name())], counters, before.with(counters)))
        .collect();
    out.begin("gateway_export_sent_total", Kind::Counter, "Spans, log records and points that collectors have taken.");
    for (labels, _, totals) in &exports {
        out.sample(labels, totals.sent);
    }
    out.begin(
        "gateway_export_dropped_total",
        Kind::Counter,
        "Spans, log records and points that no collector has taken.",
    );
    for ([signal], _, totals) in &exports {
        for (reason, dropped) in DropReason::ALL.iter().zip(totals.dropped) {
            out.sample(&[*signal, ("reason", reason.as_str())], dropped);
        }
    }
    out.begin("gateway_export_failures_total", Kind::Counter, "Requests to collectors that failed.");
    for (labels, _, totals) in &exports {
        out.sample(labels, totals.failed);
    }
    out.begin("gateway_export_queued", Kind::Gauge, "Spans and log records that wait for a collector.");
    for (labels, counters, _) in &exports {
        out.sample(labels, counters.queued());
    }
}
