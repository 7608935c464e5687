//! The sockets that are bound, and how a configuration changes them: as long as address and transport stay, a socket stays,
//! and new connections get the new settings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::error::ApplyError;
use super::prepare::ListenerCertificates;
use super::workers::{POLL, Workers};
use crate::config::SocketChanges;
use crate::listener::ListenerSettings;
use crate::listener::bind::{self, BindError, Bound, Sockets};
use crate::listener::steering;
use crate::listener::tcp::ConnectionLimit;
use crate::listener::tls::{Certificates, TlsState};
use crate::model::{Config, Listener};
use crate::model::{SocketKey, Transport};
use crate::snapshot::Ports;
use crate::worker::{Share, Socket, WorkerCommand};

/// How long a reload waits for sockets that an earlier one gave up and that it wants back.
const CLOSING: Duration = Duration::from_secs(2);

/// A bound socket and what its new connections get.
struct Live {
    local: SocketAddr,
    settings: watch::Sender<Arc<ListenerSettings>>,
    limit: ConnectionLimit,
    tls: Option<Arc<TlsState>>,
    /// Held by every worker until its share is closed.
    open: Arc<()>,
}

/// Every socket of the gateway.
#[derive(Default)]
pub(super) struct Listeners {
    live: BTreeMap<SocketKey, Live>,
    /// Removed, and perhaps still open while their last connections finish.
    leaving: ClosingSockets,
}

/// Sockets that were given up.
#[derive(Clone, Default)]
pub(super) struct ClosingSockets(Vec<(SocketKey, Weak<()>)>);

impl ClosingSockets {
    /// Waits a moment for those among `wanted` to close.
    pub(super) async fn closed(&self, wanted: &BTreeSet<SocketKey>) {
        let open = || wanted.iter().any(|key| self.held(key.transport, key.address).is_some());
        let closed = async {
            while open() {
                tokio::time::sleep(POLL).await;
            }
        };
        let _ = tokio::time::timeout(CLOSING, closed).await;
    }

    /// The address of one that is still open and in the way of another.
    fn held(&self, transport: Transport, address: SocketAddr) -> Option<SocketAddr> {
        let open = self.0.iter().filter(|(_, open)| open.strong_count() > 0).map(|(key, _)| key);
        in_the_way(open, transport, address)
    }
}

/// A listener of a new configuration, ready to be put in force.
struct Planned {
    settings: Arc<ListenerSettings>,
    local: SocketAddr,
    limit: ConnectionLimit,
    tls: Option<(Arc<TlsState>, Arc<Certificates>)>,
    kept: Vec<SocketKey>,
    bound: Vec<(SocketKey, Sockets)>,
}

/// What a configuration makes of the sockets; nothing of it is in force yet.
pub(super) struct Plan {
    listeners: Vec<Planned>,
    removed: BTreeSet<SocketKey>,
}

impl Plan {
    /// The address of each listener, in the order of the configuration.
    pub(super) fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.listeners.iter().map(|one| (one.settings.config.name.clone(), one.local)).collect()
    }

    /// The port of each listener.
    pub(super) fn ports(&self) -> Ports {
        let ports: HashMap<_, _> = self.addresses().into_iter().map(|(name, local)| (name, local.port())).collect();
        Arc::new(ports)
    }
}

impl Listeners {
    /// The sockets that were given up and may still be open.
    pub(super) fn leaving(&self) -> ClosingSockets {
        self.leaving.clone()
    }

    /// Binds what is new. Nothing that runs is touched; dropping the plan closes what it bound.
    pub(super) fn plan(
        &self,
        config: &Config,
        changes: &SocketChanges,
        certificates: &ListenerCertificates,
        workers: usize,
    ) -> Result<Plan, ApplyError> {
        let plan = |listener: &Listener| self.plan_listener(listener, changes, certificates, workers);
        let listeners = config.listeners.iter().map(plan).collect::<Result<_, _>>()?;
        Ok(Plan { listeners, removed: changes.removed.clone() })
    }

