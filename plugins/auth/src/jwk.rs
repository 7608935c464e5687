//! JSON Web Keys (RFC 7517) as far as the choice of a key needs them; the host parses their content.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plugin_sdk::crypto::Signature;
use serde_json::Value;

/// Keys of a set that are looked at.
const MAX_KEYS: usize = 64;

/// A signature algorithm of RFC 7518 section 3.1 and RFC 8037 section 3.1. There is no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm(pub Signature);

impl Algorithm {
    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(Self(match name {
            "HS256" => Signature::Hs256,
            "HS384" => Signature::Hs384,
            "HS512" => Signature::Hs512,
            "RS256" => Signature::Rs256,
            "RS384" => Signature::Rs384,
            "RS512" => Signature::Rs512,
            "PS256" => Signature::Ps256,
            "PS384" => Signature::Ps384,
            "PS512" => Signature::Ps512,
            "ES256" => Signature::Es256,
            "ES384" => Signature::Es384,
            "ES512" => Signature::Es512,
            "EdDSA" => Signature::Eddsa,
            _ => return None,
        }))
    }

    /// Whether its key is a shared secret.
    pub fn is_hmac(self) -> bool {
        matches!(self.0, Signature::Hs256 | Signature::Hs384 | Signature::Hs512)
    }
}

/// A key, and what it may verify.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwk {
    /// Its name.
    pub kid: Option<String>,
    /// The algorithms that fit its type: its `alg` alone, where it has one (RFC 8725 section 3.1).
    pub algorithms: Vec<Algorithm>,
    /// Its JSON.
    pub json: String,
}

const RSA: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/// The algorithms that a public key in PEM fits, by its type; none where it isn't one that is supported.
pub fn pem_algorithms(pem: &str) -> Vec<Algorithm> {
    let names: &[&str] = match read_pem(pem) {
        Some(("RSA PUBLIC KEY", _)) => &RSA,
        Some(("PUBLIC KEY", der)) => spki_algorithms(&der).unwrap_or_default(),
        _ => &[],
    };
    names.iter().filter_map(|name| Algorithm::parse(name)).collect()
}

/// Label and content of the first block.
fn read_pem(text: &str) -> Option<(&str, Vec<u8>)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (content, _) = rest.split_once("-----END ")?;
    let content: String = content.split_ascii_whitespace().collect();
    Some((label, STANDARD.decode(content).ok()?))
}

/// By the AlgorithmIdentifier of a SubjectPublicKeyInfo (RFC 5280 section 4.1, RFC 5480 section 2.1.1, RFC 8410).
fn spki_algorithms(der: &[u8]) -> Option<&'static [&'static str]> {
    const SEQUENCE: u8 = 0x30;
    const OID: u8 = 0x06;
    let (info, _) = element(der, SEQUENCE)?;
    let (identifier, _) = element(info, SEQUENCE)?;
    let (kind, parameters) = element(identifier, OID)?;
    Some(match kind {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01] => &RSA,
        [0x2b, 0x65, 0x70] => &["EdDSA"],
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01] => match element(parameters, OID)?.0 {
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] => &["ES256"],
            [0x2b, 0x81, 0x04, 0x00, 0x22] => &["ES384"],
            [0x2b, 0x81, 0x04, 0x00, 0x23] => &["ES512"],
            _ => return None,
        },
        _ => return None,
    })
}

/// The content of a DER element with this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length))?
}

impl Jwk {
    /// Reads a key.
    pub fn parse(jwk: &Value) -> Result<Self, String> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|usage| usage != "sig") {
            return Err("this key is not for signatures (`use`)".to_owned());
        }
        let fits: &[&str] = match (text("kty"), text("crv")) {
            (Some("oct"), _) => &["HS256", "HS384", "HS512"],
            (Some("RSA"), _) => &RSA,
            (Some("EC"), Some("P-256")) => &["ES256"],
            (Some("EC"), Some("P-384")) => &["ES384"],
            (Some("EC"), Some("P-521")) => &["ES512"],
            (Some("OKP"), Some("Ed25519")) => &["EdDSA"],
            _ => return Err("RSA, EC (P-256, P-384, P-521), OKP (Ed25519) and oct keys are supported".to_owned()),
        };
        let alg = text("alg").map(|alg| if alg == "Ed25519" { "EdDSA" } else { alg });
        let algorithms: Vec<_> = fits
            .iter()
            .filter(|fit| alg.is_none_or(|alg| alg == **fit))
            .filter_map(|fit| Algorithm::parse(fit))
            .collect();
        if algorithms.is_empty() {
            return Err("the key's `alg` does not fit its type".to_owned());
        }
        Ok(Self { kid: text("kid").map(str::to_owned), algorithms, json: jwk.to_string() })
    }
}

