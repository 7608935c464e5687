//! What can go wrong between the host and a guest: at load ([`LoadError`], [`PluginProblem`]) and in one
//! phase call ([`PluginError`]).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use precompiled::{Failure, Limits};

use super::call::PluginConfigError;
use super::symbols::{self, CodePlace};
use crate::error::{Error, ErrorKind};
use crate::phase::Phase;
use crate::sanitize::{as_displayed, safe};

/// Why a file is not (yet) a plugin that can serve. It comes from the process that compiles as JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum LoadError {
    /// There is no such file.
    #[error(
        "{file} does not exist; put the plugin there, or remove it from the routes that name it{}",
        hint(near.as_deref())
    )]
    Missing {
        /// Where it would be.
        file: String,
        /// The plugin that was perhaps meant.
        near: Option<String>,
    },
    /// There is no directory of plugins.
    #[error("the configuration names no directory of plugins; add `plugins: {{directory: DIRECTORY}}`")]
    NoDirectory,
    /// It can't be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's word.
        reason: String,
    },
    /// Not the file's fault: nothing can be loaded on this machine.
    #[error("{0}")]
    Host(String),
    /// It changes while it is read, or ends in the middle of a section.
    #[error("the file is incomplete ({0}); it is read again when it changes")]
    Incomplete(String),
    /// Nobody who is trusted vouches for it. Nothing has looked into it.
    #[error("{0}")]
    Untrusted(String),
    /// Not a wasm binary.
    #[error("not a wasm binary: {0}")]
    NotWasm(String),
    /// Made for another host.
    #[error(
        "made for {abi}, which this gateway does not speak; build it with the plugin SDK (`gateway plugin new NAME`)"
    )]
    ForeignAbi {
        /// The other ABI.
        abi: String,
    },
    /// A contract of another version.
    #[error("speaks the contract {found}, this gateway speaks edge:gateway@0.1.0; rebuild it with a matching SDK")]
    Version {
        /// The version found.
        found: String,
    },
    /// Imports something outside the contract.
    #[error("{0}")]
    Import(String),
    /// Lacks the exported interface or one of its functions.
    #[error("{0}")]
    Export(String),
    /// The engine refuses it.
    #[error("not a valid plugin: {0}")]
    Invalid(String),
    /// Compiling it took more than it may, or ended the process that did it.
    #[error("{0}")]
    Compile(String),
    /// Something else ended the compilation, or kept the processor from it: it says little about the file.
    #[error("{0}; it is tried again")]
    Interrupted(String),
    /// A grant is missing.
    #[error("{0}")]
    Grant(String),
    /// `describe` says something unacceptable.
    #[error("{0}")]
    Manifest(String),
    /// A call at load trapped or overran its budget.
    #[error("{0}")]
    Call(String),
    /// The process has no room for one more instance now, which says nothing about the file.
    #[error("no room for another instance to try it in; it is tried again")]
    NoRoom,
}

fn hint(near: Option<&str>) -> String {
    near.map(|name| format!(" (did you mean \"{name}\"?)")).unwrap_or_default()
}

impl LoadError {
    /// Whether it says nothing about the file, and may be over the next time.
    pub(super) const fn is_passing(&self) -> bool {
        matches!(self, Self::NoRoom | Self::Host(_) | Self::Interrupted(_))
    }

