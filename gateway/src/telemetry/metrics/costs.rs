//! What plugins cost, by plugin and route: as families of the exposition, and for the page of the plugins.

use std::sync::Arc;

use serde_json::{Value, json};

use super::families::{BYTES, EntryCells};
use super::page::{Families, Kind, Number};
use super::sums::{Grouped, group, sum};
use super::{Metrics, Shard, lock};

/// The cells of all workers by plugin and route.
type Entries = Grouped<(Arc<str>, Arc<str>), EntryCells>;

/// CPU time in seconds.
fn seconds(cells: &[Arc<EntryCells>]) -> f64 {
    sum(cells, |cell| &cell.nanoseconds) as f64 / 1e9
}

fn memory(cells: &[Arc<EntryCells>]) -> i64 {
    cells.iter().map(|cell| cell.memory.value()).sum()
}

/// One number per plugin and route.
fn family<V: Into<Number>>(
    out: &mut Families,
    entries: &Entries,
    (name, kind, help): (&'static str, Kind, &'static str),
    value: impl Fn(&[Arc<EntryCells>]) -> V,
) {
    out.begin(name, kind, help);
    for ((plugin, route), cells) in entries {
        out.sample(&[("plugin", plugin), ("route", route)], value(cells));
    }
}

pub(super) fn render(out: &mut Families, shards: &[Arc<Shard>]) {
    let entries = group(shards, |shard| &shard.entries);
    let help = "CPU time of calls of plugins by route, without what they waited.";
    family(out, &entries, ("gateway_plugin_cpu_seconds_total", Kind::Counter, help), seconds);
    let help = "What plugins asked of the gateway in their calls.";
    let host_calls = |cells: &[_]| sum(cells, |cell: &EntryCells| &cell.host_calls);
    family(out, &entries, ("gateway_plugin_host_calls_total", Kind::Counter, help), host_calls);
    let name = "gateway_plugin_bytes_total";
    out.begin(name, Kind::Counter, "Bytes of bodies that plugins were given, and of what they gave back.");
    for ((plugin, route), cells) in &entries {
        for (place, direction) in BYTES.iter().enumerate() {
            let labels = [("plugin", &**plugin), ("route", route), ("direction", direction)];
            out.sample(&labels, sum(cells, |cell| &cell.bytes[place]));
        }
    }
    let traps = |cells: &[_]| sum(cells, |cell: &EntryCells| &cell.traps);
    family(out, &entries, ("gateway_plugin_traps_total", Kind::Counter, "Calls that trapped."), traps);
    let help = "How often a plugin was not called, or not instantiated, for a while.";
    let pauses = |cells: &[_]| sum(cells, |cell: &EntryCells| &cell.pauses);
    family(out, &entries, ("gateway_plugin_pauses_total", Kind::Counter, help), pauses);
    let help = "Bytes of the memories of a plugin's instances.";
    family(out, &entries, ("gateway_plugin_instance_memory_bytes", Kind::Gauge, help), memory);
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
