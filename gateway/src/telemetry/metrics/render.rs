//! Sums the shards and writes them down.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::cells::{HistogramSum, SECONDS};
use super::custom::{CustomSum, lock};
use super::exposition::{Exposition, render_labels};
use super::families::{
    CLASSES, Cell, FAILURES, Family, ListenerCells, PHASES, PLUGIN_FAILURES, PROTOCOLS, PluginCells, REJECTIONS,
    RouteCells, UpstreamCells,
};
use super::sums::{Grouped, group, sum};
use super::{Metrics, RELOADS, Shard, costs};

/// The families of one number per owner.
fn families<T>(out: &mut Exposition, label: &str, owners: &Grouped<Arc<str>, T>, families: &[Family<T>]) {
    for Family { name, help, cell } in families {
        let kind = if matches!(cell, Cell::Counter(_)) { "counter" } else { "gauge" };
        out.family(name, kind, help);
        for (owner, cells) in owners {
            let labels = [(label, &**owner)];
            match cell {
                Cell::Counter(counter) => out.sample(name, &labels, sum(cells, counter)),
                Cell::Gauge(gauge) => {
                    out.sample(name, &labels, cells.iter().map(|cell| gauge(cell).value()).sum::<i64>())
                }
            }
        }
    }
}

impl Metrics {
    /// Everything in Prometheus' text format.
    pub fn render(&self) -> String {
        let shards = lock(&self.shards).clone();
        let mut out = Exposition::default();
        routes(&mut out, &shards);
        upstreams(&mut out, &shards, self);
        plugins(&mut out, &shards, self);
        costs::render(&mut out, &shards);
        listeners(&mut out, &shards);
        gateway(&mut out, &shards, self);
        super::audit::render(&mut out, lock(&self.audit).as_ref().map(|counts| counts()).as_ref());
        super::process::render(&mut out, self.started);
        out.finish()
    }
}

fn routes(out: &mut Exposition, shards: &[Arc<Shard>]) {
    let routes = group(shards, |shard| &shard.routes);
    families(out, "route", &routes, &RouteCells::FAMILIES);
    out.family("gateway_requests_total", "counter", "Finished requests by route, protocol and class of status.");
    for (route, cells) in &routes {
        for (p, protocol) in PROTOCOLS.iter().enumerate() {
            for (c, class) in CLASSES.iter().enumerate() {
                let value = sum(cells, |cell| &cell.requests[p][c]);
                // Most combinations never happen.
                if value > 0 {
                    let labels = [("route", &**route), ("protocol", protocol.name()), ("status", class)];
                    out.sample("gateway_requests_total", &labels, value);
                }
            }
        }
    }
    let name = "gateway_request_duration_seconds";
    out.family(name, "histogram", "From a request's head to the end of its response.");
    for (route, cells) in &routes {
        let mut total = HistogramSum::new(&SECONDS);
        cells.iter().for_each(|cell| total.add(&cell.duration));
        out.histogram(name, &render_labels(&[("route", route)]), &total);
    }
}

fn upstreams(out: &mut Exposition, shards: &[Arc<Shard>], metrics: &Metrics) {
    let upstreams = group(shards, |shard| &shard.upstreams);
    families(out, "upstream", &upstreams, &UpstreamCells::FAMILIES);
    out.family("gateway_upstream_failures_total", "counter", "Failed attempts by kind.");
    for (upstream, cells) in &upstreams {
        for (place, failure) in FAILURES.iter().enumerate() {
            let labels = [("upstream", &**upstream), ("kind", failure.name())];
            out.sample("gateway_upstream_failures_total", &labels, sum(cells, |cell| &cell.failures[place]));
        }
    }
    let name = "gateway_upstream_latency_seconds";
    out.family(name, "histogram", "From the first byte sent upstream to the response's head.");
    for (upstream, cells) in &upstreams {
        let mut total = HistogramSum::new(&SECONDS);
        cells.iter().for_each(|cell| total.add(&cell.latency));
        out.histogram(name, &render_labels(&[("upstream", upstream)]), &total);
    }
    let mut endpoints: BTreeMap<_, (bool, u64)> = BTreeMap::new();
    for health in lock(&metrics.endpoints).as_ref().map(|endpoints| endpoints()).unwrap_or_default() {
        // Two names can have one address; it is used as long as one of them lets it be.
        let (healthy, failures) = endpoints.entry((health.upstream, health.endpoint.to_string())).or_default();
        *healthy |= health.healthy;
        *failures += health.failures;
    }
    out.family("gateway_endpoint_healthy", "gauge", "1 while an endpoint is used, 0 while it is left out.");
    for ((upstream, endpoint), (healthy, _)) in &endpoints {
        out.sample("gateway_endpoint_healthy", &[("upstream", upstream), ("endpoint", endpoint)], u8::from(*healthy));
    }
    out.family("gateway_endpoint_failures_total", "counter", "Failures that count for an endpoint's health.");
    for ((upstream, endpoint), (_, failures)) in &endpoints {
        out.sample("gateway_endpoint_failures_total", &[("upstream", upstream), ("endpoint", endpoint)], failures);
    }
}

