//! Trying plugins with a configuration: each entry is configured once, in an instance that is thrown away.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::artifact::Artifact;
use super::engine::Host;
use super::entry::{Entry, Terms};
use super::error::{LoadError, PluginError, PluginProblem, sanitise};
use super::grants;
use super::maker::MakeError;
use super::status::FileState;
use crate::model::{Config, PluginEntry, Route};
use crate::sanitize::{Configured, SafeText, safe};

/// An entry of a plugin in a configuration.
pub(super) struct EntryPlace {
    pub(super) route: usize,
    pub(super) entry: usize,
    /// Which of the route's entries of the same plugin it is.
    pub(super) nth: usize,
}

/// Where a configuration names each plugin.
pub(super) type EntryPlaces = BTreeMap<Arc<str>, Vec<EntryPlace>>;

/// See [`EntryPlaces`].
pub(super) fn places(config: &Config) -> EntryPlaces {
    let mut places = EntryPlaces::new();
    for (route, of) in config.routes.iter().enumerate() {
        for (entry, plugin) in of.plugins.iter().enumerate() {
            let known = places.entry(plugin.name.clone()).or_default();
            let nth = known.iter().rev().take_while(|place| place.route == route).count();
            known.push(EntryPlace { route, entry, nth });
        }
    }
    places
}

/// A configuration that is tried.
pub(super) struct Trial<'a> {
    pub(super) host: &'a Arc<Host>,
    pub(super) config: &'a Config,
    /// The entries in force by their places.
    pub(super) known: HashMap<(&'a str, &'a str, usize), &'a Arc<Entry>>,
    /// Dry runs that need not be made again.
    pub(super) remembered: &'a [FailedTrial],
    /// More of them.
    pub(super) failed: Vec<FailedTrial>,
}

/// A dry run that trapped, or used what it may: the same would do so again, and each time hold up what else is to be tried.
#[derive(Clone)]
pub(super) struct FailedTrial {
    hash: String,
    terms: Terms,
    config: serde_json::Value,
    message: String,
}

impl FailedTrial {
    fn is(&self, artifact: &Artifact, terms: &Terms, entry: &PluginEntry) -> bool {
        self.hash == artifact.hash && self.terms == *terms && self.config == entry.config
    }
}

/// Entries with their places: route, then plugin.
pub(super) type Entries = Vec<((usize, usize), Arc<Entry>)>;

/// Why an artifact, or the file itself, can't serve.
pub(super) struct Rejection {
    pub(super) problems: Vec<PluginProblem>,
    pub(super) state: FileState,
    /// It says nothing about the file, and may be over the next time.
    pub(super) passing: bool,
}

impl Rejection {
    pub(super) fn of_file(name: &str, error: &LoadError) -> Self {
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

    pub(super) fn text(&self) -> SafeText {
        let mut text = SafeText::default();
        for (index, problem) in self.problems.iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            text = match problem.route {
                None => safe!(text, between, Configured(&problem.message)),
                Some(_) => safe!(text, between, *problem),
            };
        }
        text
    }
}

impl Trial<'_> {
    /// The entries of one plugin in all routes; new ones are dry-run.
    pub(super) fn make_entries(
        &mut self,
        name: &Arc<str>,
        places: &[EntryPlace],
        artifact: &Arc<Artifact>,
    ) -> Result<Entries, Rejection> {
        let config = self.config;
        let grants = config.plugins.grants.get(&**name);
        if let Err(error) = grants::check(name, &artifact.needs, artifact.grants_are_optional, grants) {
            return Err(Rejection::of_file(name, &error));
        }
        let terms = Terms::of(config, name);
        let mut entries = Vec::new();
        let mut problems = Vec::new();
        for &EntryPlace { route: r, entry: e, nth } in places {
            let (route, entry) = (&config.routes[r], &config.routes[r].plugins[e]);
            let known = self.known.get(&(&*route.name, &**name, nth));
            if let Some(same) = known.filter(|known| known.same(artifact, &terms, entry)) {
                entries.push(((r, e), Arc::clone(same)));
                continue;
            }
            if let Some(failed) = self.remembered.iter().find(|failed| failed.is(artifact, &terms, entry)) {
                problems.push(at_entry(name, route, entry, &failed.message));
                return Err(Rejection { problems, state: FileState::Rejected, passing: false });
            }
            let fresh = Entry::new(self.host, artifact, &terms, route, entry, nth);
            match fresh.instantiate(None, true) {
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
                    let is_the_guests = is_the_guests(&error);
                    let message = match error {
                        MakeError::Exhausted => LoadError::NoRoom.to_string(),
                        MakeError::Failed(error) => error.to_string(),
                    };
                    if is_the_guests {
                        let (hash, terms, config) = (artifact.hash.clone(), terms.clone(), entry.config.clone());
                        self.failed.push(FailedTrial { hash, terms, config, message: message.clone() });
                    }
                    problems.push(at_entry(name, route, entry, &message));
                    return Err(Rejection { problems, state: FileState::Rejected, passing });
                }
            }
        }
        if problems.is_empty() {
            Ok(entries)
        } else {
            Err(Rejection { problems, state: FileState::Rejected, passing: false })
        }
    }
}

/// Whether the same would happen again: a trap of the guest, or a limit. What the system refused, memory above all, may be
/// there the next time.
const fn is_the_guests(error: &MakeError) -> bool {
    matches!(error, MakeError::Failed(error) if error.is_the_guests())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase::Phase;
    use crate::plugin::error::Overrun;

    #[test]
    fn only_what_the_guest_did_itself_is_held_against_it() {
        let phase = Phase::Configure;
        let overrun = Overrun::HostCalls(5);
        let trap = PluginError::Trap { phase, message: "unreachable".to_owned(), at: None };
        assert!(is_the_guests(&MakeError::Failed(trap)));
        assert!(is_the_guests(&MakeError::Failed(PluginError::Overrun { plugin: "a".into(), phase, overrun })));
        let no_memory = PluginError::Instance("mmap failed: Cannot allocate memory (os error 12)".to_owned());
        assert!(!is_the_guests(&MakeError::Failed(no_memory)));
        assert!(!is_the_guests(&MakeError::Exhausted));
    }
}
