//! A reload: everything new is made first, beside what runs and while the control thread goes on listening to signals
//! ([`load`]); then it is put in force in one go ([`Control::apply`]).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::control::Control;
use super::error::ApplyError;
use super::listeners::ClosingSockets;
use super::prepare::{self, Parts, Tried, Unready};
use super::{access_logs, exports, trail};
use crate::access_log::{AccessLog, Target};
use crate::audit::Trail;
use crate::config::{self, ConfigError, Contents, Diff, Loaded, Places, SocketChanges};
use crate::listener::bind::BindError;
use crate::model::Config;
use crate::plugin::{Findings, Registry};
use crate::sanitize::safe;
use crate::snapshot::Snapshot;
use crate::telemetry::export::LogExport;
use crate::telemetry::metrics::Reload;

/// What a reload starts from. All of it stays as it is while its files are read: there is one at a time.
pub(super) struct Basis {
    pub(super) path: PathBuf,
    /// What is in force: when the files are these, there is nothing to do.
    pub(super) applied: Contents,
    /// What was refused, unless it is to be tried again.
    pub(super) refused: Option<Contents>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) registry: Arc<Registry>,
    pub(super) leaving: ClosingSockets,
    pub(super) access_log: AccessLog,
}

/// What came of reading the files anew.
pub(super) enum ReloadOutcome {
    /// They are what is in force.
    InForce,
    /// They are what was refused.
    StillRefused,
    /// They need plugins that are being compiled.
    Waits {
        /// What was read.
        contents: Contents,
        /// The plugin files that it names.
        files: BTreeSet<PathBuf>,
        findings: Findings,
        /// The plugins that it waits for.
        plugins: Vec<Arc<str>>,
    },
    /// They can't be used.
    Refused {
        /// What was read.
        contents: Contents,
        /// The plugin files that it names, as far as it could be read.
        plugins: BTreeSet<PathBuf>,
        findings: Findings,
        error: ApplyError,
    },
    /// All of the new is there.
    Ready(Box<Ready>),
}

/// A configuration that can be put in force, unless its sockets can't be bound.
pub(super) struct Ready {
    contents: Contents,
    config: Arc<Config>,
    /// To be said once it is in force.
    notices: Vec<String>,
    sockets: SocketChanges,
    findings: Findings,
    parts: Parts,
    log_targets: Vec<Target>,
    trail: Option<Trail>,
}

/// Reads the files, and makes everything that they ask for.
pub(super) async fn load(basis: Basis) -> ReloadOutcome {
    let Basis { path, applied, refused, snapshot, registry, leaving, access_log } = basis;
    let look = move || {
        let now = applied.now();
        if now == applied {
            return Ok(ReloadOutcome::InForce);
        }
        match refused {
            Some(refused) if refused.now() == refused => Ok(ReloadOutcome::StillRefused),
            _ => Err(now),
        }
    };
    // Files may be on a slow disk.
    let now = match tokio::task::spawn_blocking(look).await {
        Ok(Ok(nothing_to_do)) => return nothing_to_do,
        Ok(Err(now)) => now,
        Err(_) => Contents::default(),
    };
    let read = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || config::load(&path))
    };
    let loaded = read.await.unwrap_or_else(|panic| {
        Err(ConfigError::new(&path, (1, 1), format!("reading it failed: {}", safe!(panic))).into())
    });
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(errors) => {
            // Without any file it was not even read, and what is there now was the reason.
            let contents = errors.contents().clone();
            let contents = if contents == Contents::default() { now } else { contents };
            let (plugins, findings) = (BTreeSet::new(), Findings::default());
            return ReloadOutcome::Refused { contents, plugins, findings, error: ApplyError::Config(errors) };
        }
    };
    let Loaded { mut config, contents, places, warnings } = loaded;
    let audit_at = places.audit();
    let Diff { mut deferred, sockets } = config::diff(&snapshot.config, &mut config);
    let entries = config.routes.iter().map(|route| route.plugins.len()).sum();
    deferred.extend(crowded(entries, registry.instances_per_worker()));
    let config = Arc::new(config);
    let Tried { findings, parts } = prepare::prepare(&path, &config, &places, registry, Some(&snapshot)).await;
    let parts = match parts {
        Ok(parts) => parts,
        Err(Unready::Waits(plugins)) => {
            return ReloadOutcome::Waits { contents, files: config.plugin_files(), findings, plugins };
        }
        Err(Unready::Wrong(errors)) => {
            let (plugins, error) = (config.plugin_files(), ApplyError::Config(errors));
            return ReloadOutcome::Refused { contents, plugins, findings, error };
        }
    };
    let log_targets = match open_access_logs(access_log, &path, &config, places, parts.logs.clone(), &snapshot).await {
        Ok(opened) => opened,
        Err(error) => return ReloadOutcome::Refused { contents, plugins: config.plugin_files(), findings, error },
    };
    // Last, because a ledger that was opened for nothing has a segment more.
    let trail = match trail::open(&path, &config, audit_at, snapshot.audit.as_ref()).await {
        Ok(trail) => trail,
        Err(error) => {
            let plugins = config.plugin_files();
            return ReloadOutcome::Refused { contents, plugins, findings, error };
        }
    };
    leaving.closed(&sockets.added).await;
    let notices = deferred.into_iter().chain(warnings.iter().map(ToString::to_string)).collect();
    ReloadOutcome::Ready(Box::new(Ready { contents, config, notices, sockets, findings, parts, log_targets, trail }))
}

