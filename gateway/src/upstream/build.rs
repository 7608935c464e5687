//! Makes an upstream from its config, or keeps the one that is there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use http::uri::Authority;

use super::admission::Permits;
use super::connect::Connector;
use super::endpoint::{self, next_id};
use super::invalid::InvalidUpstream;
use super::service::Upstream;
use super::{resolve, tls};
use crate::model::{Upstream as Config, UpstreamHost};
use crate::sanitize::safe;
use crate::watch;

/// Bytes of a `ca` file; a system's whole collection has a few hundred kilobytes.
const MAX_CA: u64 = 16 << 20;

impl Upstream {
    /// Builds the upstream, or gives `previous` back when nothing has changed: neither its config nor its `ca` file.
    /// Names are resolved before this returns, and refreshed by a task of the current runtime until the upstream is
    /// dropped. A name that does not resolve is no error: requests fail with `dns` until it does.
    pub async fn new_or_reuse(config: Arc<Config>, previous: Option<&Arc<Self>>) -> Result<Arc<Self>, InvalidUpstream> {
        let ca = match config.tls.as_ref().and_then(|tls| tls.ca.clone()) {
            Some(path) => {
                let file = path.clone();
                let read = tokio::task::spawn_blocking(move || watch::read_regular(&file, MAX_CA)).await;
                let read = read.unwrap_or_else(|panic| Err(io::Error::other(safe!(panic).to_string())));
                let failed = |error| InvalidUpstream::ReadCa { upstream: config.name.clone(), path, error };
                Some(read.map_err(failed)?)
            }
            None => None,
        };
        if let Some(previous) = previous
            && previous.config == config
            && previous.ca == ca
        {
            return Ok(previous.clone());
        }
        let tls = match &config.tls {
            Some(_) => Some(tls::client_config(&config, ca.as_deref())?.into()),
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
        let names = config
            .endpoints
            .iter()
            .map(|one| endpoint::EndpointNames::new(&config, one))
            .collect::<Result<Vec<_>, _>>()?;
        let failing = config.endpoints.iter().map(|_| AtomicBool::new(false)).collect();
        let upstream = Arc::new(Self {
            permits: config.max_requests.map(Permits::new),
            connector: Connector::new(config.protocol, tls),
            ca,
            config,
            id: next_id(),
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
}
