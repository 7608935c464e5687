//! The host's cryptography, natively: the gateway's own rules, behind the functions that a plugin calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plugin_rules::key::{self, MAX_KEYS, too_many_keys};

use crate::bindings::edge::gateway::crypto::{DigestAlgorithm, SignatureAlgorithm};

pub(crate) fn digest(using: DigestAlgorithm, data: &[u8]) -> Vec<u8> {
    super::charge();
    key::digest(using.into(), data)
}

/// Counts one of a host's keys as long as it lives.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// None where there are as many as there may be. Outside of a host nobody counts.
    fn one_more() -> Option<Self> {
        let keys = super::innermost(|host| host.keys.clone()).unwrap_or_default();
        let counted = Self(keys);
        (counted.0.fetch_add(1, Ordering::Relaxed) < MAX_KEYS).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct Key {
    key: key::Key,
    _counted: Counted,
}

fn keep(key: Result<key::Key, key::InvalidKey>) -> Result<Key, String> {
    let key = key.map_err(|invalid| invalid.to_string())?;
    Ok(Key { key, _counted: Counted::one_more().ok_or_else(too_many_keys)? })
}

impl Key {
    pub(crate) fn from_jwk(jwk: &str) -> Result<Self, String> {
        super::charge();
        keep(key::Key::parse_jwk(jwk))
    }

    pub(crate) fn from_pem(pem: &str) -> Result<Self, String> {
        super::charge();
        keep(key::Key::parse_pem(pem))
    }

    pub(crate) fn from_secret(name: &str) -> Result<Self, String> {
        super::charge();
        let secret = super::current(|host| host.secrets.borrow().get(name).cloned());
        let secret = secret.ok_or_else(|| format!("the secret `{name}` is not granted to the plugin"))?;
        keep(key::Key::parse_secret(&secret))
    }

    pub(crate) fn verify(&self, using: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        super::charge();
        self.key.verify(using.into(), message, signature)
    }

    pub(crate) fn mac(&self, using: DigestAlgorithm, message: &[u8]) -> Vec<u8> {
        super::charge();
        self.key.mac(using.into(), message).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;

    use super::super::TestHost;
    use super::*;

    const PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

    #[test]
    fn a_public_key_in_a_secret_never_serves_as_an_hmac_key_here_either() {
        let host = TestHost::new().secret("public", PEM).secret("empty", "");
        host.enter(|| {
            let key = Key::from_secret("public").unwrap();
            let forged = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, PEM.as_bytes()), b"m");
            assert!(!key.verify(SignatureAlgorithm::Hs256, b"m", forged.as_ref()));
            assert!(key.mac(DigestAlgorithm::Sha256, b"m").is_empty());
            assert!(Key::from_secret("empty").is_err() && Key::from_secret("none").is_err());
        });
    }

    #[test]
    fn what_the_gateway_refuses_is_refused_here() {
        for jwk in [
            r#"{"kty":"oct","k":"c2hvcnQ"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
            r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","alg":"RS256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        ] {
            assert!(Key::from_jwk(jwk).is_err(), "{jwk}");
        }
        assert!(Key::from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----").is_err());
    }
}
