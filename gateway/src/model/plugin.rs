//! The `plugins` section, and an entry of a route's chain.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use plugin_rules::limits;

use super::hidden::Hidden;
use super::trust::TrustedKey;

/// Settings of the plugin host.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    /// The watched directory; `None` when no route uses a plugin.
    pub directory: Option<PathBuf>,
    /// Who has to have signed a plugin file; where this is empty, nobody has to.
    pub trusted_keys: Vec<TrustedKey>,
    /// SHA-256, in lower-case hex, of the one file that may be loaded under a plugin's name.
    pub pins: BTreeMap<String, String>,
    /// What each plugin may reach.
    pub grants: BTreeMap<String, Grants>,
    /// Limits by plugin name; others have the defaults.
    pub limits: BTreeMap<String, PluginLimits>,
    /// What compiling one file may use.
    pub compile: Compile,
    /// The directory in which `gateway-plugins/` holds compiled plugins; `None` for where the system keeps such things.
    pub cache: Option<PathBuf>,
}

/// What compiling one plugin file may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compile {
    /// Bytes of memory. Default 1 GiB.
    pub memory: u64,
    /// CPU time. Default 30 s.
    pub time: Duration,
}

impl Default for Compile {
    fn default() -> Self {
        Self { memory: 1 << 30, time: Duration::from_secs(30) }
    }
}

/// What the operator allows a plugin beyond the contract's harmless parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Upstreams that `calls.send` and `set-upstream` may name.
    pub upstreams: Vec<String>,
    /// Secrets that `secrets.get` and `key.from-secret` may read.
    pub secrets: Vec<String>,
}

/// Limits of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginLimits {
    /// CPU time of one phase call. Default 10 ms.
    pub cpu: Duration,
    /// Of each worker's time, in percent, what the calls of one entry may use together. Default 80.
    pub cpu_share: u32,
    /// Linear memory of one instance. Default 16 MiB.
    pub memory: usize,
    /// Host calls of one phase call. Default 10,000.
    pub host_calls: u32,
    /// Bytes of what one phase call gives back. Default 8 MiB.
    pub output: usize,
    /// Instances per worker. Default 64.
    pub instances: usize,
    /// How long a stream may hold an instance of an old version after a swap; none: as long as it lasts. Default 5 min.
    pub retire_after: Option<Duration>,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(10),
            cpu_share: 80,
            memory: 16 << 20,
            host_calls: limits::HOST_CALLS,
            output: limits::OUTPUT,
            instances: 64,
            retire_after: Some(Duration::from_secs(300)),
        }
    }
}

/// What happens when a plugin fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// 503.
    #[default]
    Closed,
    /// As if the plugin were not there.
    Open,
}

/// One plugin of a route's chain.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginEntry {
    /// `NAME.wasm` in the plugin directory.
    pub name: Arc<str>,
    /// The entry's config as JSON, `{}` when absent.
    pub config: serde_json::Value,
    /// Where the entry's keys stand in the file, for errors that the plugin reports by JSON pointer.
    pub positions: Positions,
    /// What of the config no message may show, not even the plugin's own.
    pub hidden: Hidden,
    /// The failure policy.
    pub on_failure: OnFailure,
    /// Entries of the same plugin with the same name share kv and counters.
    pub share_state: Option<String>,
    /// What may be stored, and for whom.
    pub storing: Storing,
}

/// What a route entry says of stored responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storing {
    /// They are the same for every caller.
    pub shared: bool,
    /// Also those that don't say how long they are fresh.
    pub unmarked: bool,
    /// Fields that carry credentials, besides those that do by their name; see [`Config::credentials`](super::Config::credentials).
    pub credentials: Vec<HeaderName>,
}

/// Line and column (from 1) of each JSON pointer of a config fragment; the empty pointer is the fragment itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(pub BTreeMap<String, (usize, usize)>);

impl Positions {
    /// The position of the pointer, or of its nearest parent that has one.
    pub fn find(&self, pointer: &str) -> Option<(usize, usize)> {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.0.get(pointer) {
                return Some(*position);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_stands_at_its_nearest_known_parent() {
        let positions = Positions([(String::new(), (3, 5)), ("/limits/0".to_owned(), (4, 9))].into());
        for (pointer, place) in [("/limits/0/per", (4, 9)), ("/other", (3, 5)), ("", (3, 5))] {
            assert_eq!(positions.find(pointer), Some(place), "{pointer}");
        }
        assert_eq!(Positions::default().find("/a"), None);
    }
}
