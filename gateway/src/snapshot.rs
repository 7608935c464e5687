//! Everything that serves requests, built from one configuration and one set of plugins, immutable. A reload builds a
//! new one next to the old and swaps; requests in flight finish on the one that they began with.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::model::{Config, RouteAction};
use crate::message::headers::HeaderRules;
use crate::plugin::PluginSet;
use crate::route::Router;
use crate::telemetry::metrics::EndpointHealth;
use crate::upstream::{InvalidUpstream, Upstream};

/// What all workers share, read-only.
pub struct Snapshot {
    /// The configuration that it was built from.
    pub config: Arc<Config>,
    /// Finds the index of a route.
    pub router: Router<usize>,
    /// By name.
    pub upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    /// The plugin entries of each route.
    pub plugins: PluginSet,
    /// Header values that are the same for every request.
    pub rules: Arc<HeaderRules>,
    /// The bound port of each listener.
    pub ports: Arc<HashMap<Arc<str>, u16>>,
}

impl Snapshot {
    /// Builds a snapshot. Upstreams whose configuration did not change are taken over with their health.
    pub async fn build(
        config: Arc<Config>,
        plugins: PluginSet,
        ports: HashMap<Arc<str>, u16>,
        previous: Option<&Self>,
    ) -> Result<Self, InvalidUpstream> {
        let mut upstreams = BTreeMap::new();
        for (name, upstream) in &config.upstreams {
            let previous = previous.and_then(|snapshot| snapshot.upstreams.get(name));
            upstreams.insert(name.clone(), Upstream::new_or_reuse(upstream.clone(), previous).await?);
        }
        let routes = config.routes.iter().enumerate().map(|(index, route)| (route.matches.clone(), index)).collect();
        let rules = Arc::new(HeaderRules::new(&config.forwarding));
        Ok(Self { router: Router::build(routes), upstreams, plugins, rules, ports: Arc::new(ports), config })
    }

    /// The same routes and upstreams with other plugins.
    pub fn with_plugins(&self, plugins: PluginSet) -> Self {
        let routes =
            self.config.routes.iter().enumerate().map(|(index, route)| (route.matches.clone(), index)).collect();
        Self {
            config: self.config.clone(),
            router: Router::build(routes),
            upstreams: self.upstreams.clone(),
            plugins,
            rules: self.rules.clone(),
            ports: self.ports.clone(),
        }
    }

    /// Tells, whenever it is asked, how the endpoints of these upstreams fare.
    pub fn endpoint_health(&self) -> impl Fn() -> Vec<EndpointHealth> + Send + Sync + 'static {
        let upstreams = self.upstreams.clone();
        move || {
            let of = |(name, upstream): (&Arc<str>, &Arc<Upstream>)| {
                let name = name.clone();
                upstream.endpoints().into_iter().map(move |endpoint| EndpointHealth {
                    upstream: name.clone(),
                    endpoint: endpoint.address,
                    healthy: endpoint.healthy,
                })
            };
            upstreams.iter().flat_map(of).collect()
        }
    }

    /// The upstream that a route forwards to.
    pub fn upstream_of(&self, route: usize) -> Option<Arc<Upstream>> {
        match &self.config.routes[route].action {
            RouteAction::Upstream(name) => self.upstreams.get(name).cloned(),
            RouteAction::Redirect(_) | RouteAction::Respond(_) => None,
        }
    }
}
