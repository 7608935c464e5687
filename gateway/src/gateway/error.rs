//! Why a gateway does not start, or does not take a configuration.

use crate::config::ConfigErrors;
use crate::listener::bind::BindError;
use crate::listener::tls::TlsError;
use crate::plugin::HostError;

/// Why the gateway could not start, or could not take a new configuration.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The file, or something that it names (a plugin, a certificate), is wrong. Holds every mistake with its place.
    #[error("{0}")]
    Config(ConfigErrors),
    /// A listener's address can't be bound.
    #[error("{0}")]
    Bind(#[from] BindError),
    /// TLS can't be set up.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The plugin host can't be set up.
    #[error("{0}")]
    Host(#[from] HostError),
    /// A signal asked for the end before anything was served.
    #[error("ended by a signal while starting")]
    Stopped,
    /// The log, a thread or the admin address.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ApplyError {
    pub(super) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
