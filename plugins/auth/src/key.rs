//! A key of the config: exactly one of its forms, and an algorithm that fits it.

use plugin_sdk::crypto::{Digest, Key};
use serde::Deserialize;

use crate::jwk::{Algorithm, Jwk};
use crate::pem;

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
    /// The host's key.
    pub key: Key,
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
        let is_hmac = !key.mac(Digest::Sha256, b"").is_empty();
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
        Ok(LoadedKey { kid, algorithms, key })
    }
}
