//! Listeners: binding, TLS, accepting.
//!
//! Sockets are bound once, on the control thread ([`bind::bind`]), one per worker with `SO_REUSEPORT`. A reload that keeps
//! the address keeps the socket: everything else of a listener is [`ListenerSettings`], which new connections have.

pub mod bind;
pub mod fdlimit;
pub mod quic;
pub mod steering;
pub mod tcp;
pub mod tls;

use std::sync::Arc;

use crate::model::Listener;
use tls::{TlsError, TlsState};

/// What the new connections of a listener get; a reload replaces it.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Its configuration.
    pub config: Arc<Listener>,
    /// For TCP, where it is encrypted.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// For HTTP/3.
    pub quic: Option<quinn::ServerConfig>,
}

impl ListenerSettings {
    /// The settings of a listener whose certificates are in `tls`.
    pub fn new(config: Arc<Listener>, tls: Option<&TlsState>) -> Result<Arc<Self>, TlsError> {
        let quic = tls.filter(|_| config.http3).map(|tls| tls.quic_config(&config)).transpose()?;
        let tls = tls.map(|tls| tls.server_config(&config)).transpose()?;
        Ok(Arc::new(Self { config, tls, quic }))
    }
}
