//! An identity provider for the example: mints ES256 tokens for whoever asks, and publishes its key as a JWKS.
//!
//! The key is made at start and never leaves the process.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::serve::{self, Answer, Service};
use crate::trace::Trace;

/// The issuer in its tokens.
const ISSUER: &str = "https://identity.example.no";
/// The audience in its tokens.
const AUDIENCE: &str = "shop";
/// How long a token lives, in seconds.
const LIFETIME: u64 = 3600;
/// The key's name.
const KEY_ID: &str = "example-1";

/// The service.
pub(crate) struct Identity {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Identity {
    /// Makes a key.
    pub(crate) fn new() -> Result<Self, String> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|error| format!("no key could be made: {error}"))?;
        Ok(Self { key, random: SystemRandom::new() })
    }

    /// The public key (RFC 7517, RFC 7518 section 6.2.1). It is `04`, x, y in SEC 1's uncompressed form.
    fn jwks(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let (x, y) = (&point[1..33], &point[33..65]);
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
            "x": BASE64.encode(x), "y": BASE64.encode(y),
        }]})
    }

    /// A signed token (RFC 7515, RFC 7519).
    fn token(&self, subject: &str, scope: &str, now: u64) -> Option<String> {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": KEY_ID});
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "scope": scope,
            "iat": now, "nbf": now, "exp": now + LIFETIME,
        });
        let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = self.key.sign(&self.random, signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", BASE64.encode(signature)))
    }
}

impl Service for Identity {
    const NAME: &str = "identity";

    async fn answer(&self, request: &Parts, _: &[u8], _: &Trace) -> Answer {
        match (&request.method, request.uri.path()) {
            (&Method::GET, "/jwks.json") => serve::json(StatusCode::OK, &self.jwks()),
            // Not counted as a request of the gateway's: it comes from the demo itself.
            (&Method::POST, "/-/token") => {
                let subject = parameter(request, "sub").unwrap_or("kari");
                let scope = parameter(request, "scope").unwrap_or("").replace('+', " ");
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                match self.token(subject, &scope, now) {
                    Some(token) => serve::json(StatusCode::OK, &json!({"access_token": token, "expires_in": LIFETIME})),
                    None => serve::text(StatusCode::INTERNAL_SERVER_ERROR, "the token could not be signed\n"),
                }
            }
            _ => serve::text(StatusCode::NOT_FOUND, "only /jwks.json and POST /-/token\n"),
        }
    }
}

fn parameter<'a>(request: &'a Parts, name: &str) -> Option<&'a str> {
    let pairs = request.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}
