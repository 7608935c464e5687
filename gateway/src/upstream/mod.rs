//! Services behind the gateway.
//!
//! [`Upstream`] is what workers share: endpoints as DNS last gave them, their health, the prepared TLS config. It is
//! made on the background runtime and lives as long as a config snapshot names it; a reload that leaves an upstream's
//! config as it is keeps the object, and with it health and connections.
//!
//! [`Client`] is a worker's own half: idle connections, load, the place in the round robin. It is `!Send` and takes no
//! lock on the path of a request. An HTTP/1 connection is driven inside the future of the request that uses it, and by
//! the response body afterwards; an HTTP/2 connection is a task of the worker.

mod balance;
mod body;
mod connect;
mod endpoint;
mod executor;
mod forward;
mod health;
mod http1;
mod http2;
mod places;
mod pool;
mod report;
mod request;
mod resolve;
mod retry;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::uri::Authority;
use tokio_rustls::TlsConnector;

use crate::model::{Upstream as Config, UpstreamHost};
use crate::watch;

pub use endpoint::{Endpoint, EndpointStatus};
pub(crate) use places::Capacity;
pub use pool::Client;
pub use report::Report;
pub use request::Outbound;

/// Bytes of a `ca` file; a system's whole collection has a few hundred kilobytes.
const MAX_CA: u64 = 16 << 20;

/// Why an upstream can't be built from its config.
#[derive(Debug, thiserror::Error)]
pub enum InvalidUpstream {
    /// The `ca` file can't be read.
    #[error("upstream {upstream}: reading the ca file {path}: {error}", path = path.display())]
    ReadCa {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The `ca` file is not a list of PEM certificates.
    #[error("upstream {upstream}: the ca file {path}: {what}", path = path.display())]
    Ca {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A name that can't be used.
    #[error("upstream {upstream}: {name}: {what}")]
    Name {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// rustls refuses the settings.
    #[error("upstream {upstream}: tls: {error}")]
    Tls {
        /// The upstream's name.
        upstream: Arc<str>,
        /// What rustls said.
        error: rustls::Error,
    },
}

impl InvalidUpstream {
    /// The upstream's name.
    pub const fn upstream(&self) -> &Arc<str> {
        match self {
            Self::ReadCa { upstream, .. }
            | Self::Ca { upstream, .. }
            | Self::Name { upstream, .. }
            | Self::Tls { upstream, .. } => upstream,
        }
    }

    /// The file that is to be mended, where there is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::ReadCa { path, .. } | Self::Ca { path, .. } => Some(path),
            Self::Name { .. } | Self::Tls { .. } => None,
        }
    }
}

/// A service behind the gateway, shared by all workers.
#[derive(Debug)]
pub struct Upstream {
    config: Arc<Config>,
    id: u64,
    tls: Option<Tls>,
    /// `:authority` where the config names a fixed host.
    authority: Option<Authority>,
    /// Free places for requests, where their number is configured.
    places: Option<Arc<places::Places>>,
    names: Vec<endpoint::Names>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    generation: AtomicU64,
    /// Whether some endpoint's name has never resolved.
    unresolved: AtomicBool,
    /// By configured endpoint: whether its name did not resolve the last time.
    failing: Vec<AtomicBool>,
}

/// TLS settings, and the file text that they were made from.
struct Tls {
    connector: TlsConnector,
    ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl Upstream {
    /// Builds the upstream, or gives `previous` back when nothing has changed: neither its config nor its `ca` file.
    /// Names are resolved before this returns, and refreshed by a task of the current runtime until the upstream is
    /// dropped. A name that does not resolve is no error: requests fail with `dns` until it does.
    pub async fn new_or_reuse(config: Arc<Config>, previous: Option<&Arc<Self>>) -> Result<Arc<Self>, InvalidUpstream> {
        let ca = match config.tls.as_ref().and_then(|tls| tls.ca.clone()) {
            Some(path) => {
                let file = path.clone();
                let read = tokio::task::spawn_blocking(move || watch::read_regular(&file, MAX_CA)).await;
                let read = read.unwrap_or_else(|panic| Err(io::Error::other(panic)));
                let failed = |error| InvalidUpstream::ReadCa { upstream: config.name.clone(), path, error };
                Some(read.map_err(failed)?)
            }
            None => None,
        };
        if let Some(previous) = previous
            && previous.config == config
            && previous.tls.as_ref().and_then(|tls| tls.ca.as_ref()) == ca.as_ref()
        {
            return Ok(previous.clone());
        }
        let tls = match &config.tls {
            Some(_) => Some(Tls { connector: tls::client_config(&config, ca.as_deref())?.into(), ca }),
            None => None,
        };
        let authority = match &config.host {
            UpstreamHost::Name(name) => {
                Some(Authority::try_from(name.as_bytes()).map_err(|_| InvalidUpstream::Name {
                    upstream: config.name.clone(),
                    name: String::from_utf8_lossy(name.as_bytes()).into_owned(),
                    what: "not a host name",
                })?)
            }
            UpstreamHost::Preserve | UpstreamHost::Endpoint => None,
        };
        let names =
            config.endpoints.iter().map(|one| endpoint::Names::new(&config, one)).collect::<Result<Vec<_>, _>>()?;
        let failing = config.endpoints.iter().map(|_| AtomicBool::new(false)).collect();
        let upstream = Arc::new(Self {
            places: config.max_requests.map(places::Places::new),
            config,
            id: next_id(),
            tls,
            authority,
            names,
            endpoints: ArcSwap::default(),
            generation: AtomicU64::new(0),
            unresolved: AtomicBool::new(false),
            failing,
        });
        resolve::refresh(&upstream, &resolve::System).await;
        resolve::spawn(&upstream);
        Ok(upstream)
    }

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
    fn addresses(&self, index: usize) -> Vec<SocketAddr> {
        let endpoints = self.endpoints.load();
        let mut addresses: Vec<_> =
            endpoints.iter().filter(|endpoint| endpoint.index == index).map(|endpoint| endpoint.address()).collect();
        addresses.sort_unstable();
        addresses
    }

    /// Publishes what DNS said: `None` for a configured endpoint means that its present addresses stay.
    fn publish(&self, found: &[Option<Vec<SocketAddr>>]) {
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

/// A number that no other upstream or endpoint of the process has.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
