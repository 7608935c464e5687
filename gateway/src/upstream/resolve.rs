//! Names to addresses, on the background runtime. Requests never wait for DNS: they use the list that was published
//! last. A name that stops resolving keeps its last good addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;

use super::service::Upstream;
use crate::model::EndpointConfig;
use crate::sanitize::{LookupError, SafeText, safe};

/// How long one look-up may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Who is asked for addresses.
pub(super) trait Resolver: Send + Sync {
    /// The addresses of a name, with the port.
    fn lookup(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// The system's resolver.
pub(super) struct System;

impl Resolver for System {
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        tokio::net::lookup_host((host, port)).await.map(Iterator::collect)
    }
}

/// The addresses of one configured endpoint.
async fn addresses(endpoint: &EndpointConfig, resolver: &impl Resolver) -> Result<Vec<SocketAddr>, SafeText> {
    if let Some(address) = literal(endpoint) {
        return Ok(vec![address]);
    }
    let lookup = resolver.lookup(&endpoint.host, endpoint.port);
    let mut found = match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(safe!(LookupError(&error))),
        Err(_) => return Err(safe!("no answer within ", LOOKUP_TIMEOUT)),
    };
    // Servers rotate their answers; the order must not look like a change.
    found.sort_unstable();
    found.dedup();
    if found.is_empty() { Err("the name has no address".into()) } else { Ok(found) }
}

/// The address of an endpoint that is not a name.
pub(super) fn literal(endpoint: &EndpointConfig) -> Option<SocketAddr> {
    let host = endpoint.host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, endpoint.port))
}

/// Resolves all names once and publishes what was found.
pub(super) async fn refresh(upstream: &Upstream, resolver: &impl Resolver) {
    let endpoints = &upstream.config().endpoints;
    let found = join_all(endpoints.iter().map(|endpoint| addresses(endpoint, resolver))).await;
    for (index, (endpoint, result)) in endpoints.iter().zip(&found).enumerate() {
        tell(upstream, index, &endpoint.host, result);
    }
    upstream.publish(&found.into_iter().map(Result::ok).collect::<Vec<_>>());
}

/// Says what is new: a name that does not resolve is told once, and once more when it does.
fn tell(upstream: &Upstream, index: usize, name: &str, found: &Result<Vec<SocketAddr>, SafeText>) {
    let known = upstream.addresses(index);
    let failed_before = upstream.failing[index].swap(found.is_err(), Ordering::Relaxed);
    let upstream = &upstream.config().name;
    match found {
        Err(error) if failed_before => {
            tracing::debug!(%upstream, %name, error = %safe!(*error), "the name does still not resolve")
        }
        Err(error) if known.is_empty() => tracing::warn!(%upstream, %name, error = %safe!(*error),
            "the endpoint's name does not resolve, and has not since the start; it gets no requests until it does"),
        Err(error) => tracing::warn!(%upstream, %name, error = %safe!(*error),
            "the endpoint's name does not resolve; its last known addresses stay in use"),
        Ok(addresses) if failed_before => {
            tracing::info!(%upstream, %name, ?addresses, "the endpoint's name resolves again");
        }
        Ok(addresses) if !known.is_empty() && known != *addresses => {
            tracing::info!(%upstream, %name, ?addresses, "the endpoint's name has other addresses now");
        }
        Ok(_) => {}
    }
}

/// Refreshes until the upstream is gone.
pub(super) async fn keep_refreshed(upstream: Weak<Upstream>, every: Duration, resolver: impl Resolver) {
    loop {
        tokio::time::sleep(every).await;
        let Some(upstream) = upstream.upgrade() else { return };
        refresh(&upstream, &resolver).await;
    }
}

/// Starts refreshing on the current runtime, where there is a name to refresh.
pub(super) fn spawn(upstream: &Arc<Upstream>) {
    if upstream.config().endpoints.iter().any(|endpoint| literal(endpoint).is_none()) {
        let every = upstream.config().dns_refresh.max(Duration::from_secs(1));
        tokio::spawn(keep_refreshed(Arc::downgrade(upstream), every, System));
    }
}
