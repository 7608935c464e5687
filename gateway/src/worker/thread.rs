//! The thread of a worker and its loop.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::listen::{Listening, Share};
use super::outbound;
use crate::access_log::WorkerLog;
use crate::handler::{Handler, Inbound};
use crate::memory::{Budget, Credit};
use crate::model::SocketKey;
use crate::pipeline;
use crate::plugin::WorkerHost;
use crate::plugin::stored::StoredResponses;
use crate::protocol::Server;
use crate::protocol::connections::{self, Connections};
use crate::serving::{Services, SnapshotBuilder, WorkerSpans};
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Capacity, Client};

/// What the control thread tells a worker.
pub enum WorkerCommand {
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
    pub commands: mpsc::UnboundedReceiver<WorkerCommand>,
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
    let mut snapshots = SnapshotBuilder::new(host.clone(), parts.stored, parts.memory.clone(), metrics.clone());
    let memory = Credit::new(parts.memory);
    let client = Client::new(metrics.clone(), memory.clone(), capacity(&parts.snapshot));
    let spans = WorkerSpans::new(&parts.snapshot);
    let snapshot = snapshots.build(parts.snapshot, &[]);
    let unfinished = snapshots.unfinished().clone();
    metrics.runs_here();
    let services = Services::new(snapshot, client, memory.clone(), metrics, parts.access_log, spans);
    let connections = Rc::<Connections>::default();
    let handler = handler(services.clone());
    let server = Rc::new(Server::new(connections.clone(), memory.clone(), handler));
    tokio::task::spawn_local(outbound::serve(services.clone(), outbound_calls));

    let mut listening = Listening::default();
    let mut sweep = tokio::time::interval(connections::SWEEP);
    let mut draining = false;
    loop {
        tokio::select! {
            command = parts.commands.recv() => match command {
                Some(WorkerCommand::Swap(shared)) => swap(&services, &mut snapshots, shared),
                Some(WorkerCommand::Listen(share)) => listening.start(&server, &services.metrics, *share),
                Some(WorkerCommand::Unlisten(key)) => listening.stop(&connections, &key),
                Some(WorkerCommand::Cut) => connections.cut(),
                Some(WorkerCommand::Drain) | None => {
                    draining = true;
                    listening.stop_all();
                    connections.drain(Instant::now());
                }
            },
            _ = sweep.tick() => {
                let now = Instant::now();
                connections.sweep(now);
                memory.sweep();
                host.sweep(now);
                services.access_log.borrow_mut().flush();
                services.spans.borrow_mut().flush();
            }
        }
        let idle = connections.count() == 0 && services.in_flight.get() == 0 && unfinished.count() == 0;
        if draining && listening.is_finished() && idle {
            break;
        }
    }
    services.stopping.set(true);
    unfinished.stop();
    connections.stop();
    host.close();
    services.access_log.borrow_mut().flush();
    services.spans.borrow_mut().flush();
}

/// What every connection of this worker gives its requests to.
fn handler(services: Rc<Services>) -> impl Handler {
    move |request: Inbound| pipeline::handle(services.clone(), request)
}

/// Serves later requests from another snapshot.
fn swap(services: &Services, snapshots: &mut SnapshotBuilder, shared: Arc<Snapshot>) {
    services.access_log.borrow_mut().reconfigure(&shared.config.access_log, &shared.log_targets);
    services.spans.borrow_mut().follow(&shared);
    let snapshot = snapshots.build(shared, &services.snapshot().routes);
    services.client.follow(capacity(&snapshot.shared));
    services.replace_snapshot(snapshot);
}

/// What upstreams may have of a worker.
fn capacity(snapshot: &Snapshot) -> Capacity {
    Capacity { requests: snapshot.config.limits.requests_per_worker, workers: snapshot.config.workers }
}
