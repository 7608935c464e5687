//! One worker: a thread with a runtime of its own, its share of every listener's connections, its own upstream
//! connections and plugin instances. Nothing here is shared with another worker on the path of a request.

mod outbound;
mod unshared;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::HeaderValue;
use tokio::sync::{mpsc, watch};

use crate::access_log::WorkerLog;
use crate::config::model::{Listener, Route};
use crate::exchange::{ConnectionInfo, Protocol};
use crate::listener::tcp::{self, ConnectionGuard, ConnectionLimit};
use crate::message::headers::HeaderRules;
use crate::pipeline;
use crate::plugin::chain::Chain;
use crate::plugin::stored::StoredResponses;
use crate::plugin::{Entry, Pool, WorkerHost};
use crate::protocol::activity::{self, Connections};
use crate::protocol::{http, http3};
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::{Metrics, RouteMetrics, WorkerMetrics};
use crate::upstream::{Client, Upstream};

/// State of a worker thread.
pub struct Worker {
    /// What serves the next request.
    snapshot: RefCell<Rc<WorkerSnapshot>>,
    /// Connections to upstreams.
    pub client: Rc<Client>,
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
    /// How long a client may stall while sending a body.
    pub body_timeout: Duration,
    /// Request header fields are kept for the access log.
    pub logs_request_headers: bool,
    alt_svc: Vec<(Arc<str>, HeaderValue)>,
}

/// A route as a worker serves it.
pub struct RouteHandle {
    /// Its configuration.
    pub config: Route,
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
    Listen(Box<WorkerListener>),
    /// Stop accepting on the listener of this name; its connections finish.
    Unlisten(Arc<str>),
    /// Stop accepting, let connections finish, then end the thread.
    Drain,
    /// Close every connection, whatever still runs on it.
    Cut,
    /// Hand buffered log lines to the writer.
    Flush,
}

/// A worker's share of a listener.
pub struct WorkerListener {
    /// Its configuration.
    pub config: Arc<Listener>,
    /// The bound address.
    pub local: SocketAddr,
    /// The TCP socket, with the TLS settings where it is encrypted.
    pub tcp: Option<(std::net::TcpListener, Option<Arc<rustls::ServerConfig>>)>,
    /// The UDP socket with its settings, for HTTP/3.
    pub udp: Option<(std::net::UdpSocket, quinn::ServerConfig)>,
    /// Counts the listener's connections over all workers.
    pub limit: ConnectionLimit,
}

/// What a worker thread starts with.
pub struct WorkerParts {
    /// What it serves from.
    pub snapshot: Arc<Snapshot>,
    /// The stored responses of the process.
    pub stored: Arc<StoredResponses>,
    /// Where its counters are summed.
    pub metrics: Arc<Metrics>,
    /// Where its log lines go.
    pub access_log: WorkerLog,
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
    let host = WorkerHost::new(calls, metrics.clone());
    let pools = RefCell::new(Vec::new());
    let snapshot = WorkerSnapshot::build(parts.snapshot.clone(), &host, &parts.stored, &metrics, &pools);
    let worker = Rc::new(Worker {
        snapshot: RefCell::new(Rc::new(snapshot)),
        client: Client::new(),
        connections: Connections::default(),
        in_flight: Cell::new(0),
        stopping: Cell::new(false),
        cut: watch::Sender::new(false),
        unrouted: metrics.route("none"),
        metrics,
        access_log: RefCell::new(parts.access_log),
    });
    tokio::task::spawn_local(outbound::serve(worker.clone(), outbound_calls));

