//! The sockets of a worker, and what is done with the connections that they accept.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::exchange::{ConnectionInfo, Protocol};
use crate::handler::Handler;
use crate::listener::ListenerSettings;
use crate::listener::steering::WorkerSteering;
use crate::listener::tcp::{ConnectionGuard, ConnectionLimit, accept_loop};
use crate::message::headers;
use crate::model::SocketKey;
use crate::protocol::activity::Group;
use crate::protocol::connections::Connections;
use crate::protocol::{Server, http3, tcp};
use crate::sanitize::safe;
use crate::telemetry::metrics::WorkerMetrics;

/// A worker's share of a listener's socket.
pub struct Share {
    /// Which socket it is.
    pub key: SocketKey,
    /// The bound address.
    pub local: SocketAddr,
    /// This worker's own.
    pub socket: Socket,
    /// What new connections get; follows reloads.
    pub settings: watch::Receiver<Arc<ListenerSettings>>,
    /// Counts the listener's connections over all workers.
    pub limit: ConnectionLimit,
    /// Dropped when the socket is closed.
    pub open: Arc<()>,
}

/// A bound socket.
pub enum Socket {
    /// For HTTP/1.1 and HTTP/2.
    Tcp(std::net::TcpListener),
    /// For HTTP/3.
    Udp(std::net::UdpSocket, WorkerSteering),
}

/// What a worker accepts connections on, and what still drains.
#[derive(Default)]
pub(super) struct Listening(Vec<Accepting>);

struct Accepting {
    key: SocketKey,
    stop: watch::Sender<bool>,
    connections: Rc<Group>,
    task: JoinHandle<()>,
}

impl Listening {
    /// Accepts on one more socket.
    pub(super) fn start<H: Handler>(&mut self, server: &Rc<Server<H>>, metrics: &WorkerMetrics, share: Share) {
        let (stop, stopped) = watch::channel(false);
        let (key, connections) = (share.key.clone(), Rc::new(Group::default()));
        let metrics = metrics.clone();
        let task = tokio::task::spawn_local(listen(server.clone(), metrics, share, connections.clone(), stopped));
        self.0.push(Accepting { key, stop, connections, task });
    }

    /// Stops accepting on a socket, and lets its connections finish.
    pub(super) fn stop(&mut self, connections: &Connections, key: &SocketKey) {
        self.0.retain(|one| !one.task.is_finished());
        for one in self.0.iter().filter(|one| one.key == *key) {
            let _ = one.stop.send(true);
            connections.drain_group(&one.connections, Instant::now());
        }
    }

    /// Stops accepting at all.
    pub(super) fn stop_all(&self) {
        for one in &self.0 {
            let _ = one.stop.send(true);
        }
    }

    /// Whether every socket is closed, and every HTTP/3 connection with it.
    pub(super) fn is_finished(&self) -> bool {
        self.0.iter().all(|one| one.task.is_finished())
    }
}

/// Accepts a socket's connections until told to stop; returns when its HTTP/3 connections have finished too.
async fn listen<H: Handler>(
    server: Rc<Server<H>>,
    metrics: WorkerMetrics,
    share: Share,
    group: Rc<Group>,
    stop: watch::Receiver<bool>,
) {
    let Share { local, socket, mut settings, limit, open: _open, .. } = share;
    let metrics = move |name: &str| metrics.listener(name);
    let socket = match socket {
        Socket::Udp(socket, steering) => {
            return http3::serve(server, (socket, steering), settings, (local, limit), metrics, group, stop).await;
        }
        Socket::Tcp(socket) => socket,
    };
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            return tracing::error!(address = %local, error = %safe!(error), "the listener's socket is unusable");
        }
    };
    let first = settings.borrow_and_update().clone();
    let mut current = (metrics(&first.config.name), first);
    let on_connection = move |stream: tokio::net::TcpStream, peer: SocketAddr, guard: Option<ConnectionGuard>| {
        if settings.has_changed().unwrap_or(false) {
            let changed = settings.borrow_and_update().clone();
            current = (metrics(&changed.config.name), changed);
        }
        let (metrics, settings) = current.clone();
        let Some(guard) = guard else { return metrics.rejected("limit") };
        metrics.accepted.add(1);
        metrics.connections.add(1);
        let (server, group) = (server.clone(), group.clone());
        tokio::task::spawn_local(async move {
            let info = ConnectionInfo {
                listener: settings.config.name.clone(),
                peer: peer.into(),
                peer_value: headers::address(peer.ip().to_canonical()).into(),
                local,
                tls: settings.tls.is_some(),
                sni: None,
                protocol: Protocol::Http1,
                max_fields: settings.config.limits.header_count,
                max_head: settings.config.limits.header_bytes,
                body_timeout: settings.config.limits.body_timeout,
            };
            tcp::serve(server, &settings, &group, stream, info, &metrics).await;
            metrics.connections.add(-1);
            drop(guard);
        });
    };
    accept_loop(socket, limit, stop, on_connection).await;
}
