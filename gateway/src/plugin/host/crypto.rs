//! Interface `crypto`: digests, MACs and signature checks by aws-lc, so that no plugin ships its own.
//!
//! A [`Key`] knows the algorithms that it may be used with from the moment it is parsed: a token can't choose another
//! one (RFC 8725 section 3.1), and a public key can never serve as an HMAC secret.

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, VerificationAlgorithm};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use wasmtime::component::Resource;

use super::HostState;
use crate::plugin::phase::bindings::edge::gateway::crypto::{self, DigestAlgorithm, SignatureAlgorithm};

/// Smallest HMAC secret in a JWK: the output of the smallest hash (RFC 7518 section 3.2).
const MIN_SECRET: usize = 32;
/// Longest JWK or PEM text that is looked at.
const MAX_TEXT: usize = 64 << 10;

const RSA: [(SignatureAlgorithm, &RsaParameters); 6] = [
    (SignatureAlgorithm::Rs256, &signature::RSA_PKCS1_2048_8192_SHA256),
    (SignatureAlgorithm::Rs384, &signature::RSA_PKCS1_2048_8192_SHA384),
    (SignatureAlgorithm::Rs512, &signature::RSA_PKCS1_2048_8192_SHA512),
    (SignatureAlgorithm::Ps256, &signature::RSA_PSS_2048_8192_SHA256),
    (SignatureAlgorithm::Ps384, &signature::RSA_PSS_2048_8192_SHA384),
    (SignatureAlgorithm::Ps512, &signature::RSA_PSS_2048_8192_SHA512),
];

/// A parsed key.
#[derive(Debug)]
pub struct Key(Material);

enum Material {
    /// An HMAC secret, and the one algorithm that its JWK names.
    Secret(Vec<u8>, Option<SignatureAlgorithm>),
    /// A public key, ready for each algorithm that it fits.
    Public(Vec<(SignatureAlgorithm, ParsedPublicKey)>),
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secret(..) => f.write_str("Secret(..)"),
            Self::Public(keys) => f.debug_list().entries(keys.iter().map(|(algorithm, _)| algorithm)).finish(),
        }
    }
}

