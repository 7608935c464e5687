//! Binds the sockets of a listener: one TCP socket per worker and, for HTTP/3, one UDP socket per worker on the same
//! port, all with `SO_REUSEPORT`.
//!
//! `SO_REUSEPORT` would let a second gateway of the same user share the port silently, and steal a part of the
//! connections. So the port is first bound once *without* it: that fails when any other process holds it. An IPv6
//! listener is IPv6 only; to serve both families, configure a listener for each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::config::model::Listener;

/// Connections that the kernel holds for a worker that has not accepted them yet.
const BACKLOG: i32 = 4096;
/// Buffer per UDP socket: a burst of all connections of a worker has to fit. The kernel caps it at its own maximum.
const UDP_BUFFER: usize = 4 * 1024 * 1024;
/// How often another port is tried when port 0 gave one that is free for TCP but taken for UDP.
const PORT_ATTEMPTS: usize = 32;

/// Why a listener could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has the port.
    #[error(
        "listener {name}: {transport} address {address} is in use by another process; stop it or choose another port"
    )]
    InUse {
        /// The listener.
        name: Arc<str>,
        /// The address.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        transport: &'static str,
    },
    /// The process may not bind the port.
    #[error(
        "listener {name}: not allowed to bind {transport} address {address}; ports below 1024 need the capability \
         CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE) or a higher port"
    )]
    Denied {
        /// The listener.
        name: Arc<str>,
        /// The address.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        transport: &'static str,
    },
    /// The address isn't one of this machine's.
    #[error("listener {name}: {address} is not an address of this machine; check `address`, or use 0.0.0.0 or [::]")]
    NotLocal {
        /// The listener.
        name: Arc<str>,
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("listener {name}: cannot bind {transport} address {address}: {source}")]
    Other {
        /// The listener.
        name: Arc<str>,
        /// The address.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    fn new(listener: &Listener, address: SocketAddr, transport: &'static str, source: io::Error) -> Self {
        let name = listener.name.clone();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { name, address, transport },
            io::ErrorKind::PermissionDenied => Self::Denied { name, address, transport },
            io::ErrorKind::AddrNotAvailable => Self::NotLocal { name, address },
            _ => Self::Other { name, address, transport, source },
        }
    }
}

/// The sockets of a listener, one per worker in each vector. `udp` is empty without HTTP/3.
#[derive(Debug)]
pub struct BoundListener {
    /// What it was bound for.
    pub config: Arc<Listener>,
    /// The address with the real port.
    pub local: SocketAddr,
    /// Nonblocking, listening.
    pub tcp: Vec<std::net::TcpListener>,
    /// Nonblocking.
    pub udp: Vec<std::net::UdpSocket>,
}

/// Binds a listener for `workers` workers.
pub fn plan(listener: &Listener, workers: usize) -> Result<BoundListener, BindError> {
    let attempts = if listener.address.port() == 0 && listener.http3 { PORT_ATTEMPTS } else { 1 };
    let mut attempt = 1;
    loop {
        match bind_all(listener, workers) {
            Err(BindError::InUse { transport: "UDP", .. }) if attempt < attempts => attempt += 1,
            result => return result,
        }
    }
}

fn bind_all(listener: &Listener, workers: usize) -> Result<BoundListener, BindError> {
    let mut address = listener.address;
    // The exclusive bind also picks the port when the config says 0.
    let probe = exclusive(address, Type::STREAM).map_err(|error| BindError::new(listener, address, "TCP", error))?;
    address = probe;
    if listener.http3 {
        exclusive(address, Type::DGRAM).map_err(|error| BindError::new(listener, address, "UDP", error))?;
    }
    let mut tcp = Vec::with_capacity(workers);
    let mut udp = Vec::new();
    for _ in 0..workers {
        tcp.push(bind_tcp(address).map_err(|error| BindError::new(listener, address, "TCP", error))?);
        if listener.http3 {
            udp.push(bind_udp(address).map_err(|error| BindError::new(listener, address, "UDP", error))?);
        }
    }
    Ok(BoundListener { config: Arc::new(listener.clone()), local: address, tcp, udp })
}

/// Binds without `SO_REUSEPORT`, and lets go again: it fails when anybody holds the address.
fn exclusive(address: SocketAddr, kind: Type) -> io::Result<SocketAddr> {
    let socket = open(address, kind)?;
    socket.bind(&SockAddr::from(address))?;
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("the socket has no internet address"))
}

fn open(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // A restart must not wait for connections of the old process in TIME_WAIT. (For UDP this option would let
        // two processes share the port, so it isn't set there.)
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = open(address, Type::STREAM)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_udp(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = open(address, Type::DGRAM)?;
    socket.set_reuse_port(true)?;
    // Best effort: the kernel gives what `net.core.rmem_max` allows.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER);
    let _ = socket.set_send_buffer_size(UDP_BUFFER);
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::model::ListenerLimits;

    pub(crate) fn listener(address: &str, http3: bool) -> Listener {
        Listener {
            name: "test".into(),
            address: address.parse().unwrap(),
            http1: true,
            http2: true,
            http3,
            tls: None,
            limits: ListenerLimits {
                connections: 100,
                header_bytes: 64 * 1024,
                header_count: 100,
                header_timeout: Duration::from_secs(15),
                idle_timeout: Duration::from_secs(75),
                body_timeout: Duration::from_secs(60),
                streams: 128,
            },
        }
    }

    #[test]
    fn port_zero_gives_every_worker_the_same_port_on_both_transports() {
        let bound = plan(&listener("127.0.0.1:0", true), 3).unwrap();
        assert_ne!(bound.local.port(), 0);
        assert_eq!((bound.tcp.len(), bound.udp.len()), (3, 3));
        assert!(bound.tcp.iter().all(|socket| socket.local_addr().unwrap() == bound.local));
        assert!(bound.udp.iter().all(|socket| socket.local_addr().unwrap() == bound.local));
    }

    #[test]
    fn a_port_that_another_gateway_shares_is_refused() {
        let first = plan(&listener("127.0.0.1:0", false), 1).unwrap();
        let error = plan(&listener(&first.local.to_string(), false), 1).unwrap_err();
        assert!(matches!(&error, BindError::InUse { transport: "TCP", .. }), "{error}");
        assert!(error.to_string().contains("listener test"), "{error}");
    }

    #[test]
    fn a_taken_udp_port_is_named_as_udp() {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = plan(&listener(&udp.local_addr().unwrap().to_string(), true), 1).unwrap_err();
        // The same number may be taken for TCP by an unrelated process: then TCP is named.
        assert!(matches!(&error, BindError::InUse { .. }), "{error}");
    }

    #[test]
    fn ipv6_and_ipv4_can_use_the_same_port() {
        let Ok(six) = plan(&listener("[::1]:0", false), 1) else { return }; // a machine without IPv6
        assert!(six.local.is_ipv6());
    }
}
