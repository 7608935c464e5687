//! What a worker has with one endpoint: its connections, and what is in flight there.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::admission::Admission;
use super::connection::{Connection, Http1, Http2, StreamPermit};
use super::endpoint::Endpoint;
use super::request::Addressee;
use super::service::Upstream;
use crate::error::{Error, Side};
use crate::telemetry::metrics::UpstreamMetrics;

/// Sweeps that an unused connection survives: 60 s, which is what NGINX and most services allow at least.
const IDLE_SWEEPS: u32 = 6;

/// A worker's connections to one endpoint.
pub(super) struct EndpointPool {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) addressee: Addressee,
    /// Of the whole upstream.
    pub(super) metrics: UpstreamMetrics,
    /// The worker's count of sweeps, which is the clock of idle connections.
    sweeps: Rc<Cell<u32>>,
    keepalive: usize,
    in_flight: Cell<u32>,
    latency: Cell<Option<Duration>>,
    /// Last in, first out: the warmest connection serves, the coldest ages.
    #[expect(clippy::vec_box, reason = "a connection is large and moves between pool, request and body")]
    idle: RefCell<Vec<Box<Http1>>>,
    http2: RefCell<Vec<Rc<Http2>>>,
    /// HTTP/2 connections made so far.
    made: Cell<u64>,
    /// HTTP/2 was spoken here last, so that requests wait for a connection under way instead of making one each.
    pub(super) multiplexes: Cell<bool>,
    /// The connection that requests wait for.
    pub(super) connecting: RefCell<Option<Rc<Connecting>>>,
}

/// A connection that is being made, and that several requests wait for.
#[derive(Default)]
pub(super) struct Connecting {
    pub(super) done: Notify,
    /// Set when it failed.
    pub(super) error: RefCell<Option<Error>>,
}

impl EndpointPool {
    pub(super) fn new(
        upstream: &Upstream,
        endpoint: Arc<Endpoint>,
        metrics: UpstreamMetrics,
        sweeps: Rc<Cell<u32>>,
    ) -> Self {
        Self {
            addressee: Addressee::new(upstream, &endpoint),
            endpoint,
            metrics,
            sweeps,
            keepalive: upstream.config.keepalive,
            in_flight: Cell::new(0),
            latency: Cell::new(None),
            idle: RefCell::default(),
            http2: RefCell::default(),
            made: Cell::new(0),
            multiplexes: Cell::new(false),
            connecting: RefCell::default(),
        }
    }

    /// Requests of this worker that are under way.
    pub(super) const fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    /// How long heads of responses have taken of late; `None` where none has come.
    pub(super) const fn latency(&self) -> Option<Duration> {
        self.latency.get()
    }

    /// A connection that can carry a request now.
    pub(super) fn checkout(&self) -> Option<Connection> {
        if let Some(permit) = self.stream(0) {
            return Some(Connection::Http2(permit));
        }
        loop {
            let mut connection = self.idle.borrow_mut().pop()?;
            if connection.is_usable() {
                return Some(Connection::Http1(connection));
            }
        }
    }

    /// A stream of an HTTP/2 connection that was made after the first `after`.
    pub(super) fn stream(&self, after: u64) -> Option<StreamPermit> {
        let shared = self.http2.borrow();
        let sweep = self.sweeps.get();
        shared.iter().filter(|connection| connection.number.get() > after).find_map(|one| one.reserve(sweep))
    }

    /// How many HTTP/2 connections have been made so far.
    pub(super) const fn made(&self) -> u64 {
        self.made.get()
    }

    /// Shares a new HTTP/2 connection. Gives its first stream, unless it was closed at once.
    pub(super) fn share(&self, connection: Rc<Http2>) -> Option<StreamPermit> {
        let first = connection.reserve(self.sweeps.get());
        self.made.set(self.made.get() + 1);
        connection.number.set(self.made.get());
        let mut shared = self.http2.borrow_mut();
        shared.retain(|connection| !connection.is_closed());
        shared.push(connection);
        first
    }

    /// The head of a response has come, which took so long.
    pub(super) fn answered(&self, took: Duration) {
        self.metrics.answered(took);
        self.latency.set(Some(smoothed(self.latency.get(), took)));
    }

    /// A try has failed, and the endpoint is to blame.
    pub(super) fn failed(&self, error: &Error) {
        self.endpoint.failed(error);
        self.metrics.failed(error.kind().failure());
    }

    /// Ends connections that have been idle for too long or were closed by the other end.
    pub(super) fn sweep(&self) {
        let now = self.sweeps.get();
        let fresh = |since: u32| now.wrapping_sub(since) <= IDLE_SWEEPS;
        self.idle.borrow_mut().retain_mut(|connection| fresh(connection.idle_since) && connection.is_usable());
        self.http2.borrow_mut().retain(|connection| {
            if !connection.is_idle() {
                connection.used.set(now);
            }
            !connection.is_closed() && fresh(connection.used.get())
        });
    }

    /// Idle HTTP/1.1 connections and open HTTP/2 connections.
    #[cfg(test)]
    pub(super) fn pooled(&self) -> (usize, usize) {
        (self.idle.borrow().len(), self.http2.borrow().len())
    }
}

/// A request's hold on an endpoint while it is in flight.
pub(super) struct Lease {
    pub(super) pool: Rc<EndpointPool>,
    /// The request's, once it was answered: its permit is free when the response has ended.
    admission: Option<Admission>,
}

impl Lease {
    pub(super) fn new(pool: Rc<EndpointPool>) -> Self {
        pool.in_flight.set(pool.in_flight.get() + 1);
        pool.metrics.in_flight.add(1);
        Self { pool, admission: None }
    }

    /// The request was answered here: it is in flight as long as this is held.
    pub(super) fn hold(&mut self, admission: Admission) {
        self.admission = Some(admission);
    }

    /// Puts a connection that has done its request back.
    pub(super) fn keep(&self, mut connection: Box<Http1>) {
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() < self.pool.keepalive {
            connection.idle_since = self.pool.sweeps.get();
            idle.push(connection);
        }
    }

    /// The response ended early. It had a head, so it says nothing of the endpoint's health.
    pub(super) fn cut(&self, error: &Error) {
        if error.kind().side() == Side::Upstream {
            self.pool.metrics.failed(error.kind().failure());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.in_flight.set(self.pool.in_flight.get() - 1);
        self.pool.metrics.in_flight.add(-1);
    }
}

/// A latency with one more measured: an eighth of what is new, as RFC 6298 section 2 has it for round-trip times.
fn smoothed(latency: Option<Duration>, took: Duration) -> Duration {
    latency.map_or(took, |latency| latency - latency / 8 + took / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_follows_what_is_measured() {
        let [one, nine] = [1, 9].map(Duration::from_millis);
        assert_eq!(smoothed(None, one), one);
        assert_eq!(smoothed(Some(one), nine), Duration::from_millis(2));
        let mut latency = smoothed(None, nine);
        (0..100).for_each(|_| latency = smoothed(Some(latency), one));
        assert!(latency.abs_diff(one) < Duration::from_micros(10), "{latency:?}");
    }
}