/// Why a text is not a usable key. Says nothing of the key's content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not JSON, or a member of the wrong type.
    #[error("not a JSON Web Key: {0}")]
    Json(String),
    /// A member is missing or not base64url.
    #[error("the JSON Web Key's `{0}` is missing or not base64url")]
    Member(&'static str),
    /// A kind of key that is not supported.
    #[error("keys of {0} are not supported (RSA, EC P-256/P-384/P-521, OKP Ed25519 and oct are)")]
    Kind(String),
    /// `alg` names an algorithm that the key does not fit.
    #[error("the JSON Web Key's `alg` does not fit its type, or is unknown")]
    Algorithm,
    /// `use` is something else than `sig`.
    #[error("the JSON Web Key is not meant for signatures (`use`)")]
    Use,
    /// An RSA key outside 2048 to 8192 bits.
    #[error("an RSA key of {0} bits; 2048 to 8192 are allowed")]
    RsaSize(usize),
    /// A short HMAC secret.
    #[error("an HMAC secret of {0} bytes; at least 32 are needed (RFC 7518 section 3.2)")]
    ShortSecret(usize),
    /// Nothing there.
    #[error("the secret is empty")]
    Empty,
    /// Not a PEM public key.
    #[error("not a PEM public key (`PUBLIC KEY` or `RSA PUBLIC KEY`)")]
    Pem,
    /// The numbers don't make a key.
    #[error("the key is malformed")]
    Malformed,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

impl Key {
    /// A JSON Web Key (RFC 7517, RFC 7518 section 6, RFC 8037). Its `alg`, where it has one, is the only algorithm
    /// that the key then verifies.
    pub fn parse_jwk(text: &str) -> Result<Self, InvalidKey> {
        if text.len() > MAX_TEXT {
            return Err(InvalidKey::Json("too long".into()));
        }
        let jwk: Jwk = serde_json::from_str(text).map_err(|error| InvalidKey::Json(json_reason(&error)))?;
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err(InvalidKey::Use);
        }
        let bound = match &jwk.alg {
            Some(name) => Some(algorithm(name).ok_or(InvalidKey::Algorithm)?),
            None => None,
        };
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("oct", _) => {
                let secret = member(&jwk.k, "k")?;
                if secret.len() < MIN_SECRET {
                    return Err(InvalidKey::ShortSecret(secret.len()));
                }
                if bound.is_some_and(|bound| hmac_algorithm(bound).is_none()) {
                    return Err(InvalidKey::Algorithm);
                }
                Ok(Self(Material::Secret(secret, bound)))
            }
            ("RSA", _) => {
                let (n, e) = (unpad(member(&jwk.n, "n")?), unpad(member(&jwk.e, "e")?));
                let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
                check_rsa_size(bits)?;
                let components = signature::RsaPublicKeyComponents { n, e };
                Self::public(bound, RSA, |parameters| components.to_parsed_public_key(parameters).ok())
            }
            ("EC", Some(curve)) => {
                let (using, verification, size) = match curve {
                    "P-256" => (SignatureAlgorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED, 32),
                    "P-384" => (SignatureAlgorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED, 48),
                    "P-521" => (SignatureAlgorithm::Es512, &signature::ECDSA_P521_SHA512_FIXED, 66),
                    other => return Err(kind("EC", other)),
                };
                let (x, y) = (member(&jwk.x, "x")?, member(&jwk.y, "y")?);
                if x.len() != size || y.len() != size {
                    return Err(InvalidKey::Malformed);
                }
                let point = [&[4][..], &x, &y].concat();
                Self::public(bound, [(using, verification)], |algorithm| ParsedPublicKey::new(algorithm, &point).ok())
            }
            ("OKP", Some("Ed25519")) => {
                let x = member(&jwk.x, "x")?;
                if x.len() != 32 {
                    return Err(InvalidKey::Malformed);
                }
                let all = [(SignatureAlgorithm::Eddsa, &signature::ED25519)];
                Self::public(bound, all, |algorithm| ParsedPublicKey::new(algorithm, &x).ok())
            }
            (kty, curve) => Err(kind(kty, curve.unwrap_or_default())),
        }
    }

    /// A public key in PEM: SPKI (`PUBLIC KEY`) of any supported kind, or PKCS#1 (`RSA PUBLIC KEY`). The algorithms are
    /// those that fit its type. Certificates are not read: nothing here would check their dates or issuers.
    pub fn parse_pem(text: &str) -> Result<Self, InvalidKey> {
        if text.len() > MAX_TEXT {
            return Err(InvalidKey::Pem);
        }
        let (label, der) = pem(text).ok_or(InvalidKey::Pem)?;
        match label {
            "PUBLIC KEY" => {
                let elliptic: [(SignatureAlgorithm, &'static dyn VerificationAlgorithm); 4] = [
                    (SignatureAlgorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED),
                    (SignatureAlgorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED),
                    (SignatureAlgorithm::Es512, &signature::ECDSA_P521_SHA512_FIXED),
                    (SignatureAlgorithm::Eddsa, &signature::ED25519),
                ];
                for (using, verification) in elliptic {
                    if let Ok(key) = ParsedPublicKey::new(verification, &der) {
                        return Ok(Self(Material::Public(vec![(using, key)])));
                    }
                }
            }
            "RSA PUBLIC KEY" => {}
            _ => return Err(InvalidKey::Pem),
        }
        let bits = RsaParameters::public_modulus_len(&der).map_err(|_| InvalidKey::Malformed)?;
        check_rsa_size(bits as usize)?;
        Self::public(None, RSA, |parameters| ParsedPublicKey::new(parameters, &der).ok())
    }

    /// The operator's secret: a PEM public key where it looks like one, otherwise an HMAC secret as it stands.
    pub fn parse_secret(secret: &[u8]) -> Result<Self, InvalidKey> {
        if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Self::parse_pem(std::str::from_utf8(secret).map_err(|_| InvalidKey::Pem)?);
        }
        if secret.is_empty() {
            return Err(InvalidKey::Empty);
        }
        Ok(Self(Material::Secret(secret.to_vec(), None)))
    }

    /// Whether `signature` is one of `message` by this key. Also false where the algorithm does not fit the key.
    /// ECDSA signatures are r and s of fixed length (RFC 7518 section 3.4); HMACs are compared in constant time.
    pub fn verify(&self, using: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Material::Secret(secret, bound) => match hmac_algorithm(using) {
                Some(algorithm) if bound.is_none_or(|bound| bound == using) => {
                    hmac::verify(&hmac::Key::new(algorithm, secret), message, signature).is_ok()
                }
                _ => false,
            },
            Material::Public(keys) => keys
                .iter()
                .find(|(algorithm, _)| *algorithm == using)
                .is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok()),
        }
    }

    /// The HMAC of `message`; `None` where the key is a public one.
    pub fn mac(&self, using: DigestAlgorithm, message: &[u8]) -> Option<Vec<u8>> {
        let Material::Secret(secret, _) = &self.0 else { return None };
        let algorithm = match using {
            DigestAlgorithm::Sha256 => hmac::HMAC_SHA256,
            DigestAlgorithm::Sha384 => hmac::HMAC_SHA384,
            DigestAlgorithm::Sha512 => hmac::HMAC_SHA512,
        };
        Some(hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec())
    }

    /// A key for those of `all` that `bound` leaves.
    fn public<A: Copy, const N: usize>(
        bound: Option<SignatureAlgorithm>,
        all: [(SignatureAlgorithm, A); N],
        parse: impl Fn(A) -> Option<ParsedPublicKey>,
    ) -> Result<Self, InvalidKey> {
        let mut keys = Vec::new();
        for (using, parameters) in all {
            if bound.is_none_or(|bound| bound == using) {
                keys.push((using, parse(parameters).ok_or(InvalidKey::Malformed)?));
            }
        }
        if keys.is_empty() { Err(InvalidKey::Algorithm) } else { Ok(Self(Material::Public(keys))) }
    }
}

