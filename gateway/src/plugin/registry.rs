//! The plugins of the directory: loads what the routes name, keeps the last good version of each, and makes the entries
//! of a configuration.
//!
//! It works in two steps, because a new configuration may be refused for other reasons than its plugins:
//! [`Registry::judge`] tries everything and changes nothing, [`Registry::commit`] puts the result in force. What was found
//! out about a file ([`loads`](super::loads)) is kept apart from what serves: a file that does not work with one
//! configuration may work with the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::artifact::{read_whole, sha256};
use super::engine::Host;
use super::entry::{Entry, limits_of};
use super::error::{LoadError, PluginProblem};
use super::loads::{LoadRequest, Loads};
use super::serving::{Candidate, Serving};
use super::status::{self, FileState};
use super::trial::{Entries, EntryPlace, EntryPlaces, FailedTrial, Rejection, Trial, places};
use super::trust;
use crate::model::{Config, Plugins};

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

/// What was found out besides what can serve.
#[derive(Clone, Default)]
pub struct Findings {
    passing: bool,
    /// Dry runs that need not be made again.
    failed: Vec<FailedTrial>,
}

/// What the directory of compiled plugins is called in the one that the configuration names.
const CACHE: &str = "gateway-plugins";
/// How many of them are remembered.
const MOST_FAILED: usize = 64;

impl Findings {
    /// Whether something failed for a reason that passes by itself.
    pub const fn is_passing(&self) -> bool {
        self.passing
    }
}

/// What [`Registry::judge`] found.
pub struct Judgement {
    /// To be remembered whatever comes of the configuration: see [`Registry::learn`].
    pub findings: Findings,
    /// What can be put in force, or every reason why not.
    pub verdict: Result<Accepted, Vec<PluginProblem>>,
    /// Plugins that are being compiled and that no version which serves can stand in for: the verdict is open until they
    /// are known. Empty, unless it came from [`Registry::judge_now`].
    pub awaited: Vec<Arc<str>>,
}

/// Plugins that work with a configuration, not yet in force.
pub struct Accepted {
    /// The configuration's entries.
    pub plugins: PluginSet,
    serving: BTreeMap<Arc<str>, Serving>,
    settings: Plugins,
}

impl Accepted {
    /// The plugins that have to be signed or pinned, each with who vouches for it, in words.
    pub fn vouched(&self) -> Vec<String> {
        let pinned = |name: &str| self.settings.pins.contains_key(name);
        self.serving.iter().filter_map(|(name, serving)| serving.vouched(name, pinned(name))).collect()
    }
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
    loads: Loads,
    findings: Findings,
    serving: BTreeMap<Arc<str>, Serving>,
    current: PluginSet,
    settings: Plugins,
}

impl Registry {
    /// An empty registry.
    pub fn new(host: Arc<Host>) -> Self {
        Self {
            loads: Loads::new(host.clone()),
            host,
            findings: Findings::default(),
            serving: BTreeMap::new(),
            current: PluginSet::default(),
            settings: Plugins::default(),
        }
    }

    /// Reads the files that a configuration names, has those compiled that are new, and dry-runs them. Changes nothing.
    /// Blocking, for as long as the compiler needs: not for a worker.
    ///
    /// A file that fails is left out where its last good version works in its place. A version that serves from another
    /// directory does not stand in: a new directory must hold what the routes need.
    pub fn judge(&self, config: &Config) -> Judgement {
        let places = places(config);
        let names: Vec<_> = places.keys().cloned().collect();
        loop {
            let candidates = self.candidates(config, &places);
            if candidates.values().all(Option::is_some) {
                return self.judge_candidates(config, &places, candidates);
            }
            self.loads.wait(&names);
        }
    }

    /// The same without waiting for the compiler: what serves stands in for a file that is being compiled. See
    /// [`Self::loaded`] for when to ask again.
    pub fn judge_now(&self, config: &Config) -> Judgement {
        let places = places(config);
        let candidates = self.candidates(config, &places);
        self.judge_candidates(config, &places, candidates)
    }

