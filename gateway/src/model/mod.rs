//! The resolved configuration: every name looked up, every default filled in, every value in its own type. Nothing after
//! `config/` sees YAML.
//!
//! It is the ground that everything else stands on and knows nothing of the gateway: values, and what can be told of them
//! alone. A file per section.

mod access_log;
mod admin;
mod audit;
mod collector;
mod disclosure;
mod drain;
mod forwarding;
mod hidden;
mod limits;
mod listener;
mod log;
mod log_field;
mod metrics;
mod plugin;
mod reload;
mod route;
mod secret;
mod state;
mod template;
mod tracing;
mod trust;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;

pub use access_log::{
    AccessLog, LogCondition, LogConditions, LogSample, LogSelection, LogTarget, RecordFormat, RouteLog, Syslog,
    SyslogAddress,
};
pub use admin::Admin;
pub use audit::{Audit, AuditFailure, AuditShip, UpstreamData};
pub use collector::{Collector, CollectorProtocol};
pub use disclosure::{Disclosure, NamedFields};
pub use drain::Drain;
pub use forwarding::Forwarding;
pub use hidden::Hidden;
pub use limits::Limits;
pub use listener::{CertificateFiles, Listener, ListenerLimits, ListenerTls, SocketKey, Transport};
pub use log::{Log, LogFormat};
pub use log_field::{LOG_MEMBERS, LOG_VARIABLES, LinePiece, LogField};
pub use metrics::{Metrics, MetricsExport};
pub use plugin::{Compile, Grants, OnFailure, PluginEntry, PluginLimits, Plugins, Positions, Storing};
pub use route::{
    FixedResponse, HeaderEdits, HostnameMatch, PathMatch, Redirect, Route, RouteAction, RouteLimits, RouteMatch,
    ValueMatch,
};
pub use secret::Secret;
pub use state::State;
pub use template::{Piece, Template, VARIABLES, Variable};
pub use tracing::{RouteTracing, Sampling, Share, TraceFormat, Tracing};
pub use trust::{KeyId, TrustedKey};
pub use upstream::{
    EndpointConfig, LoadBalancing, PassiveHealth, Pin, Upstream, UpstreamHost, UpstreamProtocol, UpstreamTimeouts,
    UpstreamTls,
};

use reload::Deferred;

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads; by default one per core.
    pub workers: usize,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// Services behind the gateway, by name.
    pub upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    /// The plugin directory and what plugins may reach.
    pub plugins: Plugins,
    /// Routes in the order of the file.
    pub routes: Vec<Arc<Route>>,
    /// Secrets by name, read at load.
    pub secrets: BTreeMap<String, Secret>,
    /// The backend of `kv` and `counters`.
    pub state: State,
    /// The admin listener; `None` when switched off.
    pub admin: Option<Admin>,
    /// Where a record of each request goes; empty = nowhere.
    pub access_log: Vec<AccessLog>,
    /// The gateway's own messages, on stderr.
    pub log: Log,
    /// What metrics are made of, and where they are sent.
    pub metrics: Metrics,
    /// How client addresses are found and passed on.
    pub forwarding: Forwarding,
    /// Header fields that carry callers' credentials, besides those that do by their name.
    pub credentials: Vec<HeaderName>,
    /// Limits that hold for the whole process.
    pub limits: Limits,
    /// How the gateway stops.
    pub drain: Drain,
    /// How the audit trail is kept; `None` where no route has one.
    pub audit: Option<Audit>,
    /// How exchanges take part in traces; `None` = not at all.
    pub tracing: Option<Tracing>,
}

impl Config {
    /// Puts what can't change while the gateway runs back to what `running` has, so that this says what will run, and
    /// tells of each such change.
    pub fn keep(&mut self, running: &Self) -> Vec<String> {
        let mut deferred = Deferred::default();
        // Each is named, so that a new one does not compile before somebody has decided.
        let Self {
            workers,
            admin,
            state,
            log,
            audit,
            metrics,
            // Followed at once.
            listeners: _,
            upstreams: _,
            plugins: _,
            routes: _,
            secrets: _,
            access_log: _,
            forwarding: _,
            credentials: _,
            limits: _,
            drain: _,
            tracing: _,
        } = self;
        deferred.keep(workers, &running.workers, |new| {
            let now = running.workers;
            format!("workers changes from {now} to {new} at the next start; until then it stays {now}")
        });
        Admin::keep(admin, &running.admin, &mut deferred);
        state.keep(&running.state, &mut deferred);
        log.keep(&running.log, &mut deferred);
        Audit::keep(audit, &running.audit, &mut deferred);
        metrics.keep(&running.metrics, &mut deferred);
        deferred.into_notices()
    }

    /// The files of the plugins that routes name.
    pub fn plugin_files(&self) -> BTreeSet<PathBuf> {
        let names = self.routes.iter().flat_map(|route| &route.plugins).map(|entry| &entry.name);
        let file = |name: &Arc<str>| Some(self.plugins.directory.as_ref()?.join(format!("{name}.wasm")));
        names.filter_map(file).collect()
    }
}