/// The digest of `data`.
pub fn digest(using: DigestAlgorithm, data: &[u8]) -> Vec<u8> {
    let algorithm = match using {
        DigestAlgorithm::Sha256 => &digest::SHA256,
        DigestAlgorithm::Sha384 => &digest::SHA384,
        DigestAlgorithm::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, data).as_ref().to_vec()
}

fn check_rsa_size(bits: usize) -> Result<(), InvalidKey> {
    if (2048..=8192).contains(&bits) { Ok(()) } else { Err(InvalidKey::RsaSize(bits)) }
}

/// The names of RFC 7518 section 3.1 and RFC 8037 section 3.1.
fn algorithm(name: &str) -> Option<SignatureAlgorithm> {
    use SignatureAlgorithm as A;
    Some(match name {
        "HS256" => A::Hs256,
        "HS384" => A::Hs384,
        "HS512" => A::Hs512,
        "RS256" => A::Rs256,
        "RS384" => A::Rs384,
        "RS512" => A::Rs512,
        "PS256" => A::Ps256,
        "PS384" => A::Ps384,
        "PS512" => A::Ps512,
        "ES256" => A::Es256,
        "ES384" => A::Es384,
        "ES512" => A::Es512,
        "EdDSA" | "Ed25519" => A::Eddsa,
        _ => return None,
    })
}

fn hmac_algorithm(using: SignatureAlgorithm) -> Option<hmac::Algorithm> {
    match using {
        SignatureAlgorithm::Hs256 => Some(hmac::HMAC_SHA256),
        SignatureAlgorithm::Hs384 => Some(hmac::HMAC_SHA384),
        SignatureAlgorithm::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn member(value: &Option<String>, name: &'static str) -> Result<Vec<u8>, InvalidKey> {
    let text = value.as_deref().ok_or(InvalidKey::Member(name))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidKey::Member(name))
}

/// Some issuers put the sign byte of ASN.1 in front.
fn unpad(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}

fn kind(kty: &str, curve: &str) -> InvalidKey {
    InvalidKey::Kind(format!("{kty} {curve}").chars().filter(|c| !c.is_control()).take(40).collect())
}

/// Where and what, without the text itself: serde's message may quote a value.
fn json_reason(error: &serde_json::Error) -> String {
    format!("{:?} error at line {}, column {}", error.classify(), error.line(), error.column())
}

/// Label and content of the first PEM block.
fn pem(text: &str) -> Option<(&str, Vec<u8>)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (content, rest) = rest.split_once("-----END ")?;
    rest.starts_with(label).then_some(())?;
    let content: String = content.split_ascii_whitespace().collect();
    Some((label, STANDARD.decode(content).ok()?))
}

