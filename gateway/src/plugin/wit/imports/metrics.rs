//! Interface `metrics`: hands on what guests count; which names and labels can be a series is known to telemetry alone, which
//! drops what can't, and counts that. What is counted in `describe` and `configure` is forgotten: how often those run tells
//! of the gateway's instances, not of its traffic.
//!
//! A word that is not the plugin's own came from somebody, and would make a series for each of them: it is masked. A name with a
//! mask in it is none.

use crate::phase::Phase;
use crate::plugin::wit::bindings::edge::gateway::metrics::{self, Label};
use crate::plugin::wit::state::HostState;

impl HostState {
    /// Whether this is a call of an exchange. Those run on workers; what runs elsewhere has no cells to count in.
    const fn counts(&self) -> bool {
        !matches!(self.phase, Phase::Describe | Phase::Configure)
    }

    /// What may be shown of a name, a key or a value.
    fn own(&mut self, text: String) -> String {
        let text = self.context.without_secrets(text);
        self.own.masked(&self.context.words, &text).unwrap_or(text)
    }

    fn pairs(&mut self, labels: Vec<Label>) -> Vec<(String, String)> {
        labels.into_iter().map(|label| (self.own(label.key), self.own(label.value))).collect()
    }
}

impl metrics::Host for HostState {
    fn count(&mut self, name: String, labels: Vec<Label>, delta: u64) -> wasmtime::Result<()> {
        self.charge()?;
        if self.counts() {
            let (name, labels) = (self.own(name), self.pairs(labels));
            self.context.metrics.count(&self.context.plugin, &name, &labels, delta);
        }
        Ok(())
    }

    fn observe(&mut self, name: String, labels: Vec<Label>, value: f64) -> wasmtime::Result<()> {
        self.charge()?;
        if self.counts() {
            let (name, labels) = (self.own(name), self.pairs(labels));
            self.context.metrics.observe(&self.context.plugin, &name, &labels, value);
        }
        Ok(())
    }
}
