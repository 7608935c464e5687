//! What a reload changes, and what of it can't be applied while the gateway runs.
//!
//! | Key | On reload |
//! |---|---|
//! | `listeners` | live: added ones are bound, removed ones drained, the others keep their sockets |
//! | `upstreams`, `routes`, `secrets`, `plugins.grants`, `plugins.limits`, `forwarding`, `limits` | live |
//! | `access_log`, `log`, `drain_timeout` | live |
//! | `workers`, `admin`, `state` | kept until the next start, with a warning: the rest of the file is sound without them |
//! | `plugins.directory` | refused: the routes of the new file may need plugins that only the new directory has |

use super::model::{Config, Listener};

/// What a reload means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Reasons why the new config can't be used without a restart. When there are any, nothing may be applied.
    pub refused: Vec<String>,
    /// Changes that wait for the next start; see [`Diff::keep`].
    pub deferred: Vec<String>,
    /// What becomes of the listeners.
    pub listeners: ListenerChanges,
}

/// Listeners are told apart by their address and transports: as long as those stay, the sockets stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerChanges {
    /// To be bound.
    pub added: Vec<Listener>,
    /// To be drained and closed.
    pub removed: Vec<Listener>,
    /// Bound as before, with other settings (certificates, limits, name).
    pub changed: Vec<Listener>,
}

/// Compares the config that runs with one that was read. Both come from [`super::parse`]; `old` is what really runs,
/// that is, what [`Diff::keep`] made of the last one.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let mut diff = Diff { listeners: listeners(&old.listeners, &new.listeners), ..Diff::default() };
    if let (Some(from), Some(to)) = (&old.plugins.directory, &new.plugins.directory)
        && from != to
    {
        let message = format!(
            "plugins.directory changes from {} to {}; restart the gateway for that",
            from.display(),
            to.display()
        );
        diff.refused.push(message);
    }
    if old.workers != new.workers {
        diff.deferred.push(format!(
            "workers changes from {} to {} at the next start; until then it stays {}",
            old.workers, new.workers, old.workers
        ));
    }
    if old.admin != new.admin {
        let show = |config: &Config| config.admin.as_ref().map_or("off".to_owned(), |admin| admin.address.to_string());
        diff.deferred.push(format!(
            "admin changes from {} to {} at the next start; until then it stays as it is",
            show(old),
            show(new)
        ));
    }
    if old.state != new.state {
        diff.deferred.push("state changes at the next start; until then its limits stay as they are".to_owned());
    }
    diff
}

impl Diff {
    /// Puts what can't change while the gateway runs back into the new config, so that it says what really runs.
    pub fn keep(old: &Config, new: &mut Config) {
        new.workers = old.workers;
        new.admin.clone_from(&old.admin);
        new.state.clone_from(&old.state);
    }
}

fn same_sockets(a: &Listener, b: &Listener) -> bool {
    let tcp = |listener: &Listener| listener.http1 || listener.http2;
    a.address == b.address && tcp(a) == tcp(b) && a.http3 == b.http3
}

/// Port 0 is another port each time, so the name decides between listeners that have it.
fn same(a: &Listener, b: &Listener) -> bool {
    same_sockets(a, b) && (a.address.port() != 0 || a.name == b.name)
}

fn listeners(old: &[Listener], new: &[Listener]) -> ListenerChanges {
    let without = |of: &[Listener], other: &[Listener]| {
        of.iter().filter(|this| !other.iter().any(|other| same(this, other))).cloned().collect()
    };
    let changed = new.iter().filter(|this| old.iter().any(|other| same(this, other) && *this != other));
    ListenerChanges { added: without(new, old), removed: without(old, new), changed: changed.cloned().collect() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        let text = format!("{text}\nroutes: []");
        super::super::parse(&text, Path::new("gateway.yaml"), &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
    }

    const LISTENER: &str = "listeners: [{name: a, address: '127.0.0.1:80'}]\n";

    #[test]
    fn the_same_config_changes_nothing() {
        let config = config(LISTENER);
        assert_eq!(diff(&config, &config), Diff::default());
    }

    #[test]
    fn listeners_come_go_and_change() {
        let old = config("listeners: [{name: a, address: '127.0.0.1:80'}, {name: b, address: '127.0.0.1:81'}]");
        let new = config(
            "listeners: [{name: a, address: '127.0.0.1:80', limits: {connections: 5}}, {name: c, address: '[::1]:81'}]",
        );
        let changes = diff(&old, &new).listeners;
        let names =
            |listeners: &[Listener]| listeners.iter().map(|listener| listener.name.to_string()).collect::<Vec<_>>();
        assert_eq!(
            (names(&changes.added), names(&changes.removed), names(&changes.changed)),
            (vec!["c".to_owned()], vec!["b".to_owned()], vec!["a".to_owned()])
        );
    }

    #[test]
    fn port_0_is_the_same_port_only_for_the_same_name() {
        let old = config("listeners: [{name: a, address: '127.0.0.1:0'}]");
        assert_eq!(diff(&old, &old).listeners, ListenerChanges::default());
        let new = config("listeners: [{name: b, address: '127.0.0.1:0'}]");
        assert_eq!(diff(&old, &new).listeners.added.len(), 1);
    }

    #[test]
    fn what_can_not_change_is_kept_and_said() {
        let old = config(&format!("{LISTENER}workers: 1\nplugins: {{directory: a}}"));
        let text = format!("{LISTENER}workers: 2\nadmin: {{}}\nstate: {{max_entries: 5}}\nplugins: {{directory: a}}");
        let mut new = config(&text);
        let changes = diff(&old, &new);
        assert_eq!(changes.refused, Vec::<String>::new());
        assert_eq!(
            changes.deferred,
            [
                "workers changes from 1 to 2 at the next start; until then it stays 1",
                "admin changes from off to 127.0.0.1:9901 at the next start; until then it stays as it is",
                "state changes at the next start; until then its limits stay as they are",
            ]
        );
        Diff::keep(&old, &mut new);
        assert_eq!(diff(&old, &new), Diff::default());
    }

    #[test]
    fn another_plugin_directory_needs_a_restart() {
        let old = config(&format!("{LISTENER}plugins: {{directory: a}}"));
        let new = config(&format!("{LISTENER}plugins: {{directory: b}}"));
        assert_eq!(diff(&old, &new).refused, ["plugins.directory changes from a to b; restart the gateway for that"]);
    }
}
