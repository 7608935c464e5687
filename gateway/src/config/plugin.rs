//! The `plugins` section, and the entries of a route's chain.

use std::path::PathBuf;
use std::sync::Arc;

use super::context::Placed;
use super::fields::{Fields, Object};
use super::json::AnyObject;
use super::names;
use super::types::{At, Boolean, Choice, FilePath, Integer, List, Named, NonEmpty, OrOff, Percent, Size, text, time};
use crate::model::{Compile, Grants, Hidden, OnFailure, PluginEntry, PluginLimits, Positions, Storing, TrustedKey};

/// The `plugins` section before its names were looked up.
#[derive(Default)]
pub(super) struct RawPlugins {
    pub(super) directory: Option<PathBuf>,
    pub(super) trusted_keys: Vec<TrustedKey>,
    pub(super) pins: Vec<(Placed<String>, Option<String>)>,
    pub(super) grants: Vec<(Placed<String>, Option<RawGrants>)>,
    pub(super) limits: Vec<(Placed<String>, Option<PluginLimits>)>,
    pub(super) compile: Compile,
    pub(super) cache: Option<PathBuf>,
}

/// Grants of one plugin, with the places of the names.
pub(super) struct RawGrants {
    pub(super) upstreams: Vec<Placed<String>>,
    pub(super) secrets: Vec<Placed<String>>,
}

impl RawGrants {
    pub(super) fn resolve(self) -> Grants {
        let names = |placed: Vec<Placed<String>>| placed.into_iter().map(|placed| placed.value).collect();
        Grants { upstreams: names(self.upstreams), secrets: names(self.secrets) }
    }
}

/// The `plugins` section.
pub(super) fn plugins(fields: &mut Fields<'_, '_>) -> Option<RawPlugins> {
    let directory = fields.optional(
        "directory",
        "The watched directory: NAME.wasm in it is the plugin NAME. Needed when a route uses plugins.",
        FilePath,
    );
    let trusted_keys = fields.optional(
        "trusted_keys",
        "Ed25519 public keys as minisign writes them. A plugin file is looked at only if one of them signed it: \
         NAME.wasm.minisig lies beside it. Left out: nothing has to be signed.",
        NonEmpty(text(TrustedKey::parse)),
    );
    let pins = fields.default(
        "pins",
        "The SHA-256 of the one file that may be loaded under a plugin's name, by name. It has to be signed as well where \
         there are trusted_keys.",
        Named { key: names::key, value: text(names::sha256) },
        "{}",
    );
    let grants = fields.default(
        "grants",
        "What each plugin may reach, by its name; nothing is granted unless it stands here.",
        Named { key: names::key, value: Object(grants) },
        "{}",
    );
    let limits = fields.default(
        "limits",
        "Limits of plugins, by name; a plugin that isn't named has the defaults.",
        Named { key: names::key, value: Object(limits) },
        "{}",
    );
    let compile = fields.default(
        "compile",
        "What compiling a file may use, in a process of its own. A file that needs more is refused.",
        Object(compile),
        "{}",
    );
    let cache = fields.optional(
        "cache",
        "Where compiled plugins are kept between starts: in gateway-plugins/ in this directory, which the gateway makes for \
         its user alone. Nobody else may be able to replace it. Left out: plugins/ in $CACHE_DIRECTORY, or gateway/plugins/ \
         in $XDG_CACHE_HOME or ~/.cache.",
        FilePath,
    );
    // A key that is wrong is an error, and with one nothing of this is used.
    let trusted_keys = trusted_keys.unwrap_or_default();
    Some(RawPlugins {
        directory,
        trusted_keys,
        pins: pins?,
        grants: grants?,
        limits: limits?,
        compile: compile?,
        cache,
    })
}

fn compile(fields: &mut Fields<'_, '_>) -> Option<Compile> {
    let memory = fields.default(
        "memory",
        "Memory of the process that compiles it. All that are compiled at a time have a quarter of the machine's (or the \
         container's) together, and one alone no more than that, at least 256 MiB; others wait. The code that comes out may \
         have an eighth.",
        Size(LEAST_TO_COMPILE..=1 << 40),
        "1GiB",
    );
    let time = fields.default("time", "CPU time, and ten times as much by the clock.", time(), "30s");
    Some(Compile { memory: memory?, time: time? })
}

/// What the compiler itself needs, and some.
const LEAST_TO_COMPILE: u64 = 128 << 20;

