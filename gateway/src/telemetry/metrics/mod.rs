//! Metrics: counted per worker without locks, summed to a [`Page`] when scraped, shown in the formats of Prometheus and sent
//! by OTLP.
//!
//! A series lives as long as the process, under the name of its route, upstream, plugin or listener: a reload gets the same
//! cells again, so counters never jump back.

mod audit;
mod cells;
mod costs;
mod custom;
mod exemplar;
mod exponential;
mod exports;
mod families;
mod histogram;
mod otlp;
mod page;
mod process;
mod protobuf;
mod render;
mod state;
mod sums;
mod text;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use rustix::process::Pid;
use rustix::thread::gettid;
use telemetry_export::Counters;

pub use audit::AuditCounts;
pub use cells::{Counter, Gauge};
use custom::{Allowed, lock};
use exports::Exports;
pub use exports::Signal;
use families::PluginCells;
pub use families::{
    EntryCells, EntryMetrics, Finished, ListenerCells, ListenerMetrics, PLUGIN_FAILURES, PluginMetrics, REJECTIONS,
    RouteCells, RouteMetrics, UpstreamCells, UpstreamMetrics,
};
pub use histogram::Histogram;
use histogram::Layout;
pub use page::Page;

use crate::memory::Memory;
use crate::model;

/// What is loaded anew while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The configuration file.
    Config,
    /// A plugin.
    Plugin,
    /// A certificate.
    Certificate,
}

const RELOADS: [(Reload, &str); 3] =
    [(Reload::Config, "config"), (Reload::Plugin, "plugin"), (Reload::Certificate, "certificate")];

/// Whether an endpoint is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointHealth {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The endpoint's address.
    pub endpoint: SocketAddr,
    /// Whether requests are sent to it.
    pub healthy: bool,
    /// Failures that count for its health.
    pub failures: u64,
}

/// When a certificate in use expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// The listener that shows it to clients.
    pub listener: Arc<str>,
    /// Its file, or `self_signed`.
    pub certificate: String,
    /// The end of its validity.
    pub not_after: SystemTime,
}

/// Tells what the audit trail has counted.
type AuditSource = Box<dyn Fn() -> AuditCounts + Send + Sync>;

/// Tells of all endpoints.
type EndpointSource = Box<dyn Fn() -> Vec<EndpointHealth> + Send + Sync>;

/// All metrics of the process.
pub struct Metrics {
    started: SystemTime,
    /// Of the histograms of durations.
    layout: Layout,
    shards: Mutex<Vec<Arc<Shard>>>,
    /// Series of custom metrics, by plugin.
    allowed: Mutex<HashMap<Arc<str>, Arc<Allowed>>>,
    /// Succeeded and failed, in the order of `RELOADS`.
    reloads: [[AtomicU64; 2]; RELOADS.len()],
    /// When each was last loaded well, in the order of `RELOADS`.
    loaded: Mutex<[Option<SystemTime>; RELOADS.len()]>,
    /// Versions of plugins that were refused, by plugin.
    plugin_load_failures: Mutex<BTreeMap<String, u64>>,
    /// Those in use.
    certificates: Mutex<Vec<CertificateExpiry>>,
    /// What is sent to collectors.
    exports: Mutex<Exports>,
    /// Tells this process from other gateways; other than at the last start.
    instance: String,
    /// How many shards are those of workers.
    workers: AtomicU64,
    /// Asked when metrics are scraped: an endpoint is back when its time out is over, which nothing announces.
    endpoints: Mutex<Option<EndpointSource>>,
    /// Asked when metrics are scraped, and whether the gateway is ready.
    audit: Mutex<Option<AuditSource>>,
    /// What may be held in memory, and is.
    memory: Mutex<Option<Memory>>,
    /// Hash of the configuration in force.
    config: Mutex<String>,
    config_refused: AtomicBool,
    /// Version and hash by plugin in force.
    plugins: Mutex<BTreeMap<String, (String, String)>>,
    /// Lines that the access log had to drop; shared with it.
    pub access_log_dropped: Arc<AtomicU64>,
}

/// A plugin and a route.
type EntryName = (Arc<str>, Arc<str>);

/// The cells of one worker. The locks are taken when handles are made and when metrics are scraped.
#[derive(Debug, Default)]
struct Shard {
    routes: Mutex<HashMap<Arc<str>, RouteMetrics>>,
    upstreams: Mutex<HashMap<Arc<str>, UpstreamMetrics>>,
    plugins: Mutex<HashMap<Arc<str>, Arc<PluginCells>>>,
    /// By plugin and route.
    entries: Mutex<HashMap<EntryName, EntryMetrics>>,
    listeners: Mutex<HashMap<Arc<str>, ListenerMetrics>>,
    in_flight: Gauge,
    /// The number of the worker that has it, and its thread; background tasks have shards as well.
    thread: OnceLock<(u64, Pid)>,
}

impl Metrics {
    /// Metrics that start at zero. What `settings` say of histograms stays as it is: one that had other bounds from some
    /// moment on could not be compared with itself.
    #[allow(clippy::new_ret_no_self, reason = "always shared")]
    pub fn new(settings: &model::Metrics) -> Arc<Self> {
        let model::Metrics { buckets, native_histograms, exemplars, export: _ } = settings;
        Arc::new(Self {
            started: SystemTime::now(),
            layout: Layout { bounds: Arc::clone(buckets), exponential: *native_histograms, exemplars: *exemplars },
            shards: Mutex::default(),
            allowed: Mutex::default(),
            reloads: Default::default(),
            // Whoever makes metrics has read a configuration.
            loaded: Mutex::new(RELOADS.map(|(what, _)| (what == Reload::Config).then(SystemTime::now))),
            plugin_load_failures: Mutex::default(),
            certificates: Mutex::default(),
            exports: Mutex::default(),
            instance: format!("{:032x}", fastrand::u128(..)),
            workers: AtomicU64::new(0),
            endpoints: Mutex::default(),
            audit: Mutex::default(),
            memory: Mutex::default(),
            config: Mutex::default(),
            config_refused: AtomicBool::new(false),
            plugins: Mutex::default(),
            access_log_dropped: Arc::default(),
        })
    }

