//! Cryptography done natively by the host.
//!
//! ```
//! use plugin_sdk::{crypto::{Digest, Key, Signature}, testing::TestHost};
//! let host = TestHost::new().secret("hmac", [7; 32]);
//! host.enter(|| {
//!     let key = Key::from_secret("hmac").unwrap();
//!     let mac = key.mac(Digest::Sha256, b"message");
//!     assert!(key.verify(Signature::Hs256, b"message", &mac));
//!     assert!(!key.verify(Signature::Hs256, b"massage", &mac));
//! });
//! ```

use crate::raw::crypto;

pub use crate::bindings::edge::gateway::crypto::{DigestAlgorithm as Digest, SignatureAlgorithm as Signature};

/// A parsed key, kept by the host. Make it once, in `configure`; an instance may have 1024 at a time, and making one more is an
/// error.
#[derive(Debug)]
pub struct Key(crypto::Key);

impl Key {
    /// From a JSON Web Key (RFC 7517).
    pub fn from_jwk(jwk: &str) -> Result<Self, String> {
        crypto::Key::from_jwk(jwk).map(Self)
    }

    /// From a public key in PEM.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        crypto::Key::from_pem(pem).map(Self)
    }

    /// A symmetric key from a secret of this name; it never enters the plugin.
    pub fn from_secret(name: &str) -> Result<Self, String> {
        crypto::Key::from_secret(name).map(Self)
    }

    /// Whether the signature holds. False as well where the algorithm isn't one for this kind of key, or a secret is shorter
    /// than the algorithm's hash.
    pub fn verify(&self, using: Signature, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify(using, message, signature)
    }

    /// Whether it is a symmetric one, which makes MACs. For `configure`: a secret may hold a public key.
    pub fn is_symmetric(&self) -> bool {
        !self.0.mac(Digest::Sha256, b"").is_empty()
    }

    /// A keyed hash (HMAC) to be sent. Hold one that came against it by [`Key::verify`], which takes the same time wherever two
    /// differ, and is false for any other kind of key.
    ///
    /// # Panics
    /// Where the key isn't symmetric: there is no MAC then, and nothing must be equal to it.
    pub fn mac(&self, using: Digest, message: &[u8]) -> Vec<u8> {
        let mac = self.0.mac(using, message);
        assert!(!mac.is_empty(), "a MAC needs a symmetric key, and this is a public one");
        mac
    }
}

/// A hash.
pub fn digest(using: Digest, data: &[u8]) -> Vec<u8> {
    crypto::digest(using, data)
}
