//! JSON Web Keys (RFC 7517) as far as the choice of a key needs them; the host parses their content. Pure.

use plugin_sdk::crypto::Signature;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Keys of a set that are taken. A set holds those of now, of just before and of soon; identity providers of many tenants
/// have some hundred. More than this is said in the log.
pub const MAX_KEYS: usize = 512;

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
            // RFC 9864 gives EdDSA with Ed25519 a name of its own.
            "EdDSA" | "Ed25519" => Signature::Eddsa,
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
    /// What the host needs of its JSON: certificates and private parts are left out.
    pub json: Value,
}

/// What an RSA key fits.
pub(crate) const RSA: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/// Members that say what a key is.
const MEMBERS: [&str; 9] = ["kty", "kid", "alg", "crv", "n", "e", "x", "y", "k"];

impl Jwk {
    /// Reads a key.
    pub fn parse(jwk: &Value) -> Result<Self, String> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        check_use(jwk)?;
        let fits: &[&str] = match (text("kty"), text("crv")) {
            (Some("oct"), _) => &["HS256", "HS384", "HS512"],
            (Some("RSA"), _) => &RSA,
            (Some("EC"), Some("P-256")) => &["ES256"],
            (Some("EC"), Some("P-384")) => &["ES384"],
            (Some("EC"), Some("P-521")) => &["ES512"],
            (Some("OKP"), Some("Ed25519")) => &["EdDSA"],
            _ => return Err("RSA, EC (P-256, P-384, P-521), OKP (Ed25519) and oct keys are supported".to_owned()),
        };
        // RFC 7517 section 4.5: a string. One that is something else is no name that a token could ask for.
        if jwk.get("kid").is_some_and(|kid| !kid.is_string()) {
            return Err("the key's `kid` is not a string".to_owned());
        }
        let alg = match jwk.get("alg") {
            None => None,
            Some(alg) => {
                Some(alg.as_str().and_then(Algorithm::parse).ok_or("the key's `alg` is not one for signatures")?)
            }
        };
        let fits = fits.iter().filter_map(|fit| Algorithm::parse(fit));
        let algorithms: Vec<_> = fits.filter(|fit| alg.is_none_or(|alg| alg == *fit)).collect();
        if algorithms.is_empty() {
            return Err("the key's `alg` does not fit its type".to_owned());
        }
        let needed = MEMBERS.iter().filter_map(|name| Some(((*name).to_owned(), jwk.get(*name)?.clone())));
        Ok(Self { kid: text("kid").map(str::to_owned), algorithms, json: Value::Object(needed.collect::<Map<_, _>>()) })
    }
}

/// What the key's owner means it for: RFC 7517 section 4.2 (`use`) and 4.3 (`key_ops`), each where it is there.
fn check_use(jwk: &Value) -> Result<(), String> {
    if jwk.get("use").is_some_and(|usage| usage != "sig") {
        return Err("this key is not for signatures (`use`)".to_owned());
    }
    let verifies = |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify"));
    if jwk.get("key_ops").is_some_and(|ops| !verifies(ops)) {
        return Err("this key is not for verifying (`key_ops`)".to_owned());
    }
    Ok(())
}

/// A fetched set: the keys that can be used, and how many it had.
#[derive(Debug, PartialEq)]
pub struct Set {
    /// The usable ones, [`MAX_KEYS`] at most.
    pub keys: Vec<Jwk>,
    /// Usable ones beyond that, which are left out.
    pub left_out: usize,
}

/// The usable public keys of a fetched set; none where there is no such key. Keys of unknown kinds are passed over (RFC 7517
/// section 5), and so are shared secrets: what is fetched is public, and must never serve as an HMAC key.
pub fn parse_set(body: &[u8]) -> Option<Set> {
    #[derive(Deserialize)]
    struct Raw {
        keys: Vec<Value>,
    }
    let raw: Raw = serde_json::from_slice(body).ok()?;
    let usable = raw.keys.iter().filter_map(|key| Jwk::parse(key).ok());
    let mut keys: Vec<Jwk> = usable.filter(|key| !key.algorithms.iter().any(|alg| alg.is_hmac())).collect();
    let left_out = keys.len().saturating_sub(MAX_KEYS);
    keys.truncate(MAX_KEYS);
    (!keys.is_empty()).then_some(Set { keys, left_out })
}

