//! An identity provider for tests: keys, tokens, and a host that serves its key set.

#![allow(dead_code, reason = "each test file needs a part of it")]

use std::cell::Cell;
use std::rc::Rc;

use auth::Auth;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use plugin_sdk::testing::{CallError, TestHost, TestRequest, TestResponse, json};
use serde_json::Value;

pub(crate) struct Idp {
    pair: Ed25519KeyPair,
    kid: Option<&'static str>,
}

#[allow(clippy::unwrap_used, reason = "test keys and claims are good ones")]
impl Idp {
    pub(crate) fn new(kid: &'static str) -> Self {
        Self { pair: Ed25519KeyPair::generate().unwrap(), kid: Some(kid) }
    }

    /// One that names its key nowhere.
    pub(crate) fn nameless() -> Self {
        Self { pair: Ed25519KeyPair::generate().unwrap(), kid: None }
    }

    pub(crate) fn jwk(&self) -> Value {
        let x = BASE64.encode(self.pair.public_key().as_ref());
        let mut jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
        if let Some(kid) = self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    pub(crate) fn token(&self, claims: Value) -> String {
        let mut header = json!({"alg": "EdDSA"});
        if let Some(kid) = self.kid {
            header["kid"] = json!(kid);
        }
        self.token_with(header, claims)
    }

    /// A token with another header.
    pub(crate) fn token_with(&self, header: Value, claims: Value) -> String {
        let mut all = json!({"iss": "idp", "aud": "api", "exp": 4_102_444_800u64, "sub": "alice"});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(all.to_string()));
        format!("{signed}.{}", BASE64.encode(self.pair.sign(signed.as_bytes()).as_ref()))
    }

    pub(crate) fn request(&self) -> TestRequest {
        bearer(&self.token(json!({})))
    }
}

pub(crate) fn bearer(token: &str) -> TestRequest {
    TestRequest::get("/").header("authorization", format!("Bearer {token}"))
}

pub(crate) fn config() -> Value {
    let jwks = json!({"upstream": "idp", "path": "/keys", "cache_for": "10m", "stale_for": "1h"});
    json!({"jwt": {"issuer": "idp", "audience": "api", "jwks": jwks}})
}

pub(crate) fn serving(keys: Vec<Value>, up: &Rc<Cell<bool>>) -> TestHost {
    let up = up.clone();
    TestHost::new().upstream("idp", move |call| {
        assert_eq!((call.path.as_str(), call.single_flight), ("/keys", true));
        match up.get() {
            true => Ok(TestResponse::new(200).body(json!({"keys": keys}).to_string())),
            false => Err(CallError::Connect),
        }
    })
}

pub(crate) fn passes(host: &TestHost, plugin: &Auth, request: TestRequest) -> bool {
    host.run(plugin, request).is_forwarded()
}
