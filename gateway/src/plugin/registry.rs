//! The plugins of the directory: loads what the routes name, keeps the last good version of each, and makes the entries
//! of a configuration.
//!
//! It works in two steps, because a new configuration may be refused for other reasons than its plugins:
//! [`Registry::judge`] tries everything and changes nothing, [`Registry::commit`] puts the result in force. What was found
//! out about a file is kept apart from what serves: a file that does not work with one configuration may work with the
//! next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::artifact::{Artifact, read_whole, sha256};
use super::engine::Host;
use super::entry::{Entry, Terms, limits_of};
use super::error::{LoadError, PluginError, PluginProblem, sanitise};
use super::grants;
use super::instance::Guest;
use super::phase::phase_names;
use super::status::{self, FileState, Status};
use super::stock::MakeError;
use crate::config::model::{Config, Grants, PluginEntry, PluginLimits, Route};

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

/// What a file was found to be, apart from what the routes make of it: so that the same bytes aren't compiled twice.
#[derive(Clone)]
struct Finding {
    /// SHA-256 of the file.
    hash: String,
    /// What it was allowed while it was asked what it is.
    limits: PluginLimits,
    artifact: Result<Arc<Artifact>, LoadError>,
}

impl Finding {
    /// Whether it still holds: a call that failed under some limits may do well under others.
    fn holds(&self, hash: &str, limits: &PluginLimits) -> bool {
        self.hash == hash && (self.limits == *limits || !matches!(self.artifact, Err(LoadError::Call(_))))
    }
}

/// What was found out about files.
#[derive(Clone, Default)]
pub struct Findings {
    /// By plugin.
    files: BTreeMap<Arc<str>, Finding>,
    passing: bool,
}

impl Findings {
    /// Whether something failed for a reason that passes by itself.
    pub const fn is_passing(&self) -> bool {
        self.passing
    }
}

/// What serves under a plugin's name, and what became of the file.
#[derive(Clone)]
struct Serving {
    artifact: Arc<Artifact>,
    status: Status,
}

/// What [`Registry::judge`] found.
pub struct Judgement {
    /// To be remembered whatever comes of the configuration: see [`Registry::learn`].
    pub findings: Findings,
    /// What can be put in force, or every reason why not.
    pub verdict: Result<Accepted, Vec<PluginProblem>>,
}

/// Plugins that work with a configuration, not yet in force.
pub struct Accepted {
    /// The configuration's entries.
    pub plugins: PluginSet,
    directory: Option<PathBuf>,
    serving: BTreeMap<Arc<str>, Serving>,
    grants: BTreeMap<String, Grants>,
}

/// A plugin that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version, from the manifest.
    pub version: &'a str,
    /// SHA-256 of its file.
    pub hash: &'a str,
}

/// See the module.
#[derive(Clone)]
pub struct Registry {
    host: Arc<Host>,
    directory: Option<PathBuf>,
    findings: Findings,
    serving: BTreeMap<Arc<str>, Serving>,
    current: PluginSet,
    grants: BTreeMap<String, Grants>,
}

impl Registry {
    /// An empty registry.
    pub fn new(host: Arc<Host>) -> Self {
        Self {
            host,
            directory: None,
            findings: Findings::default(),
            serving: BTreeMap::new(),
            current: PluginSet::default(),
            grants: BTreeMap::new(),
        }
    }

