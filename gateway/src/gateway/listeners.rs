//! The sockets that are bound, and how a configuration changes them: as long as address and transport stay, a socket stays,
//! and new connections get the new settings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::prepare::ListenerCertificates;
use super::workers::Workers;
use super::{ApplyError, POLL};
use crate::config::model::{Config, Listener};
use crate::config::{SocketChanges, SocketKey, Transport};
use crate::listener::ListenerSettings;
use crate::listener::bind::{self, BindError, Bound, Sockets};
use crate::listener::tcp::ConnectionLimit;
use crate::listener::tls::{Certificates, TlsState};
use crate::snapshot::Ports;
use crate::worker::{Command, Share, Socket};

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
    leaving: Leaving,
}

/// Sockets that were given up.
#[derive(Clone, Default)]
pub(super) struct Leaving(Vec<(SocketKey, Weak<()>)>);

impl Leaving {
    /// Waits a moment for those among `wanted` to close.
    pub(super) async fn closed(&self, wanted: &BTreeSet<SocketKey>) {
        let open = || self.0.iter().any(|(key, open)| wanted.contains(key) && open.strong_count() > 0);
        let closed = async {
            while open() {
                tokio::time::sleep(POLL).await;
            }
        };
        let _ = tokio::time::timeout(CLOSING, closed).await;
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
    pub(super) fn leaving(&self) -> Leaving {
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
        let Bound { local, sockets } = bind::bind(&listener.name, address, &transports, workers)
            .map_err(|error| own(error, address, &missing, changes))?;
        let bound = missing.into_iter().zip(sockets.into_iter().map(|(_, sockets)| sockets)).collect();
        let limit = live.map_or_else(|| ConnectionLimit::new(listener.limits.connections), |live| live.limit.clone());
        Ok(Planned { settings, local, limit, tls, kept, bound })
    }

    /// Puts a plan in force; this can't fail. Workers get the snapshot first, so that new sockets serve it.
    pub(super) fn apply(&mut self, plan: Plan, workers: &Workers) {
        for key in &plan.removed {
            let Some(live) = self.live.remove(key) else { continue };
            tracing::info!(address = %live.local, transport = ?key.transport, "no longer listening");
            workers.tell(|| Command::Unlisten(key.clone()));
            self.leaving.0.push((key.clone(), Arc::downgrade(&live.open)));
        }
        self.leaving.0.retain(|(_, open)| open.strong_count() > 0);
        for planned in plan.listeners {
            planned.limit.set(planned.settings.config.limits.connections);
            if let Some((state, certificates)) = &planned.tls {
                state.install(certificates.clone());
            }
            let state = planned.tls.map(|(state, _)| state);
            for key in &planned.kept {
                let Some(live) = self.live.get_mut(key) else { continue };
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
                    Sockets::Udp(sockets) => sockets.into_iter().map(Socket::Udp).collect(),
                };
                workers.tell_each(sockets.into_iter().map(|socket| {
                    Command::Listen(Box::new(Share {
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

/// Tells a port that this gateway itself holds, by a listener that goes, from one that another process holds.
fn own(error: BindError, address: SocketAddr, missing: &[SocketKey], changes: &SocketChanges) -> BindError {
    let overlaps = |removed: &&SocketKey| {
        let same_port = removed.address.port() == address.port() && removed.address.is_ipv4() == address.is_ipv4();
        same_port && missing.iter().any(|key| key.transport == removed.transport)
    };
    match (error, changes.removed.iter().find(overlaps)) {
        (BindError::InUse { name, .. }, Some(held)) => BindError::Held { name, address, held: held.address },
        (error, _) => error,
    }
}
