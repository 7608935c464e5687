//! A service as all workers share it: its endpoints as DNS last gave them, and what connections to them are made with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::uri::Authority;

use super::admission::Permits;
use super::connect::Connector;
use super::endpoint::{self, Endpoint, EndpointStatus};
use crate::model::Upstream as Config;

/// A service behind the gateway, shared by all workers.
#[derive(Debug)]
pub struct Upstream {
    pub(super) config: Arc<Config>,
    pub(super) id: u64,
    pub(super) connector: Connector,
    /// The text of the `ca` file that it was made from.
    pub(super) ca: Option<Vec<u8>>,
    /// `:authority` where the config names a fixed host.
    pub(super) authority: Option<Authority>,
    /// Free permits for requests, where their number is configured.
    pub(super) permits: Option<Arc<Permits>>,
    pub(super) names: Vec<endpoint::EndpointNames>,
    pub(super) endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    pub(super) generation: AtomicU64,
    /// Whether some endpoint's name has never resolved.
    pub(super) unresolved: AtomicBool,
    /// By configured endpoint: whether its name did not resolve the last time.
    pub(super) failing: Vec<AtomicBool>,
}

impl Upstream {
    /// The config it was built from.
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The endpoints as metrics and the admin page show them.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        let endpoints = self.endpoints.load();
        let single = endpoints.len() == 1;
        endpoints
            .iter()
            .map(|endpoint| EndpointStatus {
                address: endpoint.address(),
                healthy: single || endpoint.healthy(&self.config.passive_health),
                failures: endpoint.failures(),
            })
            .collect()
    }

    /// The present addresses of a configured endpoint, in order.
    pub(super) fn addresses(&self, index: usize) -> Vec<SocketAddr> {
        let endpoints = self.endpoints.load();
        let mut addresses: Vec<_> =
            endpoints.iter().filter(|endpoint| endpoint.index == index).map(|endpoint| endpoint.address()).collect();
        addresses.sort_unstable();
        addresses
    }

    /// Publishes what DNS said: `None` for a configured endpoint means that its present addresses stay.
    pub(super) fn publish(&self, found: &[Option<Vec<SocketAddr>>]) {
        let old = self.endpoints.load_full();
        let mut new: Vec<Arc<Endpoint>> = Vec::with_capacity(old.len());
        let mut unresolved = false;
        for (index, (config, addresses)) in self.config.endpoints.iter().zip(found).enumerate() {
            let known = old.iter().filter(|endpoint| endpoint.index == index);
            match addresses {
                None => {
                    let before = new.len();
                    new.extend(known.cloned());
                    unresolved |= new.len() == before;
                }
                Some(addresses) => new.extend(addresses.iter().map(|address| {
                    known.clone().find(|endpoint| endpoint.address() == *address).cloned().unwrap_or_else(|| {
                        Arc::new(Endpoint::new(index, *address, config.weight, self.names[index].clone()))
                    })
                })),
            }
        }
        self.unresolved.store(unresolved, Ordering::Relaxed);
        new.iter().for_each(|endpoint| endpoint.set_alone(new.len() == 1));
        if old.len() != new.len() || old.iter().zip(&new).any(|(old, new)| old.id != new.id) {
            self.endpoints.store(Arc::new(new));
            // Workers compare this number per request and load the list only when it has moved.
            self.generation.fetch_add(1, Ordering::Release);
        }
    }
}