/// The usable public keys of a fetched set. Keys of unknown kinds are passed over (RFC 7517 section 5), and so are shared
/// secrets: what is fetched is public, and must never serve as an HMAC key.
pub fn parse_set(body: &[u8]) -> Option<Vec<Jwk>> {
    let set: Value = serde_json::from_slice(body).ok()?;
    let keys = set.get("keys")?.as_array()?.iter().take(MAX_KEYS);
    let usable = keys.filter_map(|key| Jwk::parse(key).ok()).filter(|key| !key.algorithms.iter().any(|a| a.is_hmac()));
    Some(usable.collect()).filter(|keys: &Vec<Jwk>| !keys.is_empty())
}

/// Whether a key is one for this token.
pub fn matches(kid: Option<&str>, algorithms: &[Algorithm], token_kid: Option<&str>, alg: Algorithm) -> bool {
    algorithms.contains(&alg) && token_kid.is_none_or(|wanted| kid == Some(wanted))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_algorithm_is_bound_to_the_key() {
        let rsa = Jwk::parse(&json!({"kty": "RSA", "kid": "a", "n": "", "e": ""})).unwrap();
        let alg = |name| Algorithm::parse(name).unwrap();
        assert!(matches(Some("a"), &rsa.algorithms, Some("a"), alg("RS256")));
        assert!(!matches(Some("a"), &rsa.algorithms, Some("a"), alg("HS256")));
        assert!(!matches(Some("a"), &rsa.algorithms, Some("b"), alg("RS256")));
        assert!(!matches(None, &rsa.algorithms, Some("b"), alg("RS256")));
        assert!(matches(None, &rsa.algorithms, None, alg("RS256")));
        let bound = Jwk::parse(&json!({"kty": "RSA", "alg": "PS256"})).unwrap();
        assert_eq!(bound.algorithms, [alg("PS256")]);
        assert!(Jwk::parse(&json!({"kty": "RSA", "alg": "HS256"})).is_err());
        assert_eq!(Algorithm::parse("none"), None);
    }

    #[test]
    fn a_pem_key_tells_its_algorithms() {
        let names = |body: &str| -> Vec<Algorithm> {
            pem_algorithms(&format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"))
        };
        // RFC 8410 section 10.1, and the beginnings of keys of the other kinds.
        let ed25519 = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        assert_eq!(names(ed25519), [Algorithm(Signature::Eddsa)]);
        let of = |identifier: &[u8]| {
            let sequence = |content: &[u8]| [&[0x30, content.len() as u8], content].concat();
            names(&STANDARD.encode(sequence(&sequence(identifier))))
        };
        let curve = |oid: &[u8]| {
            let kind = [0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, oid.len() as u8];
            of(&[&kind[..], oid].concat())
        };
        assert_eq!(curve(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]), [Algorithm(Signature::Es256)]);
        assert_eq!(curve(&[0x2b, 0x81, 0x04, 0x00, 0x22]), [Algorithm(Signature::Es384)]);
        assert_eq!(curve(&[0x2b, 0x81, 0x04, 0x00, 0x0a]), [], "secp256k1");
        let rsa = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
        assert_eq!(of(&rsa).len(), 6);
        for (broken, _) in rsa.iter().enumerate() {
            assert!(of(&rsa[..broken.min(10)]).is_empty());
        }
        assert!(names("MIIB").is_empty() && names("x").is_empty() && pem_algorithms("x").is_empty());
    }

    #[test]
    fn a_set_never_yields_shared_secrets_or_encryption_keys() {
        let set =
            json!({"keys": [{"kty": "oct", "k": "AA"}, {"kty": "EC", "crv": "P-256", "use": "enc"}, {"kty": "new"}]});
        assert_eq!(parse_set(set.to_string().as_bytes()), None);
        let set = json!({"keys": [{"kty": "new"}, {"kty": "EC", "crv": "P-256", "kid": "k"}]});
        assert_eq!(parse_set(set.to_string().as_bytes()).unwrap().len(), 1);
        assert_eq!(parse_set(b"<html>"), None);
    }
}
