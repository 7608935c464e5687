//! A plugin file: read whole and hashed; what was compiled of it, loaded and linked.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use precompiled::Precompiled;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::engine::{Host, Runtime};
use super::error::{LoadError, one_line};
use super::grants::{self, Need, PACKAGE, VERSION};
use super::manifest::{Manifest, needs};
use super::wit::{HANDLER, Plugin};
use crate::config::nearest;
use crate::phase::{Phase, Phases};
use crate::sanitize::Texts;
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
    /// Whether it decides who may pass.
    pub authenticator: bool,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The grants that they ask for.
    pub needs: Vec<Need>,
    /// Whether it says that it has use without them too.
    pub grants_are_optional: bool,
    /// Whether a body that it reads in chunks must come to one instance, which keeps what is to be remembered of it.
    pub pins: bool,
    /// The texts in its file, by which its own words are known.
    pub(super) texts: Arc<Texts>,
    /// What is instantiated.
    pub(super) code: Plugin,
}

impl Artifact {
    /// Takes what was compiled. The same steps were tried by whoever compiled it, on a smaller stack.
    pub(super) fn load(host: &Arc<Host>, hash: &str, made: &Precompiled, texts: Arc<Texts>) -> Result<Self, LoadError> {
        let runtime = host.runtime().map_err(|error| LoadError::Host(error.to_string()))?;
        let invalid = |error: wasmtime::Error| LoadError::Invalid(one_line(&format!("{error:#}"), 600));
        let component = made.code.load(&runtime.engine).map_err(invalid)?;
        let linked = Linked::new(runtime, host.state(), &component)?;
        let manifest = Manifest::read(made)?;
        let phases = manifest.phases();
        if phases.contains(Phase::Tick) {
            tracing::warn!(plugin = %manifest.name, "names the phase `tick`, which is reserved and never called");
        }
        Ok(Self {
            authenticator: manifest.authenticator,
            name: manifest.name,
            version: manifest.version,
            hash: hash.to_owned(),
            phases,
            imports: linked.imports,
            needs: linked.needs,
            grants_are_optional: manifest.grants_are_optional,
            pins: !manifest.keeps_nothing,
            texts,
            code: linked.code,
        })
    }
}

/// A component whose imports and exports are those of the contract.
pub(super) struct Linked {
    pub(super) imports: Vec<String>,
    /// Functions of them that make use of a grant which it can do without.
    pub(super) uses: Vec<String>,
    needs: Vec<Need>,
    pub(super) code: Plugin,
}

impl Linked {
    pub(super) fn new(runtime: &Runtime, state: &State, component: &Component) -> Result<Self, LoadError> {
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
        let code = Plugin::link(&runtime.linker, component, suspends(&imports, &needs, state))?;
        Ok(Self { imports, uses, needs, code })
    }
}

/// Whether it may wait for the host, so that it needs a stack of its own: for calls of its own, and for state that is not
/// in this process.
fn suspends(imports: &[String], needs: &[Need], state: &State) -> bool {
    let keeps = |import: &String| import.contains("/kv@") || import.contains("/counters@");
    needs.contains(&Need::Upstreams) || (state.waits() && imports.iter().any(keeps))
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
