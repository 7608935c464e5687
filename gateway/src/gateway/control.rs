//! All that is in force, and how something else is put in its place.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinError;

use super::listeners::Listeners;
use super::prepare;
use super::push::MetricsPush;
use super::workers::Workers;
use crate::access_log::AccessLog;
use crate::admin::AdminState;
use crate::config::{ConfigErrors, Contents};
use crate::memory::Memory;
use crate::plugin::{self, Accepted, Judgement, Registry};
use crate::sanitize::safe;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::telemetry::log::ErrorLog;
use crate::telemetry::metrics::{Metrics, Reload};
use crate::worker::WorkerCommand;

/// All that is in force.
pub(super) struct Control {
    pub(super) path: PathBuf,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) registry: Arc<Registry>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) push: MetricsPush,
    pub(super) memory: Memory,
    pub(super) state: State,
    pub(super) access_log: AccessLog,
    pub(super) log: Option<ErrorLog>,
    pub(super) admin: Arc<AdminState>,
    /// What the admin page shows of plugins.
    pub(super) description: Arc<Mutex<serde_json::Value>>,
    pub(super) admin_shutdown: watch::Sender<bool>,
    pub(super) listeners: Listeners,
    pub(super) workers: Workers,
    /// The files that the configuration in force came from, and what was in them.
    pub(super) applied: Contents,
    /// The same of what was read last, in force or refused.
    pub(super) attempted: Contents,
    /// The plugin files that it names, where it was refused.
    pub(super) refused_plugins: BTreeSet<PathBuf>,
    /// The heads of the audit trail that were logged last.
    pub(super) told_heads: BTreeSet<String>,
    /// What was read last was refused for a reason that passes by itself.
    pub(super) refused_for_now: bool,
}

impl Control {
    /// The files that routes name with their signatures, also those of a configuration that was refused: it may be for
    /// want of one.
    pub(super) fn plugin_files(&self) -> Vec<PathBuf> {
        let mut files = self.snapshot.config.plugin_files();
        files.extend(self.refused_plugins.iter().cloned());
        let signatures: Vec<_> = files.iter().map(|file| plugin::signature_file(file)).collect();
        files.into_iter().chain(signatures).collect()
    }

    /// Puts what was found out about plugin files in force, or says why it can't be.
    pub(super) fn finish_plugins(&mut self, judgement: Result<Judgement, JoinError>) {
        let Judgement { findings, verdict, awaited } = match judgement {
            Ok(judgement) => judgement,
            Err(panic) => {
                self.metrics.reloaded(Reload::Plugin, false);
                return tracing::error!(error = %safe!(panic), "trying the plugins failed; what serves goes on");
            }
        };
        Arc::make_mut(&mut self.registry).learn(findings);
        match verdict {
            Ok(accepted) => {
                let plugins = accepted.plugins.clone();
                if !plugins.is_same(&self.snapshot.plugins) {
                    self.swap(self.snapshot.with_plugins(plugins));
                    self.metrics.reloaded(Reload::Plugin, true);
                }
                self.commit_plugins(accepted);
            }
            // What is in force has a version of each.
            Err(problems) if problems.is_empty() => tracing::debug!(?awaited, "plugins are being compiled"),
            Err(problems) => {
                self.metrics.reloaded(Reload::Plugin, false);
                let refused: BTreeSet<&str> = problems.iter().map(|problem| problem.plugin.as_str()).collect();
                refused.into_iter().for_each(|plugin| self.metrics.plugin_load_failed(plugin));
                let errors = prepare::plugin_errors(&self.path, &self.snapshot.config, &problems);
                tracing::error!("{}", ConfigErrors::new(errors));
            }
        }
    }

    /// Makes the registry say what serves.
    pub(super) fn commit_plugins(&mut self, accepted: Accepted) {
        let registry = Arc::make_mut(&mut self.registry);
        let before: Vec<String> = registry.in_force().map(|plugin| plugin.name.to_owned()).collect();
        for plugin in registry.commit(accepted) {
            self.metrics.reloaded(Reload::Plugin, false);
            self.metrics.plugin_load_failed(&plugin);
        }
        for gone in before.iter().filter(|name| self.registry.in_force().all(|plugin| plugin.name != **name)) {
            self.metrics.forget_plugin(gone);
        }
        self.show_plugins();
    }

    /// Shows the plugins that serve on the admin listener.
    pub(super) fn show_plugins(&self) {
        for plugin in self.registry.in_force() {
            self.metrics.plugin_in_force(plugin.name, plugin.version, plugin.hash);
        }
        if let Ok(mut description) = self.description.lock() {
            *description = self.registry.describe();
        }
    }

    /// Shows the configuration in force on the admin listener.
    pub(super) fn show_config(&self) {
        self.metrics.config_in_force(&self.applied.hash(&self.path).unwrap_or_default());
        self.show_audit();
    }

    /// Has new requests served from another snapshot.
    pub(super) fn swap(&mut self, snapshot: Snapshot) {
        self.snapshot = Arc::new(snapshot);
        self.metrics.show_endpoints(self.snapshot.endpoint_health());
        self.workers.tell(|| WorkerCommand::Swap(self.snapshot.clone()));
    }
}
