//! A throwaway certificate authority.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority that lives as long as the test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new one.
    pub fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(parameters, key).expect("a certificate") }
    }

    /// The authority's certificate in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes `NAME.pem` and `NAME.key` for these host names into a directory.
    pub fn issue(&self, directory: &Path, name: &str, hosts: &[&str]) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let parameters = CertificateParams::new(hosts).expect("valid names");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        let (pem, private) = (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
        std::fs::write(&pem, certificate.pem()).expect("written");
        std::fs::write(&private, key.serialize_pem()).expect("written");
        (pem, private)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
