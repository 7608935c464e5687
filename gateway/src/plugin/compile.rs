//! The compilation of a plugin file: what the process does that is started for it ([`serve`]), and how it is asked.
//!
//! The process does everything that the gateway will do with the file: it validates, makes a component of it, compiles,
//! loads, links, and asks `describe`. So what a file does to any of these steps, it does there.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use precompiled::{Answer, Code, Compiler, Failure, Job, Limits, Precompiled, Progress, Watch};
use serde::{Deserialize, Serialize};

use super::artifact::{Linked, sha256};
use super::componentize::componentize;
use super::context::EntryContext;
use super::engine::Host;
use super::error::{LoadError, NAMELESS, one_line, sanitise};
use super::grants;
use super::manifest::{Inspection, Manifest, keeps_nothing};
use super::wit;
use crate::model::{Compile, PluginLimits};
use crate::plugin::host::own_words::OwnWords;
use crate::state::State;

/// The command line's word for [`serve`].
const COMMAND: &str = "compile-plugin";

/// The program that runs, as the one that compiles plugins: what `gateway` is. A program that embeds the gateway names
/// one with [`compiler_at`].
pub fn this_program() -> Compiler {
    Compiler::this_program(COMMAND)
}

/// The `gateway` program of the same build as this library, as the one that compiles plugins.
pub fn compiler_at(program: &Path) -> Compiler {
    Compiler::at(program, COMMAND)
}

/// What `describe` may use, of the plugin's limits.
#[derive(Serialize, Deserialize)]
struct DescribeLimits {
    memory: usize,
    host_calls: u32,
    output: usize,
}

/// The limits of a compilation.
pub(super) fn allowed(compile: &Compile) -> Limits {
    Limits { memory: compile.memory, time: compile.time }
}

/// Has a file compiled. Blocks for as long as that takes; `watch` is asked every few milliseconds whether to go on.
pub(super) fn compile(
    compiler: &Compiler,
    bytes: &[u8],
    limits: &PluginLimits,
    compile: &Compile,
    watch: impl FnMut(&Progress) -> Watch,
) -> Result<Precompiled, LoadError> {
    let asked = DescribeLimits { memory: limits.memory, host_calls: limits.host_calls, output: limits.output };
    let about = serde_json::to_vec(&asked).map_err(|error| LoadError::Host(error.to_string()))?;
    let allowed = allowed(compile);
    match compiler.run(&Job { limits: allowed, about: &about, bytes }, watch) {
        Ok(Answer::Compiled(made)) => Ok(made),
        Ok(Answer::Refused(refusal)) => {
            let refusal: LoadError = serde_json::from_slice(&refusal)
                .unwrap_or_else(|error| LoadError::Compile(format!("the compiler's answer can't be read: {error}")));
            // The engine reports the memory that it maps itself as an error like any other.
            let refused_memory = refusal.to_string().contains("(os error 12)");
            Err(if refused_memory { LoadError::from_failure(Failure::Memory, &allowed) } else { refusal })
        }
        Err(failure) => Err(LoadError::from_failure(failure, &allowed)),
    }
}

/// Compiles a plugin and tells what it is and what it asks for. Blocking.
pub fn inspect(compiler: &Compiler, bytes: &[u8]) -> Result<Inspection, LoadError> {
    let made = compile(compiler, bytes, &PluginLimits::default(), &Compile::default(), |_| Watch::GoOn)?;
    Inspection::new(&Manifest::read(&made)?, sha256(bytes))
}

/// What the process does. Ends with its exit code.
pub fn serve() -> ExitCode {
    precompiled::serve(|asked, bytes| {
        work(asked, bytes).map_err(|error| serde_json::to_vec(&error).unwrap_or_default())
    })
}

/// What a plugin of which nothing is known yet is asked in.
pub(super) fn nameless(host: &Host, limits: PluginLimits) -> EntryContext {
    EntryContext {
        plugin: NAMELESS.into(),
        route: "?".into(),
        limits,
        upstreams: Vec::new(),
        secrets: Default::default(),
        state: host.state().clone(),
        namespace: State::default().namespace(""),
        metrics: host.options.metrics.clone(),
        flights: host.flights.clone(),
        memory: host.options.memory.clone(),
        log: Default::default(),
        hidden: Default::default(),
        words: OwnWords::new(Arc::default(), "", false),
        refused: Default::default(),
        ticker: host.ticker.clone(),
    }
}

fn work(asked: &[u8], bytes: &[u8]) -> Result<Precompiled, LoadError> {
    let asked: DescribeLimits = serde_json::from_slice(asked).map_err(|error| LoadError::Host(error.to_string()))?;
    let limits = PluginLimits {
        memory: asked.memory,
        host_calls: asked.host_calls,
        output: asked.output,
        ..PluginLimits::default()
    };
    let invalid = |error: wasmtime::Error| LoadError::Invalid(one_line(&format!("{error:#}"), 600));
    let component = componentize(bytes)?;
    let host = Host::to_compile();
    let runtime = host.runtime().map_err(|error| LoadError::Host(error.to_string()))?;
    let code = Code::compile(&runtime.engine, &component).map_err(invalid)?;
    let linked = Linked::new(runtime, host.state(), &code.load(&runtime.engine).map_err(invalid)?)?;
    let found = wit::describe(&linked.code, Arc::new(nameless(&host, limits)))?;
    let manifest = Manifest {
        name: sanitise(&found.name, 200),
        version: sanitise(&found.version, 100),
        phases: found.phases.names().into_iter().map(str::to_owned).collect(),
        authenticator: found.authenticator,
        imports: linked.imports,
        uses: linked.uses,
        grants_are_optional: grants::are_optional(&found.attributes),
        keeps_nothing: keeps_nothing(&found.attributes),
    };
    let about = serde_json::to_vec(&manifest).map_err(|error| LoadError::Host(error.to_string()))?;
    Ok(Precompiled { about, code })
}
