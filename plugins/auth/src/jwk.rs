//! JSON Web Keys (RFC 7517) as far as the choice of a key needs them; the host parses their content.

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

/// What an RSA key fits.
pub(crate) const RSA: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

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
    fn a_set_never_yields_shared_secrets_or_encryption_keys() {
        let set =
            json!({"keys": [{"kty": "oct", "k": "AA"}, {"kty": "EC", "crv": "P-256", "use": "enc"}, {"kty": "new"}]});
        assert_eq!(parse_set(set.to_string().as_bytes()), None);
        let set = json!({"keys": [{"kty": "new"}, {"kty": "EC", "crv": "P-256", "kid": "k"}]});
        assert_eq!(parse_set(set.to_string().as_bytes()).unwrap().len(), 1);
        assert_eq!(parse_set(b"<html>"), None);
    }
}