    /// What it means that the process which compiles has no answer.
    pub(super) fn from_failure(failure: Failure, allowed: &Limits) -> Self {
        let raise = |key: &str| format!("if it is no mistake, raise plugins.compile.{key}");
        Self::Compile(match failure {
            Failure::Start(error) => {
                return Self::Host(format!("cannot start the process that compiles plugins: {error}"));
            }
            Failure::GivenUp => return Self::Host("compiling it was given up".to_owned()),
            Failure::Signal(signal @ (1 | 2 | 15)) => {
                return Self::Host(format!("the process that compiles it was ended from outside (signal {signal})"));
            }
            Failure::Time => {
                format!("compiling it took more than {:?} of CPU time; {}", allowed.time, raise("time"))
            }
            // It would have used its CPU time before, had it got it.
            Failure::Clock => {
                let clock = allowed.clock();
                return Self::Interrupted(format!(
                    "compiling it was not done after {clock:?}, because the machine was busy with something else"
                ));
            }
            Failure::Memory => format!(
                "compiling it needed more than {} of memory; {}, of which a quarter of the machine's memory is the most",
                bytes(allowed.memory),
                raise("memory")
            ),
            Failure::Code => format!(
                "it compiles to more than {} of code, an eighth of plugins.compile.memory; {}",
                bytes(allowed.code()),
                raise("memory")
            ),
            Failure::Stack => "the compiler overflowed its stack on it: something in it is nested too deep".to_owned(),
            Failure::Signal(9) => {
                return Self::Interrupted(format!(
                    "the compiler was killed (signal 9), perhaps because the machine or the container ran out of memory \
                     before plugins.compile.memory ({}) was reached",
                    bytes(allowed.memory)
                ));
            }
            Failure::Signal(signal) => format!("the compiler crashed on it (signal {signal})"),
            Failure::Defect(said) => format!("the compiler failed on it: {}", one_line(&said, 300)),
        })
    }
}

/// A number of bytes as the configuration writes it.
fn bytes(count: u64) -> String {
    match [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .iter()
        .find(|(_, shift)| count > 0 && count.is_multiple_of(1 << shift))
    {
        Some((unit, shift)) => format!("{}{unit}", count >> shift),
        None => format!("{count} bytes"),
    }
}

/// Why one plugin can't serve one route entry, or none at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginProblem {
    /// The plugin.
    pub plugin: String,
    /// The route whose entry is affected; `None` where it is the file itself.
    pub route: Option<String>,
    /// A JSON pointer into the entry's config, where the mistake is one of the config.
    pub pointer: Option<String>,
    /// Line and column in the configuration file, from the entry's positions.
    pub position: Option<(usize, usize)>,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for PluginProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "{line}:{column}: ")?;
        }
        write!(f, "plugin `{}`", self.plugin)?;
        if let Some(route) = &self.route {
            write!(f, " in route `{route}`")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.pointer {
            Some(pointer) if !pointer.is_empty() => write!(f, " (at {pointer})"),
            _ => Ok(()),
        }
    }
}

/// A bound that a guest ran into, raised inside a host call or by the epoch callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overrun {
    /// CPU time of one call.
    #[error("used more than its {} ms of CPU time (plugins.limits.NAME.cpu)", .0.as_millis())]
    Cpu(Duration),
    /// CPU time of `describe` or `configure`, which no setting changes.
    #[error("used more than the {} ms of CPU time that every plugin has for this", .0.as_millis())]
    LoadCpu(Duration),
    /// Host calls of one call.
    #[error("made more than {0} host calls (plugins.limits.NAME.host_calls)")]
    HostCalls(u32),
    /// Bytes given to the host.
    #[error("gave the host more than {0} bytes (plugins.limits.NAME.output)")]
    Output(usize),
    /// Linear memory of the instance.
    #[error(
        "needs more than {0} bytes of memory (plugins.limits.NAME.memory; what is parsed takes many times its size)"
    )]
    Memory(usize),
    /// Linear memory of all instances of the process.
    #[error("needs memory, and the instances of all plugins together have {0} bytes (limits.plugin_memory)")]
    PluginMemory(usize),
}

impl Overrun {
    /// In words, with the key of the plugin's own limit where its name is known.
    fn of(self, plugin: &str) -> String {
        let text = self.to_string();
        if plugin == NAMELESS { text } else { text.replace(".NAME.", &format!(".{plugin}.")) }
    }
}

/// The name of a plugin whose file is looked at by itself.
pub(super) const NAMELESS: &str = "?";

