//! The `admin` section.

use std::net::SocketAddr;

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Loopback by default.
    pub address: SocketAddr,
}
