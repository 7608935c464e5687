//! TLS of a listener: certificates chosen by SNI, ALPN, session tickets, and new certificates at a reload without
//! touching the listener.
//!
//! All rustls configurations of a listener share one [`TlsState`]; a reload swaps its [`Certificates`] with one atomic
//! store, so the next handshake sees the new certificates.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::quic;
use crate::config::model::{CertificateFiles, Listener, ListenerTls};

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
}

impl Certificates {
    fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let Some(name) = name else { return self.default.clone() };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.exact.get(&name).or_else(|| self.wildcard.get(name.split_once('.')?.1)).unwrap_or(&self.default).clone()
    }

    /// Reads the certificates and keys of a listener; tells everything that is wrong with them.
    pub fn load(tls: &ListenerTls) -> Result<Arc<Self>, Vec<TlsError>> {
        let provider = aws_lc_rs::default_provider();
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        for files in &tls.certificates {
            match load_files(files, &provider) {
                Ok(key) => keys.push(key),
                Err(error) => errors.push(error),
            }
        }
        if !tls.self_signed.is_empty() {
            match self_signed(&tls.self_signed, &provider) {
                Ok(key) => keys.push(key),
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
        Ok(Arc::new(Self { default, exact, wildcard }))
    }
}

#[derive(Debug)]
struct Resolver(ArcSwap<Certificates>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().find(hello.server_name()))
    }
}

/// The TLS state of one listener, shared by its workers.
#[derive(Debug)]
pub struct TlsState {
    resolver: Arc<Resolver>,
    provider: Arc<CryptoProvider>,
    /// Shared, so that a client resumes on whichever worker it lands; rotates its keys by itself.
    tickets: Arc<dyn ProducesTickets>,
    quic_tickets: Arc<dyn ProducesTickets>,
}

impl TlsState {
    /// The state of a new listener.
    pub fn new(certificates: Arc<Certificates>) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self {
            resolver: Arc::new(Resolver(ArcSwap::new(certificates))),
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
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| broken(&files.certificate, "certificate chain", error.to_string()))?;
    if chain.is_empty() {
        let reason = "no CERTIFICATE section in the file".to_owned();
        return Err(broken(&files.certificate, "certificate chain", reason));
    }
    let key = PrivateKeyDer::from_pem_file(&files.private_key)
        .map_err(|error| broken(&files.private_key, "private key", error.to_string()))?;
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
    let expiry = certified.end_entity_cert().ok().and_then(|certificate| not_after(certificate));
    if expiry.is_some_and(|expiry| expiry < SystemTime::now()) {
        tracing::warn!(certificate = %files.certificate.display(), "this certificate has expired; clients will refuse it");
    }
    Ok(Arc::new(certified))
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

/// The end of a certificate's validity (RFC 5280 section 4.1.2.5), or `None` when it cannot be read.
fn not_after(certificate: &[u8]) -> Option<SystemTime> {
    let (_, certificate, _) = der(certificate)?;
    let (_, mut fields, _) = der(certificate)?;
    // version [0], when present; serialNumber, signature, issuer; validity.
    let (tag, _, rest) = der(fields)?;
    if tag == 0xa0 {
        fields = rest;
    }
    for _ in 0..3 {
        fields = der(fields)?.2;
    }
    let (_, validity, _) = der(fields)?;
    let (_, _, rest) = der(validity)?;
    let (tag, time, _) = der(rest)?;
    let time = std::str::from_utf8(time).ok()?;
    let (year, rest) = match tag {
        // UTCTime: years below 50 are of this century.
        0x17 => {
            let year: i64 = time.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, time.get(2..)?)
        }
        0x18 => (time.get(..4)?.parse().ok()?, time.get(4..)?),
        _ => return None,
    };
    let number = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (number(0)?, number(2)?);
    // Days since the epoch, by Howard Hinnant's `days_from_civil`.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + number(4)? * 3600 + number(6)? * 60 + number(8)?;
    u64::try_from(seconds).ok().map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds))
}

/// One DER element: tag, content, what follows.
fn der(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let count = usize::from(first & 0x7f);
        if count > 4 {
            return None;
        }
        let (bytes, after) = rest.split_at_checked(count)?;
        length = bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
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
    fn expiry_is_read_from_the_certificate() {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2021, 3, 4);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        assert_eq!(not_after(certificate.der()), Some(UNIX_EPOCH + Duration::from_secs(1_614_816_000)));
        assert_eq!(not_after(b"\x30\x05abc"), None);
    }

    #[test]
    fn nothing_configured_is_an_error() {
        assert!(matches!(Certificates::load(&tls(Vec::new(), &[])).unwrap_err()[..], [TlsError::NoCertificate]));
    }
}
