//! What is in force, with what a worker adds to it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;

use super::tracing::WorkerTracing;
use super::unshared;
use crate::audit::{AuditedRoute, Unfinished};
use crate::exchange::{ConnectionInfo, Protocol};
use crate::memory::Budget;
use crate::message::headers::HeaderRules;
use crate::model::{Route, Sampling, Tracing};
use crate::plugin::chain::Chain;
use crate::plugin::stored::StoredResponses;
use crate::plugin::{Entry, Pool, WorkerHost};
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::{RouteMetrics, WorkerMetrics};
use crate::upstream::Upstream;

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
    /// Request header fields are kept for the access log, or for spans.
    pub logs_request_headers: bool,
    /// How exchanges take part in traces, where they do.
    pub tracing: Option<WorkerTracing>,
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
    /// Which of its exchanges are traced; none, where it takes no part in traces.
    pub sampling: Option<Sampling>,
    /// Its counters.
    pub metrics: RouteMetrics,
    /// What its records have, where it has an audit trail.
    pub audit: Option<Rc<AuditedRoute>>,
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

/// Makes a worker's snapshots, one after the other, out of those that all workers share.
pub struct SnapshotBuilder {
    host: Rc<WorkerHost>,
    stored: Arc<StoredResponses>,
    memory: Arc<Budget>,
    metrics: WorkerMetrics,
    /// Of the snapshot that was made last.
    pools: Vec<Rc<Pool>>,
    unfinished: Rc<Unfinished>,
}

impl SnapshotBuilder {
    /// With what the plugins of a worker run in, and where they and its routes count.
    pub fn new(
        host: Rc<WorkerHost>,
        stored: Arc<StoredResponses>,
        memory: Arc<Budget>,
        metrics: WorkerMetrics,
    ) -> Self {
        Self { host, stored, memory, metrics, pools: Vec::new(), unfinished: Rc::default() }
    }

    /// The exchanges of this worker that wait for a record of the audit trail.
    pub const fn unfinished(&self) -> &Rc<Unfinished> {
        &self.unfinished
    }

    /// The next snapshot. Of the routes of the one before it what did not change is taken over.
    pub fn build(&mut self, shared: Arc<Snapshot>, before: &[Rc<RouteHandle>]) -> WorkerSnapshot {
        let config = &shared.config;
        let tracing = config.tracing.as_ref();
        let Self { host, stored, memory, metrics, pools, unfinished } = self;
        // An entry that did not change is the same Arc as before, so its pool of instances goes on; the others retire.
        let mut known: HashMap<*const Entry, Rc<Pool>> =
            pools.drain(..).map(|pool| (Arc::as_ptr(pool.entry()), pool)).collect();
        let mut pool_of = |entry: &Arc<Entry>| {
            let pool = known.remove(&Arc::as_ptr(entry)).unwrap_or_else(|| Pool::new(entry.clone(), host.clone()));
            pools.push(pool.clone());
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
                    sampling: tracing.and_then(|tracing| route.tracing.over(tracing.sample)),
                    chain: Chain::new(&route.name, links, stored.clone(), memory.clone(), route.limits.clone()),
                    metrics: metrics.route(&route.name),
                    audit: shared.audit.as_ref().and_then(|trail| AuditedRoute::new(trail, config, route, unfinished)),
                })
            })
            .collect();
        known.into_values().for_each(|pool| pool.retire());
        let alt_svc = config.listeners.iter().filter(|listener| listener.http3).filter_map(|listener| {
            let port = shared.ports.get(&listener.name)?;
            Some((listener.name.clone(), HeaderValue::from_str(&format!("h3=\":{port}\"; ma=86400")).ok()?))
        });
        WorkerSnapshot {
            routes,
            rules: shared.rules.clone(),
            requests_limit: config.limits.requests_per_worker,
            logs_request_headers: config.access_log.iter().any(|log| !log.include.request_headers.is_empty())
                || tracing.is_some_and(shows_headers),
            tracing: tracing.map(|tracing| WorkerTracing::new(tracing, config.workers)),
            alt_svc: alt_svc.collect(),
            shared,
        }
    }
}

/// Whether spans show request header fields.
fn shows_headers(tracing: &Tracing) -> bool {
    tracing.export.is_some() && !tracing.include.request_headers.is_empty()
}
