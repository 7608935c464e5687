//! Metrics: counted per worker without locks, summed when scraped, shown in Prometheus' text format.
//!
//! A series lives as long as the process, under the name of its route, upstream, plugin or listener: a reload gets the same
//! cells again, so counters never jump back.

mod audit;
mod cells;
mod costs;
mod custom;
mod exposition;
mod families;
mod process;
mod render;
mod sums;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

pub use audit::AuditCounts;
pub use cells::{Counter, Gauge, Histogram};
use custom::{Allowed, lock};
use families::PluginCells;
pub use families::{
    EntryCells, EntryMetrics, ListenerCells, ListenerMetrics, PLUGIN_FAILURES, PluginMetrics, REJECTIONS, RouteCells,
    RouteMetrics, UpstreamCells, UpstreamMetrics,
};

use crate::memory::Memory;

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

/// Tells what the audit trail has counted.
type AuditSource = Box<dyn Fn() -> AuditCounts + Send + Sync>;

/// Tells of all endpoints.
type EndpointSource = Box<dyn Fn() -> Vec<EndpointHealth> + Send + Sync>;

/// All metrics of the process.
pub struct Metrics {
    started: SystemTime,
    shards: Mutex<Vec<Arc<Shard>>>,
    /// Series of custom metrics, by plugin.
    allowed: Mutex<HashMap<Arc<str>, Arc<Allowed>>>,
    /// Succeeded and failed, in the order of `RELOADS`.
    reloads: [[AtomicU64; 2]; RELOADS.len()],
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
}

impl Metrics {
    /// Metrics that start at zero.
    #[allow(clippy::new_ret_no_self, reason = "always shared")]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: SystemTime::now(),
            shards: Mutex::default(),
            allowed: Mutex::default(),
            reloads: Default::default(),
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
        }
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
        cell(&self.shard.routes, name)
    }

    /// The handle of an upstream.
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        cell(&self.shard.upstreams, name)
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

    /// The metrics of the process.
    pub const fn process(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

fn cell<T: Default>(cells: &Mutex<HashMap<Arc<str>, Arc<T>>>, name: &str) -> Arc<T> {
    Arc::clone(lock(cells).entry(name.into()).or_default())
}

#[cfg(test)]
mod tests;
