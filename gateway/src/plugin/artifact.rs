//! A plugin file: read whole and hashed; what was compiled of it, loaded and linked.

use std::fmt;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use precompiled::Precompiled;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};

use super::compile::Manifest;
use super::engine::{Host, Runtime};
use super::error::{LoadError, one_line};
use super::grants::{self, Need, PACKAGE, VERSION};
use super::host::HostState;
use super::instance::Functions;
use super::phase::{HANDLER, Phases, Traits, phase_names};
use crate::config::nearest;
use crate::state::State;
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
    /// Whether it says that it has use without them too.
    pub grants_are_optional: bool,
    pub(crate) pre: InstancePre<HostState>,
    pub(crate) functions: Functions,
    /// Whether it may wait for the host, so that it needs a stack of its own.
    pub(crate) suspends: bool,
}

impl Artifact {
    /// Takes what was compiled. The same steps were tried by whoever compiled it, on a smaller stack.
    pub(super) fn load(host: &Arc<Host>, hash: &str, made: &Precompiled) -> Result<Self, LoadError> {
        let runtime = host.runtime().map_err(|error| LoadError::Host(error.to_string()))?;
        let invalid = |error: wasmtime::Error| LoadError::Invalid(one_line(&format!("{error:#}"), 600));
        let component = made.code.load(&runtime.engine).map_err(invalid)?;
        let linked = Linked::new(runtime, &component)?;
        let manifest = Manifest::read(made)?;
        let phases = manifest.phases();
        if phases.contains(Phases::TICK) {
            tracing::warn!(plugin = %manifest.name, "the phase `tick` is not called by this version of the gateway");
        }
        Ok(Self {
            traits: manifest.traits(),
            name: manifest.name,
            version: manifest.version,
            hash: hash.to_owned(),
            phases,
            suspends: linked.suspends(host.state()),
            imports: linked.imports,
            needs: linked.needs,
            grants_are_optional: manifest.grants_are_optional,
            pre: linked.pre,
            functions: linked.functions,
        })
    }
}

/// A component whose imports and exports are those of the contract.
pub(super) struct Linked {
    pub(super) imports: Vec<String>,
    /// Functions of them that make use of a grant which it can do without.
    pub(super) uses: Vec<String>,
    needs: Vec<Need>,
    pub(super) pre: InstancePre<HostState>,
    pub(super) functions: Functions,
}

impl Linked {
    pub(super) fn new(runtime: &Runtime, component: &Component) -> Result<Self, LoadError> {
        let (engine, types) = (component.engine(), component.component_type());
        let (mut imports, mut uses) = (Vec::new(), Vec::new());
        for (name, item) in types.imports(engine) {
            // What the code doesn't call is not among the functions.
            if let ComponentItem::ComponentInstance(interface) = &item.ty {
                let functions = interface.exports(engine).map(|(function, _)| function);
                uses.extend(functions.filter(|function| grants::use_of(function).is_some()).map(str::to_owned));
            }
            imports.push(name.to_owned());
        }
        let needs = needs(&imports)?;
        check_exports(component)?;
        let functions = Functions::find(component)?;
        let pre = runtime
            .linker
            .instantiate_pre(component)
            .map_err(|error| LoadError::Import(one_line(&format!("{error:#}"), 600)))?;
        Ok(Self { imports, uses, needs, pre, functions })
    }

    /// Whether it may wait for the host: for calls of its own, and for state that is not in this process.
    pub(super) fn suspends(&self, state: &State) -> bool {
        let keeps = |import: &String| import.contains("/kv@") || import.contains("/counters@");
        self.needs.contains(&Need::Upstreams) || (state.waits() && self.imports.iter().any(keeps))
    }
}

/// The grants that imports ask for.
fn needs(imports: &[String]) -> Result<Vec<Need>, LoadError> {
    let needs: Result<Vec<_>, _> = imports.iter().map(|name| grants::classify(name)).collect();
    Ok(needs?.into_iter().flatten().collect())
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

impl Inspection {
    pub(super) fn new(manifest: &Manifest, hash: String) -> Result<Self, LoadError> {
        let authenticator = manifest.traits().contains(Traits::AUTHENTICATOR);
        let needs = needs(&manifest.imports)?;
        let uses = manifest.uses.iter().filter_map(|function| grants::use_of(function));
        Ok(Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            hash,
            phases: phase_names(manifest.phases()),
            traits: if authenticator { vec!["authenticator"] } else { vec![] },
            imports: manifest.imports.clone(),
            usable_grants: uses.filter(|(need, _)| !needs.contains(need)).map(|(need, by)| (need.key(), by)).collect(),
            grants_are_optional: manifest.grants_are_optional && !needs.is_empty(),
            needed_grants: needs.into_iter().map(Need::key).collect(),
        })
    }
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