impl crypto::Host for HostState {
    fn digest(&mut self, using: DigestAlgorithm, data: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        self.charge()?;
        Ok(digest(using, &data))
    }
}

impl HostState {
    fn keep(&mut self, key: Result<Key, InvalidKey>) -> wasmtime::Result<Result<Resource<Key>, String>> {
        match key {
            Ok(key) => Ok(Ok(self.table().push(key)?)),
            Err(invalid) => Ok(Err(invalid.to_string())),
        }
    }
}

impl crypto::HostKey for HostState {
    fn from_jwk(&mut self, jwk: String) -> wasmtime::Result<Result<Resource<Key>, String>> {
        self.charge()?;
        self.keep(Key::parse_jwk(&jwk))
    }

    fn from_pem(&mut self, pem: String) -> wasmtime::Result<Result<Resource<Key>, String>> {
        self.charge()?;
        self.keep(Key::parse_pem(&pem))
    }

    fn from_secret(&mut self, name: String) -> wasmtime::Result<Result<Resource<Key>, String>> {
        self.charge()?;
        let Some(secret) = self.secrets().get(&name) else {
            return Ok(Err("no such secret is granted to this plugin (plugins.grants.NAME.secrets)".into()));
        };
        let key = Key::parse_secret(secret);
        self.keep(key)
    }

    fn verify(
        &mut self,
        key: Resource<Key>,
        using: SignatureAlgorithm,
        message: Vec<u8>,
        signature: Vec<u8>,
    ) -> wasmtime::Result<bool> {
        self.charge()?;
        Ok(self.table().get(&key)?.verify(using, &message, &signature))
    }

    fn mac(&mut self, key: Resource<Key>, using: DigestAlgorithm, message: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        self.charge()?;
        // The contract has no error here: with a public key there is no MAC that anybody else could make.
        Ok(self.table().get(&key)?.mac(using, &message).unwrap_or_default())
    }

