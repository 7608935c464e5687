//! A worker's side of the upstreams: idle connections, load and the balancer's memory, by upstream and endpoint.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::Weak as ArcWeak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::sync::Notify;

use super::balance::{Balancer, Candidates};
use super::executor::LocalExecutor;
use super::http1::Http1;
use super::http2::{Http2, Place};
use super::places::{Capacity, InFlight};
use super::request::Addressee;
use super::{Endpoint, Upstream};
use crate::error::{Error, ErrorKind, Side};
use crate::memory::Credit;
use crate::model::PassiveHealth;
use crate::telemetry::metrics::{UpstreamMetrics, WorkerMetrics};
use crate::timer::Timers;

/// How often a worker looks for connections that have been idle for too long.
const SWEEP: Duration = Duration::from_secs(10);

/// Sweeps that an unused connection survives: 60 s, which is what NGINX and most services allow at least.
const IDLE_SWEEPS: u32 = 6;

/// A worker's connections to all upstreams.
pub struct Client {
    locals: RefCell<HashMap<u64, Rc<Local>, BuildHasherDefault<IdHasher>>>,
    random: RefCell<fastrand::Rng>,
    /// Counts sweeps; the clock of idle connections.
    pub(super) sweeps: Cell<u32>,
    metrics: WorkerMetrics,
    /// Where what upstreams may send unread is counted.
    pub(super) memory: Rc<Credit>,
    capacity: Cell<Capacity>,
    /// Requests in flight to all upstreams.
    in_flight: Cell<usize>,
    pub(crate) timers: Timers,
    /// Emptied lists for copies of heads.
    pub(super) copies: RefCell<Vec<Vec<(HeaderName, HeaderValue)>>>,
    pub(super) http1: hyper::client::conn::http1::Builder,
    pub(super) http2: hyper::client::conn::http2::Builder<LocalExecutor>,
}

/// What a worker knows of one upstream.
struct Local {
    upstream: ArcWeak<Upstream>,
    metrics: UpstreamMetrics,
    in_flight: InFlight,
    view: RefCell<View>,
}

/// The endpoints as of one generation of the upstream's list.
struct View {
    generation: Option<u64>,
    slots: Vec<Rc<Slot>>,
    balancer: Balancer,
}

/// What a worker has with one endpoint.
pub(super) struct Slot {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) addressee: Addressee,
    /// Of the whole upstream.
    pub(super) metrics: UpstreamMetrics,
    keepalive: usize,
    in_flight: Cell<u32>,
    /// Last in, first out: the warmest connection serves, the coldest ages.
    #[expect(clippy::vec_box, reason = "a connection is large and moves between pool, request and body")]
    idle: RefCell<Vec<Box<Http1>>>,
    http2: RefCell<Vec<Rc<Http2>>>,
    /// HTTP/2 connections made so far.
    made: Cell<u64>,
    /// HTTP/2 was spoken here last, so that requests wait for a connection under way instead of making one each.
    pub(super) shares: Cell<bool>,
    pub(super) connecting: RefCell<Option<Rc<Connecting>>>,
}

/// A connection that several requests wait for.
#[derive(Default)]
pub(super) struct Connecting {
    pub(super) done: Notify,
    /// Set when it failed.
    pub(super) error: RefCell<Option<Error>>,
}

/// A request's hold on an endpoint while it is in flight.
pub(super) struct Lease {
    pub(super) slot: Rc<Slot>,
    client: Weak<Client>,
    /// The request's, once it was answered: its place is free when the response has ended.
    pub(super) admission: Option<Admission>,
}

/// A request's place among those that are in flight to its upstream.
pub(super) struct Admission {
    local: Rc<Local>,
    client: Rc<Client>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.client.in_flight.set(self.client.in_flight.get() - 1);
        self.local.in_flight.leave(self.client.capacity.get());
    }
}

/// A pooled connection.
pub(super) enum Pooled {
    Http1(Box<Http1>),
    Http2(Place),
}

