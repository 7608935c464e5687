//! TLS towards upstreams: one prepared rustls config per upstream, shared by all workers, so that sessions resume
//! across them.

mod explain;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::invalid::InvalidUpstream;
use crate::model::{Upstream as Config, UpstreamProtocol};
use crate::pki;
use crate::sanitize::safe;
pub(super) use explain::explain;
use verify::Verifier;

/// The client side of TLS for this upstream. `ca` is the text of its PEM file, where it names one.
pub(super) fn client_config(config: &Config, ca: Option<&[u8]>) -> Result<Arc<ClientConfig>, InvalidUpstream> {
    let (roots, own) = match ca {
        Some(pem) => parse_roots(config, pem)?,
        None => (native_roots(), Vec::new()),
    };
    let pins = config.tls.as_ref().map(|tls| tls.pins.clone()).unwrap_or_default();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new(&provider, &roots, own, pins);
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| InvalidUpstream::Tls { upstream: config.name.clone(), error })?
        // Not dangerous in itself: it is rustls's own, except for what the operator trusts as it is.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    client.alpn_protocols = match config.protocol {
        UpstreamProtocol::Http1 => vec![b"http/1.1".to_vec()],
        UpstreamProtocol::Http2 => vec![b"h2".to_vec()],
        UpstreamProtocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(Arc::new(client))
}

/// What a `ca` file holds, as authorities and as certificates that an endpoint may show itself.
fn parse_roots(
    config: &Config,
    pem: &[u8],
) -> Result<(Arc<RootCertStore>, Vec<CertificateDer<'static>>), InvalidUpstream> {
    let invalid = |what: String| InvalidUpstream::Ca {
        upstream: config.name.clone(),
        path: config.tls.as_ref().and_then(|tls| tls.ca.clone()).unwrap_or_default(),
        what,
    };
    let own = pki::certificates(pem).map_err(invalid)?;
    let mut roots = RootCertStore::empty();
    for certificate in &own {
        roots.add(certificate.clone()).map_err(|error| invalid(error.to_string()))?;
    }
    Ok((Arc::new(roots), own))
}

/// The system's roots, read once. Unreadable ones are skipped with a warning: what they would have vouched for fails
/// verification, with a message of its own.
fn native_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(error = %safe!(*error), "reading the system's root certificates");
        }
        let mut roots = RootCertStore::empty();
        let (added, ignored) = roots.add_parsable_certificates(found.certs);
        tracing::debug!(added, ignored, "system root certificates");
        Arc::new(roots)
    });
    roots.clone()
}