    fn plan_listener(
        &self,
        listener: &Listener,
        changes: &SocketChanges,
        certificates: &ListenerCertificates,
        workers: usize,
    ) -> Result<Planned, ApplyError> {
        let (kept, missing): (Vec<_>, Vec<_>) = listener.sockets().partition(|key| self.live.contains_key(key));
        let live = kept.first().and_then(|key| self.live.get(key));
        let tls = match certificates.get(&listener.name) {
            Some(certificates) => {
                // What a listener has is kept, with its session tickets.
                let state = match kept.iter().find_map(|key| self.live.get(key)?.tls.clone()) {
                    Some(state) => state,
                    None => TlsState::new(certificates.clone())?,
                };
                Some((state, certificates.clone()))
            }
            None => None,
        };
        let settings = ListenerSettings::new(Arc::new(listener.clone()), tls.as_ref().map(|(state, _)| &**state))?;
        // With port 0, a transport that is added gets the port that the other one has.
        let address = live.map_or(listener.address, |live| live.local);
        let transports: Vec<Transport> = missing.iter().map(|key| key.transport).collect();
        let Bound { local, sockets } =
            bind::bind(&listener.name, address, &transports, workers).map_err(|error| self.own(error, changes))?;
        let bound = missing.into_iter().zip(sockets.into_iter().map(|(_, sockets)| sockets)).collect();
        let limit = live.map_or_else(|| ConnectionLimit::new(listener.limits.connections), |live| live.limit.clone());
        Ok(Planned { settings, local, limit, tls, kept, bound })
    }

    /// Tells a port that this gateway itself holds, by a listener that goes or has gone, from one that another process
    /// holds.
    fn own(&self, error: BindError, changes: &SocketChanges) -> BindError {
        let BindError::InUse { name, address, transport } = error else { return error };
        if let Some(held) = in_the_way(&changes.removed, transport, address) {
            BindError::Held { name, address, held }
        } else if let Some(held) = self.leaving.held(transport, address) {
            BindError::Closing { name, address, held }
        } else {
            BindError::InUse { name, address, transport }
        }
    }

    /// Puts a plan in force; this can't fail. Workers get the snapshot first, so that new sockets serve it.
    pub(super) fn apply(&mut self, plan: Plan, workers: &Workers) {
        for key in &plan.removed {
            let Some(live) = self.live.remove(key) else { continue };
            tracing::info!(address = %live.local, transport = ?key.transport, "no longer listening");
            workers.tell(|| WorkerCommand::Unlisten(key.clone()));
            self.leaving.0.push((key.clone(), Arc::downgrade(&live.open)));
        }
        self.leaving.0.retain(|(_, open)| open.strong_count() > 0);
        for planned in plan.listeners {
            if let Some((state, certificates)) = &planned.tls {
                state.install(certificates.clone());
            }
            let state = planned.tls.map(|(state, _)| state);
            for key in &planned.kept {
                let Some(live) = self.live.get_mut(key) else { continue };
                // Sockets of two listeners that have become one go on counting each for itself.
                live.limit.set(planned.settings.config.limits.connections);
                live.tls.clone_from(&state);
                live.settings.send_if_modified(|settings| {
                    // The certificates are in the state that both share.
                    let changed = settings.config != planned.settings.config;
                    if changed {
                        settings.clone_from(&planned.settings);
                    }
                    changed
                });
            }
            for (key, sockets) in planned.bound {
                let name = &planned.settings.config.name;
                tracing::info!(listener = %name, address = %planned.local, transport = ?key.transport, "listening");
                let live = Live {
                    local: planned.local,
                    settings: watch::Sender::new(planned.settings.clone()),
                    limit: planned.limit.clone(),
                    tls: state.clone(),
                    open: Arc::new(()),
                };
                let sockets: Vec<Socket> = match sockets {
                    Sockets::Tcp(sockets) => sockets.into_iter().map(Socket::Tcp).collect(),
                    Sockets::Udp(sockets) => {
                        let shares = steering::for_workers(sockets.len());
                        sockets
                            .into_iter()
                            .zip(shares)
                            .map(|(socket, steering)| Socket::Udp(socket, steering))
                            .collect()
                    }
                };
                workers.tell_each(sockets.into_iter().map(|socket| {
                    WorkerCommand::Listen(Box::new(Share {
                        key: key.clone(),
                        local: live.local,
                        socket,
                        settings: live.settings.subscribe(),
                        limit: live.limit.clone(),
                        open: live.open.clone(),
                    }))
                }));
                self.live.insert(key, live);
            }
        }
    }
}

