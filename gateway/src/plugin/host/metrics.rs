//! Interface `metrics`: names and labels are checked here, counting is done by telemetry. What is counted in `describe` and
//! `configure` is checked and forgotten: how often those run tells of the gateway's instances, not of its traffic.

use super::HostState;
use crate::plugin::error::sanitise;
use crate::plugin::phase::Phase;
use crate::plugin::phase::bindings::edge::gateway::metrics::{self, Label};
use crate::telemetry::metrics::{MAX_LABELS, MAX_NAME, MAX_VALUE};

/// Where plugins' metrics go. Called on workers: it must neither block nor grow without bound.
pub trait PluginMetricsSink: Send + Sync {
    /// Adds to a counter.
    fn count(&self, plugin: &str, route: &str, name: &str, labels: &[(String, String)], delta: u64);
    /// Records a value of a distribution.
    fn observe(&self, plugin: &str, route: &str, name: &str, labels: &[(String, String)], value: f64);
}

/// Forgets everything.
#[derive(Clone, Copy, Debug)]
pub struct NoMetrics;

impl PluginMetricsSink for NoMetrics {
    fn count(&self, _: &str, _: &str, _: &str, _: &[(String, String)], _: u64) {}
    fn observe(&self, _: &str, _: &str, _: &str, _: &[(String, String)], _: f64) {}
}

fn valid_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Labels in a form that the exposition format allows; a mistake traps, since no input should lead to it.
fn check(name: &str, labels: Vec<Label>) -> wasmtime::Result<Vec<(String, String)>> {
    let refuse = |what: &str| Err(wasmtime::Error::msg(format!("metrics: {what}")));
    if !valid_name(name) {
        return refuse("a name has letters, digits and underscores, at most 100");
    }
    if labels.len() > MAX_LABELS {
        return refuse("at most 8 labels");
    }
    if labels.iter().any(|label| !valid_name(&label.key)) {
        return refuse("a label's key has letters, digits and underscores, at most 100");
    }
    // Most values are fine as they are, and what the guest handed over is kept.
    let clean = |value: String| match value.len() > MAX_VALUE || value.contains(char::is_control) {
        true => sanitise(&value, MAX_VALUE),
        false => value,
    };
    Ok(labels.into_iter().map(|label| (label.key, clean(label.value))).collect())
}

impl HostState {
    /// Whether this is a call of an exchange. Those run on workers; what runs elsewhere has no cells to count in.
    const fn counts(&self) -> bool {
        !matches!(self.phase, Phase::Describe | Phase::Configure)
    }
}

impl metrics::Host for HostState {
    fn count(&mut self, name: String, labels: Vec<Label>, delta: u64) -> wasmtime::Result<()> {
        self.charge()?;
        let labels = check(&name, labels)?;
        if self.counts() {
            self.shared.metrics.count(&self.shared.plugin, &self.shared.route, &name, &labels, delta);
        }
        Ok(())
    }

    fn observe(&mut self, name: String, labels: Vec<Label>, value: f64) -> wasmtime::Result<()> {
        self.charge()?;
        let labels = check(&name, labels)?;
        if value.is_finite() && self.counts() {
            self.shared.metrics.observe(&self.shared.plugin, &self.shared.route, &name, &labels, value);
        }
        Ok(())
    }
}