    /// Reads the files that a configuration names, compiles and checks what is new, and dry-runs it. Changes nothing.
    /// Blocking: not for a worker.
    ///
    /// A file that fails is left out where its last good version works in its place. A version that serves from another
    /// directory does not stand in: a new directory must hold what the routes need.
    pub fn judge(&self, config: &Config) -> Judgement {
        let directory = config.plugins.directory.as_deref();
        let same_directory = directory == self.directory.as_deref();
        let known = self.current.entries.iter().flatten().map(|entry| (entry.place(), entry)).collect();
        let trial = Trial { config, known };
        let mut findings = Findings::default();
        let mut serving = BTreeMap::new();
        let mut made = HashMap::new();
        let mut problems = Vec::new();
        for (name, places) in &places(config) {
            let known = self.serving.get(name);
            let candidate = match directory {
                Some(directory) => self.load(directory, name, &limits_of(config, name), &mut findings),
                None => Err(LoadError::NoDirectory),
            };
            let refusal = match &candidate {
                Ok(artifact) => match self.make_entries(&trial, name, places, artifact) {
                    Ok(entries) => {
                        made.extend(entries);
                        serving.insert(name.clone(), Serving::new(artifact, None, known));
                        continue;
                    }
                    Err(refusal) => refusal,
                },
                Err(error) => Refusal::of_file(name, error),
            };
            findings.passing |= refusal.passing;
            // Where the file does not work, the version that serves is tried in its place.
            let last_good = known.map(|known| &known.artifact).filter(|good| {
                same_directory && candidate.as_ref().map_or(true, |candidate| candidate.hash != good.hash)
            });
            let fallback = last_good.map(|good| (good, self.make_entries(&trial, name, places, good)));
            match fallback {
                Some((good, Ok(entries))) => {
                    made.extend(entries);
                    serving.insert(name.clone(), Serving::new(good, Some(&refusal), known));
                }
                Some((good, Err(too))) => {
                    findings.passing |= too.passing;
                    problems.extend(refusal.problems);
                    problems.extend(too.problems.into_iter().map(|problem| PluginProblem {
                        message: format!("its version {}, which serves now: {}", good.version, problem.message),
                        ..problem
                    }));
                }
                None => problems.extend(refusal.problems),
            }
        }
        let verdict = if problems.is_empty() {
            let entries =
                config.routes.iter().enumerate().map(|(r, route)| {
                    (0..route.plugins.len()).filter_map(|e| made.remove(&(r, e))).collect::<Vec<_>>()
                });
            let plugins = PluginSet { entries: entries.collect() };
            let (directory, grants) = (config.plugins.directory.clone(), config.plugins.grants.clone());
            Ok(Accepted { plugins, directory, serving, grants })
        } else {
            Err(problems)
        };
        Judgement { findings, verdict }
    }

    /// Remembers what was found out about files, also where the configuration was refused.
    pub fn learn(&mut self, findings: Findings) {
        self.findings.files.extend(findings.files);
        self.findings.passing = findings.passing;
    }

    /// Puts accepted plugins in force, and tells in the log and in the status files what changed. Returns the plugins
    /// whose files are newly left out.
    pub fn commit(&mut self, accepted: Accepted) -> Vec<Arc<str>> {
        let mut left_out = Vec::new();
        for (name, serving) in &accepted.serving {
            if self.serving.get(name).is_some_and(|before| before.status == serving.status) {
                continue;
            }
            serving.announce();
            if serving.status.state != FileState::Serving {
                left_out.push(name.clone());
            }
            if let Some(directory) = &accepted.directory {
                status::write(directory, name, &serving.status);
            }
        }
        self.findings.files.retain(|name, _| accepted.serving.contains_key(name));
        self.directory = accepted.directory;
        self.serving = accepted.serving;
        self.grants = accepted.grants;
        self.current = accepted.plugins;
        left_out
    }