/// What is to be said where plugin entries have become more than instances.
fn crowded(entries: usize, instances: u32) -> Option<String> {
    (entries > usize::try_from(instances).unwrap_or(usize::MAX)).then(|| {
        format!(
            "{entries} plugin entries share {instances} instances per worker, as many as the start made room for; after \
             the next start each entry is sure of one"
        )
    })
}

/// The access logs' targets: those that are open, as far as they stay.
async fn open_access_logs(
    logs: AccessLog,
    file: &Path,
    config: &Arc<Config>,
    places: Places,
    exports: Vec<Option<Arc<LogExport>>>,
    running: &Arc<Snapshot>,
) -> Result<Vec<Target>, ApplyError> {
    let (file, config, running) = (file.to_owned(), config.clone(), running.clone());
    let opened = tokio::task::spawn_blocking(move || {
        access_logs::open(&logs, &file, &config, &places, &exports, Some(&running))
    });
    opened.await.unwrap_or_else(|panic| {
        let error = std::io::Error::other(safe!(panic).to_string());
        Err(ApplyError::system("opening the access logs")(error))
    })
}

impl Control {
    /// The files are those of the configuration in force.
    fn nothing_new(&mut self, asked: bool) {
        self.metrics.config_refused(false);
        let file = self.path.display();
        if self.attempted != self.applied {
            tracing::info!(%file, "the files are again those of the configuration in force; nothing is refused any more");
        } else if asked {
            tracing::info!(%file, "configuration unchanged");
        } else {
            tracing::debug!(%file, "configuration unchanged");
        }
        self.attempted.clone_from(&self.applied);
        self.refused_plugins.clear();
        self.refused_for_now = false;
        self.registry.give_up_others(&self.refused_plugins);
    }

    /// Notes a configuration that needs plugins which are being compiled.
    fn wait_for(&mut self, contents: Contents, files: BTreeSet<PathBuf>, findings: Findings, plugins: &[Arc<str>]) {
        if self.attempted != contents {
            let plugins = plugins.join(", ");
            tracing::info!(%plugins, "the new configuration waits for plugins that are being compiled");
        }
        self.attempted = contents;
        self.refused_plugins = files;
        Arc::make_mut(&mut self.registry).learn(findings);
        self.registry.give_up_others(&self.refused_plugins);
    }

