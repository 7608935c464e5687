//! One worker: a thread with a runtime of its own, its share of every listener's connections, its own upstream
//! connections and plugin instances. Nothing here is shared with another worker on the path of a request.

mod listen;
mod outbound;
mod unshared;

pub use listen::{Share, Socket};

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ::http::HeaderValue;
use tokio::sync::{mpsc, watch};

use crate::access_log::WorkerLog;
use crate::exchange::{ConnectionInfo, Protocol};
use crate::memory::{Budget, Credit};
use crate::message::headers::HeaderRules;
use crate::model::Route;
use crate::model::SocketKey;
use crate::plugin::chain::Chain;
use crate::plugin::stored::StoredResponses;
use crate::plugin::{Entry, Pool, WorkerHost};
use crate::protocol::activity::{self, Connections};
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::{Metrics, RouteMetrics, WorkerMetrics};
use crate::upstream::{Capacity, Client, Upstream};
use listen::Listening;

/// State of a worker thread.
pub struct Worker {
    /// What serves the next request.
    snapshot: RefCell<Rc<WorkerSnapshot>>,
    /// Connections to upstreams.
    pub client: Rc<Client>,
    /// What this worker holds of bodies.
    pub memory: Rc<Credit>,
    /// Connections from clients over TCP.
    pub connections: Connections,
    /// Exchanges that have begun and not ended.
    pub in_flight: Cell<usize>,
    /// The runtime is about to end: no new tasks.
    pub stopping: Cell<bool>,
    /// Becomes true when what still runs is to be closed.
    cut: watch::Sender<bool>,
    /// Counters of this worker.
    pub metrics: WorkerMetrics,
    /// Counters of requests that matched no route.
    pub unrouted: RouteMetrics,
    /// This worker's part of the access log.
    pub access_log: RefCell<WorkerLog>,
}

impl Worker {
    /// What serves a request that begins now.
    pub fn snapshot(&self) -> Rc<WorkerSnapshot> {
        self.snapshot.borrow().clone()
    }
}

/// A [`Snapshot`] with what a worker adds to it: instances, connections' settings, handles of metrics.
pub struct WorkerSnapshot {
    /// The part shared by all workers.
    pub shared: Arc<Snapshot>,
    /// By index, as the router finds them.
    pub routes: Vec<Rc<RouteHandle>>,
    /// Header values that are the same for every request.
    pub rules: Arc<HeaderRules>,
    /// Requests in flight above which new ones are refused.
    pub requests_limit: usize,
    /// Request header fields are kept for the access log.
    pub logs_request_headers: bool,
    alt_svc: Vec<(Arc<str>, HeaderValue)>,
}

/// A route as a worker serves it.
pub struct RouteHandle {
    /// Its configuration.
    pub config: Rc<Route>,
    /// What that is this worker's copy of.
    source: Arc<Route>,
    /// Where it forwards to.
    pub upstream: Option<Arc<Upstream>>,
    /// Its plugins.
    pub chain: Rc<Chain>,
    /// Its counters.
    pub metrics: RouteMetrics,
}

impl WorkerSnapshot {
    /// The `Alt-Svc` value (RFC 7838) that announces HTTP/3 on the listener of this connection.
    pub fn alt_svc(&self, connection: &ConnectionInfo) -> Option<HeaderValue> {
        if !connection.tls || connection.protocol == Protocol::Http3 {
            return None;
        }
        self.alt_svc.iter().find(|(name, _)| *name == connection.listener).map(|(_, value)| value.clone())
    }
}

/// What the control thread tells a worker.
pub enum Command {
    /// Serve new requests from this.
    Swap(Arc<Snapshot>),
    /// Accept connections.
    Listen(Box<Share>),
    /// Stop accepting on this socket, and let its connections finish.
    Unlisten(SocketKey),
    /// Stop accepting, let connections finish, then end the thread.
    Drain,
    /// Close every connection, whatever still runs on it.
    Cut,
}

/// What a worker thread starts with.
pub struct WorkerParts {
    /// What it serves from.
    pub snapshot: Arc<Snapshot>,
    /// The stored responses of the process.
    pub stored: Arc<StoredResponses>,
    /// What may be held of bodies.
    pub memory: Arc<Budget>,
    /// Where its counters are summed.
    pub metrics: Arc<Metrics>,
    /// Where its log lines go.
    pub access_log: WorkerLog,
    /// Plugin instances that it may have.
    pub instances: u32,
    /// What it is told later.
    pub commands: mpsc::UnboundedReceiver<Command>,
}

/// Runs a worker until it has been drained. Called on the worker's own thread.
pub fn run(parts: WorkerParts) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // The default of 61 makes a busy worker ask the kernel for events twice per request.
        .event_interval(127)
        .build_local(tokio::runtime::LocalOptions::default())?;
    wasmtime::Engine::tls_eager_initialize();
    runtime.block_on(serve(parts));
    Ok(())
}

