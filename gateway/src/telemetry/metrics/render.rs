//! Sums the shards to a page.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::custom::{CustomSum, lock};
use super::families::{
    CLASSES, Cell, FAILURES, Family, ListenerCells, PHASES, PLUGIN_FAILURES, PROTOCOLS, PluginCells, REJECTIONS,
    RouteCells, SHED, UpstreamCells,
};
use super::histogram::HistogramSum;
use super::page::{Families, Kind, Page};
use super::sums::{Grouped, group, sum};
use super::{Metrics, Shard, audit, costs, exports, process, state};

/// The families of one number per owner.
fn families<T>(out: &mut Families, label: &'static str, owners: &Grouped<Arc<str>, T>, families: &[Family<T>]) {
    for Family { name, help, cell } in families {
        let kind = if matches!(cell, Cell::Counter(_)) { Kind::Counter } else { Kind::Gauge };
        out.begin(*name, kind, help);
        for (owner, cells) in owners {
            let labels = [(label, &**owner)];
            match cell {
                Cell::Counter(counter) => out.sample(&labels, sum(cells, counter)),
                Cell::Gauge(gauge) => out.sample(&labels, cells.iter().map(|cell| gauge(cell).value()).sum::<i64>()),
            }
        }
    }
}

impl Metrics {
    /// Everything, as it stands.
    pub fn page(&self) -> Page {
        let shards = lock(&self.shards).clone();
        let mut out = Families::default();
        routes(&mut out, &shards, self);
        upstreams(&mut out, &shards, self);
        plugins(&mut out, &shards, self);
        costs::render(&mut out, &shards);
        listeners(&mut out, &shards);
        state::render(&mut out, &shards, self);
        exports::render(&mut out, &lock(&self.exports));
        audit::render(&mut out, lock(&self.audit).as_ref().map(|counts| counts()).as_ref());
        process::render(&mut out, self.started);
        out.finish(self.started)
    }
}

fn routes(out: &mut Families, shards: &[Arc<Shard>], metrics: &Metrics) {
    let routes = group(shards, |shard| &shard.routes);
    families(out, "route", &routes, &RouteCells::FAMILIES);
    out.begin("gateway_requests_total", Kind::Counter, "Finished requests by route, protocol and class of status.");
    for (route, cells) in &routes {
        for (p, protocol) in PROTOCOLS.iter().enumerate() {
            for (c, class) in CLASSES.iter().enumerate() {
                let value = sum(cells, |cell| &cell.requests[p][c]);
                // Most combinations never happen.
                if value > 0 {
                    let labels = [("route", &**route), ("protocol", protocol.name()), ("status", class)];
                    out.sample(&labels, value);
                }
            }
        }
    }
    let name = "gateway_request_duration_seconds";
    out.begin(name, Kind::Histogram, "From a request's head to the end of its response.");
    for (route, cells) in &routes {
        let total = HistogramSum::of(&metrics.layout, cells.iter().map(|cell| &cell.duration));
        out.histogram(&[("route", route)], total);
    }
    out.begin("gateway_requests_shed_total", Kind::Counter, "Requests that were refused for want of room.");
    for (route, cells) in &routes {
        for (place, kind) in SHED.iter().enumerate() {
            out.sample(&[("route", route), ("reason", kind.name())], sum(cells, |cell| &cell.shed[place]));
        }
    }
}

