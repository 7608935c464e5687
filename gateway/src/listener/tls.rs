//! TLS of a listener: certificates chosen by SNI, ALPN, session tickets, and new certificates at a reload without
//! touching the listener.
//!
//! All rustls configurations of a listener share one [`TlsState`]; a reload swaps its [`Certificates`] with one atomic
//! store, so the next handshake sees the new certificates.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::PrivatePkcs8KeyDer;

use super::quic;
use crate::model::{CertificateFiles, Listener, ListenerTls};
use crate::{pki, watch};

/// Bytes of a certificate or key file.
const MAX_FILE: u64 = 1 << 20;

/// Why the TLS part of a listener cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read or holds no PEM of the right kind.
    #[error("{path}: cannot read the {what}: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// `certificate chain` or `private key`.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is not the certificate's.
    #[error(
        "{key}: this private key does not belong to the certificate in {certificate}; give the key that the \
         certificate was issued for, and put the leaf certificate first in its file",
        key = key.display(), certificate = certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Neither `certificates` nor `self_signed` names anything.
    #[error("tls needs at least one of `certificates` and `self_signed`")]
    NoCertificate,
    /// The development certificate could not be made.
    #[error("self_signed: cannot make a certificate for {names}: {reason}")]
    SelfSigned {
        /// The names asked for.
        names: String,
        /// Why.
        reason: String,
    },
    /// rustls refused the configuration.
    #[error("cannot set up TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

impl TlsError {
    /// The file that is to be mended, where there is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Mismatch { key, .. } => Some(key),
            Self::NoCertificate | Self::SelfSigned { .. } | Self::Rustls(_) => None,
        }
    }
}

/// The certificates of a listener by name, ready to be installed. Lookups happen once per handshake.
#[derive(Debug)]
pub struct Certificates {
    /// For clients that send no name, or one that nothing matches.
    default: Arc<CertifiedKey>,
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// `*.example.no` as `example.no`; a wildcard stands for exactly one label (RFC 6125 section 6.4.3).
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    /// By what the configuration calls each.
    expiries: Vec<(String, SystemTime)>,
}

impl Certificates {
    /// When each expires, by its file; what has none is `self_signed`.
    pub fn expiries(&self) -> &[(String, SystemTime)] {
        &self.expiries
    }

    fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let Some(name) = name else { return self.default.clone() };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.exact.get(&name).or_else(|| self.wildcard.get(name.split_once('.')?.1)).unwrap_or(&self.default).clone()
    }

    /// Reads the certificates and keys of a listener; tells everything that is wrong with them.
    pub fn load(tls: &ListenerTls) -> Result<Arc<Self>, Vec<TlsError>> {
        let provider = aws_lc_rs::default_provider();
        let (mut keys, mut errors, mut expiries) = (Vec::new(), Vec::new(), Vec::new());
        let mut add = |name: String, key: Arc<CertifiedKey>| {
            expiries.extend(validity(&key).map(|(_, not_after)| (name, not_after)));
            keys.push(key);
        };
        for files in &tls.certificates {
            match load_files(files, &provider) {
                Ok(key) => add(files.certificate.display().to_string(), key),
                Err(error) => errors.push(error),
            }
        }
        if !tls.self_signed.is_empty() {
            match self_signed(&tls.self_signed, &provider) {
                Ok(key) => add("self_signed".to_owned(), key),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let default = keys.first().cloned().ok_or_else(|| vec![TlsError::NoCertificate])?;
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for key in keys {
            for name in dns_names(&key) {
                // The first certificate that has a name keeps it.
                match name.strip_prefix("*.") {
                    Some(rest) => wildcard.entry(rest.to_owned()).or_insert_with(|| key.clone()),
                    None => exact.entry(name).or_insert_with(|| key.clone()),
                };
            }
        }
        Ok(Arc::new(Self { default, exact, wildcard, expiries }))
    }
}

#[derive(Debug)]
struct SniResolver(ArcSwap<Certificates>);

impl ResolvesServerCert for SniResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().find(hello.server_name()))
    }
}

/// The TLS state of one listener, shared by its workers.
#[derive(Debug)]
pub struct TlsState {
    resolver: Arc<SniResolver>,
    provider: Arc<CryptoProvider>,
    /// Shared, so that a client resumes on whichever worker it lands; rotates its keys by itself.
    tickets: Arc<dyn ProducesTickets>,
    quic_tickets: Arc<dyn ProducesTickets>,
}