    /// The plugins that serve.
    pub fn in_force(&self) -> impl Iterator<Item = InForce<'_>> {
        self.serving.iter().map(|(name, serving)| InForce {
            name,
            version: &serving.artifact.version,
            hash: &serving.artifact.hash,
        })
    }

    /// Whether a file was left out, or refused, for a reason that passes by itself.
    pub const fn should_try_again(&self) -> bool {
        self.findings.passing
    }

    /// How many instances a worker may have: settled when the process started.
    pub fn instances_per_worker(&self) -> u32 {
        self.host.options.instances_per_worker
    }

    /// The artifact of the file as it is now. Files are read anew each time, because neither their length nor their times
    /// tell for sure that they are the same.
    fn load(
        &self,
        directory: &Path,
        name: &Arc<str>,
        limits: &PluginLimits,
        findings: &mut Findings,
    ) -> Result<Arc<Artifact>, LoadError> {
        let bytes = read_whole(&directory.join(format!("{name}.wasm")))?;
        let hash = sha256(&bytes);
        let known = self.findings.files.get(name).filter(|known| known.holds(&hash, limits));
        let serving = self.serving.get(name).filter(|serving| serving.artifact.hash == hash);
        let artifact = match (serving, known) {
            (Some(serving), _) => Ok(serving.artifact.clone()),
            (None, Some(known)) => known.artifact.clone(),
            (None, None) => self.compile(name, &bytes, limits),
        };
        if !artifact.as_ref().is_err_and(LoadError::is_passing) {
            findings.files.insert(name.clone(), Finding { hash, limits: limits.clone(), artifact: artifact.clone() });
        }
        artifact
    }

    fn compile(&self, name: &str, bytes: &[u8], limits: &PluginLimits) -> Result<Arc<Artifact>, LoadError> {
        // A compiler that panics is no reason to stop serving: it costs this file.
        let artifact = catch_unwind(AssertUnwindSafe(|| Artifact::compile(&self.host, bytes, limits)))
            .unwrap_or_else(|_| Err(LoadError::Invalid("compiling it failed; the log tells where".to_owned())))?;
        if artifact.name == name {
            return Ok(Arc::new(artifact));
        }
        let found = sanitise(&artifact.name, 100);
        Err(LoadError::Manifest(format!(
            "calls itself `{found}` in `describe`, but the file is {name}.wasm; name both alike"
        )))
    }

    /// The entries of one plugin in all routes; new ones are dry-run.
    fn make_entries(
        &self,
        trial: &Trial<'_>,
        name: &Arc<str>,
        places: &[Place],
        artifact: &Arc<Artifact>,
    ) -> Result<Entries, Refusal> {
        let config = trial.config;
        if let Err(error) = grants::check(name, &artifact.needs, config.plugins.grants.get(&**name)) {
            return Err(Refusal::of_file(name, &error));
        }
        let terms = Terms::of(config, name);
        let mut entries = Vec::new();
        let mut problems = Vec::new();
        for &Place { route: r, entry: e, nth } in places {
            let (route, entry) = (&config.routes[r], &config.routes[r].plugins[e]);
            let known = trial.known.get(&(&*route.name, &**name, nth));
            if let Some(same) = known.filter(|known| known.same(artifact, &terms, entry)) {
                entries.push(((r, e), Arc::clone(same)));
                continue;
            }
            let fresh = Entry::new(&self.host, artifact, &terms, route, entry, nth);
            match Guest::make(&fresh, None, true) {
                Ok(_) => entries.push(((r, e), Arc::new(fresh))),
                Err(MakeError::Failed(PluginError::Configure(errors))) if !errors.is_empty() => {
                    problems.extend(errors.into_iter().map(|error| {
                        let pointer = sanitise(&error.pointer, 200);
                        PluginProblem {
                            position: entry.positions.find(&pointer),
                            pointer: Some(pointer),
                            ..at_entry(name, route, entry, &sanitise(&error.message, 500))
                        }
                    }));
                }
                // A trap or an overrun would be the same in every route, and cost its time in each.
                Err(error) => {
                    let passing = matches!(error, MakeError::Exhausted);
                    let message = match error {
                        MakeError::Exhausted => LoadError::NoRoom.to_string(),
                        MakeError::Failed(error) => error.to_string(),
                    };
                    problems.push(at_entry(name, route, entry, &message));
                    return Err(Refusal { problems, state: FileState::Rejected, passing });
                }
            }
        }
        if problems.is_empty() {
            Ok(entries)
        } else {
            Err(Refusal { problems, state: FileState::Rejected, passing: false })
        }
    }

    /// For the admin listener.
    pub fn describe(&self) -> serde_json::Value {
        let plugins = self.serving.iter().map(|(name, Serving { artifact, status })| {
            let entries = self.current.entries.iter().flatten();
            let routes: BTreeSet<&str> =
                entries.filter(|entry| entry.name == *name).map(|entry| &*entry.route).collect();
            let grants = self.grants.get(&**name).cloned().unwrap_or_default();
            serde_json::json!({
                "name": &**name,
                "version": artifact.version,
                "hash": artifact.hash,
                "state": status.state,
                "since": status.since,
                "last_error": status.error,
                "grants": {"upstreams": grants.upstreams, "secrets": grants.secrets},
                "imports": artifact.imports,
                "phases": phase_names(artifact.phases),
                "routes": routes,
            })
        });
        serde_json::Value::Array(plugins.collect())
    }
}

