//! Whole exchanges: what vectors can't tell, such as the remote key set and what later plugins learn.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use auth::Auth;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use plugin_sdk::testing::{CallError, TestHost, TestRequest, TestResponse, json};
use serde_json::Value;

struct Idp {
    pair: Ed25519KeyPair,
    kid: &'static str,
}

#[allow(clippy::unwrap_used, reason = "test keys and claims are good ones")]
impl Idp {
    fn new(kid: &'static str) -> Self {
        Self { pair: Ed25519KeyPair::generate().unwrap(), kid }
    }

    fn jwk(&self) -> Value {
        let x = BASE64.encode(self.pair.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x})
    }

    fn token(&self, claims: Value) -> String {
        let mut all = json!({"iss": "idp", "aud": "api", "exp": 4_102_444_800u64, "sub": "alice"});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let header = json!({"alg": "EdDSA", "kid": self.kid});
        let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(all.to_string()));
        format!("{signed}.{}", BASE64.encode(self.pair.sign(signed.as_bytes()).as_ref()))
    }

    fn request(&self) -> TestRequest {
        bearer(&self.token(json!({})))
    }
}

fn bearer(token: &str) -> TestRequest {
    TestRequest::get("/").header("authorization", format!("Bearer {token}"))
}

fn config() -> Value {
    let jwks = json!({"upstream": "idp", "path": "/keys", "cache_for": "10m", "stale_for": "1h"});
    json!({"jwt": {"issuer": "idp", "audience": "api", "jwks": jwks}})
}

fn serving(keys: Vec<Value>, up: &Rc<Cell<bool>>) -> TestHost {
    let up = up.clone();
    TestHost::new().upstream("idp", move |call| {
        assert_eq!((call.path.as_str(), call.single_flight), ("/keys", true));
        match up.get() {
            true => Ok(TestResponse::new(200).body(json!({"keys": keys}).to_string())),
            false => Err(CallError::Connect),
        }
    })
}

fn passes(host: &TestHost, plugin: &Auth, request: TestRequest) -> bool {
    host.run(plugin, request).is_forwarded()
}

#[test]
fn all_instances_share_one_fetch() {
    let idp = Idp::new("a");
    let host = serving(vec![idp.jwk()], &Rc::new(Cell::new(true)));
    for _ in 0..4 {
        let worker = host.configure::<Auth>(config()).unwrap();
        assert!(passes(&host, &worker, idp.request()));
        assert!(passes(&host, &worker, idp.request()));
    }
    assert_eq!(host.calls().len(), 1);
    host.advance(Duration::from_secs(601));
    let worker = host.configure::<Auth>(config()).unwrap();
    assert!(passes(&host, &worker, idp.request()));
    assert_eq!(host.calls().len(), 2, "the set was not good any more");
}

#[test]
fn unknown_keys_cause_a_fetch_every_thirty_seconds_at_most() {
    let (idp, stranger) = (Idp::new("a"), Idp::new("b"));
    let host = serving(vec![idp.jwk()], &Rc::new(Cell::new(true)));
    let plugin = host.configure::<Auth>(config()).unwrap();
    assert!(passes(&host, &plugin, idp.request()));
    for _ in 0..10 {
        assert_eq!(host.run(&plugin, stranger.request()).response().status, 401);
    }
    assert_eq!(host.calls().len(), 1);
    host.advance(Duration::from_secs(30));
    for _ in 0..10 {
        assert!(!passes(&host, &plugin, stranger.request()));
    }
    assert_eq!(host.calls().len(), 2);
    assert!(passes(&host, &plugin, idp.request()));
}

#[test]
fn a_new_key_is_found_and_a_forged_one_refused() {
    let (idp, forger) = (Idp::new("a"), Idp::new("a"));
    let host = serving(vec![idp.jwk()], &Rc::new(Cell::new(true)));
    let plugin = host.configure::<Auth>(config()).unwrap();
    assert!(passes(&host, &plugin, idp.request()));
    assert!(!passes(&host, &plugin, forger.request()));
}

#[test]
fn old_keys_serve_while_the_idp_is_down_up_to_a_limit() {
    let (idp, up) = (Idp::new("a"), Rc::new(Cell::new(true)));
    let host = serving(vec![idp.jwk()], &up);
    let plugin = host.configure::<Auth>(config()).unwrap();
    assert!(passes(&host, &plugin, idp.request()));
    up.set(false);
    host.advance(Duration::from_secs(601));
    for _ in 0..10 {
        assert!(passes(&host, &plugin, idp.request()));
    }
    assert_eq!(host.calls().len(), 2, "after a failure nobody asks for a while");
    host.advance(Duration::from_secs(3600));
    assert_eq!(host.run(&plugin, idp.request()).response().status, 503);
    up.set(true);
    host.advance(Duration::from_secs(60));
    assert!(passes(&host, &plugin, idp.request()));
}