fn grants(fields: &mut Fields<'_, '_>) -> Option<RawGrants> {
    let upstreams = fields.default(
        "upstreams",
        "Upstreams that the plugin may call, or choose for a request.",
        List(At(text(names::name))),
        "[]",
    );
    let secrets = fields.default("secrets", "Secrets that the plugin may read.", List(At(text(names::name))), "[]");
    Some(RawGrants { upstreams: upstreams?, secrets: secrets? })
}

/// What memory grows by.
const WASM_PAGE: u64 = 64 << 10;
/// 32-bit addresses reach 4 GiB; the last page is beyond what an instance can be given.
const MOST_MEMORY: u64 = (4 << 30) - WASM_PAGE;

fn limits(fields: &mut Fields<'_, '_>) -> Option<PluginLimits> {
    let cpu = fields.default(
        "cpu",
        "CPU time of one phase call, looked at every 5ms, and as much again for every 16 KiB of a body that it is given.",
        time(),
        "10ms",
    );
    let cpu_share = fields.default(
        "cpu_share",
        "CPU time that the plugin's calls for one route's entry may use, of each second of each worker. Calls beyond it wait \
         for the next one; when 16 wait, on_failure answers new requests.",
        Percent(1..=100),
        "80%",
    );
    let memory = fields.default("memory", "Linear memory of one instance.", Size(WASM_PAGE..=MOST_MEMORY), "16MiB");
    let host_calls = fields.default(
        "host_calls",
        "Host calls of one phase call, and as many again for every 16 KiB of a body that it is given.",
        Integer(1..=u64::from(u32::MAX)),
        "10000",
    );
    let output = fields.default("output", "Bytes that one phase call may give back.", Size(1 << 10..=1 << 30), "8MiB");
    let instances = fields.default("instances", "Instances per worker.", Integer(1..=10_000), "64");
    let retire_after = fields.default(
        "retire_after",
        "How long a stream may hold an instance of an old version after a swap, where the plugin was built to hold one; \
         off for as long as it lasts.",
        OrOff(time()),
        "5m",
    );
    Some(PluginLimits {
        cpu: cpu?,
        cpu_share: cpu_share?,
        memory: usize::try_from(memory?).ok()?,
        host_calls: u32::try_from(host_calls?).ok()?,
        output: usize::try_from(output?).ok()?,
        instances: usize::try_from(instances?).ok()?,
        retire_after: retire_after?,
    })
}

/// One entry of a route's `plugins`.
pub(super) fn entry(fields: &mut Fields<'_, '_>) -> Option<PluginEntry> {
    let name = fields.required("name", "The plugin: NAME.wasm in the plugin directory.", At(text(names::name)));
    let config = fields.optional("config", "The plugin's own config; see the plugin's documentation.", AnyObject);
    let on_failure = fields.default(
        "on_failure",
        "When the plugin fails: closed (503) or open (as if it were not there). Authenticators are always closed, and so is \
         an answer that can't be sent.",
        Choice(&[("closed", OnFailure::Closed), ("open", OnFailure::Open)]),
        "closed",
    );
    let share_state = fields.optional(
        "share_state",
        "Entries of the same plugin that give the same name here share kv and counters.",
        text(names::name),
    );
    let shared = fields.default(
        "shared",
        "Stored responses of this entry are the same for every caller, and kept whatever they say of their freshness.",
        Boolean,
        "false",
    );
    let unmarked = fields.default(
        "store_unmarked",
        "Stores also responses that don't say that they may be used again (Cache-Control max-age, s-maxage or public, or \
         Expires), for the caller that got them: callers without principal and credentials are one.",
        Boolean,
        "false",
    );
    if let Some(context) = fields.context() {
        context.names.plugins.extend(name.clone());
    }
    let valid = fields.is_valid();
    let (name, on_failure) = (name?, on_failure?);
    let storing = Storing { shared: shared?, unmarked: unmarked?, credentials: Vec::new() };
    if !valid {
        return None;
    }
    let (config, positions, hidden) = config.unwrap_or_else(|| {
        let positions = Positions([(String::new(), name.position)].into());
        (serde_json::Value::Object(serde_json::Map::new()), positions, Hidden::default())
    });
    Some(PluginEntry { name: Arc::from(name.value), config, positions, hidden, on_failure, share_state, storing })
}
