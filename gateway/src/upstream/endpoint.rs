//! One address of an upstream: where it is, what it is called, how it fares. Shared by all workers; it keeps its
//! identity while DNS keeps giving its address, so pools and health outlive a refresh.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::uri::Authority;
use rustls::pki_types::ServerName;

use super::health::Health;
use super::invalid::InvalidUpstream;
use crate::error::Error;
use crate::model::{EndpointConfig, PassiveHealth, Upstream as Config};
use crate::sanitize::safe;

/// One address of an upstream.
#[derive(Debug)]
pub struct Endpoint {
    /// Unique in the process; the key of pooled connections.
    pub(super) id: u64,
    /// Where its config stands in the upstream's list.
    pub(super) index: usize,
    address: SocketAddr,
    weight: u32,
    pub(super) names: EndpointNames,
    health: Health,
    failures: AtomicU64,
    created: Instant,
    /// It is the only one, so that requests go there whatever its health says.
    alone: AtomicBool,
}

/// What an endpoint is called, prepared from its config.
#[derive(Clone, Debug)]
pub(super) struct EndpointNames {
    /// The upstream's, for messages.
    upstream: Arc<str>,
    /// When an endpoint is left out.
    policy: PassiveHealth,
    /// `Host` where the config says `host: endpoint`.
    pub(super) host: HeaderValue,
    /// The same as `:authority`.
    pub(super) authority: Authority,
    /// What is verified and sent as SNI, where the upstream is encrypted.
    pub(super) server_name: Option<ServerName<'static>>,
}

impl EndpointNames {
    pub(super) fn new(config: &Config, endpoint: &EndpointConfig) -> Result<Self, InvalidUpstream> {
        let invalid = |what| InvalidUpstream::Name { upstream: config.name.clone(), name: endpoint.host.clone(), what };
        // RFC 9110 section 4.2.3: a default port is left out.
        let default = if config.tls.is_some() { 443 } else { 80 };
        let bare = endpoint.host.trim_start_matches('[').trim_end_matches(']');
        let host = match bare.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => bare.to_owned(),
        };
        let text = if endpoint.port == default { host } else { format!("{host}:{}", endpoint.port) };
        let authority = Authority::from_maybe_shared(text.clone()).map_err(|_| invalid("not a host name"))?;
        let host = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).map_err(|_| invalid("not a host name"))?;
        let server_name = match &config.tls {
            Some(tls) => {
                let name = tls.server_name.as_deref().unwrap_or(bare).to_owned();
                Some(ServerName::try_from(name).map_err(|_| invalid("not a name that a certificate can carry"))?)
            }
            None => None,
        };
        let (upstream, policy) = (config.name.clone(), config.passive_health.clone());
        Ok(Self { upstream, policy, host, authority, server_name })
    }
}

impl Endpoint {
    pub(super) fn new(index: usize, address: SocketAddr, weight: u32, names: EndpointNames) -> Self {
        Self {
            id: next_id(),
            index,
            address,
            weight: weight.max(1),
            names,
            health: Health::default(),
            failures: AtomicU64::new(0),
            created: Instant::now(),
            alone: AtomicBool::new(false),
        }
    }

    /// The socket address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name of its upstream.
    pub(super) const fn upstream(&self) -> &Arc<str> {
        &self.names.upstream
    }

    /// The relative share of requests.
    pub const fn weight(&self) -> u32 {
        self.weight
    }

    /// Failures since the endpoint appeared: for metrics.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Whether passive health lets it be chosen now.
    pub fn healthy(&self, policy: &PassiveHealth) -> bool {
        self.health.available(policy, || self.now())
    }

    pub(super) fn chosen(&self, policy: &PassiveHealth) {
        self.health.chosen(policy, || self.now());
    }

    /// Whether it is the only one is known when the list of addresses is published.
    pub(super) fn set_alone(&self, alone: bool) {
        self.alone.store(alone, Relaxed);
    }

    pub(super) fn succeeded(&self) {
        if let Some(out) = self.health.succeeded(|| self.now()) {
            self.tell_return(out, "the endpoint answers again");
        }
    }

    /// `error` is for the log, where the endpoint is left out by this.
    pub(super) fn failed(&self, error: &Error) {
        self.failures.fetch_add(1, Relaxed);
        let EndpointNames { upstream, policy, .. } = &self.names;
        if !self.health.failed(policy, self.now()) {
            return;
        }
        let (kind, detail, endpoint) = (error.kind().name(), error.safe_detail(), self.address);
        let PassiveHealth { max_failures: failures, fail_timeout: tried_again_after } = policy;
        if self.alone.load(Relaxed) {
            tracing::warn!(%upstream, %endpoint, failures, error = kind, detail = %safe!(*detail),
                "the upstream's only endpoint fails; requests go there all the same");
        } else {
            tracing::warn!(%upstream, %endpoint, failures, error = kind, detail = %safe!(*detail), ?tried_again_after,
                "the endpoint fails and is left out");
        }
    }

    pub(super) fn revive(&self) {
        if let Some(out) = self.health.reset(|| self.now()) {
            self.tell_return(out, "every endpoint of the upstream is out, so all are tried again");
        }
    }

    fn tell_return(&self, out: u64, what: &'static str) {
        let (upstream, endpoint, after) = (&self.names.upstream, self.address, Duration::from_millis(out));
        tracing::info!(%upstream, %endpoint, ?after, "{what}");
    }

    fn now(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A number that no other upstream or endpoint of the process has.
pub(super) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// An endpoint as metrics and the admin page show it.
#[derive(Clone, Debug)]
pub struct EndpointStatus {
    /// The socket address.
    pub address: SocketAddr,
    /// Whether it is chosen at present.
    pub healthy: bool,
    /// Failures since it appeared.
    pub failures: u64,
}
