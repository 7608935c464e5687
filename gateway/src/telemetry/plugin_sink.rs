//! Plugins' own metrics, counted by the worker that runs the plugin.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use plugin_rules::metrics::MAX_LABELS;

use super::metrics::{Metrics, PluginMetrics, WorkerMetrics};

/// Where plugins' metrics go. Called on workers: it must neither block nor grow without bound, whatever a guest names.
pub trait PluginMetricsSink: Send + Sync {
    /// Adds to a counter.
    fn count(&self, plugin: &str, name: &str, labels: &[(String, String)], delta: u64);
    /// Records a value of a distribution.
    fn observe(&self, plugin: &str, name: &str, labels: &[(String, String)], value: f64);
}

/// Forgets everything.
#[derive(Clone, Copy, Debug)]
pub struct NoMetrics;

impl PluginMetricsSink for NoMetrics {
    fn count(&self, _: &str, _: &str, _: &[(String, String)], _: u64) {}
    fn observe(&self, _: &str, _: &str, _: &[(String, String)], _: f64) {}
}

type Handles = (WorkerMetrics, HashMap<Box<str>, PluginMetrics>);

thread_local! {
    /// This thread's shard, and a handle per plugin.
    static HANDLES: RefCell<Option<Handles>> = const { RefCell::new(None) };
}

/// Leads the contract's `metrics` into [`Metrics`].
pub struct PluginSink(Arc<Metrics>);

impl PluginSink {
    /// A sink for the metrics of a process.
    pub const fn new(metrics: Arc<Metrics>) -> Self {
        Self(metrics)
    }

    fn with(&self, plugin: &str, labels: &[(String, String)], work: impl FnOnce(&PluginMetrics, &[(&str, &str)])) {
        // One more than a series can have, so that those that have more are seen as such.
        let mut borrowed = [("", ""); MAX_LABELS + 1];
        for (slot, (key, value)) in borrowed.iter_mut().zip(labels) {
            *slot = (key, value);
        }
        let labels = &borrowed[..labels.len().min(MAX_LABELS + 1)];
        HANDLES.with_borrow_mut(|slot| {
            // Several gateways can live in one process; a thread belongs to one of them.
            let (worker, handles) = slot.get_or_insert_with(|| (self.0.worker(), HashMap::new()));
            if !handles.contains_key(plugin) {
                handles.insert(plugin.into(), worker.plugin(plugin));
            }
            if let Some(handle) = handles.get(plugin) {
                work(handle, labels);
            }
        });
    }
}

impl PluginMetricsSink for PluginSink {
    fn count(&self, plugin: &str, name: &str, labels: &[(String, String)], delta: u64) {
        self.with(plugin, labels, |metrics, labels| metrics.count(name, labels, delta));
    }

    fn observe(&self, plugin: &str, name: &str, labels: &[(String, String)], value: f64) {
        self.with(plugin, labels, |metrics, labels| metrics.observe(name, labels, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_more_labels_than_a_series_can_have_is_dropped_whole() {
        let metrics = Metrics::new(&Default::default());
        let sink = PluginSink::new(metrics.clone());
        let labels: Vec<_> = (0..=MAX_LABELS).map(|place| (format!("l{place}"), "v".to_owned())).collect();
        sink.count("p", "hits", &labels, 1);
        sink.count("p", "hits", &labels[1..], 1);
        let text = metrics.page().text();
        let hits: Vec<_> = text.lines().filter(|line| line.starts_with("gateway_plugin_custom_hits_total{")).collect();
        assert!(hits.len() == 1 && hits[0].contains("l8=") && !hits[0].contains("l0="), "{hits:?}");
        assert!(text.contains("gateway_plugin_metrics_dropped_total{plugin=\"p\"} 1\n"), "{text}");
    }
}