impl TlsState {
    /// The state of a new listener.
    pub fn new(certificates: Arc<Certificates>) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self {
            resolver: Arc::new(SniResolver(ArcSwap::new(certificates))),
            provider: Arc::new(aws_lc_rs::default_provider()),
            tickets: aws_lc_rs::Ticketer::new()?,
            quic_tickets: aws_lc_rs::Ticketer::new()?,
        }))
    }

    /// The next handshake has these certificates.
    pub fn install(&self, certificates: Arc<Certificates>) {
        self.resolver.0.store(certificates);
    }

    fn config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        tickets: &Arc<dyn ProducesTickets>,
        alpn: Vec<Vec<u8>>,
    ) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(self.resolver.clone());
        config.alpn_protocols = alpn;
        config.ticketer = tickets.clone();
        // Early data can be replayed; the gateway cannot know which requests bear that.
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// The configuration for TCP: TLS 1.3, and 1.2 where it is on; ALPN for the protocols that are served.
    pub fn server_config(&self, listener: &Listener) -> Result<Arc<ServerConfig>, TlsError> {
        let tls12 = listener.tls.as_ref().is_some_and(|tls| tls.tls12);
        let versions: &[&SupportedProtocolVersion] =
            if tls12 { &[&rustls::version::TLS13, &rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
        let mut alpn = Vec::new();
        if listener.http2 {
            alpn.push(b"h2".to_vec());
        }
        if listener.http1 {
            alpn.push(b"http/1.1".to_vec());
        }
        self.config(versions, &self.tickets, alpn).map(Arc::new)
    }

    /// The configuration for QUIC: TLS 1.3 (RFC 9001 section 4.2), ALPN `h3`, and the transport's limits.
    pub fn quic_config(&self, listener: &Listener) -> Result<quinn::ServerConfig, TlsError> {
        let config = self.config(&[&rustls::version::TLS13], &self.quic_tickets, vec![b"h3".to_vec()])?;
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(config)
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(quic::server_config(Arc::new(crypto), &listener.limits))
    }
}

fn load_files(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let broken = |path: &Path, what, reason: String| TlsError::File { path: path.to_owned(), what, reason };
    let read =
        |path: &Path, what| watch::read_regular(path, MAX_FILE).map_err(|error| broken(path, what, error.to_string()));
    let (chain_file, key_file) = (&files.certificate, &files.private_key);
    let chain = pki::certificates(&read(chain_file, "certificate chain")?)
        .map_err(|reason| broken(chain_file, "certificate chain", reason))?;
    let key =
        pki::private_key(&read(key_file, "private key")?).map_err(|reason| broken(key_file, "private key", reason))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| broken(&files.private_key, "private key", error.to_string()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(TlsError::Mismatch { certificate: files.certificate.clone(), key: files.private_key.clone() });
        }
        Err(error) => return Err(broken(&files.certificate, "certificate chain", error.to_string())),
    }
    warn_of_dates(&files.certificate, &certified);
    Ok(Arc::new(certified))
}

/// From when to when a certificate is valid, where that can be read.
fn validity(certified: &CertifiedKey) -> Option<(SystemTime, SystemTime)> {
    pki::validity(certified.end_entity_cert().ok()?)
}

/// Says so where clients refuse the certificate now, or soon will: who renews it may have stopped to.
fn warn_of_dates(file: &Path, certified: &CertifiedKey) {
    let Some((not_before, not_after)) = validity(certified) else { return };
    let (certificate, now) = (file.display(), SystemTime::now());
    let until = httpdate::fmt_http_date(not_after);
    if not_after < now {
        tracing::warn!(%certificate, %until, "this certificate has expired; clients will refuse it");
    } else if not_before > now {
        let from = httpdate::fmt_http_date(not_before);
        tracing::warn!(%certificate, %from, "this certificate is not valid yet; clients will refuse it");
    } else if not_after < now + expires_soon(not_before, not_after) {
        tracing::warn!(%certificate, %until, "this certificate expires soon; renew it");
    }
}

/// A quarter of what a certificate is valid for, at most 14 days: whoever renews by the rule of two thirds has failed by then.
fn expires_soon(not_before: SystemTime, not_after: SystemTime) -> Duration {
    let lifetime = not_after.duration_since(not_before).unwrap_or_default();
    (lifetime / 4).min(Duration::from_secs(14 * 86_400))
}

/// Development certificates live as long as the process, so that a reload doesn't change them under the clients.
static SELF_SIGNED: LazyLock<Mutex<HashMap<Vec<String>, Arc<CertifiedKey>>>> = LazyLock::new(Mutex::default);

fn self_signed(names: &[String], provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let failed = |reason: String| TlsError::SelfSigned { names: names.join(", "), reason };
    let mut made = SELF_SIGNED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(key) = made.get(names) {
        return Ok(key.clone());
    }
    let certificate = rcgen::generate_simple_self_signed(names).map_err(|error| failed(error.to_string()))?;
    let key = PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der());
    let key = provider.key_provider.load_private_key(key.into()).map_err(|error| failed(error.to_string()))?;
    let key = Arc::new(CertifiedKey::new(vec![certificate.cert.der().clone()], key));
    made.insert(names.to_vec(), key.clone());
    Ok(key)
}

