//! What became of telemetry on its way to collectors.

use std::sync::Arc;

use telemetry_export::{Counters, DropReason};

use super::exposition::Exposition;

/// Why spans are dropped.
pub(super) const SPAN_DROPS: [DropReason; 5] = [
    DropReason::QueueFull,
    DropReason::Refused,
    DropReason::Rejected,
    DropReason::RetriesExhausted,
    DropReason::Shutdown,
];

/// Writes the families of spans; nothing where none were ever exported. Each export has counted for itself.
pub(super) fn render(out: &mut Exposition, spans: &[Arc<Counters>]) {
    if spans.is_empty() {
        return;
    }
    let sum = |of: fn(&Counters) -> u64| spans.iter().map(|counters| of(counters)).sum::<u64>();
    out.family("gateway_spans_exported_total", "counter", "Spans that the collector has taken.");
    out.sample("gateway_spans_exported_total", &[], sum(Counters::sent));
    out.family("gateway_spans_dropped_total", "counter", "Spans that no collector has, by reason.");
    for reason in SPAN_DROPS {
        let dropped: u64 = spans.iter().map(|counters| counters.dropped(reason)).sum();
        out.sample("gateway_spans_dropped_total", &[("reason", reason.as_str())], dropped);
    }
    out.family("gateway_span_exports_total", "counter", "Requests with spans to the collector, by result.");
    let (all, failed) = (sum(Counters::exports), sum(Counters::failed_exports));
    for (result, count) in [("succeeded", all.saturating_sub(failed)), ("failed", failed)] {
        out.sample("gateway_span_exports_total", &[("result", result)], count);
    }
    out.family("gateway_spans_queued", "gauge", "Spans that wait for the collector.");
    out.sample("gateway_spans_queued", &[], spans.iter().map(|counters| counters.queued()).sum::<usize>());
}
