//! The keys that sign heads: Ed25519 (RFC 8032), named as in signed notes (<https://c2sp.org/signed-note>).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::words::Name;

/// What is wrong with a key. Nothing of the key is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// No private key.
    #[error("is no Ed25519 private key in PKCS#8; make one: openssl genpkey -algorithm ed25519 -out FILE")]
    Signing,
    /// No verifier key.
    #[error("is no verifier key; write NAME+ID+KEY, as `gateway audit head` prints it")]
    Verifier,
}

/// The kind of signature in a signed note: Ed25519.
const KIND: u8 = 1;

/// A gateway's private key.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl SigningKey {
    /// A key from PKCS#8 (RFC 5208, RFC 5958), in PEM or DER, for the gateway of this name.
    pub fn new(gateway: &Name, key: &[u8]) -> Result<Self, InvalidKey> {
        let der = unwrapped(key).ok_or(InvalidKey::Signing)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| InvalidKey::Signing)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| InvalidKey::Signing)?;
        Ok(Self { pair, verifier: VerifierKey { name: gateway.clone(), public } })
    }

    /// The half that is told to others.
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    pub(crate) fn sign(&self, text: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(text).as_ref());
        bytes
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({})", self.verifier.name)
    }
}

/// DER as it is, or what stands between the lines of PEM (RFC 7468).
fn unwrapped(key: &[u8]) -> Option<Vec<u8>> {
    let Some(body) =
        std::str::from_utf8(key).ok().and_then(|text| text.trim().strip_prefix("-----BEGIN PRIVATE KEY-----"))
    else {
        return Some(key.to_vec());
    };
    let body = body.strip_suffix("-----END PRIVATE KEY-----")?;
    STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

/// A gateway's public key: `NAME+ID+BASE64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: Name,
    public: [u8; 32],
}

impl VerifierKey {
    /// The gateway's name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// What signatures name the key by.
    pub fn id(&self) -> [u8; 4] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.name.as_str().as_bytes());
        context.update(&[b'\n', KIND]);
        context.update(&self.public);
        let mut id = [0; 4];
        id.copy_from_slice(&context.finish().as_ref()[..4]);
        id
    }

    pub(crate) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(text, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<u8> = std::iter::once(KIND).chain(self.public).collect();
        write!(out, "{}+", self.name)?;
        crate::hex::write(out, &self.id())?;
        write!(out, "+{}", STANDARD.encode(bytes))
    }
}

impl FromStr for VerifierKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let parsed = || {
            let (name, rest) = text.trim().split_once('+')?;
            let (id, key) = rest.split_once('+')?;
            let bytes = STANDARD.decode(key).ok()?;
            let (&KIND, public) = bytes.split_first()? else { return None };
            let key = Self { name: name.parse().ok()?, public: public.try_into().ok()? };
            (crate::hex::parse(id.as_bytes()) == Some(key.id())).then_some(key)
        };
        parsed().ok_or(InvalidKey::Verifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_verifier_key_is_read_as_it_is_printed_and_its_id_is_checked() {
        let key = samples::signing_key(1).verifier().clone();
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        let other = text.replacen("edge-1", "edge-2", 1);
        for text in ["", "a+b+c", &other, &text[..text.len() - 4]] {
            assert_eq!(text.parse::<VerifierKey>(), Err(InvalidKey::Verifier), "{text}");
        }
    }

    /// The verifier key in the documentation of Go's package golang.org/x/mod/sumdb/note.
    #[test]
    fn the_example_of_signed_notes_is_understood() {
        let key: VerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let text =
            b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let signature = STANDARD
            .decode("x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=")
            .unwrap();
        assert_eq!(signature[..4], key.id());
        assert!(key.verifies(text, &signature[4..]));
    }

    /// As `openssl genpkey -algorithm ed25519` writes it: version 1, without the public half (RFC 8410 section 10.3).
    #[test]
    fn a_key_of_openssl_is_read_and_other_bytes_are_not() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let name: Name = "edge-1".parse().unwrap();
        let key = SigningKey::new(&name, pem.as_bytes()).unwrap();
        assert_eq!(STANDARD.encode(key.verifier.public), "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=");
        assert_eq!(format!("{key:?}"), "SigningKey(edge-1)");
        for bad in ["", "secret", "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----"] {
            assert_eq!(SigningKey::new(&name, bad.as_bytes()).err(), Some(InvalidKey::Signing));
        }
    }
}