    fn drop(&mut self, key: Resource<Key>) -> wasmtime::Result<()> {
        self.table().delete(key)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SignatureAlgorithm as A;

    const CLAIMS: &str =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const OCT: &str =
        r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
    const RSA_KEY: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
    const EC_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    const ED_KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    fn check(jwk: &str, using: A, header: &str, claims: &str, signature: &str) {
        let key = Key::parse_jwk(jwk).unwrap();
        let message = format!("{header}.{claims}");
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(key.verify(using, message.as_bytes(), &signature));
        assert!(!key.verify(using, format!("{message}x").as_bytes(), &signature));
        for other in [A::Hs256, A::Hs512, A::Rs256, A::Rs384, A::Ps256, A::Es256, A::Es384, A::Eddsa] {
            assert!(other == using || !key.verify(other, message.as_bytes(), &signature), "{other:?}");
        }
        assert!(!key.verify(using, message.as_bytes(), &signature[1..]));
        signature[7] ^= 1;
        assert!(!key.verify(using, message.as_bytes(), &signature));
    }

    #[test]
    fn rfc_7515_a1_hs256() {
        let header = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9";
        check(OCT, A::Hs256, header, CLAIMS, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn rfc_7515_a2_rs256() {
        let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
        check(RSA_KEY, A::Rs256, "eyJhbGciOiJSUzI1NiJ9", CLAIMS, signature);
    }

    #[test]
    fn rfc_7515_a3_es256() {
        let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        check(EC_KEY, A::Es256, "eyJhbGciOiJFUzI1NiJ9", CLAIMS, signature);
    }

    #[test]
    fn rfc_8037_a4_eddsa() {
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        check(ED_KEY, A::Eddsa, "eyJhbGciOiJFZERTQSJ9", "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", signature);
    }

    #[test]
    fn a_public_key_never_serves_as_an_hmac_secret() {
        // The classic confusion: the attacker signs with the text of the public key as the HMAC secret.
        let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
        let key = Key::parse_secret(pem.as_bytes()).unwrap();
        let forged = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, pem.as_bytes()), b"message");
        assert!(!key.verify(A::Hs256, b"message", forged.as_ref()));
        assert_eq!(key.mac(DigestAlgorithm::Sha256, b"message"), None);
    }

    #[test]
    fn alg_binds_the_key() {
        let bound = OCT.replace(r#""kty""#, r#""alg":"HS512","kty""#);
        let key = Key::parse_jwk(&bound).unwrap();
        let mac = key.mac(DigestAlgorithm::Sha256, b"m").unwrap();
        assert!(!key.verify(A::Hs256, b"m", &mac));
        assert!(key.verify(A::Hs512, b"m", &key.mac(DigestAlgorithm::Sha512, b"m").unwrap()));
        for (jwk, alg) in [(RSA_KEY, "HS256"), (EC_KEY, "ES384"), (ED_KEY, "RS256"), (OCT, "RS256"), (RSA_KEY, "none")]
        {
            let wrong = jwk.replace(r#""kty""#, &format!(r#""alg":"{alg}","kty""#));
            assert_eq!(Key::parse_jwk(&wrong).unwrap_err(), InvalidKey::Algorithm, "{alg}");
        }
    }

    #[test]
    fn weak_and_malformed_keys_are_refused() {
        let short =
            |bytes: usize| format!(r#"{{"kty":"RSA","e":"AQAB","n":"{}"}}"#, URL_SAFE_NO_PAD.encode(vec![0xff; bytes]));
        assert_eq!(Key::parse_jwk(&short(128)).unwrap_err(), InvalidKey::RsaSize(1024));
        assert_eq!(Key::parse_jwk(r#"{"kty":"oct","k":"c2hvcnQ"}"#).unwrap_err(), InvalidKey::ShortSecret(5));
        let off_curve = EC_KEY.replace("f83O", "f83P");
        assert_eq!(Key::parse_jwk(&off_curve).unwrap_err(), InvalidKey::Malformed);
        assert_eq!(Key::parse_jwk(&EC_KEY.replace("\"y\"", "\"z\"")).unwrap_err(), InvalidKey::Member("y"));
        assert!(matches!(Key::parse_jwk(&EC_KEY.replace("P-256", "secp256k1")), Err(InvalidKey::Kind(_))));
        let encryption = EC_KEY.replace(r#""kty""#, r#""use":"enc","kty""#);
        assert_eq!(Key::parse_jwk(&encryption).unwrap_err(), InvalidKey::Use);
        assert!(matches!(Key::parse_jwk("{"), Err(InvalidKey::Json(_))));
        assert_eq!(Key::parse_secret(b"").unwrap_err(), InvalidKey::Empty);
        assert_eq!(
            Key::parse_pem("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----").unwrap_err(),
            InvalidKey::Pem
        );
    }

    #[test]
    fn pem_keys_verify_what_their_private_halves_signed() {
        use rcgen::SigningKey;
        for (generated, using, other) in
            [(&rcgen::PKCS_ECDSA_P384_SHA384, A::Es384, A::Es256), (&rcgen::PKCS_ED25519, A::Eddsa, A::Es256)]
        {
            let pair = rcgen::KeyPair::generate_for(generated).unwrap();
            let key = Key::parse_pem(&pair.public_key_pem()).unwrap();
            let Material::Public(keys) = &key.0 else { panic!("not a public key") };
            assert_eq!(keys.iter().map(|(using, _)| *using).collect::<Vec<_>>(), [using]);
            if using == A::Eddsa {
                let signature = pair.sign(b"message").unwrap();
                assert!(key.verify(using, b"message", &signature));
                assert!(!key.verify(other, b"message", &signature));
            }
        }
    }
}