impl Client {
    /// A worker's client, which counts in `metrics` and `memory`. Must be called on the worker's runtime: it starts the task
    /// that ends idle connections.
    pub(crate) fn new(metrics: WorkerMetrics, memory: Rc<Credit>, capacity: Capacity) -> Rc<Self> {
        let client = Rc::new(Self {
            locals: RefCell::default(),
            random: RefCell::new(fastrand::Rng::new()),
            sweeps: Cell::new(0),
            metrics,
            memory,
            capacity: Cell::new(capacity),
            in_flight: Cell::new(0),
            timers: Timers::default(),
            copies: RefCell::default(),
            http1: super::http1::builder(),
            http2: super::http2::builder(),
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
        let now = self.sweeps.get().wrapping_add(1);
        self.sweeps.set(now);
        let fresh = |since: u32| now.wrapping_sub(since) <= IDLE_SWEEPS;
        self.locals.borrow_mut().retain(|_, local| local.upstream.strong_count() > 0);
        for local in self.locals.borrow().values() {
            for slot in &local.view.borrow().slots {
                slot.idle.borrow_mut().retain_mut(|connection| fresh(connection.idle_since) && connection.is_usable());
                slot.http2.borrow_mut().retain(|connection| {
                    if !connection.is_idle() {
                        connection.used.set(now);
                    }
                    !connection.is_closed() && fresh(connection.used.get())
                });
            }
        }
    }

    /// Idle HTTP/1.1 connections and open HTTP/2 connections of this worker, over all upstreams.
    #[cfg(test)]
    pub(super) fn pooled(&self) -> (usize, usize) {
        let locals = self.locals.borrow();
        locals.values().fold((0, 0), |(one, two), local| {
            local
                .view
                .borrow()
                .slots
                .iter()
                .fold((one, two), |(one, two), slot| (one + slot.idle.borrow().len(), two + slot.http2.borrow().len()))
        })
    }

    /// Another configuration is in force.
    pub(crate) fn follow(&self, capacity: Capacity) {
        self.capacity.set(capacity);
    }

    /// A place among the requests that are in flight to an upstream.
    pub(super) fn admit(self: &Rc<Self>, upstream: &Arc<Upstream>) -> Result<Admission, Error> {
        let local = self.local(upstream);
        let all = self.in_flight.get();
        if local.in_flight.enter(self.capacity.get(), all) {
            self.in_flight.set(all + 1);
            return Ok(Admission { local, client: self.clone() });
        }
        local.metrics.refused.add(1);
        local.metrics.failed(ErrorKind::UpstreamLimit.failure());
        Err(Error::new(
            ErrorKind::UpstreamLimit,
            "upstreams.NAME.limits.requests are in flight to the upstream already",
        ))
    }

    fn local(&self, upstream: &Arc<Upstream>) -> Rc<Local> {
        let mut locals = self.locals.borrow_mut();
        let local = locals.entry(upstream.id).or_insert_with(|| {
            let view = View { generation: None, slots: Vec::new(), balancer: Balancer::LeastRequest };
            let metrics = self.metrics.upstream(&upstream.config.name);
            let in_flight = InFlight::new(upstream.places.clone());
            Rc::new(Local { upstream: Arc::downgrade(upstream), metrics, in_flight, view: RefCell::new(view) })
        });
        local.clone()
    }

    /// Chooses an endpoint that is not among the tried ones. Also tells how many endpoints there are.
    pub(super) fn choose(
        self: &Rc<Self>,
        upstream: &Arc<Upstream>,
        Admission { local, .. }: &Admission,
        tried: &[u64],
    ) -> Result<(Lease, usize), Error> {
        let view = &mut *local.view.borrow_mut();
        let random = &mut *self.random.borrow_mut();
        let generation = upstream.generation.load(Ordering::Acquire);
        if view.generation != Some(generation) {
            view.reload(upstream, &local.metrics, generation, random);
        }
        let View { slots, balancer, .. } = view;
        if slots.is_empty() {
            let error = if upstream.unresolved.load(Ordering::Relaxed) {
                Error::new(ErrorKind::Dns, "no endpoint's name has resolved yet")
            } else {
                Error::new(ErrorKind::NoEndpoint, "the upstream has no endpoint")
            };
            local.metrics.failed(error.kind().failure());
            return Err(error);
        }
        let policy = &upstream.config.passive_health;
        let mut choices = Choices { slots, tried, policy, regardless: false };
        let place = match balancer.choose(&choices, random) {
            Some(place) => place,
            None => {
                if tried.is_empty() {
                    // All are out: like NGINX, put them back and try.
                    slots.iter().for_each(|slot| slot.endpoint.revive());
                } else {
                    // What is left is out, which this request's own failure does not change for others.
                    choices.regardless = true;
                }
                balancer
                    .choose(&choices, random)
                    .ok_or_else(|| Error::new(ErrorKind::NoEndpoint, "every endpoint has been tried"))?
            }
        };
        let slot = slots[place].clone();
        slot.endpoint.chosen(policy);
        Ok((Lease::new(slot, Rc::downgrade(self)), slots.len()))
    }
}

impl View {
    fn reload(&mut self, upstream: &Upstream, metrics: &UpstreamMetrics, generation: u64, random: &mut fastrand::Rng) {
        let endpoints = upstream.endpoints.load();
        let mut old = std::mem::take(&mut self.slots);
        self.slots = endpoints
            .iter()
            .map(|endpoint| match old.iter().position(|slot| slot.endpoint.id == endpoint.id) {
                Some(place) => old.swap_remove(place),
                None => Rc::new(Slot::new(upstream, endpoint.clone(), metrics.clone())),
            })
            .collect();
        let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.weight()).collect();
        self.balancer = Balancer::new(upstream.config.load_balancing, &weights, random);
        self.generation = Some(generation);
    }
}

impl Slot {
    fn new(upstream: &Upstream, endpoint: Arc<Endpoint>, metrics: UpstreamMetrics) -> Self {
        Self {
            addressee: Addressee::new(upstream, &endpoint),
            endpoint,
            metrics,
            keepalive: upstream.config.keepalive,
            in_flight: Cell::new(0),
            idle: RefCell::default(),
            http2: RefCell::default(),
            made: Cell::new(0),
            shares: Cell::new(false),
            connecting: RefCell::default(),
        }
    }

