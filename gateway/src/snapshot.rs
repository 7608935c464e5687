//! Everything that serves requests, built from one configuration and one set of plugins, immutable. A reload builds a
//! new one next to the old and swaps; requests in flight finish on the one that they began with.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;

use crate::access_log::Target;
use crate::audit::Trail;
use crate::message::headers::HeaderRules;
use crate::model::{Config, RouteAction};
use crate::plugin::PluginSet;
use crate::route::Router;
use crate::telemetry::export::SpanExport;
use crate::telemetry::metrics::EndpointHealth;
use crate::upstream::{InvalidUpstream, Upstream};

/// The upstreams by name.
pub type Upstreams = Arc<BTreeMap<Arc<str>, Arc<Upstream>>>;

/// The bound port of each listener, by name.
pub type Ports = Arc<HashMap<Arc<str>, u16>>;

/// What all workers share, read-only.
#[derive(Clone)]
pub struct Snapshot {
    /// The configuration that it was built from.
    pub config: Arc<Config>,
    /// Finds the index of a route.
    pub router: Arc<Router<usize>>,
    /// By name.
    pub upstreams: Upstreams,
    /// The plugin entries of each route.
    pub plugins: PluginSet,
    /// Header values that are the same for every request.
    pub rules: Arc<HeaderRules>,
    /// The bound port of each listener.
    pub ports: Ports,
    /// Where the access logs go, in their order.
    pub log_targets: Vec<Target>,
    /// Where spans go.
    pub spans: Option<Arc<SpanExport>>,
    /// The audit trail, where there is one.
    pub audit: Option<Trail>,
}

impl Snapshot {
    /// Puts a snapshot together from parts that are all there.
    pub fn new(
        config: Arc<Config>,
        plugins: PluginSet,
        upstreams: Upstreams,
        ports: Ports,
        log_targets: Vec<Target>,
    ) -> Self {
        let routes = config.routes.iter().enumerate().map(|(index, route)| (route.matches.clone(), index)).collect();
        let rules = Arc::new(HeaderRules::new(&config.forwarding));
        let router = Arc::new(Router::build(routes));
        Self { router, upstreams, plugins, rules, ports, log_targets, config, spans: None, audit: None }
    }

    /// The same with somewhere to send spans to.
    pub fn with_spans(self, spans: Option<Arc<SpanExport>>) -> Self {
        Self { spans, ..self }
    }

    /// The same with an audit trail.
    pub fn audited(self, audit: Option<Trail>) -> Self {
        Self { audit, ..self }
    }

    /// The same routes and upstreams with other plugins.
    pub fn with_plugins(&self, plugins: PluginSet) -> Self {
        Self { plugins, ..self.clone() }
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
                    failures: endpoint.failures,
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

/// Makes the upstreams of a configuration. Those that did not change are taken over from `previous`, with their health.
/// All names are looked up at the same time, so that dead ones cost the time of one. Every mistake is told of.
pub async fn upstreams(config: &Config, previous: Option<&Snapshot>) -> Result<Upstreams, Vec<InvalidUpstream>> {
    let made = config.upstreams.iter().map(|(name, upstream)| {
        let previous = previous.and_then(|snapshot| snapshot.upstreams.get(name));
        async move { Upstream::new_or_reuse(upstream.clone(), previous).await.map(|upstream| (name.clone(), upstream)) }
    });
    let (mut upstreams, mut errors) = (BTreeMap::new(), Vec::new());
    for made in join_all(made).await {
        match made {
            Ok((name, upstream)) => drop(upstreams.insert(name, upstream)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(Arc::new(upstreams)) } else { Err(errors) }
}