/// The first of these sockets that keeps another one from being bound.
fn in_the_way<'a>(
    held: impl IntoIterator<Item = &'a SocketKey>,
    transport: Transport,
    address: SocketAddr,
) -> Option<SocketAddr> {
    let overlaps = |one: &SocketAddr| {
        let same_port = one.port() == address.port() && one.is_ipv4() == address.is_ipv4();
        same_port && (one.ip() == address.ip() || one.ip().is_unspecified() || address.ip().is_unspecified())
    };
    held.into_iter().filter(|key| key.transport == transport).map(|key| key.address).find(overlaps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::gateway::prepare::ListenerCertificates;

    fn key(transport: Transport, address: &str) -> SocketKey {
        SocketKey { transport, address: address.parse().unwrap(), name: None }
    }

    fn parsed(listeners: &str) -> Config {
        let text = format!("listeners: [{listeners}]\nroutes: []");
        config::parse(&text, std::path::Path::new("gateway.yaml"), &|_| None).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_port_that_is_still_closing_is_not_taken_for_another_process_s() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let config = parsed(&format!("{{name: a, address: '{address}', protocols: [http1]}}"));
        let plan = |listeners: &Listeners, changes: &SocketChanges| {
            listeners.plan(&config, changes, &ListenerCertificates::default(), 1).err()
        };
        let open = Arc::new(());
        let leaving = |key| ClosingSockets(vec![(key, Arc::downgrade(&open))]);
        for key in
            [key(Transport::Tcp, &address.to_string()), key(Transport::Tcp, &format!("0.0.0.0:{}", address.port()))]
        {
            let listeners = Listeners { leaving: leaving(key.clone()), ..Listeners::default() };
            let error = plan(&listeners, &SocketChanges::default());
            assert!(matches!(error, Some(ApplyError::Bind(BindError::Closing { .. }))), "{error:?}");
            let changes = SocketChanges { removed: [key].into(), ..SocketChanges::default() };
            let error = plan(&Listeners::default(), &changes);
            assert!(matches!(error, Some(ApplyError::Bind(BindError::Held { .. }))), "{error:?}");
        }
        let other = Listeners { leaving: leaving(key(Transport::Udp, &address.to_string())), ..Listeners::default() };
        let error = plan(&other, &SocketChanges::default());
        assert!(matches!(error, Some(ApplyError::Bind(BindError::InUse { .. }))), "{error:?}");
        let listeners =
            Listeners { leaving: leaving(key(Transport::Tcp, &address.to_string())), ..Listeners::default() };
        drop((held, open));
        assert!(plan(&listeners, &SocketChanges::default()).is_none(), "closed by now");
    }

    #[test]
    fn the_limit_of_a_merged_listener_holds_for_both_of_its_sockets() {
        let mut listeners = Listeners::default();
        let live = |limit| Live {
            local: "127.0.0.1:1".parse().unwrap(),
            settings: watch::Sender::new(
                ListenerSettings::new(Arc::new(parsed("{name: a, address: '127.0.0.1:1'}").listeners[0].clone()), None)
                    .unwrap(),
            ),
            limit: ConnectionLimit::new(limit),
            tls: None,
            open: Arc::new(()),
        };
        let keys = [Transport::Tcp, Transport::Udp].map(|transport| key(transport, "127.0.0.1:1"));
        for (key, limit) in keys.iter().zip([7, 9]) {
            listeners.live.insert(key.clone(), live(limit));
        }
        let merged = parsed("{name: a, address: '127.0.0.1:1', limits: {connections: 1}}").listeners[0].clone();
        let planned = Planned {
            settings: ListenerSettings::new(Arc::new(merged), None).unwrap(),
            local: "127.0.0.1:1".parse().unwrap(),
            limit: listeners.live[&keys[0]].limit.clone(),
            tls: None,
            kept: keys.to_vec(),
            bound: Vec::new(),
        };
        listeners.apply(Plan { listeners: vec![planned], removed: BTreeSet::new() }, &Workers::default());
        for key in &keys {
            let limit = &listeners.live[key].limit;
            let first = limit.acquire();
            assert!(first.is_some() && limit.acquire().is_none(), "{key:?}");
        }
    }
}