    /// A connection that can carry a request now, during this sweep.
    pub(super) fn checkout(&self, sweep: u32) -> Option<Pooled> {
        if let Some(place) = self.place(0, sweep) {
            return Some(Pooled::Http2(place));
        }
        loop {
            let mut connection = self.idle.borrow_mut().pop()?;
            if connection.is_usable() {
                return Some(Pooled::Http1(connection));
            }
        }
    }

    /// A place on an HTTP/2 connection that was made after the first `after`.
    pub(super) fn place(&self, after: u64, sweep: u32) -> Option<Place> {
        let shared = self.http2.borrow();
        shared.iter().filter(|connection| connection.number.get() > after).find_map(|one| one.reserve(sweep))
    }

    /// How many HTTP/2 connections have been made so far.
    pub(super) fn made(&self) -> u64 {
        self.made.get()
    }

    /// An attempt has failed, and the endpoint is to blame.
    pub(super) fn failed(&self, error: &Error) {
        self.endpoint.failed(error);
        self.metrics.failed(error.kind().failure());
    }

    /// Shares a new HTTP/2 connection.
    pub(super) fn share(&self, connection: Rc<Http2>) {
        self.made.set(self.made.get() + 1);
        connection.number.set(self.made.get());
        let mut shared = self.http2.borrow_mut();
        shared.retain(|connection| !connection.is_closed());
        shared.push(connection);
    }
}

impl Lease {
    fn new(slot: Rc<Slot>, client: Weak<Client>) -> Self {
        slot.in_flight.set(slot.in_flight.get() + 1);
        slot.metrics.in_flight.add(1);
        Self { slot, client, admission: None }
    }

    /// Puts a connection that has done its request back.
    pub(super) fn keep(&self, mut connection: Box<Http1>) {
        let Some(client) = self.client.upgrade() else { return };
        let mut idle = self.slot.idle.borrow_mut();
        if idle.len() < self.slot.keepalive {
            connection.idle_since = client.sweeps.get();
            idle.push(connection);
        }
    }

    /// The response ended early. It had a head, so it says nothing of the endpoint's health.
    pub(super) fn cut(&self, error: &Error) {
        if error.kind().side() == Side::Upstream {
            self.slot.metrics.failed(error.kind().failure());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.slot.in_flight.set(self.slot.in_flight.get() - 1);
        self.slot.metrics.in_flight.add(-1);
    }
}

/// The endpoints as the balancer sees them.
struct Choices<'a> {
    slots: &'a [Rc<Slot>],
    tried: &'a [u64],
    policy: &'a PassiveHealth,
    /// Whether those that are out may be chosen, too.
    regardless: bool,
}

impl Candidates for Choices<'_> {
    fn count(&self) -> usize {
        self.slots.len()
    }

    fn weight(&self, place: usize) -> u32 {
        self.slots[place].endpoint.weight()
    }

    fn in_flight(&self, place: usize) -> u32 {
        self.slots[place].in_flight.get()
    }

    fn usable(&self, place: usize) -> bool {
        let endpoint = &self.slots[place].endpoint;
        // NGINX ignores max_fails where there is nothing to choose from.
        let healthy = || self.regardless || self.slots.len() == 1 || endpoint.healthy(self.policy);
        !self.tried.contains(&endpoint.id) && healthy()
    }
}

/// Ids are unique and small; hashing them would be work for nothing.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        // The table takes its control bits from the top.
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
