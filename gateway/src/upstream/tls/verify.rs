//! Who an endpoint is: by an authority of `tls.ca` or of the system, by a certificate that stands in `tls.ca` itself, or by
//! the pin of its key.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use crate::model::Pin;
use crate::pki;

/// The key is not one that was pinned.
#[derive(Debug)]
pub(super) struct NotPinned;

impl fmt::Display for NotPinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key is not the pinned one")
    }
}

impl std::error::Error for NotPinned {}

/// See the module.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Verifies the chain and the name; `None` where the pin alone counts, or where nobody is trusted.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of `tls.ca`: an endpoint may show one of them.
    own: Vec<CertificateDer<'static>>,
    /// Any of them; empty where none are configured.
    pins: Vec<Pin>,
    /// Without it, only the pin counts.
    verifies_chain: bool,
    supported: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// By these authorities, these certificates and these pins. With pins and without a `ca` file, `own` is empty and the
    /// key alone counts: whoever has it is who was meant, whatever else the certificate says (as RFC 7671 section 5.1 has
    /// it for DANE-EE).
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        roots: &Arc<RootCertStore>,
        own: Vec<CertificateDer<'static>>,
        pins: Vec<Pin>,
    ) -> Self {
        let verifies_chain = pins.is_empty() || !own.is_empty();
        // It refuses to be made without roots; then nobody is trusted.
        let chain = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build().ok();
        let chain = chain.filter(|_| verifies_chain);
        Self { chain, own, pins, verifies_chain, supported: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.pins.is_empty() {
            let key = ParsedCertificate::try_from(leaf)?.subject_public_key_info();
            let key = digest(&SHA256, &key);
            if !self.pins.iter().any(|Pin(pin)| pin == key.as_ref()) {
                return Err(CertificateError::Other(OtherError(Arc::new(NotPinned))).into());
            }
            if !self.verifies_chain {
                return Ok(ServerCertVerified::assertion());
            }
        }
        if self.own.iter().any(|own| own.as_ref() == leaf.as_ref()) {
            return verify_itself(leaf, name, now);
        }
        match &self.chain {
            Some(chain) => chain.verify_server_cert(leaf, intermediates, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.supported)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.supported)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.supported.supported_schemes()
    }
}

/// A certificate that the operator trusts as it is needs nobody to vouch for it, and may say of itself that it is an
/// authority's, as `openssl req -x509` has it. Its name and dates count all the same.
fn verify_itself(leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<ServerCertVerified, Error> {
    let (not_before, not_after) = pki::validity(leaf).ok_or(CertificateError::BadEncoding)?;
    let seconds = |time: std::time::SystemTime| {
        UnixTime::since_unix_epoch(time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default())
    };
    let (not_before, not_after) = (seconds(not_before), seconds(not_after));
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    rustls::client::verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
    Ok(ServerCertVerified::assertion())
}
