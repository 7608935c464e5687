//! The plugins of the directory: loads what the routes name, keeps the last good version of each, and makes the entries
//! of a configuration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::artifact::{Artifact, Stamp, read_whole, sha256};
use super::engine::Host;
use super::entry::{Entry, limits_of};
use super::error::{LoadError, PluginError, PluginProblem, sanitise};
use super::grants;
use super::instance::Guest;
use super::phase::phase_names;
use super::status::{self, FileState, Status};
use super::stock::MakeError;
use crate::config::model::{Config, PluginEntry, PluginLimits, Route};

/// What made the registry look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The gateway starts: everything must load.
    Start,
    /// The configuration changed: everything that it names must work with it.
    Config,
    /// The directory changed: what fails stays out.
    Directory,
}

/// The entries of a configuration: `entries[route][plugin]`. Unchanged ones are the same `Arc` as before.
#[derive(Clone, Debug, Default)]
pub struct PluginSet {
    /// In the order of the configuration.
    pub entries: Vec<Vec<Arc<Entry>>>,
}

impl PluginSet {
    /// Whether both hold the very same entries, so that nothing has to be swapped.
    pub fn is_same(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(|(ours, theirs)| {
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(one, another)| Arc::ptr_eq(one, another))
            })
    }
}

/// What is known of one plugin.
#[derive(Clone, Default)]
struct Record {
    artifact: Option<Arc<Artifact>>,
    /// The file when it was last judged.
    stamp: Option<Stamp>,
    /// The hash of a refused file, so that the same bytes aren't compiled twice.
    refused: Option<(String, LoadError)>,
    status: Option<Status>,
}

/// See the module.
pub struct Registry {
    host: Arc<Host>,
    directory: Option<PathBuf>,
    records: BTreeMap<String, Record>,
    current: PluginSet,
    grants: BTreeMap<String, crate::config::model::Grants>,
}

impl Registry {
    /// An empty registry. A configuration that names another directory overrides this one.
    pub fn new(host: Arc<Host>, directory: Option<PathBuf>) -> Self {
        Self { host, directory, records: BTreeMap::new(), current: PluginSet::default(), grants: BTreeMap::new() }
    }

    /// Reads what changed, compiles, checks and dry-runs it. Blocking: not for a worker.
    ///
    /// An error means that nothing has changed. With [`Trigger::Directory`] a file that fails is left out and its last
    /// good version stays; with the others every problem is reported at once.
    pub fn apply(&mut self, config: &Config, trigger: Trigger) -> Result<PluginSet, Vec<PluginProblem>> {
        let directory = config.plugins.directory.clone().or_else(|| self.directory.clone());
        let names: BTreeSet<Arc<str>> =
            config.routes.iter().flat_map(|route| route.plugins.iter().map(|entry| entry.name.clone())).collect();
        let mut problems = Vec::new();
        let mut chosen: HashMap<Arc<str>, Arc<Artifact>> = HashMap::new();
        let mut made: HashMap<(usize, usize), Arc<Entry>> = HashMap::new();
        let mut records = self.records.clone();
        for name in &names {
            let record = records.entry(name.to_string()).or_default();
            let before = record.status.clone();
            let failure = match &directory {
                Some(directory) => self.load(directory, name, record, &limits_of(config, name)),
                None => Err(LoadError::Missing(format!("{name}.wasm (plugins.directory is not set)"))),
            };
            let last_good = self.records.get(&**name).and_then(|record| record.artifact.clone());
            let mut candidate = match failure {
                Ok(artifact) => Some(artifact),
                Err(error) => {
                    note_failure(record, name, &error);
                    if last_good.is_none() {
                        problems.push(problem(name, None, &error.to_string()));
                    }
                    None
                }
            };
            // The candidate must work everywhere; where it doesn't, the last good version is tried in its place.
            if let Some(artifact) = &candidate {
                match self.make_entries(config, name, artifact) {
                    Ok(entries) => {
                        made.extend(entries);
                        note_success(record, artifact);
                    }
                    Err(found) => {
                        let fallback = last_good.as_ref().is_some_and(|good| good.hash != artifact.hash);
                        let text = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                        note_failure(record, name, &LoadError::Call(text));
                        if !fallback {
                            problems.extend(found);
                        }
                        candidate = None;
                        if !fallback {
                            continue;
                        }
                    }
                }
            }
            let artifact = match candidate {
                Some(artifact) => artifact,
                None => {
                    let Some(good) = last_good else { continue };
                    match self.make_entries(config, name, &good) {
                        Ok(entries) => made.extend(entries),
                        Err(found) => problems.extend(found),
                    }
                    good
                }
            };
            record.artifact = Some(artifact.clone());
            chosen.insert(name.clone(), artifact);
            if let (Some(directory), Some(status)) = (&directory, &record.status)
                && before.as_ref() != Some(status)
            {
                status::write(directory, name, status);
            }
        }
        if !problems.is_empty() {
            self.keep_judgements(&records, directory.as_deref());
            return Err(problems);
        }
        let mut set = PluginSet::default();
        for (r, route) in config.routes.iter().enumerate() {
            let entries = (0..route.plugins.len()).filter_map(|e| made.remove(&(r, e))).collect::<Vec<_>>();
            set.entries.push(entries);
        }
        records.retain(|name, _| names.contains(name.as_str()));
        self.records = records;
        self.directory = directory;
        self.grants = config.plugins.grants.clone();
        self.current = set.clone();
        tracing::debug!(?trigger, plugins = chosen.len(), "plugins applied");
        Ok(set)
    }

