//! The host's cryptography, natively, with the library that the gateway uses.

use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use aws_lc_rs::{constant_time, digest as lc_digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::bindings::edge::gateway::crypto::{DigestAlgorithm, SignatureAlgorithm};

#[derive(Debug)]
pub(crate) enum Key {
    Secret(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An elliptic curve key or an RSA key in a form that the library reads itself; which it is shows the use.
    Public(Vec<u8>),
}

impl Key {
    pub(crate) fn from_jwk(jwk: &str) -> Result<Self, String> {
        let jwk: serde_json::Value = serde_json::from_str(jwk).map_err(|error| format!("not a JWK: {error}"))?;
        let bytes = |name: &str| -> Result<Vec<u8>, String> {
            let text = jwk[name].as_str().ok_or_else(|| format!("the JWK has no `{name}`"))?;
            URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("`{name}` of the JWK: {error}"))
        };
        match jwk["kty"].as_str() {
            Some("oct") => Ok(Self::Secret(bytes("k")?)),
            Some("RSA") => Ok(Self::Rsa { n: bytes("n")?, e: bytes("e")? }),
            Some("EC") => Ok(Self::Public([vec![4], bytes("x")?, bytes("y")?].concat())),
            Some("OKP") => Ok(Self::Public(bytes("x")?)),
            other => Err(format!("unknown key type {other:?}")),
        }
    }

    pub(crate) fn from_pem(pem: &str) -> Result<Self, String> {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        if !pem.contains("-----BEGIN ") {
            return Err("not PEM".to_owned());
        }
        STANDARD.decode(body).map(Self::Public).map_err(|error| format!("not PEM: {error}"))
    }

    pub(crate) fn from_secret(name: &str) -> Result<Self, String> {
        super::current(|host| host.secrets.borrow().get(name).cloned())
            .map(Self::Secret)
            .ok_or_else(|| format!("no secret `{name}`"))
    }

    pub(crate) fn verify(&self, using: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        use SignatureAlgorithm as A;
        let (rsa, other): (Option<&'static signature::RsaParameters>, Option<&'static dyn VerificationAlgorithm>) =
            match using {
                A::Hs256 => return self.mac_holds(DigestAlgorithm::Sha256, message, signature),
                A::Hs384 => return self.mac_holds(DigestAlgorithm::Sha384, message, signature),
                A::Hs512 => return self.mac_holds(DigestAlgorithm::Sha512, message, signature),
                A::Rs256 => (Some(&signature::RSA_PKCS1_2048_8192_SHA256), None),
                A::Rs384 => (Some(&signature::RSA_PKCS1_2048_8192_SHA384), None),
                A::Rs512 => (Some(&signature::RSA_PKCS1_2048_8192_SHA512), None),
                A::Ps256 => (Some(&signature::RSA_PSS_2048_8192_SHA256), None),
                A::Ps384 => (Some(&signature::RSA_PSS_2048_8192_SHA384), None),
                A::Ps512 => (Some(&signature::RSA_PSS_2048_8192_SHA512), None),
                A::Es256 => (None, Some(&signature::ECDSA_P256_SHA256_FIXED)),
                A::Es384 => (None, Some(&signature::ECDSA_P384_SHA384_FIXED)),
                A::Es512 => (None, Some(&signature::ECDSA_P521_SHA512_FIXED)),
                A::Eddsa => (None, Some(&signature::ED25519)),
            };
        match (self, rsa, other) {
            (Self::Rsa { n, e }, Some(rsa), _) => {
                RsaPublicKeyComponents { n, e }.verify(rsa, message, signature).is_ok()
            }
            (Self::Public(key), Some(rsa), _) => UnparsedPublicKey::new(rsa, key).verify(message, signature).is_ok(),
            (Self::Public(key), _, Some(other)) => {
                UnparsedPublicKey::new(other, key).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }

    fn mac_holds(&self, using: DigestAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        matches!(self, Self::Secret(_))
            && constant_time::verify_slices_are_equal(&self.mac(using, message), signature).is_ok()
    }

    pub(crate) fn mac(&self, using: DigestAlgorithm, message: &[u8]) -> Vec<u8> {
        let Self::Secret(secret) = self else { return Vec::new() };
        let algorithm = match using {
            DigestAlgorithm::Sha256 => hmac::HMAC_SHA256,
            DigestAlgorithm::Sha384 => hmac::HMAC_SHA384,
            DigestAlgorithm::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
    }
}

pub(crate) fn digest(using: DigestAlgorithm, data: &[u8]) -> Vec<u8> {
    let algorithm = match using {
        DigestAlgorithm::Sha256 => &lc_digest::SHA256,
        DigestAlgorithm::Sha384 => &lc_digest::SHA384,
        DigestAlgorithm::Sha512 => &lc_digest::SHA512,
    };
    lc_digest::digest(algorithm, data).as_ref().to_vec()
}
