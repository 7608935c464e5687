//! A worker's half of all upstreams, and what its requests share: builders, timers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::admission::{Capacity, Load};
use super::balance::Choice;
use super::connection::http2;
use super::local::LocalUpstream;
use super::pool::Lease;
use super::service::Upstream;
use crate::error::Error;
use crate::memory::Credit;
use crate::telemetry::metrics::WorkerMetrics;
use crate::timer::Timers;

/// How often a worker looks for connections that have been idle for too long.
const SWEEP: Duration = Duration::from_secs(10);

/// A worker's connections to all upstreams.
pub struct Client {
    upstreams: RefCell<FxHashMap<u64, Rc<LocalUpstream>>>,
    random: RefCell<fastrand::Rng>,
    /// Counts sweeps; the clock of idle connections.
    sweeps: Rc<Cell<u32>>,
    metrics: WorkerMetrics,
    /// Where what upstreams may send unread is counted.
    pub(super) memory: Rc<Credit>,
    load: Rc<Load>,
    pub(crate) timers: Timers,
    pub(super) http2: h2::client::Builder,
}

impl Client {
    /// A worker's client, which counts in `metrics` and `memory`. Must be called on the worker's runtime: it starts the task
    /// that ends idle connections.
    pub(crate) fn new(metrics: WorkerMetrics, memory: Rc<Credit>, capacity: Capacity) -> Rc<Self> {
        let client = Rc::new(Self {
            upstreams: RefCell::default(),
            random: RefCell::new(fastrand::Rng::new()),
            sweeps: Rc::default(),
            metrics,
            memory,
            load: Rc::new(Load::new(capacity)),
            timers: Timers::default(),
            http2: http2::builder(),
        });
        let weak = Rc::downgrade(&client);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(client) = weak.upgrade() else { return };
                client.sweep();
            }
        });
        client
    }

    /// Ends connections that have been idle for too long or were closed by the other end, and forgets upstreams that
    /// no config names any more.
    pub(super) fn sweep(&self) {
        self.sweeps.set(self.sweeps.get().wrapping_add(1));
        self.upstreams.borrow_mut().retain(|_, local| local.is_named());
        self.upstreams.borrow().values().for_each(|local| local.sweep());
    }

    /// Idle HTTP/1.1 connections and open HTTP/2 connections of this worker, over all upstreams.
    #[cfg(test)]
    pub(super) fn pooled(&self) -> (usize, usize) {
        let upstreams = self.upstreams.borrow();
        let pooled = upstreams.values().map(|local| local.pooled());
        pooled.fold((0, 0), |(one, two), (idle, open)| (one + idle, two + open))
    }

    /// Another configuration is in force.
    pub(crate) fn follow(&self, capacity: Capacity) {
        self.load.capacity.set(capacity);
    }

    /// What this worker knows of an upstream.
    pub(super) fn local(&self, upstream: &Arc<Upstream>) -> Rc<LocalUpstream> {
        let mut upstreams = self.upstreams.borrow_mut();
        let local = upstreams.entry(upstream.id).or_insert_with(|| {
            let metrics = self.metrics.upstream(&upstream.config.name);
            Rc::new(LocalUpstream::new(upstream, metrics, self.load.clone(), self.sweeps.clone()))
        });
        local.clone()
    }

    /// Chooses an endpoint that is not among the excluded ones, for a request with this key.
    pub(super) fn choose(
        &self,
        local: &LocalUpstream,
        upstream: &Upstream,
        excluded: &[u64],
        key: Option<u64>,
    ) -> Result<Lease, Error> {
        let random = &mut *self.random.borrow_mut();
        local.choose(upstream, excluded, &mut Choice { key, zone: None, random })
    }
}
