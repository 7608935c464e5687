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

use crate::model::Transport;

/// Connections that the kernel holds for a worker that has not accepted them yet.
pub(super) const BACKLOG: i32 = 4096;
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
        /// Of this transport.
        transport: Transport,
    },
    /// This process has the port, for a listener that the same reload removes.
    #[error(
        "listener {name}: {address} overlaps with {held}, which this reload removes and which still listens; remove that \
         one first, and add this one with the next reload"
    )]
    Held {
        /// The listener.
        name: Arc<str>,
        /// The address.
        address: SocketAddr,
        /// The address of the removed listener.
        held: SocketAddr,
    },
    /// This process has the port, for a listener that an earlier reload removed.
    #[error(
        "listener {name}: {address} overlaps with {held}, which was removed and is open until its last connections have \
         ended; this is tried again until then"
    )]
    Closing {
        /// The listener.
        name: Arc<str>,
        /// The address.
        address: SocketAddr,
        /// The address of the removed listener.
        held: SocketAddr,
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
        /// Of this transport.
        transport: Transport,
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
        /// Of this transport.
        transport: Transport,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    fn new(name: &Arc<str>, address: SocketAddr, transport: Transport, source: io::Error) -> Self {
        let name = name.clone();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { name, address, transport },
            io::ErrorKind::PermissionDenied => Self::Denied { name, address, transport },
            io::ErrorKind::AddrNotAvailable => Self::NotLocal { name, address },
            _ => Self::Other { name, address, transport, source },
        }
    }
}

/// Sockets of one transport, one per worker.
#[derive(Debug)]
pub enum Sockets {
    /// Nonblocking, listening.
    Tcp(Vec<std::net::TcpListener>),
    /// Nonblocking.
    Udp(Vec<std::net::UdpSocket>),
}

/// Sockets that a listener has got, all at the same port.
#[derive(Debug)]
pub struct Bound {
    /// The address with the real port.
    pub local: SocketAddr,
    /// By transport, as they were asked for.
    pub sockets: Vec<(Transport, Sockets)>,
}

/// Binds sockets of these transports for `workers` workers. `name` is the listener's, for messages.
pub fn bind(
    name: &Arc<str>,
    address: SocketAddr,
    transports: &[Transport],
    workers: usize,
) -> Result<Bound, BindError> {
    // Port 0 gives a port that is free for one transport and may be taken for the other.
    let attempts = if address.port() == 0 && transports.len() > 1 { PORT_ATTEMPTS } else { 1 };
    let mut attempt = 1;
    loop {
        match bind_all(name, address, transports, workers) {
            Err(BindError::InUse { .. }) if attempt < attempts => attempt += 1,
            result => return result,
        }
    }
}

fn bind_all(
    name: &Arc<str>,
    mut address: SocketAddr,
    transports: &[Transport],
    workers: usize,
) -> Result<Bound, BindError> {
    // The exclusive bind also picks the port when the config says 0: the first transport's, which the others share.
    for transport in transports {
        address = exclusive(address, *transport).map_err(|error| BindError::new(name, address, *transport, error))?;
    }
    let mut sockets = Vec::with_capacity(transports.len());
    for transport in transports {
        let made = match transport {
            Transport::Tcp => (0..workers).map(|_| bind_tcp(address)).collect::<io::Result<_>>().map(Sockets::Tcp),
            Transport::Udp => (0..workers).map(|_| bind_udp(address)).collect::<io::Result<_>>().map(Sockets::Udp),
        };
        sockets.push((*transport, made.map_err(|error| BindError::new(name, address, *transport, error))?));
    }
    Ok(Bound { local: address, sockets })
}

/// Binds without `SO_REUSEPORT`, and lets go again: it fails when anybody holds the address.
fn exclusive(address: SocketAddr, transport: Transport) -> io::Result<SocketAddr> {
    let socket = open(address, transport)?;
    socket.bind(&SockAddr::from(address))?;
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("the socket has no internet address"))
}

fn open(address: SocketAddr, transport: Transport) -> io::Result<Socket> {
    let (kind, protocol) = match transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if transport == Transport::Tcp {
        // A restart must not wait for connections of the old process in TIME_WAIT. (For UDP this option would let
        // two processes share the port, so it isn't set there.)
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = open(address, Transport::Tcp)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_udp(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = open(address, Transport::Udp)?;
    socket.set_reuse_port(true)?;
    // Best effort: the kernel gives what `net.core.rmem_max` allows.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER);
    let _ = socket.set_send_buffer_size(UDP_BUFFER);
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Transport; 2] = [Transport::Tcp, Transport::Udp];

    fn bind_at(address: &str, transports: &[Transport], workers: usize) -> Result<Bound, BindError> {
        bind(&"test".into(), address.parse().unwrap(), transports, workers)
    }

    fn ports(bound: &Bound) -> Vec<(Transport, u16)> {
        let of = |(transport, sockets): &(Transport, Sockets)| match sockets {
            Sockets::Tcp(sockets) => sockets.iter().map(|one| (*transport, one.local_addr().unwrap().port())).collect(),
            Sockets::Udp(sockets) => {
                sockets.iter().map(|one| (*transport, one.local_addr().unwrap().port())).collect::<Vec<_>>()
            }
        };
        bound.sockets.iter().flat_map(of).collect()
    }

    #[test]
    fn port_zero_gives_every_worker_the_same_port_on_both_transports() {
        let bound = bind_at("127.0.0.1:0", &BOTH, 3).unwrap();
        let port = bound.local.port();
        assert_ne!(port, 0);
        assert_eq!(ports(&bound), [[(Transport::Tcp, port); 3], [(Transport::Udp, port); 3]].concat());
    }

    #[test]
    fn http3_alone_binds_no_tcp_socket() {
        let bound = bind_at("127.0.0.1:0", &[Transport::Udp], 2).unwrap();
        assert_eq!(ports(&bound), [(Transport::Udp, bound.local.port()); 2]);
    }

    #[test]
    fn a_port_that_another_gateway_shares_is_refused() {
        let first = bind_at("127.0.0.1:0", &[Transport::Tcp], 1).unwrap();
        let error = bind_at(&first.local.to_string(), &[Transport::Tcp], 1).unwrap_err();
        assert!(matches!(&error, BindError::InUse { transport: Transport::Tcp, .. }), "{error}");
        assert!(error.to_string().contains("listener test"), "{error}");
    }

    #[test]
    fn a_taken_udp_port_is_named_as_udp() {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = bind_at(&udp.local_addr().unwrap().to_string(), &[Transport::Udp], 1).unwrap_err();
        assert!(matches!(&error, BindError::InUse { transport: Transport::Udp, .. }), "{error}");
    }

    #[test]
    fn ipv6_and_ipv4_can_use_the_same_port() {
        let Ok(_) = bind_at("[::]:0", &BOTH, 1) else { return }; // a machine without IPv6
        // A port that is free for the one may be taken for the other.
        let both = (0..10).any(|_| {
            let six = bind_at("[::]:0", &BOTH, 1).unwrap();
            bind_at(&format!("0.0.0.0:{}", six.local.port()), &BOTH, 1).is_ok()
        });
        assert!(both);
    }
}