    /// Changes each time that a file has been compiled, or refused.
    pub fn loaded(&self) -> watch::Receiver<u64> {
        self.loads.ended()
    }

    fn judge_candidates(&self, config: &Config, places: &EntryPlaces, mut candidates: FoundFiles) -> Judgement {
        let same_directory = config.plugins.directory == self.settings.directory;
        let known = self.current.entries.iter().flatten().map(|entry| (entry.place(), entry)).collect();
        let (host, remembered) = (&self.host, self.findings.failed.as_slice());
        let mut trial = Trial { host, config, known, remembered, failed: Vec::new() };
        let mut findings = Findings::default();
        let (mut serving, mut made) = (BTreeMap::new(), HashMap::new());
        let (mut problems, mut awaited) = (Vec::new(), Vec::new());
        for (name, places) in places {
            let known = self.serving.get(name);
            let candidate = candidates.remove(name).flatten();
            let refusal = match &candidate {
                None => None,
                Some(Ok(found)) => match trial.make_entries(name, places, &found.artifact) {
                    Ok(entries) => {
                        made.extend(entries);
                        serving.insert(name.clone(), Serving::new(found, None, known));
                        continue;
                    }
                    Err(refusal) => Some(refusal),
                },
                Some(Err(error)) => Some(Rejection::of_file(name, error)),
            };
            findings.passing |= refusal.as_ref().is_some_and(|refusal| refusal.passing);
            // Where the file does not work, or not yet, the version that serves is tried in its place.
            let last_good = known.filter(|known| {
                let tried = candidate.as_ref().and_then(|candidate| candidate.as_ref().ok());
                same_directory && tried.is_none_or(|tried| tried.artifact.hash != known.what.artifact.hash)
            });
            let fallback = last_good.map(|good| (good, make_again(&mut trial, name, places, good)));
            match (fallback, refusal) {
                (Some((good, Ok(entries))), refusal) => {
                    made.extend(entries);
                    let goes_on = match &refusal {
                        Some(refusal) => Serving::new(&good.what, Some(refusal), known),
                        None => good.clone(),
                    };
                    serving.insert(name.clone(), goes_on);
                }
                (_, None) => awaited.push(name.clone()),
                (Some((good, Err(too))), Some(refusal)) => {
                    findings.passing |= too.passing;
                    problems.extend(refusal.problems);
                    problems.extend(too.problems.into_iter().map(|problem| PluginProblem {
                        message: format!(
                            "its version {}, which serves now: {}",
                            good.what.artifact.version, problem.message
                        ),
                        ..problem
                    }));
                }
                (None, Some(refusal)) => problems.extend(refusal.problems),
            }
        }
        let verdict = if problems.is_empty() && awaited.is_empty() {
            let entries =
                config.routes.iter().enumerate().map(|(r, route)| {
                    (0..route.plugins.len()).filter_map(|e| made.remove(&(r, e))).collect::<Vec<_>>()
                });
            let plugins = PluginSet { entries: entries.collect() };
            Ok(Accepted { plugins, serving, settings: config.plugins.clone() })
        } else {
            Err(problems)
        };
        findings.failed = trial.failed;
        Judgement { findings, verdict, awaited }
    }

    /// Remembers what was found out, also where the configuration was refused.
    pub fn learn(&mut self, findings: Findings) {
        self.findings.passing = findings.passing;
        let failed = &mut self.findings.failed;
        failed.extend(findings.failed);
        failed.drain(..failed.len().saturating_sub(MOST_FAILED));
    }

