//! A plugin file: read whole, hashed, compiled and asked what it is.

use std::fmt;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};

use super::componentize::componentize;
use super::engine::Host;
use super::error::{LoadError, one_line};
use super::grants::{self, Need, PACKAGE, VERSION};
use super::host::HostState;
use super::instance::Functions;
use super::phase::{HANDLER, Phases, Traits, phase_names};
use crate::config::model::PluginLimits;
use crate::config::nearest;
use crate::watch;

/// Bytes of a plugin file; the largest language runtimes stay far below.
pub(crate) const MAX_BYTES: u64 = 256 << 20;

fn unreadable(path: &Path, error: &std::io::Error) -> LoadError {
    if error.kind() == std::io::ErrorKind::NotFound {
        return LoadError::Missing { file: path.display().to_string(), near: neighbour(path) };
    }
    LoadError::Unreadable { path: path.display().to_string(), reason: error.to_string() }
}

/// The plugin in the same directory that was perhaps meant.
fn neighbour(path: &Path) -> Option<String> {
    let wanted = path.file_stem()?.to_str()?;
    let files = std::fs::read_dir(path.parent()?).ok()?.flatten().map(|file| file.path());
    // A link that leads nowhere is not a plugin that is there.
    let plugins = files.filter(|file| file.extension().is_some_and(|extension| extension == "wasm") && file.is_file());
    let names: Vec<_> = plugins.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect();
    nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

/// Reads a file that somebody may be writing.
pub(crate) fn read_whole(path: &Path) -> Result<Vec<u8>, LoadError> {
    let read = watch::read_settled(path, MAX_BYTES).map_err(|error| unreadable(path, &error))?;
    read.ok_or_else(|| LoadError::Incomplete("it changed while it was read".to_owned()))
}

/// SHA-256 in lower-case hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A compiled plugin, not yet bound to a config.
pub struct Artifact {
    /// From the manifest; the same as the file's name.
    pub name: String,
    /// From the manifest.
    pub version: String,
    /// SHA-256 of the file.
    pub hash: String,
    /// The phases that it wants to be called in.
    pub phases: Phases,
    /// Its traits.
    pub traits: Traits,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The grants that they ask for.
    pub needs: Vec<Need>,
    /// Grants that it can do without, and the functions that make use of them.
    pub uses: Vec<(Need, &'static str)>,
    /// Whether it says that it has use without them too.
    pub grants_are_optional: bool,
    pub(crate) pre: InstancePre<HostState>,
    pub(crate) functions: Functions,
    /// Whether it may wait for the host, so that it needs a stack of its own.
    pub(crate) suspends: bool,
}

impl Artifact {
    /// Compiles and checks. Blocks for as long as the compiler needs.
    pub(crate) fn compile(host: &Arc<Host>, bytes: &[u8], limits: &PluginLimits) -> Result<Self, LoadError> {
        let encoded = componentize(bytes)?;
        let runtime = host.runtime().map_err(|error| LoadError::Host(error.to_string()))?;
        let component = Component::new(&runtime.engine, &encoded)
            .map_err(|error| LoadError::Invalid(one_line(&format!("{error:#}"), 600)))?;
        let Imports { names: imports, needs, uses } = imports(&component)?;
        check_exports(&component)?;
        let functions = Functions::find(&component)?;
        let pre = runtime
            .linker
            .instantiate_pre(&component)
            .map_err(|error| LoadError::Import(one_line(&format!("{error:#}"), 600)))?;
        let suspends = needs.contains(&Need::Upstreams);
        let manifest = super::instance::describe(host, &pre, &functions, suspends, limits)?;
        if manifest.phases.contains(Phases::TICK) {
            tracing::warn!(plugin = %manifest.name, "the phase `tick` is not called by this version of the gateway");
        }
        Ok(Self {
            name: manifest.name,
            version: super::error::sanitise(&manifest.version, 100),
            hash: sha256(bytes),
            phases: manifest.phases,
            traits: manifest.traits,
            imports,
            needs,
            uses,
            grants_are_optional: grants::are_optional(&manifest.attributes),
            pre,
            functions,
            suspends,
        })
    }
}

/// What a component asks for.
struct Imports {
    /// Interfaces.
    names: Vec<String>,
    needs: Vec<Need>,
    uses: Vec<(Need, &'static str)>,
}

fn imports(component: &Component) -> Result<Imports, LoadError> {
    let (mut names, mut needs, mut uses) = (Vec::new(), Vec::new(), Vec::new());
    let engine = component.engine();
    for (name, item) in component.component_type().imports(engine) {
        match (grants::classify(name)?, &item.ty) {
            (Some(need), _) => needs.push(need),
            // What the code doesn't call is not among the functions.
            (None, ComponentItem::ComponentInstance(interface)) => {
                uses.extend(interface.exports(engine).filter_map(|(function, _)| grants::use_of(function)));
            }
            (None, _) => {}
        }
        names.push(name.to_owned());
    }
    uses.retain(|(need, _)| !needs.contains(need));
    Ok(Imports { names, needs, uses })
}

fn check_exports(component: &Component) -> Result<(), LoadError> {
    let engine = component.engine();
    let ty = component.component_type();
    let mut other = None;
    for (name, item) in ty.exports(engine) {
        if name == HANDLER && matches!(item.ty, ComponentItem::ComponentInstance(_)) {
            return Ok(());
        }
        if let Some(version) = name.strip_prefix("edge:gateway/handler@") {
            if grants::compatible(version) {
                return Ok(());
            }
            other = Some(version.to_owned());
        }
    }
    Err(match other {
        Some(version) => LoadError::Version { found: format!("{PACKAGE}@{version}") },
        None => LoadError::Export(format!(
            "does not export `{PACKAGE}/handler@{VERSION}`; build it with the plugin SDK (`plugin_sdk::export!`)"
        )),
    })
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

impl From<&Artifact> for Inspection {
    fn from(artifact: &Artifact) -> Self {
        Self {
            name: artifact.name.clone(),
            version: artifact.version.clone(),
            hash: artifact.hash.clone(),
            phases: phase_names(artifact.phases),
            traits: if artifact.traits.contains(Traits::AUTHENTICATOR) { vec!["authenticator"] } else { vec![] },
            imports: artifact.imports.clone(),
            needed_grants: artifact.needs.iter().map(|need| need.key()).collect(),
            usable_grants: artifact.uses.iter().map(|(need, function)| (need.key(), *function)).collect(),
            grants_are_optional: artifact.grants_are_optional && !artifact.needs.is_empty(),
        }
    }
}

/// Compiles a plugin and tells what it is and what it asks for. Blocking.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    let options = super::engine::HostOptions { instances_per_worker: 4, ..super::engine::HostOptions::default() };
    Artifact::compile(&Host::new(options), bytes, &PluginLimits::default()).map(|artifact| Inspection::from(&artifact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_is_not_there_brings_to_mind_one_of_nearly_the_same_name() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["auth.wasm", "audit.status.json", "rate-limit.wasm"] {
            std::fs::write(directory.path().join(file), "").unwrap();
        }
        std::os::unix::fs::symlink("nowhere", directory.path().join("breaker.wasm")).unwrap();
        let said = |name: &str| read_whole(&directory.path().join(name)).unwrap_err().to_string();
        let advice = "put the plugin there, or remove it from the routes that name it";
        assert!(said("auht.wasm").ends_with(&format!("auht.wasm does not exist; {advice} (did you mean \"auth\"?)")));
        assert!(said("breaker.wasm").ends_with(&format!("breaker.wasm does not exist; {advice}")));
    }
}