    /// Puts what was made in force, or says why it can't be; `None` where that is not known yet. What was asked for is
    /// answered in the log as well where nothing comes of it.
    pub(super) fn finish_reload(&mut self, outcome: ReloadOutcome, asked: bool) -> Option<Result<(), ApplyError>> {
        let contents = match &outcome {
            ReloadOutcome::InForce => {
                self.nothing_new(asked);
                return Some(Ok(()));
            }
            ReloadOutcome::StillRefused => return Some(Ok(())),
            ReloadOutcome::Waits { contents, files, findings, plugins } => {
                self.wait_for(contents.clone(), files.clone(), findings.clone(), plugins);
                return None;
            }
            ReloadOutcome::Refused { contents, .. } => contents.clone(),
            ReloadOutcome::Ready(ready) => ready.contents.clone(),
        };
        let what = self.reloaded(&contents);
        self.attempted = contents;
        let result = match outcome {
            ReloadOutcome::InForce | ReloadOutcome::StillRefused | ReloadOutcome::Waits { .. } => Ok(()),
            ReloadOutcome::Refused { findings, plugins, error, .. } => {
                Arc::make_mut(&mut self.registry).learn(findings);
                self.refused_plugins = plugins;
                self.registry.give_up_others(&self.refused_plugins);
                Err(error)
            }
            ReloadOutcome::Ready(ready) => self.apply(*ready),
        };
        self.refused_for_now = match &result {
            Ok(()) => {
                self.refused_plugins.clear();
                false
            }
            Err(ApplyError::Bind(BindError::Closing { .. })) => true,
            Err(_) => self.registry.should_try_again(),
        };
        for what in what {
            self.metrics.reloaded(what, result.is_ok());
        }
        self.metrics.config_refused(result.is_err());
        match &result {
            Ok(()) => tracing::info!(file = %self.path.display(), "configuration applied"),
            Err(error) => {
                tracing::error!("the new configuration is refused, the old one stays in force:\n{}", safe!(*error));
            }
        }
        Some(result)
    }

    fn apply(&mut self, ready: Ready) -> Result<(), ApplyError> {
        let Ready { contents, config, notices, sockets, findings, parts, log_targets, trail } = ready;
        Arc::make_mut(&mut self.registry).learn(findings);
        let plan = self.listeners.plan(&config, &sockets, &parts.certificates, self.workers.count())?;

        // From here on nothing can fail.
        for notice in notices {
            tracing::warn!("{notice}");
        }
        self.metrics.certificates_in_force(prepare::expiries(&parts.certificates));
        let ports = plan.ports();
        let plugins = parts.plugins.plugins.clone();
        let snapshot = Snapshot::new(config.clone(), plugins, parts.upstreams, ports, log_targets);
        let snapshot = snapshot.with_spans(parts.spans).audited(trail);
        exports::show(&snapshot, &self.metrics);
        exports::leave(&self.snapshot, &snapshot);
        self.swap(snapshot);
        self.memory.follow(&config.limits);
        self.push.follow(&config, parts.metrics_collector.as_ref(), &self.metrics);
        self.commit_plugins(parts.plugins);
        self.registry.give_up_others(&BTreeSet::new());
        self.listeners.apply(plan, &self.workers);
        if let Some(log) = &self.log {
            log.follow(&config.log);
        }
        self.applied = contents;
        self.show_config();
        Ok(())
    }

    /// What of the files is other than what is in force: a renewed certificate is told from a changed configuration.
    fn reloaded(&self, contents: &Contents) -> Vec<Reload> {
        let listeners = self.snapshot.config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let files: Vec<&Path> = listeners
            .flat_map(|tls| &tls.certificates)
            .flat_map(|files| [files.certificate.as_path(), files.private_key.as_path()])
            .collect();
        let changed = contents.changed_since(&self.applied);
        let (certificates, others): (Vec<&Path>, Vec<&Path>) =
            changed.into_iter().partition(|file| files.contains(file));
        let certificate = (!certificates.is_empty()).then_some(Reload::Certificate);
        let config = (!others.is_empty() || certificates.is_empty()).then_some(Reload::Config);
        certificate.into_iter().chain(config).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_the_start_made_no_room_for_are_told_of() {
        assert_eq!(crowded(256, 256), None);
        let notice = crowded(300, 256).unwrap();
        assert!(notice.contains("300 plugin entries share 256 instances"), "{notice}");
    }
}
