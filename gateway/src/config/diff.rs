//! What a reload changes of sockets, and what of it can't be applied while the gateway runs (which is told beside each key,
//! in the model). The table of what becomes of each key is in `docs/configuration.md`.

use std::collections::BTreeSet;

use crate::model::{Config, Listener, SocketKey};

/// What a reload means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Changes that wait for the next start; see [`Config::keep`].
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

/// Compares what runs with a config that was read, and puts back in it what can't change while the gateway runs, so that
/// it says what will.
pub fn diff(running: &Config, new: &mut Config) -> Diff {
    let sockets = |config: &Config| config.listeners.iter().flat_map(Listener::sockets).collect::<BTreeSet<_>>();
    let (before, after) = (sockets(running), sockets(new));
    let sockets = SocketChanges { added: &after - &before, removed: &before - &after };
    Diff { deferred: new.keep(running), sockets }
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
        assert_eq!(diff(&config, &mut config.clone()), Diff::default());
    }

    fn keys(sockets: &BTreeSet<SocketKey>) -> Vec<(Transport, String)> {
        sockets.iter().map(|key| (key.transport, key.address.to_string())).collect()
    }

    #[test]
    fn sockets_come_and_go_by_address_and_transport() {
        let old = config("listeners: [{name: a, address: '127.0.0.1:80'}, {name: b, address: '127.0.0.1:81'}]");
        let new = config("listeners: [{name: a, address: '127.0.0.1:80'}, {name: c, address: '[::1]:81'}]");
        let changes = diff(&old, &mut new.clone()).sockets;
        assert_eq!(keys(&changes.added), [(Transport::Tcp, "[::1]:81".to_owned())]);
        assert_eq!(keys(&changes.removed), [(Transport::Tcp, "127.0.0.1:81".to_owned())]);
    }

    #[test]
    fn other_settings_keep_the_sockets() {
        let old = config(LISTENER);
        let new =
            config("listeners: [{name: b, address: '127.0.0.1:80', limits: {connections: 5}, protocols: [http1]}]");
        assert_eq!(diff(&old, &mut new.clone()).sockets, SocketChanges::default());
    }

    #[test]
    fn http3_added_is_one_socket_more() {
        let with = |protocols: &str| {
            config(&format!(
                "listeners: [{{name: a, address: '127.0.0.1:80', protocols: [{protocols}], tls: {{self_signed: [a]}}}}]"
            ))
        };
        let changes = diff(&with("http1"), &mut with("http1, http3")).sockets;
        assert_eq!(keys(&changes.added), [(Transport::Udp, "127.0.0.1:80".to_owned())]);
        assert!(changes.removed.is_empty());
    }

    #[test]
    fn port_0_is_the_same_port_only_for_the_same_name() {
        let old = config("listeners: [{name: a, address: '127.0.0.1:0'}]");
        assert_eq!(diff(&old, &mut old.clone()).sockets, SocketChanges::default());
        let new = config("listeners: [{name: b, address: '127.0.0.1:0'}]");
        assert_eq!(diff(&old, &mut new.clone()).sockets.added.len(), 1);
    }

    #[test]
    fn what_can_not_change_is_kept_and_said() {
        let old = config(&format!("{LISTENER}workers: 1"));
        let text = format!("{LISTENER}workers: 2\nadmin: {{}}\nstate: {{max_entries: 5}}\nlog: {{format: json}}");
        let mut new = config(&text);
        let changes = diff(&old, &mut new);
        assert_eq!(
            changes.deferred,
            [
                "workers changes from 1 to 2 at the next start; until then it stays 1",
                "admin changes from off to 127.0.0.1:9901 at the next start; until then it stays as it is",
                "state changes at the next start; until then its limits stay as they are",
                "log.format changes from text to json at the next start; until then it stays as it is",
            ]
        );
        assert_eq!(diff(&old, &mut new), Diff::default());
    }
}
