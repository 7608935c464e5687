//! The top level of the config file: which sections there are.

use std::net::SocketAddr;

use http::HeaderName;

use super::audit::RawAudit;
use super::context::Placed;
use super::fields::{Fields, Object};
use super::listener::{self, PlacedListener};
use super::plugin::{self, RawPlugins};
use super::types::{Integer, List, Named, NonEmpty, OrOff, text};
use super::{access_log, audit, drain, metrics, names, route, settings, tracing, upstream};
use crate::model::{AccessLog, Drain, Forwarding, Limits, Log, Metrics, Route, Secret, State, Tracing, Upstream};

/// The sections, before names were looked up. Sections that were wrong are missing, so that the others are checked.
pub(super) struct Raw {
    pub(super) workers: usize,
    pub(super) listeners: Option<Vec<PlacedListener>>,
    pub(super) upstreams: Option<Vec<(Placed<String>, Option<Upstream>)>>,
    pub(super) plugins: Option<RawPlugins>,
    pub(super) routes: Option<Vec<Route>>,
    pub(super) secrets: Option<Vec<(Placed<String>, Option<Secret>)>>,
    pub(super) state: Option<State>,
    pub(super) admin: Option<Placed<SocketAddr>>,
    pub(super) access_log: Option<Vec<AccessLog>>,
    pub(super) log: Option<Log>,
    pub(super) metrics: Option<Metrics>,
    pub(super) forwarding: Option<Forwarding>,
    pub(super) credentials: Option<Vec<HeaderName>>,
    pub(super) limits: Option<Limits>,
    pub(super) drain: Option<Drain>,
    /// Whether the section is in the file, and what it says.
    pub(super) audit: (bool, Option<RawAudit>),
    pub(super) tracing: Option<Tracing>,
    /// Whether that is there, right or wrong.
    pub(super) has_tracing: bool,
}

/// The top level.
pub(super) fn sections(fields: &mut Fields<'_, '_>) -> Option<Raw> {
    let workers = fields.optional("workers", "Worker threads; by default one per core.", Integer(1..=1024));
    let listeners = fields.required("listeners", "Where clients connect.", NonEmpty(Object(listener::listener)));
    let upstreams = fields.default(
        "upstreams",
        "Services behind the gateway, by name.",
        Named { key: names::key, value: Object(upstream::upstream) },
        "{}",
    );
    let plugins =
        fields.default("plugins", "The plugin directory, and what plugins may reach.", Object(plugin::plugins), "{}");
    let routes = fields.required(
        "routes",
        "What to do with requests. The most specific match wins; the order only decides between equals.",
        List(Object(route::route)),
    );
    let secrets = fields.default(
        "secrets",
        "Secrets by name, for plugins that are granted them.",
        Named { key: names::key, value: Object(settings::secret) },
        "{}",
    );
    let state = fields.default("state", "Where plugins keep what they remember.", Object(settings::state), "{}");
    let admin = fields.default(
        "admin",
        "The admin listener: /healthz, /readyz, /metrics, /plugins. off (the default) opens no port.",
        OrOff(Object(settings::admin)),
        "off",
    );
    let access_log = fields.default(
        "access_log",
        "A record of each request: one log, a list of logs that go to different places, or off.",
        access_log::AccessLogs,
        "{}",
    );
    let log = fields.default("log", "The gateway's own messages, on stderr.", Object(settings::log), "{}");
    let metrics = fields.default(
        "metrics",
        "What metrics are made of, and where they are sent besides /metrics of the admin listener.",
        Object(metrics::metrics),
        "{}",
    );
    let forwarding = fields.default(
        "forwarding",
        "What is believed of, and told to, other proxies.",
        Object(settings::forwarding),
        "{}",
    );
    let credentials = fields.default(
        "credentials",
        "Header fields by which callers are known, besides Authorization, Cookie and all whose names tell (see Stored \
         responses).",
        List(text(names::header_name)),
        "[]",
    );
    let limits = fields.default("limits", "Limits of the whole process.", Object(settings::limits), "{}");
    let drain = drain::section(fields);
    let audit = audit::optional(fields);
    let tracing = fields.optional(
        "tracing",
        "Distributed traces. Without it fields that tell of traces pass as they are.",
        Object(tracing::tracing),
    );
    let has_tracing = fields.has("tracing");
    // Only here, and not by `?`: each section that is right takes part in the checks between sections. While the schema
    // is made there is no context, and this leaves.
    fields.context()?;
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Some(Raw {
        workers: workers.and_then(|workers| usize::try_from(workers).ok()).unwrap_or_else(cores),
        listeners,
        upstreams,
        plugins,
        routes,
        secrets,
        state,
        admin: admin.flatten(),
        access_log,
        log,
        metrics,
        forwarding,
        credentials,
        limits,
        drain,
        audit,
        tracing,
        has_tracing,
    })
}