/// A set of these keys, as it was fetched or as it is kept.
pub fn write_set(keys: &[Jwk]) -> String {
    json!({ "keys": keys.iter().map(|key| &key.json).collect::<Vec<_>>() }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ec(more: Value) -> Value {
        let mut key = json!({"kty": "EC", "crv": "P-256"});
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    }

    #[test]
    fn the_algorithm_is_bound_to_the_key() {
        let alg = |name| Algorithm::parse(name).unwrap();
        let bound = Jwk::parse(&json!({"kty": "RSA", "alg": "PS256"})).unwrap();
        assert_eq!(bound.algorithms, [alg("PS256")]);
        for wrong in [json!("HS256"), json!("none"), json!("ES256"), json!("RSA-OAEP"), json!(7), json!(null)] {
            assert!(Jwk::parse(&json!({"kty": "RSA", "alg": wrong})).is_err(), "{wrong}");
        }
        let named = |alg: &str| Jwk::parse(&json!({"kty": "OKP", "crv": "Ed25519", "alg": alg})).unwrap().algorithms;
        assert_eq!([named("EdDSA"), named("Ed25519")], [[alg("EdDSA")], [alg("EdDSA")]]);
        assert_eq!(Algorithm::parse("none"), None);
    }

    #[test]
    fn a_key_is_used_for_nothing_but_what_its_owner_means_it_for() {
        for good in [
            json!({}),
            json!({"use": "sig"}),
            json!({"key_ops": ["verify"]}),
            json!({"use": "sig", "key_ops": ["sign", "verify"]}),
        ] {
            assert!(Jwk::parse(&ec(good.clone())).is_ok(), "{good}");
        }
        for wrong in [
            json!({"use": "enc"}),
            json!({"use": "SIG"}),
            json!({"use": ["sig"]}),
            json!({"use": null}),
            json!({"key_ops": []}),
            json!({"key_ops": ["sign"]}),
            json!({"key_ops": ["encrypt", "wrapKey"]}),
            json!({"key_ops": "verify"}),
            json!({"use": "sig", "key_ops": ["encrypt"]}),
            json!({"use": "enc", "key_ops": ["verify"]}),
        ] {
            assert!(Jwk::parse(&ec(wrong.clone())).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_set_never_yields_shared_secrets_or_encryption_keys() {
        let set = json!({"keys": [{"kty": "oct", "k": "AA"}, ec(json!({"use": "enc"})), {"kty": "new"}, 7]});
        assert_eq!(parse_set(set.to_string().as_bytes()), None);
        let set = json!({"keys": [{"kty": "new"}, ec(json!({"kid": "k"}))]});
        assert_eq!(parse_set(set.to_string().as_bytes()).unwrap().keys.len(), 1);
        assert_eq!(parse_set(b"<html>"), None);
    }

    #[test]
    fn a_set_of_many_keys_is_taken_whole_and_what_is_too_much_is_counted() {
        let of = |count: usize| {
            let keys: Vec<Value> = (0..count).map(|n| ec(json!({"kid": n.to_string()}))).collect();
            parse_set(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
        };
        let set = of(100);
        assert_eq!((set.keys.len(), set.left_out), (100, 0));
        assert_eq!(set.keys[99].kid.as_deref(), Some("99"));
        let set = of(MAX_KEYS + 3);
        assert_eq!((set.keys.len(), set.left_out), (MAX_KEYS, 3));
    }

    #[test]
    fn what_is_kept_of_a_key_is_its_public_part_and_reads_the_same() {
        let full = ec(json!({"kid": "k", "x": "1", "y": "2", "d": "private", "x5c": ["certificate"], "use": "sig"}));
        let set = parse_set(json!({ "keys": [full] }).to_string().as_bytes()).unwrap();
        let kept = write_set(&set.keys);
        assert!(!kept.contains("private") && !kept.contains("certificate"), "{kept}");
        assert_eq!(parse_set(kept.as_bytes()).unwrap(), set);
    }
}
