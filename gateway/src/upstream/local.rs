//! What a worker knows of one upstream: a pool per endpoint, the balancer's memory, and how many requests are in flight.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Weak as ArcWeak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::admission::{Admission, InFlight, Load};
use super::balance::{Balancer, Candidates, Choice};
use super::pool::{EndpointPool, Lease};
use super::service::Upstream;
use crate::error::{Error, ErrorKind};
use crate::model::PassiveHealth;
use crate::telemetry::metrics::UpstreamMetrics;

/// What a worker knows of one upstream.
pub(super) struct LocalUpstream {
    upstream: ArcWeak<Upstream>,
    metrics: UpstreamMetrics,
    in_flight: Rc<InFlight>,
    load: Rc<Load>,
    sweeps: Rc<Cell<u32>>,
    view: RefCell<View>,
}

/// The endpoints as of one generation of the upstream's list.
struct View {
    generation: Option<u64>,
    pools: Vec<Rc<EndpointPool>>,
    balancer: Balancer,
}

impl LocalUpstream {
    pub(super) fn new(
        upstream: &Arc<Upstream>,
        metrics: UpstreamMetrics,
        load: Rc<Load>,
        sweeps: Rc<Cell<u32>>,
    ) -> Self {
        Self {
            upstream: Arc::downgrade(upstream),
            metrics,
            in_flight: Rc::new(InFlight::new(upstream.permits.clone())),
            load,
            sweeps,
            view: RefCell::new(View { generation: None, pools: Vec::new(), balancer: Balancer::LeastRequest }),
        }
    }

    /// Whether some config still names it.
    pub(super) fn is_named(&self) -> bool {
        self.upstream.strong_count() > 0
    }

    /// How many endpoints there are.
    pub(super) fn endpoints(&self) -> usize {
        self.view.borrow().pools.len()
    }

    /// Lets one more request in, or says that too many are in flight.
    pub(super) fn admit(&self) -> Result<Admission, Error> {
        Admission::request(&self.in_flight, &self.load).ok_or_else(|| {
            self.metrics.refused.add(1);
            self.metrics.failed(ErrorKind::UpstreamLimit.failure());
            Error::new(ErrorKind::UpstreamLimit, "upstreams.NAME.limits.requests are in flight to the upstream already")
        })
    }

    /// Chooses an endpoint that is not among the excluded ones.
    pub(super) fn choose(
        &self,
        upstream: &Upstream,
        excluded: &[u64],
        choice: &mut Choice<'_>,
    ) -> Result<Lease, Error> {
        let view = &mut *self.view.borrow_mut();
        let generation = upstream.generation.load(Ordering::Acquire);
        if view.generation != Some(generation) {
            self.reload(view, upstream, generation, choice.random);
        }
        let View { pools, balancer, .. } = view;
        if pools.is_empty() {
            let error = if upstream.unresolved.load(Ordering::Relaxed) {
                Error::new(ErrorKind::Dns, "no endpoint's name has resolved yet")
            } else {
                Error::new(ErrorKind::NoEndpoint, "the upstream has no endpoint")
            };
            self.metrics.failed(error.kind().failure());
            return Err(error);
        }
        let policy = &upstream.config.passive_health;
        let mut endpoints = Endpoints { pools, excluded, policy, regardless: false };
        let index = match balancer.choose(&endpoints, choice) {
            Some(index) => index,
            None => {
                if excluded.is_empty() {
                    // All are out: like NGINX, put them back and try.
                    pools.iter().for_each(|pool| pool.endpoint.revive());
                } else {
                    // What is left is out, which this request's own failure does not change for others.
                    endpoints.regardless = true;
                }
                balancer
                    .choose(&endpoints, choice)
                    .ok_or_else(|| Error::new(ErrorKind::NoEndpoint, "every endpoint has been tried"))?
            }
        };
        let pool = pools[index].clone();
        pool.endpoint.chosen(policy);
        Ok(Lease::new(pool))
    }

    /// Takes the endpoints as they are now. Those that were there keep their pools.
    fn reload(&self, view: &mut View, upstream: &Upstream, generation: u64, random: &mut fastrand::Rng) {
        let mut old = std::mem::take(&mut view.pools);
        let endpoints = upstream.endpoints.load();
        let pools =
            endpoints.iter().map(|endpoint| match old.iter().position(|pool| pool.endpoint.id == endpoint.id) {
                Some(index) => old.swap_remove(index),
                None => {
                    let (metrics, sweeps) = (self.metrics.clone(), self.sweeps.clone());
                    Rc::new(EndpointPool::new(upstream, endpoint.clone(), metrics, sweeps))
                }
            });
        view.pools = pools.collect();
        let policy = &upstream.config.passive_health;
        let all = Endpoints { pools: &view.pools, excluded: &[], policy, regardless: true };
        view.balancer = Balancer::new(upstream.config.load_balancing, &all, random);
        view.generation = Some(generation);
    }

    /// Ends connections that have been idle for too long or were closed by the other end.
    pub(super) fn sweep(&self) {
        self.view.borrow().pools.iter().for_each(|pool| pool.sweep());
    }

    /// Idle HTTP/1.1 connections and open HTTP/2 connections.
    #[cfg(test)]
    pub(super) fn pooled(&self) -> (usize, usize) {
        let view = self.view.borrow();
        let pooled = view.pools.iter().map(|pool| pool.pooled());
        pooled.fold((0, 0), |(one, two), (idle, open)| (one + idle, two + open))
    }
}

/// The endpoints as the balancer sees them.
struct Endpoints<'a> {
    pools: &'a [Rc<EndpointPool>],
    excluded: &'a [u64],
    policy: &'a PassiveHealth,
    /// Whether those that are out may be chosen, too.
    regardless: bool,
}

impl Candidates for Endpoints<'_> {
    fn count(&self) -> usize {
        self.pools.len()
    }

    fn address(&self, index: usize) -> SocketAddr {
        self.pools[index].endpoint.address()
    }

    fn weight(&self, index: usize) -> u32 {
        self.pools[index].endpoint.weight()
    }

    fn zone(&self, _place: usize) -> Option<&str> {
        // The configuration of an endpoint has no word for it.
        None
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.pools[index].in_flight()
    }

    fn latency(&self, index: usize) -> Option<Duration> {
        self.pools[index].latency()
    }

    fn usable(&self, index: usize) -> bool {
        let endpoint = &self.pools[index].endpoint;
        // NGINX ignores max_fails where there is nothing to choose from.
        let healthy = || self.regardless || self.pools.len() == 1 || endpoint.healthy(self.policy);
        !self.excluded.contains(&endpoint.id) && healthy()
    }
}