/// Why a phase call gave no action. The instance is thrown away; the next call gets another.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PluginError {
    /// The guest trapped, or a host call refused something that no good plugin does.
    #[error("{phase}: trapped: {message}")]
    Trap {
        /// Where.
        phase: Phase,
        /// The engine's words, on one line.
        message: String,
        /// Where in the plugin's code, as far as that is known.
        at: Option<CodePlace>,
    },
    /// The guest ran into a limit.
    #[error("{phase}: {}", .overrun.of(.plugin))]
    Overrun {
        /// Whose limit.
        plugin: Arc<str>,
        /// Where.
        phase: Phase,
        /// Which.
        overrun: Overrun,
    },
    /// All instances are in use and none came free in time.
    #[error("all {0} instances of this worker are busy")]
    Busy(usize),
    /// It has used its share of the worker's time, and as many of its calls as may wait for more.
    #[error("{waiting} of its calls wait for their share of the worker's time (plugins.limits.{plugin}.cpu_share)")]
    Share {
        /// Whose share.
        plugin: Arc<str>,
        /// Calls that wait.
        waiting: usize,
    },
    /// Its calls came to nothing again and again.
    #[error("not called for {} ms: its calls used much CPU time and failed, again and again", .0.as_millis())]
    Paused(Duration),
    /// Instances of it that are dear to make were lost again and again.
    #[error("no instance is made for {} ms: making them takes much CPU time, and they failed again and again", .0.as_millis())]
    NotMade(Duration),
    /// An instance could not be made or configured.
    #[error("no instance: {0}")]
    Instance(String),
    /// `configure` refused the config.
    #[error("configure: {}", describe_config_errors(.0))]
    Configure(Vec<PluginConfigError>),
    /// Its pool took the instance back from a stream.
    #[error("held a replaced version for longer than plugins.limits.NAME.retire_after")]
    TakenBack,
    /// The instance was used after an earlier failure, or without an exchange: a defect of the host.
    #[error("the instance can't be called")]
    Unusable,
}

impl PluginError {
    /// The word of [`PLUGIN_FAILURES`](crate::telemetry::metrics::PLUGIN_FAILURES) for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::Overrun { overrun: Overrun::Cpu(_) | Overrun::LoadCpu(_), .. } => "deadline",
            Self::Overrun { overrun: Overrun::HostCalls(_), .. } => "host-calls",
            Self::Overrun { overrun: Overrun::Output(_), .. } => "output",
            Self::Overrun { overrun: Overrun::Memory(_) | Overrun::PluginMemory(_), .. } => "memory",
            Self::Busy(_) => "instances",
            Self::Share { .. } => "share",
            Self::Paused(_) | Self::NotMade(_) => "penalty",
            Self::Instance(_) | Self::Configure(_) | Self::TakenBack | Self::Unusable => "other",
        }
    }

    /// Whether the plugin itself failed in a call: not where others have what it needed, nor where it was not called.
    pub(super) const fn is_the_guests(&self) -> bool {
        let is_others = matches!(self, Self::Overrun { overrun: Overrun::PluginMemory(_), .. });
        matches!(self, Self::Trap { .. } | Self::Overrun { .. }) && !is_others
    }

    /// From the engine's error of a call. `output` is the limit on what one call gives back.
    pub(crate) fn from_call(
        plugin: &Arc<str>,
        phase: Phase,
        error: &wasmtime::Error,
        memory_refused: Option<Overrun>,
        output: usize,
    ) -> Self {
        if let Some(overrun) = error.downcast_ref::<Overrun>() {
            let overrun = match (*overrun, phase) {
                (Overrun::Cpu(budget), Phase::Describe | Phase::Configure) => Overrun::LoadCpu(budget),
                (overrun, _) => overrun,
            };
            return Self::Overrun { plugin: plugin.clone(), phase, overrun };
        }
        if let Some(overrun) = memory_refused {
            // The guest's allocator gives up with a trap of its own; what it asked for is the better explanation.
            return Self::Overrun { plugin: plugin.clone(), phase, overrun };
        }
        // The cause alone: the backtrace around it is long, and its names are mangled.
        let cause = error.root_cause().to_string();
        if cause.starts_with(COPIED_TOO_MUCH) {
            return Self::Overrun { plugin: plugin.clone(), phase, overrun: Overrun::Output(output) };
        }
        let mut message = one_line(&cause, 300);
        let (name, at) = symbols::trapped_in(error).unzip();
        if let Some(name) = name {
            message = format!("{message}, in {}", sanitise(&name, 80));
        }
        Self::Trap { phase, message, at: at.flatten() }
    }
}

