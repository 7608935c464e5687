//! TLS towards a collector.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore};

use crate::settings::{Settings, Trust};

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTls {
    /// The endpoint's host can't be the name in a certificate.
    #[error("the host of the endpoint can't be in a certificate; give a DNS name or an address")]
    Host,
    /// The certificate and the key that the gateway shows.
    #[error("the client certificate can't be used: {0}")]
    Identity(#[source] rustls::Error),
    /// Nothing that a collector offers could be trusted.
    #[error("the system has no authorities to trust; give the collector's as `ca`")]
    NoRoots,
    /// The library refuses its own defaults.
    #[error("TLS can't be set up: {0}")]
    Library(#[source] rustls::Error),
}

/// The client side of TLS.
pub(super) fn client_config(settings: &Settings) -> Result<ClientConfig, InvalidTls> {
    let roots = match &settings.trust {
        Trust::System => system_roots(),
        Trust::Roots(roots) => roots.clone(),
    };
    if roots.is_empty() {
        return Err(InvalidTls::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(InvalidTls::Library)?
        .with_root_certificates(roots);
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(InvalidTls::Identity)?,
    };
    config.alpn_protocols = vec![settings.protocol.alpn().to_vec()];
    Ok(config)
}

/// The system's authorities, read once. What can't be read vouches for nobody, which a failing connection then says.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    roots.clone()
}
