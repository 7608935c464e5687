//! What a plugin says of itself, and what is shown of that.

use std::fmt;

use plugin_rules::body::{IN_THE_EXCHANGE, STREAM_STATE};
use precompiled::Precompiled;
use serde::{Deserialize, Serialize};

use super::error::LoadError;
use super::grants::{self, Need};
use crate::phase::Phases;

/// What a plugin says of itself, and what was found in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) phases: Vec<String>,
    pub(super) authenticator: bool,
    pub(super) imports: Vec<String>,
    /// Functions that make use of grants which it can do without.
    pub(super) uses: Vec<String>,
    /// Whether it says that it has use without grants too.
    pub(super) grants_are_optional: bool,
    /// Whether it keeps nothing of an exchange in its instance; see [`keeps_nothing`].
    pub(super) keeps_nothing: bool,
}

/// Whether a manifest says that between the chunks of a body the plugin keeps what it must remember in the exchange. Those
/// built before the contract had a place for it there keep it in their instance.
pub(super) fn keeps_nothing(attributes: &[(String, String)]) -> bool {
    attributes.iter().any(|(name, value)| name == STREAM_STATE && value == IN_THE_EXCHANGE)
}

impl Manifest {
    pub(super) fn phases(&self) -> Phases {
        Phases::named(self.phases.iter().map(String::as_str))
    }

    /// From what was compiled.
    pub(super) fn read(made: &Precompiled) -> Result<Self, LoadError> {
        serde_json::from_slice(&made.about)
            .map_err(|error| LoadError::Invalid(format!("what it is can't be read: {error}")))
    }
}

/// The grants that imports ask for.
pub(super) fn needs(imports: &[String]) -> Result<Vec<Need>, LoadError> {
    let needs: Result<Vec<_>, _> = imports.iter().map(|name| grants::classify(name)).collect();
    Ok(needs?.into_iter().flatten().collect())
}

/// What `gateway plugin check` shows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Inspection {
    /// From the manifest.
    pub name: String,
    /// From the manifest.
    pub version: String,
    /// SHA-256 of the file.
    pub hash: String,
    /// The phases that it wants to be called in.
    pub phases: Vec<&'static str>,
    /// Its traits.
    pub traits: Vec<&'static str>,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The keys under `plugins.grants.NAME` that its imports ask for.
    pub needed_grants: Vec<&'static str>,
    /// Those that it makes use of where its config says so, each with the function that does.
    pub usable_grants: Vec<(&'static str, &'static str)>,
    /// Whether it loads without them too.
    pub grants_are_optional: bool,
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |words: &[&str]| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        writeln!(f, "name     {}", self.name)?;
        writeln!(f, "version  {}", self.version)?;
        writeln!(f, "sha256   {}", self.hash)?;
        writeln!(f, "phases   {}", list(&self.phases))?;
        writeln!(f, "traits   {}", list(&self.traits))?;
        let imports: Vec<&str> = self.imports.iter().map(String::as_str).collect();
        let imports = if imports.is_empty() { "none".to_owned() } else { imports.join("\n         ") };
        writeln!(f, "imports  {imports}")?;
        let to_allow =
            |grant: &str| format!("to allow it: plugins: {{grants: {{{}: {{{grant}: [NAME, ...]}}}}}}", self.name);
        let optional = if self.grants_are_optional { " (optional: its config may need none)" } else { "" };
        let needed = self.needed_grants.iter().map(|grant| format!("{grant}{optional}\n         {}", to_allow(grant)));
        let usable = self.usable_grants.iter().map(|(grant, function)| {
            format!("{grant}, if its config names any ({function})\n         {}", to_allow(grant))
        });
        let lines: Vec<String> = needed.chain(usable).collect();
        let lines = if lines.is_empty() { "none".to_owned() } else { lines.join("\n         ") };
        writeln!(f, "grants   {lines}")
    }
}

impl Inspection {
    pub(super) fn new(manifest: &Manifest, hash: String) -> Result<Self, LoadError> {
        let needs = needs(&manifest.imports)?;
        let uses = manifest.uses.iter().filter_map(|function| grants::use_of(function));
        Ok(Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            hash,
            phases: manifest.phases().names(),
            traits: if manifest.authenticator { vec!["authenticator"] } else { vec![] },
            imports: manifest.imports.clone(),
            usable_grants: uses.filter(|(need, _)| !needs.contains(need)).map(|(need, by)| (need.key(), by)).collect(),
            grants_are_optional: manifest.grants_are_optional && !needs.is_empty(),
            needed_grants: needs.into_iter().map(Need::key).collect(),
        })
    }
}
