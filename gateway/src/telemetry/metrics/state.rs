//! What the process as a whole tells of itself: its memory, its configuration, certificates and reloads.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::custom::lock;
use super::page::{Families, Kind};
use super::text::seconds;
use super::{Metrics, RELOADS, Shard};

fn memory(out: &mut Families, metrics: &Metrics) {
    let Some(memory) = lock(&metrics.memory).clone() else { return };
    out.begin(
        "gateway_body_memory_bytes",
        Kind::Gauge,
        "Bytes of bodies that are held, or that peers were allowed to send.",
    );
    out.sample(&[], memory.bodies.held());
    out.begin("gateway_body_memory_limit_bytes", Kind::Gauge, "Bytes of bodies that may be held.");
    out.sample(&[], memory.bodies.limit());
    out.begin("gateway_body_memory_refused_total", Kind::Counter, "How often nothing was left of them in time.");
    out.sample(&[], memory.bodies.refused());
    out.begin("gateway_plugin_memory_bytes", Kind::Gauge, "Bytes that the instances of all plugins have.");
    out.sample(&[], memory.guests.held());
    out.begin("gateway_plugin_memory_limit_bytes", Kind::Gauge, "Bytes that they may have together.");
    out.sample(&[], memory.guests.limit());
    out.begin("gateway_plugin_memory_refused_total", Kind::Counter, "How often an instance was refused more of them.");
    out.sample(&[], memory.guests.refused());
}

pub(super) fn render(out: &mut Families, shards: &[Arc<Shard>], metrics: &Metrics) {
    out.begin("gateway_requests_in_flight", Kind::Gauge, "Requests that are being worked on.");
    let in_flight: i64 = shards.iter().map(|shard| shard.in_flight.value()).sum();
    out.sample(&[], in_flight);
    out.begin("gateway_worker_cpu_seconds_total", Kind::Counter, "CPU time of the threads of workers.");
    for (number, thread) in shards.iter().filter_map(|shard| shard.thread.get()) {
        if let Some(seconds) = super::process::cpu_seconds(*thread) {
            out.sample(&[("worker", &number.to_string())], seconds);
        }
    }
    memory(out, metrics);
    loads(out, metrics);
    out.begin(
        "gateway_certificate_expiry_timestamp_seconds",
        Kind::Gauge,
        "When the certificates in use expire, in seconds since 1970.",
    );
    for certificate in lock(&metrics.certificates).iter() {
        let labels = [("listener", &*certificate.listener), ("certificate", certificate.certificate.as_str())];
        out.sample(&labels, seconds(certificate.not_after));
    }
    out.begin("gateway_access_log_dropped_total", Kind::Counter, "Lines dropped because the writer was behind.");
    out.sample(&[], metrics.access_log_dropped.load(Relaxed));
    out.begin("gateway_build_info", Kind::Gauge, "The version of the gateway.");
    out.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
}

/// What was loaded, and what was refused.
fn loads(out: &mut Families, metrics: &Metrics) {
    out.begin("gateway_reloads_total", Kind::Counter, "What was loaded anew while running, by result.");
    for (place, (_, what)) in RELOADS.iter().enumerate() {
        for (counter, result) in metrics.reloads[place].iter().zip(["succeeded", "failed"]) {
            let labels = [("what", *what), ("result", result)];
            out.sample(&labels, counter.load(Relaxed));
        }
    }
    out.begin(
        "gateway_reload_last_success_timestamp_seconds",
        Kind::Gauge,
        "When what is in force was loaded, in seconds since 1970.",
    );
    for ((_, what), loaded) in RELOADS.iter().zip(*lock(&metrics.loaded)) {
        if let Some(loaded) = loaded {
            out.sample(&[("what", what)], seconds(loaded));
        }
    }
    out.begin("gateway_plugin_load_failures_total", Kind::Counter, "Versions of plugins that were refused.");
    for (plugin, failures) in lock(&metrics.plugin_load_failures).iter() {
        out.sample(&[("plugin", plugin)], *failures);
    }
    out.begin("gateway_config_info", Kind::Gauge, "The configuration in force.");
    out.sample(&[("hash", lock(&metrics.config).as_str())], 1_u64);
    let refused = u64::from(metrics.config_refused.load(Relaxed));
    out.begin(
        "gateway_config_refused",
        Kind::Gauge,
        "Whether the configuration on disk was refused, so that an older one serves.",
    );
    out.sample(&[], refused);
}
