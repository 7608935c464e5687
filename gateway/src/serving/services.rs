//! What all requests of a worker are served with.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::snapshot::WorkerSnapshot;
use super::spans::WorkerSpans;
use crate::access_log::WorkerLog;
use crate::memory::Credit;
use crate::telemetry::metrics::{RouteMetrics, WorkerMetrics};
use crate::upstream::Client;

/// What all requests of a worker are served with. Nothing here is shared with another worker on the path of a request.
pub struct Services {
    /// What serves the next request.
    snapshot: RefCell<Rc<WorkerSnapshot>>,
    /// Connections to upstreams.
    pub client: Rc<Client>,
    /// What this worker holds of bodies.
    pub memory: Rc<Credit>,
    /// Exchanges that have begun and not ended.
    pub in_flight: Cell<usize>,
    /// The runtime is about to end: no new tasks.
    pub stopping: Cell<bool>,
    /// Counters of this worker.
    pub metrics: WorkerMetrics,
    /// Counters of requests that matched no route.
    pub unrouted: RouteMetrics,
    /// This worker's part of the access log.
    pub access_log: RefCell<WorkerLog>,
    /// Its part of the spans that are exported.
    pub spans: RefCell<WorkerSpans>,
}

impl Services {
    /// The services of a worker that begins with this snapshot.
    pub fn new(
        snapshot: WorkerSnapshot,
        client: Rc<Client>,
        memory: Rc<Credit>,
        metrics: WorkerMetrics,
        access_log: WorkerLog,
        spans: WorkerSpans,
    ) -> Rc<Self> {
        Rc::new(Self {
            snapshot: RefCell::new(Rc::new(snapshot)),
            client,
            memory,
            in_flight: Cell::new(0),
            stopping: Cell::new(false),
            unrouted: metrics.route("none"),
            metrics,
            access_log: RefCell::new(access_log),
            spans: RefCell::new(spans),
        })
    }

    /// What serves a request that begins now.
    pub fn snapshot(&self) -> Rc<WorkerSnapshot> {
        self.snapshot.borrow().clone()
    }

    /// Serves later requests from another snapshot.
    pub fn replace_snapshot(&self, snapshot: WorkerSnapshot) {
        self.snapshot.replace(Rc::new(snapshot));
    }
}
