//! What plugins cost, by plugin and route: as families of the exposition, and for the page of the plugins.

use std::sync::Arc;

use serde_json::{Value, json};

use super::exposition::Exposition;
use super::families::{BYTES, EntryCells};
use super::sums::{group, sum};
use super::{Metrics, Shard, lock};

/// CPU time in seconds.
fn seconds(cells: &[Arc<EntryCells>]) -> f64 {
    sum(cells, |cell| &cell.nanoseconds) as f64 / 1e9
}

fn memory(cells: &[Arc<EntryCells>]) -> i64 {
    cells.iter().map(|cell| cell.memory.value()).sum()
}

pub(super) fn render(out: &mut Exposition, shards: &[Arc<Shard>]) {
    let entries = group(shards, |shard| &shard.entries);
    let name = "gateway_plugin_cpu_seconds_total";
    out.family(name, "counter", "CPU time of calls of plugins by route, without what they waited.");
    for ((plugin, route), cells) in &entries {
        out.sample(name, &[("plugin", plugin), ("route", route)], seconds(cells));
    }
    let name = "gateway_plugin_host_calls_total";
    out.family(name, "counter", "What plugins asked of the gateway in their calls.");
    for ((plugin, route), cells) in &entries {
        out.sample(name, &[("plugin", plugin), ("route", route)], sum(cells, |cell| &cell.host_calls));
    }
    let name = "gateway_plugin_bytes_total";
    out.family(name, "counter", "Bytes of bodies that plugins were given, and of what they gave back.");
    for ((plugin, route), cells) in &entries {
        for (place, direction) in BYTES.iter().enumerate() {
            let labels = [("plugin", &**plugin), ("route", route), ("direction", direction)];
            out.sample(name, &labels, sum(cells, |cell| &cell.bytes[place]));
        }
    }
    let name = "gateway_plugin_traps_total";
    out.family(name, "counter", "Calls that trapped.");
    for ((plugin, route), cells) in &entries {
        out.sample(name, &[("plugin", plugin), ("route", route)], sum(cells, |cell| &cell.traps));
    }
    let name = "gateway_plugin_pauses_total";
    out.family(name, "counter", "How often a plugin was not called, or not instantiated, for a while.");
    for ((plugin, route), cells) in &entries {
        out.sample(name, &[("plugin", plugin), ("route", route)], sum(cells, |cell| &cell.pauses));
    }
    let name = "gateway_plugin_instance_memory_bytes";
    out.family(name, "gauge", "Bytes of the memories of a plugin's instances.");
    for ((plugin, route), cells) in &entries {
        out.sample(name, &[("plugin", plugin), ("route", route)], memory(cells));
    }
}

impl Metrics {
    /// What a plugin cost since the start, by route.
    pub fn plugin_costs(&self, plugin: &str) -> Value {
        let shards = lock(&self.shards).clone();
        let entries = group(&shards, |shard| &shard.entries);
        let own = entries.iter().filter(|((name, _), _)| **name == *plugin).map(|((_, route), cells)| {
            let [bytes_in, bytes_out] = [0, 1].map(|place: usize| sum(cells, |cell| &cell.bytes[place]));
            let cost = json!({
                "cpu_seconds": seconds(cells),
                "host_calls": sum(cells, |cell| &cell.host_calls),
                "bytes_in": bytes_in,
                "bytes_out": bytes_out,
                "traps": sum(cells, |cell| &cell.traps),
                "pauses": sum(cells, |cell| &cell.pauses),
                "memory_bytes": memory(cells),
            });
            (route.to_string(), cost)
        });
        Value::Object(own.collect())
    }
}