/// The DNS names among the subject alternative names, in lower case. (SNI carries no addresses.)
fn dns_names(key: &CertifiedKey) -> Vec<String> {
    let Ok(leaf) = key.end_entity_cert() else { return Vec::new() };
    match webpki::EndEntityCert::try_from(leaf) {
        Ok(certificate) => certificate.valid_dns_names().map(str::to_ascii_lowercase).collect(),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;

    use super::*;

    fn files(directory: &Path, name: &str, names: &[&str]) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let files = CertificateFiles {
            certificate: directory.join(format!("{name}.pem")),
            private_key: directory.join(format!("{name}.key")),
        };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.private_key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    fn tls(certificates: Vec<CertificateFiles>, self_signed: &[&str]) -> ListenerTls {
        let self_signed = self_signed.iter().map(|name| (*name).to_owned()).collect();
        ListenerTls { certificates, self_signed, tls12: true }
    }

    fn state(tls: &ListenerTls) -> Arc<TlsState> {
        TlsState::new(Certificates::load(tls).unwrap()).unwrap()
    }

    fn chosen(state: &TlsState, name: Option<&str>) -> CertificateDer<'static> {
        state.resolver.0.load().find(name).cert[0].clone()
    }

    #[test]
    fn sni_chooses_exact_then_wildcard_then_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let first = files(directory.path(), "first", &["first.test"]);
        let wild = files(directory.path(), "wild", &["*.example.test"]);
        let exact = files(directory.path(), "exact", &["api.example.test"]);
        let state = state(&tls(vec![first, wild, exact], &[]));
        let default = chosen(&state, None);
        assert_eq!(chosen(&state, Some("first.test")), default);
        assert_eq!(chosen(&state, Some("unknown.test")), default);
        // A wildcard stands for one label only.
        assert_eq!(chosen(&state, Some("a.b.example.test")), default);
        assert_eq!(chosen(&state, Some("example.test")), default);
        let wild = chosen(&state, Some("www.example.test"));
        let exact = chosen(&state, Some("API.example.test"));
        assert!(wild != default && exact != default && wild != exact);
    }

    #[test]
    fn a_reload_swaps_certificates_and_a_bad_one_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let config = tls(vec![files(directory.path(), "a", &["a.test"])], &[]);
        let state = state(&config);
        let before = chosen(&state, Some("a.test"));
        let renewed = files(directory.path(), "a", &["a.test"]);
        state.install(Certificates::load(&config).unwrap());
        let after = chosen(&state, Some("a.test"));
        assert_ne!(before, after);
        std::fs::write(&renewed.certificate, "nonsense").unwrap();
        let errors = Certificates::load(&config).unwrap_err();
        assert!(errors[0].to_string().contains("certificate chain"), "{errors:?}");
        assert_eq!(errors[0].file(), Some(renewed.certificate.as_path()));
        assert_eq!(chosen(&state, Some("a.test")), after);
    }

    #[test]
    fn every_bad_certificate_is_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let config = tls(["a", "b", "c"].map(|name| files(directory.path(), name, &["a.test"])).into(), &[]);
        std::fs::write(&config.certificates[0].certificate, "nonsense").unwrap();
        std::fs::write(&config.certificates[2].private_key, "nonsense").unwrap();
        assert_eq!(Certificates::load(&config).unwrap_err().len(), 2);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = tls(vec![files(directory.path(), "a", &["a.test"])], &[]);
        config.certificates[0].private_key = files(directory.path(), "b", &["b.test"]).private_key;
        let errors = Certificates::load(&config).unwrap_err();
        assert!(matches!(errors[..], [TlsError::Mismatch { .. }]), "{errors:?}");
    }

    #[test]
    fn a_development_certificate_stays_the_same() {
        let config = tls(Vec::new(), &["dev.test", "127.0.0.1"]);
        let before = chosen(&state(&config), Some("dev.test"));
        assert_eq!(chosen(&state(&config), None), before);
    }

    #[test]
    fn alpn_and_versions_follow_the_listener() {
        let text = |protocols: &str| {
            format!(
                "listeners: [{{name: a, address: '127.0.0.1:1', protocols: [{protocols}], tls: {{self_signed: [a]}}}}]\nroutes: []"
            )
        };
        for (protocols, alpn) in [("http1, http2", &[&b"h2"[..], b"http/1.1"][..]), ("http1", &[b"http/1.1"])] {
            let config = crate::config::parse(&text(protocols), Path::new("gateway.yaml"), &|_| None).unwrap();
            let listener = &config.listeners[0];
            let state = state(listener.tls.as_ref().unwrap());
            assert_eq!(state.server_config(listener).unwrap().alpn_protocols, alpn);
        }
    }

    #[test]
    fn nothing_configured_is_an_error() {
        assert!(matches!(Certificates::load(&tls(Vec::new(), &[])).unwrap_err()[..], [TlsError::NoCertificate]));
    }
}