fn upstreams(out: &mut Families, shards: &[Arc<Shard>], metrics: &Metrics) {
    let upstreams = group(shards, |shard| &shard.upstreams);
    families(out, "upstream", &upstreams, &UpstreamCells::FAMILIES);
    out.begin("gateway_upstream_failures_total", Kind::Counter, "Failed attempts by kind.");
    for (upstream, cells) in &upstreams {
        for (place, failure) in FAILURES.iter().enumerate() {
            let labels = [("upstream", &**upstream), ("kind", failure.name())];
            out.sample(&labels, sum(cells, |cell| &cell.failures[place]));
        }
    }
    let name = "gateway_upstream_latency_seconds";
    out.begin(name, Kind::Histogram, "From the first byte sent upstream to the response's head.");
    for (upstream, cells) in &upstreams {
        let total = HistogramSum::of(&metrics.layout, cells.iter().map(|cell| &cell.latency));
        out.histogram(&[("upstream", upstream)], total);
    }
    let mut endpoints: BTreeMap<_, (bool, u64)> = BTreeMap::new();
    for health in lock(&metrics.endpoints).as_ref().map(|endpoints| endpoints()).unwrap_or_default() {
        // Two names can have one address; it is used as long as one of them lets it be.
        let (healthy, failures) = endpoints.entry((health.upstream, health.endpoint.to_string())).or_default();
        *healthy |= health.healthy;
        *failures += health.failures;
    }
    out.begin("gateway_endpoint_healthy", Kind::Gauge, "1 while an endpoint is used, 0 while it is left out.");
    for ((upstream, endpoint), (healthy, _)) in &endpoints {
        out.sample(&[("upstream", upstream), ("endpoint", endpoint)], u64::from(*healthy));
    }
    out.begin("gateway_endpoint_failures_total", Kind::Counter, "Failures that count for an endpoint's health.");
    for ((upstream, endpoint), (_, failures)) in &endpoints {
        out.sample(&[("upstream", upstream), ("endpoint", endpoint)], *failures);
    }
}

fn plugins(out: &mut Families, shards: &[Arc<Shard>], metrics: &Metrics) {
    let plugins = group(shards, |shard| &shard.plugins);
    families(out, "plugin", &plugins, &PluginCells::FAMILIES);
    out.begin("gateway_plugin_calls_total", Kind::Counter, "Calls of plugins by phase.");
    for (plugin, cells) in &plugins {
        for (place, phase) in PHASES.iter().enumerate() {
            let value = sum(cells, |cell| &cell.calls[place]);
            if value > 0 {
                out.sample(&[("plugin", plugin), ("phase", phase.name())], value);
            }
        }
    }
    out.begin(
        "gateway_plugin_seconds_total",
        Kind::Counter,
        "Wall time of calls of plugins by phase, waiting for calls of theirs included.",
    );
    for (plugin, cells) in &plugins {
        for (place, phase) in PHASES.iter().enumerate() {
            let value = sum(cells, |cell| &cell.nanoseconds[place]);
            if value > 0 {
                let labels = [("plugin", &**plugin), ("phase", phase.name())];
                out.sample(&labels, value as f64 / 1e9);
            }
        }
    }
    out.begin("gateway_plugin_failures_total", Kind::Counter, "Failed calls of plugins by reason.");
    for (plugin, cells) in &plugins {
        for (place, reason) in PLUGIN_FAILURES.iter().enumerate() {
            let labels = [("plugin", &**plugin), ("reason", reason)];
            out.sample(&labels, sum(cells, |cell| &cell.failures[place]));
        }
    }
    out.begin("gateway_plugin_info", Kind::Gauge, "The version of each plugin in force.");
    for (plugin, (version, hash)) in lock(&metrics.plugins).iter() {
        let labels = [("plugin", plugin.as_str()), ("version", version.as_str()), ("hash", hash.as_str())];
        out.sample(&labels, 1_u64);
    }
    let name = "gateway_plugin_metrics_dropped_total";
    out.begin(name, Kind::Counter, "Metrics of plugins that were dropped: too many series, or an invalid name.");
    let mut custom = CustomSum::default();
    for (plugin, cells) in &plugins {
        out.sample(&[("plugin", plugin)], sum(cells, |cell| &cell.custom.dropped));
        cells.iter().for_each(|cell| custom.add(&cell.custom));
    }
    custom.render(out);
}

fn listeners(out: &mut Families, shards: &[Arc<Shard>]) {
    let listeners = group(shards, |shard| &shard.listeners);
    families(out, "listener", &listeners, &ListenerCells::FAMILIES);
    out.begin(
        "gateway_listener_rejected_total",
        Kind::Counter,
        "Connections, and requests that never became one, that were not served.",
    );
    for (listener, cells) in &listeners {
        for (place, reason) in REJECTIONS.iter().enumerate() {
            let labels = [("listener", &**listener), ("reason", reason)];
            out.sample(&labels, sum(cells, |cell| &cell.rejected[place]));
        }
    }
}