/// How the engine says that a guest handed over more than the fuel of a call (`set_hostcall_fuel`) allows; it has no type
/// for that.
const COPIED_TOO_MUCH: &str = "too much data is being copied between the host and the guest";

impl From<PluginError> for Error {
    fn from(error: PluginError) -> Self {
        let kind = match error {
            PluginError::Busy(_) | PluginError::Share { .. } | PluginError::Paused(_) | PluginError::NotMade(_) => {
                ErrorKind::Overload
            }
            PluginError::Overrun { overrun: Overrun::PluginMemory(_), .. } => ErrorKind::PluginMemory,
            PluginError::Overrun { overrun: Overrun::Output(_), .. } => ErrorKind::PluginAnswer,
            PluginError::TakenBack => ErrorKind::PluginAbort,
            _ => ErrorKind::Plugin,
        };
        Self::new(kind, safe!(error))
    }
}

// Its texts are the engine's and the configuration's; what a plugin says has been through [`sanitise`].
as_displayed!(PluginError);

// Of files that the operator has put there, before a request has met them.
as_displayed!(LoadError, PluginProblem);

fn describe_config_errors(errors: &[PluginConfigError]) -> String {
    let mut text = String::new();
    for error in errors {
        if !text.is_empty() {
            text.push_str("; ");
        }
        if !error.pointer.is_empty() {
            text.push_str(&sanitise(&error.pointer, 200));
            text.push_str(": ");
        }
        text.push_str(&sanitise(&error.message, 500));
    }
    text
}

/// Text on one line, without control characters, of bounded length.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    sanitise(&joined, limit)
}

/// Guest text for logs and messages: control characters replaced, cut at `limit` bytes.
pub(crate) fn sanitise(text: &str, limit: usize) -> String {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut clean: String =
        text[..end].chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
    if end < text.len() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overrun_names_the_key_of_the_plugins_own_limit() {
        let text = |plugin: &str| {
            let (phase, overrun) = (Phase::RequestBody, Overrun::HostCalls(5));
            PluginError::Overrun { plugin: plugin.into(), phase, overrun }.to_string()
        };
        let told = text("auth");
        assert!(told.ends_with("made more than 5 host calls (plugins.limits.auth.host_calls)"), "{told}");
        assert!(text(NAMELESS).contains("(plugins.limits.NAME.host_calls)"));
    }

    #[test]
    fn what_others_did_to_a_compilation_is_not_held_against_the_file() {
        let allowed = Limits { memory: 1 << 30, time: Duration::from_secs(30) };
        let passes = |failure| LoadError::from_failure(failure, &allowed).is_passing();
        assert!(passes(Failure::Signal(9)) && passes(Failure::Clock) && passes(Failure::Signal(15)));
        assert!(!passes(Failure::Time) && !passes(Failure::Memory) && !passes(Failure::Signal(11)));
    }

    #[test]
    fn guest_text_cannot_forge_log_lines() {
        assert_eq!(sanitise("a\r\nb\x1b[1m", 100), "a\u{fffd}\u{fffd}b\u{fffd}[1m");
        assert_eq!(sanitise("æøå", 3), "æ…");
    }
}
