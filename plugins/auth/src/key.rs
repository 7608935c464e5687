//! Keys that are ready for use: of the config, where one has exactly one form and an algorithm that fits it, and of sets.

use std::sync::OnceLock;

use plugin_sdk::crypto::{Digest, Key, Signature};
use plugin_sdk::log;
use serde::Deserialize;

use crate::jwk::{Algorithm, Jwk};
use crate::pem;
use crate::token::{Invalid, Token};

/// A key as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawKey {
    jwk: Option<serde_json::Value>,
    pem: Option<String>,
    secret: Option<String>,
    algorithm: Option<String>,
    kid: Option<String>,
}

/// A key that is ready for use.
#[derive(Debug)]
pub struct LoadedKey {
    /// Its name.
    pub kid: Option<String>,
    /// What it verifies, and nothing else.
    pub algorithms: Vec<Algorithm>,
    /// The host's key. One of a set is made when it is first needed: a set has many, of which a few are used, and making
    /// all of them would cost the request that brought the set more CPU time than it may have. None: it is unusable.
    key: OnceLock<Option<Key>>,
    jwk: String,
}

impl LoadedKey {
    /// A key of a set.
    pub fn of_set(jwk: Jwk) -> Self {
        Self { kid: jwk.kid, algorithms: jwk.algorithms, key: OnceLock::new(), jwk: jwk.json.to_string() }
    }

    fn key(&self) -> Option<&Key> {
        let make = || {
            let problem = |error| log::warn!("a key of the JWKS is passed over: {error}");
            Key::from_jwk(&self.jwk).map_err(problem).ok()
        };
        self.key.get_or_init(make).as_ref()
    }

    /// Whether it is one for this algorithm and, where it has a name, of this name.
    fn is_named(&self, kid: Option<&str>, algorithm: Algorithm) -> bool {
        self.kid.as_deref() == kid && self.algorithms.contains(&algorithm)
    }
}

/// Whether one of the keys is what the token asks for by name.
pub fn has_named(keys: &[LoadedKey], token: &Token<'_>) -> bool {
    token.kid.as_deref().is_some_and(|kid| keys.iter().any(|key| key.is_named(Some(kid), token.algorithm)))
}

/// How many keys a token is tried against where no name tells which: what the slowest of them cost fits into a call.
pub const fn candidates(algorithm: Algorithm) -> usize {
    match algorithm.0 {
        // Some 0.3 to 0.6 ms each.
        Signature::Es384 | Signature::Es512 => 8,
        _ => 32,
    }
}

/// Whether the signature is by one of the keys: by the one that the token names, and by those without a name. A token
/// without a name is tried against all of its algorithm (RFC 7515 section 4.1.4: `kid` is a hint, on both sides).
pub fn verify(keys: &[LoadedKey], token: &Token<'_>) -> Result<(), Invalid> {
    let using = token.algorithm;
    let kid = token.kid.as_deref();
    let named = keys.iter().filter(|key| key.is_named(kid, using));
    // Without a kid, `named` are those without a name; the others come behind them.
    let others = keys.iter().filter(|key| match kid {
        Some(_) => key.is_named(None, using),
        None => key.kid.is_some() && key.algorithms.contains(&using),
    });
    let mut tried = false;
    for key in named.chain(others).take(candidates(using)).filter_map(LoadedKey::key) {
        tried = true;
        if key.verify(using.0, token.signed.as_bytes(), &token.signature) {
            return Ok(());
        }
    }
    Err(if tried { Invalid::Signature } else { Invalid::UnknownKey })
}

/// Whether the host takes a MAC of this key: not of one that is shorter than the hash (RFC 7518 section 3.2).
fn is_strong(key: &Key, algorithm: Algorithm) -> bool {
    let digest = match algorithm.0 {
        Signature::Hs256 => Digest::Sha256,
        Signature::Hs384 => Digest::Sha384,
        Signature::Hs512 => Digest::Sha512,
        _ => return true,
    };
    key.verify(algorithm.0, b"", &key.mac(digest, b""))
}

impl RawKey {
    /// Makes it ready, or says which member is wrong.
    pub(crate) fn load(self) -> Result<LoadedKey, (&'static str, String)> {
        let algorithm = match self.algorithm.as_deref() {
            Some(name) => Some(Algorithm::parse(name).ok_or_else(|| ("/algorithm", format!("`{name}` is unknown")))?),
            None => None,
        };
        let (field, key, kid, fits) = match (self.jwk, self.pem, self.secret) {
            (Some(jwk), None, None) => {
                let parsed = Jwk::parse(&jwk).map_err(|message| ("/jwk", message))?;
                ("/jwk", Key::from_jwk(&jwk.to_string()), self.kid.or(parsed.kid), parsed.algorithms)
            }
            // RSA keys fit several algorithms, and what a secret is can't be seen from here: the config says which.
            (None, Some(pem), None) => {
                let fits = pem::algorithms(&pem).into_iter().filter(|fit| algorithm == Some(*fit)).collect();
                ("/pem", Key::from_pem(&pem), self.kid, fits)
            }
            (None, None, Some(name)) => ("/secret", Key::from_secret(&name), self.kid, algorithm.into_iter().collect()),
            _ => return Err(("", "needs exactly one of `jwk`, `pem` and `secret`".to_owned())),
        };
        let key = key.map_err(|message| (field, message))?;
        // A secret may be a public key in PEM, which makes no MAC.
        let is_hmac = key.is_symmetric();
        let algorithms: Vec<Algorithm> = fits
            .into_iter()
            .filter(|fit| algorithm.is_none_or(|only| only == *fit) && fit.is_hmac() == is_hmac)
            .collect();
        if algorithms.is_empty() {
            return Err((
                "/algorithm",
                "needs an algorithm that fits the key, such as RS256, ES256, EdDSA or HS256".to_owned(),
            ));
        }
        let algorithms: Vec<Algorithm> =
            algorithms.into_iter().filter(|algorithm| is_strong(&key, *algorithm)).collect();
        if algorithms.is_empty() {
            let needs = "is shorter than the hash of its algorithm: HS256 needs 32 bytes, HS384 48, HS512 64 (RFC 7518 \
                         section 3.2)";
            return Err((field, needs.to_owned()));
        }
        Ok(LoadedKey { kid, algorithms, key: OnceLock::from(Some(key)), jwk: String::new() })
    }
}