/// An entry of a plugin in a configuration.
struct Place {
    route: usize,
    entry: usize,
    /// Which of the route's entries of the same plugin it is.
    nth: usize,
}

/// Where a configuration names each plugin.
fn places(config: &Config) -> BTreeMap<Arc<str>, Vec<Place>> {
    let mut places: BTreeMap<Arc<str>, Vec<Place>> = BTreeMap::new();
    for (route, of) in config.routes.iter().enumerate() {
        for (entry, plugin) in of.plugins.iter().enumerate() {
            let known = places.entry(plugin.name.clone()).or_default();
            let nth = known.iter().rev().take_while(|place| place.route == route).count();
            known.push(Place { route, entry, nth });
        }
    }
    places
}

/// A configuration that is tried, and the entries in force by their places.
struct Trial<'a> {
    config: &'a Config,
    known: HashMap<(&'a str, &'a str, usize), &'a Arc<Entry>>,
}

/// Entries with their places: route, then plugin.
type Entries = Vec<((usize, usize), Arc<Entry>)>;

/// Why an artifact, or the file itself, can't serve.
struct Refusal {
    problems: Vec<PluginProblem>,
    state: FileState,
    /// It says nothing about the file, and may be over the next time.
    passing: bool,
}

impl Refusal {
    fn of_file(name: &str, error: &LoadError) -> Self {
        let problem = PluginProblem {
            plugin: name.to_owned(),
            route: None,
            pointer: None,
            position: None,
            message: error.to_string(),
        };
        let missing = matches!(error, LoadError::Missing { .. } | LoadError::NoDirectory);
        Self {
            problems: vec![problem],
            state: if missing { FileState::Missing } else { FileState::Rejected },
            passing: error.is_passing(),
        }
    }

    fn text(&self) -> String {
        let line = |problem: &PluginProblem| match problem.route {
            None => problem.message.clone(),
            Some(_) => problem.to_string(),
        };
        self.problems.iter().map(line).collect::<Vec<_>>().join("; ")
    }
}

impl Serving {
    /// What serves, and why it isn't the file where it isn't.
    fn new(artifact: &Arc<Artifact>, refusal: Option<&Refusal>, before: Option<&Self>) -> Self {
        let status = Status {
            state: refusal.map_or(FileState::Serving, |refusal| refusal.state),
            hash: Some(artifact.hash.clone()),
            version: Some(artifact.version.clone()),
            error: refusal.map(Refusal::text),
            since: status::unix_seconds(),
        };
        Self { artifact: artifact.clone(), status: status.since(before.map(|before| &before.status)) }
    }

    fn announce(&self) {
        let Artifact { name, version, hash, .. } = &*self.artifact;
        match &self.status.error {
            None => tracing::info!(plugin = %name, %version, %hash, "plugin serves"),
            Some(error) => {
                tracing::warn!(plugin = %name, %version, %error, "plugin file not used; its last good version serves on")
            }
        }
    }
}

fn at_entry(name: &str, route: &Route, entry: &PluginEntry, message: &str) -> PluginProblem {
    PluginProblem {
        plugin: name.to_owned(),
        route: Some(route.name.to_string()),
        pointer: None,
        position: entry.positions.find(""),
        message: message.to_owned(),
    }
}