async fn serve(mut parts: WorkerParts) {
    let (calls, outbound_calls) = mpsc::unbounded_channel();
    let metrics = parts.metrics.worker();
    let host = WorkerHost::new(calls, parts.instances, metrics.clone());
    let pools = RefCell::new(Vec::new());
    let chains = (parts.stored.clone(), parts.memory.clone());
    let snapshot = WorkerSnapshot::build(parts.snapshot.clone(), &host, &chains, &metrics, &pools, &[]);
    let memory = Credit::new(parts.memory.clone());
    let worker = Rc::new(Worker {
        snapshot: RefCell::new(Rc::new(snapshot)),
        client: Client::new(metrics.clone(), memory.clone(), capacity(&parts.snapshot)),
        memory,
        connections: Connections::default(),
        in_flight: Cell::new(0),
        stopping: Cell::new(false),
        cut: watch::Sender::new(false),
        unrouted: metrics.route("none"),
        metrics,
        access_log: RefCell::new(parts.access_log),
    });
    tokio::task::spawn_local(outbound::serve(worker.clone(), outbound_calls));

    let mut listening = Listening::default();
    let mut sweep = tokio::time::interval(activity::SWEEP);
    let mut draining = false;
    loop {
        tokio::select! {
            command = parts.commands.recv() => match command {
                Some(Command::Swap(shared)) => {
                    worker.access_log.borrow_mut().reconfigure(&shared.config.access_log, &shared.log_target);
                    let before = worker.snapshot();
                    let snapshot =
                        WorkerSnapshot::build(shared, &host, &chains, &worker.metrics, &pools, &before.routes);
                    worker.client.follow(capacity(&snapshot.shared));
                    worker.snapshot.replace(Rc::new(snapshot));
                }
                Some(Command::Listen(share)) => listening.start(&worker, *share),
                Some(Command::Unlisten(key)) => listening.stop(&worker, &key),
                Some(Command::Cut) => {
                    worker.connections.cut();
                    worker.cut.send_replace(true);
                }
                Some(Command::Drain) | None => {
                    draining = true;
                    listening.stop_all();
                    worker.connections.drain(Instant::now());
                }
            },
            _ = sweep.tick() => {
                let now = Instant::now();
                worker.connections.sweep(now);
                worker.memory.sweep();
                host.sweep(now);
                worker.access_log.borrow_mut().flush();
            }
        }
        if draining && listening.is_finished() && worker.connections.count() == 0 && worker.in_flight.get() == 0 {
            break;
        }
    }
    worker.stopping.set(true);
    host.close();
    worker.access_log.borrow_mut().flush();
}

/// What upstreams may have of a worker.
fn capacity(snapshot: &Snapshot) -> Capacity {
    Capacity { requests: snapshot.config.limits.requests_per_worker, workers: snapshot.config.workers }
}

impl WorkerSnapshot {
    fn build(
        shared: Arc<Snapshot>,
        host: &Rc<WorkerHost>,
        (stored, memory): &(Arc<StoredResponses>, Arc<Budget>),
        metrics: &WorkerMetrics,
        pools: &RefCell<Vec<Rc<Pool>>>,
        before: &[Rc<RouteHandle>],
    ) -> Self {
        let config = &shared.config;
        // An entry that did not change is the same Arc as before, so its pool of instances goes on; the others retire.
        let mut known: HashMap<*const Entry, Rc<Pool>> =
            pools.take().into_iter().map(|pool| (Arc::as_ptr(pool.entry()), pool)).collect();
        let mut kept = Vec::new();
        let mut pool_of = |entry: &Arc<Entry>| {
            let pool = known.remove(&Arc::as_ptr(entry)).unwrap_or_else(|| Pool::new(entry.clone(), host.clone()));
            kept.push(pool.clone());
            pool
        };
        let routes = config
            .routes
            .iter()
            .enumerate()
            .map(|(index, route)| {
                let links = shared.plugins.entries[index].iter().map(&mut pool_of).collect();
                Rc::new(RouteHandle {
                    config: before
                        .get(index)
                        .filter(|known| Arc::ptr_eq(&known.source, route))
                        .map_or_else(|| Rc::new(unshared::route(route)), |known| known.config.clone()),
                    source: route.clone(),
                    upstream: shared.upstream_of(index),
                    chain: Chain::new(&route.name, links, stored.clone(), memory.clone(), route.max_body),
                    metrics: metrics.route(&route.name),
                })
            })
            .collect();
        known.into_values().for_each(|pool| pool.retire());
        pools.replace(kept);
        let alt_svc = config.listeners.iter().filter(|listener| listener.http3).filter_map(|listener| {
            let port = shared.ports.get(&listener.name)?;
            Some((listener.name.clone(), HeaderValue::from_str(&format!("h3=\":{port}\"; ma=86400")).ok()?))
        });
        Self {
            routes,
            rules: shared.rules.clone(),
            requests_limit: config.limits.requests_per_worker,
            logs_request_headers: !config.access_log.request_headers.is_empty(),
            alt_svc: alt_svc.collect(),
            shared,
        }
    }
}