    /// After a refusal: what serves stays, what was learnt of the files is shown.
    fn keep_judgements(&mut self, judged: &BTreeMap<String, Record>, directory: Option<&Path>) {
        for (name, record) in judged {
            let failed = record.status.as_ref().filter(|status| status.state != FileState::Serving);
            if let (Some(directory), Some(status)) = (directory, failed) {
                status::write(directory, name, status);
            }
            if let Some(known) = self.records.get_mut(name) {
                if failed.is_some() {
                    known.status.clone_from(&record.status);
                }
                known.refused.clone_from(&record.refused);
            }
        }
    }

    /// The artifact of the file as it is now.
    fn load(
        &self,
        directory: &Path,
        name: &str,
        record: &mut Record,
        limits: &PluginLimits,
    ) -> Result<Arc<Artifact>, LoadError> {
        let path = directory.join(format!("{name}.wasm"));
        let stamp = Stamp::of(&path)?;
        if let Some(artifact) = &record.artifact
            && record.stamp.as_ref() == Some(&stamp)
        {
            return match &record.refused {
                Some((_, error)) => Err(error.clone()),
                None => Ok(artifact.clone()),
            };
        }
        let (bytes, stamp) = read_whole(&path)?;
        record.stamp = Some(stamp);
        let hash = sha256(&bytes);
        if let Some(artifact) = &record.artifact
            && artifact.hash == hash
        {
            record.refused = None;
            return Ok(artifact.clone());
        }
        if let Some((refused, error)) = &record.refused
            && *refused == hash
        {
            return Err(error.clone());
        }
        let compiled = Artifact::compile(&self.host, &bytes, limits).and_then(|artifact| {
            if artifact.name == name {
                return Ok(artifact);
            }
            let found = sanitise(&artifact.name, 100);
            Err(LoadError::Manifest(format!(
                "calls itself `{found}` in `describe`, but the file is {name}.wasm; name both alike"
            )))
        });
        match compiled {
            Ok(artifact) => {
                record.refused = None;
                Ok(Arc::new(artifact))
            }
            Err(error) => {
                record.refused = Some((hash, error.clone()));
                Err(error)
            }
        }
    }

    /// The entries of one plugin in all routes; new ones are dry-run.
    #[expect(clippy::type_complexity, reason = "places and entries, used in one function")]
    fn make_entries(
        &self,
        config: &Config,
        name: &Arc<str>,
        artifact: &Arc<Artifact>,
    ) -> Result<Vec<((usize, usize), Arc<Entry>)>, Vec<PluginProblem>> {
        if let Err(error) = grants::check(name, &artifact.needs, config.plugins.grants.get(&**name)) {
            return Err(vec![problem(name, None, &error.to_string())]);
        }
        let mut entries = Vec::new();
        let mut problems = Vec::new();
        for (r, route) in config.routes.iter().enumerate() {
            let mine = route.plugins.iter().enumerate().filter(|(_, entry)| entry.name == *name);
            for (nth, (e, entry)) in mine.enumerate() {
                let known = self.current.entries.iter().flatten();
                let same = known.into_iter().find(|known| known.same(artifact, config, route, entry, nth));
                if let Some(same) = same {
                    entries.push(((r, e), same.clone()));
                    continue;
                }
                let fresh = Entry::new(&self.host, artifact, config, route, entry, nth);
                match Guest::make(&fresh, None) {
                    Ok(_) => entries.push(((r, e), Arc::new(fresh))),
                    Err(error) => problems.extend(explain(name, route, entry, error)),
                }
            }
        }
        if problems.is_empty() { Ok(entries) } else { Err(problems) }
    }