    let mut listening: Vec<(Arc<str>, watch::Sender<bool>, tokio::task::JoinHandle<()>)> = Vec::new();
    let mut sweep = tokio::time::interval(activity::SWEEP);
    let mut draining = false;
    loop {
        tokio::select! {
            command = parts.commands.recv() => match command {
                Some(Command::Swap(shared)) => {
                    let snapshot = WorkerSnapshot::build(shared, &host, &parts.stored, &worker.metrics, &pools);
                    worker.snapshot.replace(Rc::new(snapshot));
                }
                Some(Command::Listen(listener)) => {
                    let (stop, stopped) = watch::channel(false);
                    let name = listener.config.name.clone();
                    listening.push((name, stop, tokio::task::spawn_local(listen(worker.clone(), *listener, stopped))));
                }
                Some(Command::Unlisten(name)) => listening.retain(|(listener, stop, _)| {
                    let other = *listener != name;
                    if !other {
                        let _ = stop.send(true);
                    }
                    other
                }),
                Some(Command::Flush) => worker.access_log.borrow_mut().flush(),
                Some(Command::Cut) => {
                    worker.connections.cut();
                    worker.cut.send_replace(true);
                }
                Some(Command::Drain) | None => {
                    draining = true;
                    for (_, stop, _) in &listening {
                        let _ = stop.send(true);
                    }
                    worker.connections.drain(Instant::now());
                }
            },
            _ = sweep.tick() => {
                worker.connections.sweep(Instant::now());
                worker.access_log.borrow_mut().flush();
            }
        }
        if draining
            && listening.iter().all(|(_, _, task)| task.is_finished())
            && worker.connections.count() == 0
            && worker.in_flight.get() == 0
        {
            break;
        }
    }
    worker.stopping.set(true);
    worker.access_log.borrow_mut().flush();
}

/// Accepts a listener's connections until told to stop; returns when its HTTP/3 connections have finished too.
async fn listen(worker: Rc<Worker>, share: WorkerListener, stop: watch::Receiver<bool>) {
    let WorkerListener { config, local, tcp, udp, limit } = share;
    let metrics = worker.metrics.listener(&config.name);
    let udp = udp.map(|sockets| {
        let requests = worker.clone();
        let on_request = move |connection, request| pipeline::handle(requests.clone(), connection, request, None);
        let (config, limit, metrics) = (config.clone(), limit.clone(), metrics.clone());
        let ending = http3::Ending { stop: stop.clone(), cut: worker.cut.subscribe() };
        tokio::task::spawn_local(http3::serve(sockets, config, local, limit, metrics, on_request, ending))
    });
    if let Some((socket, tls)) = tcp {
        let config = config.clone();
        let on_connection = move |stream: tokio::net::TcpStream, peer: SocketAddr, guard: ConnectionGuard| {
            metrics.accepted.add(1);
            metrics.connections.add(1);
            let (metrics, worker, config, tls) = (metrics.clone(), worker.clone(), config.clone(), tls.clone());
            tokio::task::spawn_local(async move {
                let info = ConnectionInfo {
                    listener: config.name.clone(),
                    peer,
                    local,
                    tls: tls.is_some(),
                    sni: None,
                    protocol: Protocol::Http1,
                    max_fields: config.limits.header_count,
                };
                http::serve(worker, config, tls, stream, info, &metrics).await;
                metrics.connections.add(-1);
                drop(guard);
            });
        };
        match tokio::net::TcpListener::from_std(socket) {
            Ok(socket) => tcp::accept_loop(socket, limit, stop, on_connection).await,
            Err(error) => tracing::error!(address = %local, %error, "the listener's socket is unusable"),
        }
    }
    if let Some(udp) = udp {
        let _ = udp.await;
    }
}

impl WorkerSnapshot {
    fn build(
        shared: Arc<Snapshot>,
        host: &Rc<WorkerHost>,
        stored: &Arc<StoredResponses>,
        metrics: &WorkerMetrics,
        pools: &RefCell<Vec<Rc<Pool>>>,
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
                    config: unshared::route(route),
                    upstream: shared.upstream_of(index),
                    chain: Chain::new(&route.name, links, stored.clone(), route.max_body),
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
            body_timeout: config
                .listeners
                .iter()
                .map(|listener| listener.limits.body_timeout)
                .max()
                .unwrap_or_default(),
            logs_request_headers: !config.access_log.request_headers.is_empty(),
            alt_svc: alt_svc.collect(),
            shared,
        }
    }
}
