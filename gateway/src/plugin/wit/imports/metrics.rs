//! Interface `metrics`: hands on what guests count; which names and labels can be a series is known to telemetry alone, which
//! drops what can't, and counts that. What is counted in `describe` and `configure` is forgotten: how often those run tells
//! of the gateway's instances, not of its traffic.

use crate::phase::Phase;
use crate::plugin::wit::bindings::edge::gateway::metrics::{self, Label};
use crate::plugin::wit::state::HostState;
use crate::sanitize::metric_text;

impl HostState {
    /// Whether this is a call of an exchange. Those run on workers; what runs elsewhere has no cells to count in.
    const fn counts(&self) -> bool {
        !matches!(self.phase, Phase::Describe | Phase::Configure)
    }
}

fn pairs(labels: Vec<Label>) -> Vec<(String, String)> {
    labels.into_iter().map(|label| (label.key, metric_text(label.value))).collect()
}

impl metrics::Host for HostState {
    fn count(&mut self, name: String, labels: Vec<Label>, delta: u64) -> wasmtime::Result<()> {
        self.charge()?;
        if self.counts() {
            self.context.metrics.count(&self.context.plugin, &metric_text(name), &pairs(labels), delta);
        }
        Ok(())
    }

    fn observe(&mut self, name: String, labels: Vec<Label>, value: f64) -> wasmtime::Result<()> {
        self.charge()?;
        if self.counts() {
            self.context.metrics.observe(&self.context.plugin, &metric_text(name), &pairs(labels), value);
        }
        Ok(())
    }
}
