//! Why an upstream can't be built from its config.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why an upstream can't be built from its config.
#[derive(Debug, thiserror::Error)]
pub enum InvalidUpstream {
    /// The `ca` file can't be read.
    #[error("upstream {upstream}: reading the ca file {path}: {error}", path = path.display())]
    ReadCa {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The `ca` file is not a list of PEM certificates.
    #[error("upstream {upstream}: the ca file {path}: {what}", path = path.display())]
    Ca {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A name that can't be used.
    #[error("upstream {upstream}: {name}: {what}")]
    Name {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// rustls refuses the settings.
    #[error("upstream {upstream}: tls: {error}")]
    Tls {
        /// The upstream's name.
        upstream: Arc<str>,
        /// What rustls said.
        error: rustls::Error,
    },
}

impl InvalidUpstream {
    /// The upstream's name.
    pub const fn upstream(&self) -> &Arc<str> {
        match self {
            Self::ReadCa { upstream, .. }
            | Self::Ca { upstream, .. }
            | Self::Name { upstream, .. }
            | Self::Tls { upstream, .. } => upstream,
        }
    }

    /// The file that is to be mended, where there is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::ReadCa { path, .. } | Self::Ca { path, .. } => Some(path),
            Self::Name { .. } | Self::Tls { .. } => None,
        }
    }
}