fn plugins(out: &mut Exposition, shards: &[Arc<Shard>], metrics: &Metrics) {
    let plugins = group(shards, |shard| &shard.plugins);
    families(out, "plugin", &plugins, &PluginCells::FAMILIES);
    out.family("gateway_plugin_calls_total", "counter", "Calls of plugins by phase.");
    for (plugin, cells) in &plugins {
        for (place, phase) in PHASES.iter().enumerate() {
            let value = sum(cells, |cell| &cell.calls[place]);
            if value > 0 {
                out.sample("gateway_plugin_calls_total", &[("plugin", plugin), ("phase", phase.name())], value);
            }
        }
    }
    out.family(
        "gateway_plugin_seconds_total",
        "counter",
        "Wall time of calls of plugins by phase, waiting for calls of theirs included.",
    );
    for (plugin, cells) in &plugins {
        for (place, phase) in PHASES.iter().enumerate() {
            let value = sum(cells, |cell| &cell.nanoseconds[place]);
            if value > 0 {
                let labels = [("plugin", &**plugin), ("phase", phase.name())];
                out.sample("gateway_plugin_seconds_total", &labels, value as f64 / 1e9);
            }
        }
    }
    out.family("gateway_plugin_failures_total", "counter", "Failed calls of plugins by reason.");
    for (plugin, cells) in &plugins {
        for (place, reason) in PLUGIN_FAILURES.iter().enumerate() {
            let labels = [("plugin", &**plugin), ("reason", reason)];
            out.sample("gateway_plugin_failures_total", &labels, sum(cells, |cell| &cell.failures[place]));
        }
    }
    out.family("gateway_plugin_info", "gauge", "The version of each plugin in force.");
    for (plugin, (version, hash)) in lock(&metrics.plugins).iter() {
        let labels = [("plugin", plugin.as_str()), ("version", version.as_str()), ("hash", hash.as_str())];
        out.sample("gateway_plugin_info", &labels, 1);
    }
    let name = "gateway_plugin_metrics_dropped_total";
    out.family(name, "counter", "Metrics of plugins that were dropped: too many series, or an invalid name.");
    let mut custom = CustomSum::default();
    for (plugin, cells) in &plugins {
        out.sample(name, &[("plugin", plugin)], sum(cells, |cell| &cell.custom.dropped));
        cells.iter().for_each(|cell| custom.add(&cell.custom));
    }
    custom.render(out);
}

fn listeners(out: &mut Exposition, shards: &[Arc<Shard>]) {
    let listeners = group(shards, |shard| &shard.listeners);
    families(out, "listener", &listeners, &ListenerCells::FAMILIES);
    out.family(
        "gateway_listener_rejected_total",
        "counter",
        "Connections, and requests that never became one, that were not served.",
    );
    for (listener, cells) in &listeners {
        for (place, reason) in REJECTIONS.iter().enumerate() {
            let labels = [("listener", &**listener), ("reason", reason)];
            out.sample("gateway_listener_rejected_total", &labels, sum(cells, |cell| &cell.rejected[place]));
        }
    }
}

fn memory(out: &mut Exposition, metrics: &Metrics) {
    let Some(memory) = lock(&metrics.memory).clone() else { return };
    out.family(
        "gateway_body_memory_bytes",
        "gauge",
        "Bytes of bodies that are held, or that peers were allowed to send.",
    );
    out.sample("gateway_body_memory_bytes", &[], memory.bodies.held());
    out.family("gateway_body_memory_limit_bytes", "gauge", "Bytes of bodies that may be held.");
    out.sample("gateway_body_memory_limit_bytes", &[], memory.bodies.limit());
    out.family("gateway_body_memory_refused_total", "counter", "How often nothing was left of them in time.");
    out.sample("gateway_body_memory_refused_total", &[], memory.bodies.refused());
    out.family("gateway_plugin_memory_bytes", "gauge", "Bytes that the instances of all plugins have.");
    out.sample("gateway_plugin_memory_bytes", &[], memory.guests.held());
    out.family("gateway_plugin_memory_limit_bytes", "gauge", "Bytes that they may have together.");
    out.sample("gateway_plugin_memory_limit_bytes", &[], memory.guests.limit());
    out.family("gateway_plugin_memory_refused_total", "counter", "How often an instance was refused more of them.");
    out.sample("gateway_plugin_memory_refused_total", &[], memory.guests.refused());
}

fn gateway(out: &mut Exposition, shards: &[Arc<Shard>], metrics: &Metrics) {
    out.family("gateway_requests_in_flight", "gauge", "Requests that are being worked on.");
    let in_flight: i64 = shards.iter().map(|shard| shard.in_flight.value()).sum();
    out.sample("gateway_requests_in_flight", &[], in_flight);
    memory(out, metrics);
    out.family("gateway_reloads_total", "counter", "What was loaded anew while running, by result.");
    for (place, (_, what)) in RELOADS.iter().enumerate() {
        for (counter, result) in metrics.reloads[place].iter().zip(["succeeded", "failed"]) {
            let labels = [("what", *what), ("result", result)];
            out.sample("gateway_reloads_total", &labels, counter.load(Relaxed));
        }
    }
    out.family("gateway_access_log_dropped_total", "counter", "Lines dropped because the writer was behind.");
    out.sample("gateway_access_log_dropped_total", &[], metrics.access_log_dropped.load(Relaxed));
    out.family("gateway_config_info", "gauge", "The configuration in force.");
    out.sample("gateway_config_info", &[("hash", lock(&metrics.config).as_str())], 1);
    let refused = u64::from(metrics.config_refused.load(Relaxed));
    out.family(
        "gateway_config_refused",
        "gauge",
        "Whether the configuration on disk was refused, so that an older one serves.",
    );
    out.sample("gateway_config_refused", &[], refused);
    out.family("gateway_build_info", "gauge", "The version of the gateway.");
    out.sample("gateway_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
}
