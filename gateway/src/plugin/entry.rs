//! One plugin at one place of a route's chain: an artifact bound to a config, a policy, limits and grants.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;

use super::artifact::{Artifact, read_whole, sha256};
use super::callers::Callers;
use super::context::EntryContext;
use super::engine::Host;
use super::grants::Refused;
use super::host::log_gate::LogGate;
use super::host::own_words::OwnWords;
use super::maker::MakeError;
use super::symbols::{self, CodePlace};
use super::wit::Guest;
use crate::model::{Config, OnFailure, PluginEntry, PluginLimits, Route, Secret, Storing};
use crate::phase::Phases;
use crate::state::State;

/// What a configuration lets a plugin have, in all of its entries.
#[derive(Clone, PartialEq)]
pub(super) struct Terms {
    limits: PluginLimits,
    upstreams: Vec<Arc<str>>,
    secrets: BTreeMap<String, Secret>,
    /// Its file.
    file: Option<PathBuf>,
    /// Fields that carry credentials, besides those that do by their name.
    credentials: Vec<HeaderName>,
    /// Whether the log has whole messages of plugins.
    plugin_messages: bool,
}

impl Terms {
    /// The limits are the defaults where none are set; without a grant there is nothing.
    pub(super) fn of(config: &Config, plugin: &str) -> Self {
        let (mut upstreams, mut secrets) = (Vec::new(), BTreeMap::new());
        if let Some(grants) = config.plugins.grants.get(plugin) {
            upstreams = grants.upstreams.iter().map(|name| Arc::from(name.as_str())).collect();
            let value = |name: &String| Some((name.clone(), config.secrets.get(name)?.clone()));
            secrets = grants.secrets.iter().filter_map(value).collect();
        }
        let file = config.plugins.directory.as_ref().map(|directory| directory.join(format!("{plugin}.wasm")));
        let (credentials, plugin_messages) = (config.credentials.clone(), config.log.plugin_messages);
        Self { limits: limits_of(config, plugin), upstreams, secrets, file, credentials, plugin_messages }
    }
}

/// One plugin of one route's chain, ready to be instantiated on any worker.
pub struct Entry {
    /// The plugin's name.
    pub name: Arc<str>,
    /// Its version, from the manifest.
    pub version: String,
    /// SHA-256 of the file.
    pub hash: String,
    /// The phases to call it in.
    pub phases: Phases,
    /// Whether it decides who may pass.
    pub authenticator: bool,
    /// The failure policy; an authenticator is always `Closed`.
    pub on_failure: OnFailure,
    /// What may be stored, and for whom.
    pub storing: Storing,
    /// The namespace of `kv` and `counters` that other entries of the plugin may share.
    pub share_state: Option<String>,
    /// The route.
    pub route: Arc<str>,
    /// Limits of its calls and instances.
    pub limits: PluginLimits,
    pub(crate) artifact: Arc<Artifact>,
    context: Arc<EntryContext>,
    /// Where the plugin's file was.
    file: Option<PathBuf>,
    /// The config as the plugin gets it.
    config: String,
    /// The same as a value, whose keys have no order.
    settings: serde_json::Value,
    /// Which of the route's entries of the same plugin it is.
    nth: usize,
}

impl Entry {
    /// Binds an artifact to its place. `nth` counts the route's entries of the same plugin.
    pub(super) fn new(
        host: &Arc<Host>,
        artifact: &Arc<Artifact>,
        terms: &Terms,
        route: &Route,
        entry: &PluginEntry,
        nth: usize,
    ) -> Self {
        let authenticator = artifact.authenticator;
        let namespace = match &entry.share_state {
            Some(shared) => State::shared_name(&entry.name, shared),
            None => State::entry_name(&entry.name, &route.name, nth),
        };
        let Terms { limits, upstreams, secrets, .. } = terms;
        let context = EntryContext {
            plugin: entry.name.clone(),
            route: route.name.clone(),
            limits: limits.clone(),
            upstreams: upstreams.clone(),
            secrets: secrets.clone(),
            state: host.state().clone(),
            namespace: host.state().namespace(&namespace),
            metrics: host.options.metrics.clone(),
            flights: host.flights.clone(),
            memory: host.options.memory.clone(),
            log: LogGate::default(),
            hidden: entry.hidden.clone(),
            words: OwnWords::new(
                artifact.texts.clone(),
                &entry.hidden.redact(&entry.config.to_string()),
                terms.plugin_messages,
            ),
            refused: Refused::default(),
            ticker: host.ticker.clone(),
        };
        Self {
            name: entry.name.clone(),
            version: artifact.version.clone(),
            hash: artifact.hash.clone(),
            phases: artifact.phases,
            authenticator,
            on_failure: if authenticator { OnFailure::Closed } else { entry.on_failure },
            storing: Storing { credentials: terms.credentials.clone(), ..entry.storing.clone() },
            share_state: entry.share_state.clone(),
            route: route.name.clone(),
            limits: limits.clone(),
            artifact: artifact.clone(),
            context: Arc::new(context),
            file: terms.file.clone(),
            config: entry.config.to_string(),
            settings: entry.config.clone(),
            nth,
        }
    }

    /// An instance, configured. Blocks: it is called off the workers. `first`: of its pool, which is never without one
    /// because others have much memory.
    pub(super) fn instantiate(&self, callers: Option<Callers>, first: bool) -> Result<Guest, MakeError> {
        Guest::make(&self.artifact.code, self.context.clone(), &self.config, callers, first)
    }

    /// The line of the source at this place of its code, where the file is still the same and has debug information. Blocks.
    pub(super) fn line(&self, at: CodePlace) -> Option<String> {
        let bytes = read_whole(self.file.as_ref()?).ok()?;
        (sha256(&bytes) == self.hash).then(|| symbols::line(&bytes, at))?
    }

    /// Its place in a configuration: route, plugin, and which of the route's entries of that plugin it is.
    pub(super) fn place(&self) -> (&str, &str, usize) {
        (&self.route, &self.name, self.nth)
    }

    /// Whether a new configuration makes the very same entry in this place, so that this one, with its instances, can
    /// stay.
    pub(super) fn same(&self, artifact: &Artifact, terms: &Terms, entry: &PluginEntry) -> bool {
        let on_failure = if self.authenticator { OnFailure::Closed } else { entry.on_failure };
        self.hash == artifact.hash
            && self.settings == entry.config
            && self.context.hidden == entry.hidden
            && self.on_failure == on_failure
            && (self.storing.shared, self.storing.unmarked) == (entry.storing.shared, entry.storing.unmarked)
            && self.storing.credentials == terms.credentials
            && self.share_state == entry.share_state
            && self.limits == terms.limits
            && self.context.upstreams == terms.upstreams
            && self.context.secrets == terms.secrets
            && self.context.words.are_all() == terms.plugin_messages
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("route", &self.route).field("hash", &self.hash).finish()
    }
}

/// The limits of a plugin, the defaults where none are set.
pub(super) fn limits_of(config: &Config, plugin: &str) -> PluginLimits {
    config.plugins.limits.get(plugin).cloned().unwrap_or_default()
}