#[test]
fn without_keys_nobody_passes_and_the_idp_is_left_in_peace() {
    let idp = Idp::new("a");
    let host = serving(Vec::new(), &Rc::new(Cell::new(true)));
    let plugin = host.configure::<Auth>(config()).unwrap();
    for _ in 0..5 {
        assert_eq!(host.run(&plugin, idp.request()).response().status, 503);
    }
    assert_eq!(host.calls().len(), 1);
}

#[test]
fn later_plugins_learn_who_it_is_and_the_log_does_not_learn_the_token() {
    let idp = Idp::new("a");
    let host = TestHost::new();
    let keys = json!([{"jwk": idp.jwk()}]);
    let digest = host.enter(|| plugin_sdk::crypto::digest(plugin_sdk::crypto::Digest::Sha256, b"secret-key"));
    let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let plugin = host
        .configure::<Auth>(json!({
            "jwt": {"issuer": "idp", "audience": "api", "keys": keys},
            "api_keys": {"keys": [{"name": "alice", "sha256": sha256}]},
        }))
        .unwrap();
    let token = idp.token(json!({"tenant": 7, "nested": {"a": 1}}));
    let run = host.run(&plugin, bearer(&token));
    assert_eq!(run.attribute("principal").as_deref(), Some("jwt:alice"));
    assert_eq!(run.attribute("claim.tenant").as_deref(), Some("7"));
    assert_eq!(run.attribute("claim.nested"), None);
    assert_eq!(run.log_field("auth.method").as_deref(), Some("jwt"));
    assert!(!format!("{:?}{:?}", run.log_fields(), host.logs()).contains(&token));
    let run = host.run(&plugin, TestRequest::get("/").header("x-api-key", "secret-key"));
    assert_eq!(run.attribute("principal").as_deref(), Some("key:alice"), "never the principal of a token");
}

#[test]
fn a_token_with_very_many_claims_is_no_harm() {
    let idp = Idp::new("a");
    let host = TestHost::new();
    let config = json!({"jwt": {"issuer": "idp", "audience": "api", "keys": [{"jwk": idp.jwk()}]},
        "claims_to_headers": {"sub": "x-user"}});
    let plugin = host.configure::<Auth>(config).unwrap();
    let claims: serde_json::Map<String, Value> = (0..200).map(|n| (format!("c{n}"), json!(n))).collect();
    let run = host.run(&plugin, bearer(&idp.token(Value::Object(claims))));
    assert_eq!(run.forwarded().header("x-user"), Some("alice"));
    assert_eq!(run.attribute("claim.sub").as_deref(), Some("alice"));
    let split = bearer(&idp.token(json!({"sub": "a\r\nx-admin: 1"})));
    assert_eq!(host.run(&plugin, split).response().status, 401);
}

#[test]
fn config_mistakes_are_reported_where_they_are() {
    let host = TestHost::new();
    let pointers = |config: Value| -> Vec<String> {
        let errors = host.configure::<Auth>(config).unwrap_err();
        errors.iter().map(|error| error.pointer.clone()).collect()
    };
    assert_eq!(pointers(json!({})), [""]);
    assert_eq!(pointers(json!({"jwt": {"issuer": "i", "audience": "a", "keyz": []}})), ["/jwt/keyz"]);
    let wrong = json!({
        "claims_to_headers": {"sub": "authorization"},
        "api_keys": {"header": "a b", "keys": [{"name": "n", "sha256": "plain"}]},
        "jwt": {"issuer": "i", "audience": [], "keys": [{"secret": "none", "algorithm": "HS256"}, {"jwk": {"kty": "x"}},
            {"pem": "x", "algorithm": "none"}, {}]},
    });
    assert_eq!(
        pointers(wrong),
        [
            "/claims_to_headers/sub",
            "/api_keys/header",
            "/api_keys/keys/0/sha256",
            "/jwt/audience",
            "/jwt/keys/0/secret",
            "/jwt/keys/1/jwk",
            "/jwt/keys/2/algorithm",
            "/jwt/keys/3",
        ]
    );
}