    /// For the admin listener.
    pub fn describe(&self) -> serde_json::Value {
        let plugins = self.records.iter().map(|(name, record)| {
            let artifact = record.artifact.as_ref();
            let status = record.status.as_ref();
            let routes: BTreeSet<&str> = self
                .current
                .entries
                .iter()
                .flatten()
                .filter(|entry| *entry.name == **name)
                .map(|entry| &*entry.route)
                .collect();
            let grants = self.grants.get(name).cloned().unwrap_or_default();
            serde_json::json!({
                "name": name,
                "version": artifact.map(|artifact| &artifact.version),
                "hash": artifact.map(|artifact| &artifact.hash),
                "state": status.map(|status| status.state),
                "since": status.map(|status| status.since),
                "last_error": status.and_then(|status| status.error.as_ref()),
                "grants": {"upstreams": grants.upstreams, "secrets": grants.secrets},
                "imports": artifact.map(|artifact| &artifact.imports),
                "phases": artifact.map(|artifact| phase_names(artifact.phases)),
                "routes": routes,
            })
        });
        serde_json::Value::Array(plugins.collect())
    }
}

fn problem(plugin: &str, route: Option<&str>, message: &str) -> PluginProblem {
    PluginProblem {
        plugin: plugin.to_owned(),
        route: route.map(str::to_owned),
        pointer: None,
        position: None,
        message: message.to_owned(),
    }
}

fn explain(name: &str, route: &Route, entry: &PluginEntry, error: MakeError) -> Vec<PluginProblem> {
    let here = |message: &str| PluginProblem {
        position: entry.positions.find(""),
        ..problem(name, Some(&route.name), message)
    };
    match error {
        MakeError::Exhausted => vec![here("no room for another instance; raise the process's limit of instances")],
        MakeError::Failed(PluginError::Configure(errors)) if !errors.is_empty() => errors
            .into_iter()
            .map(|error| {
                let pointer = sanitise(&error.pointer, 200);
                PluginProblem {
                    position: entry.positions.find(&pointer),
                    pointer: Some(pointer),
                    ..here(&sanitise(&error.message, 500))
                }
            })
            .collect(),
        MakeError::Failed(error) => vec![here(&error.to_string())],
    }
}

fn note_success(record: &mut Record, artifact: &Artifact) {
    let state = FileState::Serving;
    let same = record.status.as_ref().is_some_and(|status| {
        status.state == state && status.hash.as_deref() == Some(&artifact.hash) && status.error.is_none()
    });
    if !same {
        tracing::info!(plugin = %artifact.name, version = %artifact.version, hash = %artifact.hash, "plugin serves");
        record.status = Some(Status {
            state,
            hash: Some(artifact.hash.clone()),
            version: Some(artifact.version.clone()),
            error: None,
            since: status::unix_seconds(),
        });
    }
}

fn note_failure(record: &mut Record, name: &str, error: &LoadError) {
    let state = if matches!(error, LoadError::Missing(_)) { FileState::Missing } else { FileState::Rejected };
    let error = error.to_string();
    let same =
        record.status.as_ref().is_some_and(|status| status.state == state && status.error.as_ref() == Some(&error));
    if same {
        return;
    }
    match &record.artifact {
        Some(good) => {
            tracing::warn!(plugin = name, version = %good.version, %error, "plugin file not used; its last good version serves on")
        }
        None => tracing::error!(plugin = name, %error, "plugin file not used"),
    }
    let serving = record.artifact.as_ref();
    record.status = Some(Status {
        state,
        hash: serving.map(|artifact| artifact.hash.clone()),
        version: serving.map(|artifact| artifact.version.clone()),
        error: Some(error),
        since: status::unix_seconds(),
    });
}
