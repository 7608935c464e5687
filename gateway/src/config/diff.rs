//! What a reload changes, and what of it can't be applied while the gateway runs. The table of what becomes of each key is
//! in `docs/configuration.md`.

use std::collections::BTreeSet;

use crate::model::{Config, Listener, LogFormat, SocketKey};

/// What a reload means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Changes that wait for the next start; see [`Diff::keep`].
    pub deferred: Vec<String>,
    /// What becomes of the sockets.
    pub sockets: SocketChanges,
}

/// Sockets that come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketChanges {
    /// To be bound.
    pub added: BTreeSet<SocketKey>,
    /// To be closed, their connections drained.
    pub removed: BTreeSet<SocketKey>,
}

/// Compares the config that runs with one that was read. Both come from [`super::parse`]; `old` is what really runs,
/// that is, what [`Diff::keep`] made of the last one.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let sockets = |config: &Config| config.listeners.iter().flat_map(Listener::sockets).collect::<BTreeSet<_>>();
    let (before, after) = (sockets(old), sockets(new));
    let sockets = SocketChanges { added: &after - &before, removed: &before - &after };
    let mut deferred = Vec::new();
    if old.workers != new.workers {
        deferred.push(format!(
            "workers changes from {} to {} at the next start; until then it stays {}",
            old.workers, new.workers, old.workers
        ));
    }
    if old.admin != new.admin {
        let show = |config: &Config| config.admin.as_ref().map_or("off".to_owned(), |admin| admin.address.to_string());
        deferred.push(format!(
            "admin changes from {} to {} at the next start; until then it stays as it is",
            show(old),
            show(new)
        ));
    }
    if old.state != new.state {
        deferred.push("state changes at the next start; until then its limits stay as they are".to_owned());
    }
    if old.log.format != new.log.format {
        let show = |format| match format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        deferred.push(format!(
            "log.format changes from {} to {} at the next start; until then it stays as it is",
            show(old.log.format),
            show(new.log.format)
        ));
    }
    Diff { deferred, sockets }
}

impl Diff {
    /// Puts what can't change while the gateway runs back into the new config, so that it says what really runs.
    pub fn keep(old: &Config, new: &mut Config) {
        new.workers = old.workers;
        new.admin.clone_from(&old.admin);
        new.state.clone_from(&old.state);
        new.log.format = old.log.format;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::Transport;

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

    fn keys(sockets: &BTreeSet<SocketKey>) -> Vec<(Transport, String)> {
        sockets.iter().map(|key| (key.transport, key.address.to_string())).collect()
    }

    #[test]
    fn sockets_come_and_go_by_address_and_transport() {
        let old = config("listeners: [{name: a, address: '127.0.0.1:80'}, {name: b, address: '127.0.0.1:81'}]");
        let new = config("listeners: [{name: a, address: '127.0.0.1:80'}, {name: c, address: '[::1]:81'}]");
        let changes = diff(&old, &new).sockets;
        assert_eq!(keys(&changes.added), [(Transport::Tcp, "[::1]:81".to_owned())]);
        assert_eq!(keys(&changes.removed), [(Transport::Tcp, "127.0.0.1:81".to_owned())]);
    }

    #[test]
    fn other_settings_keep_the_sockets() {
        let old = config(LISTENER);
        let new =
            config("listeners: [{name: b, address: '127.0.0.1:80', limits: {connections: 5}, protocols: [http1]}]");
        assert_eq!(diff(&old, &new).sockets, SocketChanges::default());
    }

    #[test]
    fn http3_added_is_one_socket_more() {
        let with = |protocols: &str| {
            config(&format!(
                "listeners: [{{name: a, address: '127.0.0.1:80', protocols: [{protocols}], tls: {{self_signed: [a]}}}}]"
            ))
        };
        let changes = diff(&with("http1"), &with("http1, http3")).sockets;
        assert_eq!(keys(&changes.added), [(Transport::Udp, "127.0.0.1:80".to_owned())]);
        assert!(changes.removed.is_empty());
    }

    #[test]
    fn port_0_is_the_same_port_only_for_the_same_name() {
        let old = config("listeners: [{name: a, address: '127.0.0.1:0'}]");
        assert_eq!(diff(&old, &old).sockets, SocketChanges::default());
        let new = config("listeners: [{name: b, address: '127.0.0.1:0'}]");
        assert_eq!(diff(&old, &new).sockets.added.len(), 1);
    }

    #[test]
    fn what_can_not_change_is_kept_and_said() {
        let old = config(&format!("{LISTENER}workers: 1"));
        let text = format!("{LISTENER}workers: 2\nadmin: {{}}\nstate: {{max_entries: 5}}\nlog: {{format: json}}");
        let mut new = config(&text);
        let changes = diff(&old, &new);
        assert_eq!(
            changes.deferred,
            [
                "workers changes from 1 to 2 at the next start; until then it stays 1",
                "admin changes from off to 127.0.0.1:9901 at the next start; until then it stays as it is",
                "state changes at the next start; until then its limits stay as they are",
                "log.format changes from text to json at the next start; until then it stays as it is",
            ]
        );
        Diff::keep(&old, &mut new);
        assert_eq!(diff(&old, &new), Diff::default());
    }
}