    /// A new shard, for one worker (or for a background task that counts).
    pub fn worker(self: &Arc<Self>) -> WorkerMetrics {
        let shard = Arc::new(Shard::default());
        lock(&self.shards).push(Arc::clone(&shard));
        WorkerMetrics { metrics: Arc::clone(self), shard }
    }

    /// Notes that something was loaded anew, or that it could not be.
    pub fn reloaded(&self, what: Reload, succeeded: bool) {
        if let Some(place) = RELOADS.iter().position(|(reload, _)| *reload == what) {
            self.reloads[place][usize::from(!succeeded)].fetch_add(1, Relaxed);
            if succeeded {
                lock(&self.loaded)[place] = Some(SystemTime::now());
            }
        }
    }

    /// From now on a signal is exported with these counters. What was counted before goes on.
    pub fn show_export(&self, signal: Signal, counters: Arc<Counters>) {
        lock(&self.exports).show(signal, counters);
    }

    /// What tells this process from other gateways: OpenTelemetry's `service.instance.id`.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Notes that a version of a plugin was refused.
    pub fn plugin_load_failed(&self, plugin: &str) {
        *lock(&self.plugin_load_failures).entry(plugin.to_owned()).or_default() += 1;
    }

    /// From now on, these certificates are in use.
    pub fn certificates_in_force(&self, certificates: Vec<CertificateExpiry>) {
        *lock(&self.certificates) = certificates;
    }

    /// From now on, `endpoints` tells which endpoints there are and how they fare.
    pub fn show_endpoints(&self, endpoints: impl Fn() -> Vec<EndpointHealth> + Send + Sync + 'static) {
        *lock(&self.endpoints) = Some(Box::new(endpoints));
    }

    /// Whether the configuration on disk is one that was refused.
    pub fn config_refused(&self, refused: bool) {
        self.config_refused.store(refused, Relaxed);
    }

    /// From now on, the budgets of the process are shown.
    pub fn show_memory(&self, memory: Memory) {
        *lock(&self.memory) = Some(memory);
    }

    /// From now on, `counts` tells how the audit trail fares.
    pub fn show_audit(&self, counts: impl Fn() -> AuditCounts + Send + Sync + 'static) {
        *lock(&self.audit) = Some(Box::new(counts));
    }

    /// Whether exchanges are refused because the audit trail can't be written.
    pub fn is_audit_refusing(&self) -> bool {
        let counts = lock(&self.audit).as_ref().map(|counts| counts());
        counts.is_some_and(|counts| counts.failing && counts.refuses)
    }

    /// Notes the hash of the configuration in force.
    pub fn config_in_force(&self, hash: &str) {
        hash.clone_into(&mut lock(&self.config));
    }

    /// Notes version and hash of a plugin in force.
    pub fn plugin_in_force(&self, name: &str, version: &str, hash: &str) {
        lock(&self.plugins).insert(name.to_owned(), (version.to_owned(), hash.to_owned()));
    }

    /// Forgets a plugin that is no longer used.
    pub fn forget_plugin(&self, name: &str) {
        lock(&self.plugins).remove(name);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The metrics of one worker. Clones write to the same cells, so they stay on that worker.
#[derive(Clone, Debug)]
pub struct WorkerMetrics {
    metrics: Arc<Metrics>,
    shard: Arc<Shard>,
}

impl WorkerMetrics {
    /// The handle of a route; `none` is the name for requests without one.
    pub fn route(&self, name: &str) -> RouteMetrics {
        made(&self.shard.routes, name, || RouteCells::new(&self.metrics.layout))
    }

    /// The handle of an upstream.
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        made(&self.shard.upstreams, name, || UpstreamCells::new(&self.metrics.layout))
    }

    /// The handle of a listener.
    pub fn listener(&self, name: &str) -> ListenerMetrics {
        cell(&self.shard.listeners, name)
    }

    /// The handle of a plugin.
    pub fn plugin(&self, name: &str) -> PluginMetrics {
        let cells = cell(&self.shard.plugins, name);
        PluginMetrics { name: name.into(), cells, allowed: cell(&self.metrics.allowed, name) }
    }

    /// The handle of a plugin in a route.
    pub fn plugin_entry(&self, plugin: &str, route: &str) -> EntryMetrics {
        Arc::clone(lock(&self.shard.entries).entry((plugin.into(), route.into())).or_default())
    }

    /// Requests in flight on this worker.
    pub fn in_flight(&self) -> &Gauge {
        &self.shard.in_flight
    }

    /// Says that this thread is the worker's, so that its CPU time is shown. The thread itself measures nothing: whoever asks
    /// for the page reads it.
    pub fn runs_here(&self) {
        self.shard.thread.get_or_init(|| (self.metrics.workers.fetch_add(1, Relaxed), gettid()));
    }

    /// The metrics of the process.
    pub const fn process(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

fn cell<T: Default>(cells: &Mutex<HashMap<Arc<str>, Arc<T>>>, name: &str) -> Arc<T> {
    made(cells, name, T::default)
}

/// The cells that are there under a name, or new ones.
fn made<T>(cells: &Mutex<HashMap<Arc<str>, Arc<T>>>, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
    Arc::clone(lock(cells).entry(name.into()).or_insert_with(|| Arc::new(new())))
}

#[cfg(test)]
mod tests;