    /// Forgets which dry runs failed: somebody asks for all of it to be tried again.
    pub fn forget_dry_runs(&mut self) {
        self.findings.failed.clear();
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
            if let Some(directory) = &accepted.settings.directory {
                status::write(directory, name, &serving.status);
            }
        }
        let moved = self.settings.directory != accepted.settings.directory;
        self.remove_status_files(|name| moved || !accepted.serving.contains_key(name));
        self.serving = accepted.serving;
        self.settings = accepted.settings;
        self.current = accepted.plugins;
        left_out
    }

    /// Takes away what was written beside plugins that don't serve any more: all of it, where the process ends.
    pub fn remove_status_files(&self, of: impl Fn(&Arc<str>) -> bool) {
        if let Some(directory) = &self.settings.directory {
            self.serving.keys().filter(|name| of(name)).for_each(|name| status::remove(directory, name));
        }
    }

    /// Ends the compilation of files, and forgets what was found out about them, that neither serve nor are `attempted`: of
    /// a configuration that was replaced by another one. Not at every change of a plugin: what a configuration needs that
    /// is not in force yet would be compiled over and over.
    pub fn give_up_others(&self, attempted: &BTreeSet<PathBuf>) {
        self.loads.retain(|name, path| self.serving.contains_key(name) || attempted.contains(path));
    }

    /// Ends every compilation, for good.
    pub fn stop(&self) {
        self.loads.stop();
    }

    /// The plugins that serve.
    pub fn in_force(&self) -> impl Iterator<Item = InForce<'_>> {
        self.serving.iter().map(|(name, serving)| InForce {
            name,
            version: &serving.what.artifact.version,
            hash: &serving.what.artifact.hash,
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

    /// What the files are that a configuration names; `None` of what is being compiled.
    fn candidates(&self, config: &Config, places: &EntryPlaces) -> FoundFiles {
        let found = |name: &Arc<str>| match &config.plugins.directory {
            Some(directory) => self.find(directory, name, config),
            None => Some(Err(LoadError::NoDirectory)),
        };
        places.keys().map(|name| (name.clone(), found(name))).collect()
    }

    /// What the file is as it is now. Files are read anew each time, because neither their length nor their times tell for
    /// sure that they are the same.
    fn find(&self, directory: &Path, name: &Arc<str>, config: &Config) -> Option<Result<Candidate, LoadError>> {
        let path = directory.join(format!("{name}.wasm"));
        let bytes = match read_whole(&path) {
            Ok(bytes) => bytes,
            Err(error) => return Some(Err(error)),
        };
        let hash = sha256(&bytes);
        let signer = match trust::check(&config.plugins, name, &path, &hash, &bytes) {
            Ok(signer) => signer,
            Err(error) => return Some(Err(error)),
        };
        if let Some(serving) = self.serving.get(name).filter(|serving| serving.what.artifact.hash == hash) {
            return Some(Ok(Candidate { artifact: serving.what.artifact.clone(), signer }));
        }
        // Of its own name, because the directory that is named may be there for others too.
        let cache = config
            .plugins
            .cache
            .as_ref()
            .map(|directory| directory.join(CACHE))
            .or_else(|| self.host.options.cache.clone());
        let (limits, compile) = (limits_of(config, name), config.plugins.compile);
        let found = self.loads.ask(name, LoadRequest { path, hash, limits, compile, cache }, bytes)?;
        Some(found.map(|artifact| Candidate { artifact, signer }))
    }

    /// For the admin listener.
    pub fn describe(&self) -> serde_json::Value {
        let plugins = self.serving.iter().map(|(name, serving)| {
            let entries = self.current.entries.iter().flatten();
            let routes: BTreeSet<&str> =
                entries.filter(|entry| entry.name == *name).map(|entry| &*entry.route).collect();
            let Plugins { grants, pins, .. } = &self.settings;
            serving.describe(name, grants.get(&**name), pins.contains_key(&**name), &routes)
        });
        serde_json::Value::Array(plugins.collect())
    }
}

/// What the file of each plugin is; `None` while that is not known.
type FoundFiles = BTreeMap<Arc<str>, Option<Result<Candidate, LoadError>>>;

/// The entries of a version that serves, where it may go on.
fn make_again(
    trial: &mut Trial<'_>,
    name: &Arc<str>,
    places: &[EntryPlace],
    good: &Serving,
) -> Result<Entries, Rejection> {
    good.may_stay(&trial.config.plugins, name).map_err(|error| Rejection::of_file(name, &error))?;
    trial.make_entries(name, places, &good.what.artifact)
}
