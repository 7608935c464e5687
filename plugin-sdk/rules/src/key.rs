//! `crypto`: keys and what they verify, with aws-lc.
//!
//! A [`Key`] knows the algorithms that it may be used with from the moment it is parsed: a token can't choose another
//! one (RFC 8725 section 3.1), and a public key can never serve as an HMAC secret.

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, VerificationAlgorithm};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;

/// Signature algorithms, by their names in RFC 7518 section 3.1 and RFC 8037 section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// ECDSA over P-521 with SHA-512.
    Es512,
    /// Ed25519.
    Eddsa,
}

/// Digest algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// Smallest HMAC secret in a JWK: the output of the smallest hash (RFC 7518 section 3.2).
const MIN_SECRET: usize = 32;
/// Keys that an instance of a plugin may have at a time.
pub const MAX_KEYS: usize = 1024;
/// Longest JWK or PEM text that is looked at.
const MAX_TEXT: usize = 64 << 10;

/// What a plugin is told that has [`MAX_KEYS`] and makes another one.
pub fn too_many_keys() -> String {
    format!("at most {MAX_KEYS} keys at a time")
}

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidKey {
    /// Not JSON, or a member of the wrong type.
    Json(String),
    /// A member is missing or not base64url.
    Member(&'static str),
    /// A kind of key that is not supported.
    Kind(String),
    /// `alg` names an algorithm that the key does not fit.
    Algorithm,
    /// `use` is something else than `sig`.
    Use,
    /// `key_ops` has neither `verify` nor, for a secret, `sign`.
    Operations,
    /// An RSA key outside 2048 to 8192 bits.
    RsaSize(usize),
    /// A short HMAC secret.
    ShortSecret(usize),
    /// Nothing there.
    Empty,
    /// Not a PEM public key.
    Pem,
    /// The numbers don't make a key.
    Malformed,
}

impl std::fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(what) => write!(f, "not a JSON Web Key: {what}"),
            Self::Member(what) => write!(f, "the JSON Web Key's `{what}` is missing or not base64url"),
            Self::Kind(what) => {
                write!(f, "keys of {what} are not supported (RSA, EC P-256/P-384/P-521, OKP Ed25519 and oct are)")
            }
            Self::Algorithm => f.write_str("the JSON Web Key's `alg` does not fit its type, or is unknown"),
            Self::Use => f.write_str("the JSON Web Key is not meant for signatures (`use`)"),
            Self::Operations => f.write_str("the JSON Web Key is not meant for verifying (`key_ops`)"),
            Self::RsaSize(what) => write!(f, "an RSA key of {what} bits; 2048 to 8192 are allowed"),
            Self::ShortSecret(what) => {
                write!(f, "an HMAC secret of {what} bytes; at least 32 are needed (RFC 7518 section 3.2)")
            }
            Self::Empty => f.write_str("the secret is empty"),
            Self::Pem => f.write_str("not a PEM public key (`PUBLIC KEY` or `RSA PUBLIC KEY`)"),
            Self::Malformed => f.write_str("the key is malformed"),
        }
    }
}

impl std::error::Error for InvalidKey {}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
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
        // RFC 7517 section 4.3. A secret makes MACs as well.
        let is_for = |operation: &String| operation == "verify" || (operation == "sign" && jwk.kty == "oct");
        if jwk.key_ops.as_ref().is_some_and(|operations| !operations.iter().any(is_for)) {
            return Err(InvalidKey::Operations);
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
        // Both forms to the one of PKCS#1, which alone tells its size.
        let rsa = aws_lc_rs::rsa::PublicKey::from_der(&der).map_err(|_| InvalidKey::Malformed)?;
        let der = rsa.as_ref();
        let bits = RsaParameters::public_modulus_len(der).map_err(|_| InvalidKey::Malformed)?;
        check_rsa_size(bits as usize)?;
        Self::public(None, RSA, |parameters| ParsedPublicKey::new(parameters, der).ok())
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
    /// ECDSA signatures are r and s of fixed length (RFC 7518 section 3.4); HMACs are compared in constant time, and none
    /// holds by a secret that is shorter than the hash (section 3.2: "MUST be used").
    pub fn verify(&self, using: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Material::Secret(secret, bound) => match hmac_algorithm(using) {
                Some(algorithm)
                    if bound.is_none_or(|bound| bound == using)
                        && secret.len() >= algorithm.digest_algorithm().output_len =>
                {
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

/// In lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
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
