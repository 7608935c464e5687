//! What all instances of an entry share, reached from host calls: grants, limits, state, and what they write to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::grants::{self, Need, Refused};
use super::host::flights::Flights;
use super::host::log_gate::LogGate;
use super::host::own_words::OwnWords;
use super::ticker::Ticker;
use crate::memory::Budget;
use crate::model::{Hidden, PluginLimits, Secret};
use crate::state::{Namespace, State};
use crate::telemetry::plugin_sink::PluginMetricsSink;

/// See the module.
pub(super) struct EntryContext {
    pub(super) plugin: Arc<str>,
    pub(super) route: Arc<str>,
    pub(super) limits: PluginLimits,
    /// Granted upstreams.
    pub(super) upstreams: Vec<Arc<str>>,
    /// Granted secrets.
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) state: State,
    pub(super) namespace: Namespace,
    pub(super) metrics: Arc<dyn PluginMetricsSink>,
    pub(super) flights: Arc<Flights>,
    /// What the memories of all instances may take together.
    pub(super) memory: Arc<Budget>,
    pub(super) log: LogGate,
    /// What of the config no message may show.
    pub(super) hidden: Hidden,
    pub(super) words: OwnWords,
    pub(super) refused: Refused,
    /// Moves the epochs by which calls are looked at.
    pub(super) ticker: Arc<Ticker>,
}

impl EntryContext {
    /// The words for a plugin that asks for something by a name that it is not granted. The log has them too, once for each
    /// name: a plugin may keep the refusal to itself.
    pub(super) fn refuse(&self, need: Need, name: &str) -> String {
        let message = grants::refusal(&self.plugin, need, name);
        if self.refused.is_new(need, name) {
            // It may be one that the plugin was told by a client.
            let message = grants::refusal(&self.plugin, need, &self.words.only(name, None));
            tracing::warn!(target: "plugin", plugin = %self.plugin, route = %self.route, "{message}");
        }
        message
    }
}
