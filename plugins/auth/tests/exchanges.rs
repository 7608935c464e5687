//! Whole exchanges: what vectors can't tell, such as the remote key set and what later plugins learn.

use std::cell::{Cell, RefCell};
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
fn keys_of_one_jwks_never_vouch_for_tokens_of_another_in_a_shared_state() {
    // The same kid in both. One host is one state: of entries that share it, and of the config before a reload.
    let (one, other) = (Idp::new("a"), Idp::new("a"));
    let sets = [("/one", one.jwk()), ("/other", other.jwk())].map(|(path, key)| (path, json!({"keys": [key]})));
    let host = TestHost::new().upstream("idp", move |call| {
        let (_, set) = sets.iter().find(|(path, _)| *path == call.path).ok_or(CallError::Connect)?;
        Ok(TestResponse::new(200).body(set.to_string()))
    });
    let at = |path: &str| {
        let mut config = config();
        config["jwt"]["jwks"]["path"] = json!(path);
        host.configure::<Auth>(config).unwrap()
    };
    let first = at("/one");
    assert!(passes(&host, &first, one.request()));
    let second = at("/other");
    assert!(!passes(&host, &second, one.request()));
    assert!(passes(&host, &second, other.request()));
    assert!(!passes(&host, &first, other.request()));
    assert!(passes(&host, &first, one.request()));
    let gone = at("/gone");
    assert_eq!(host.run(&gone, one.request()).response().status, 503);
    assert!(passes(&host, &second, other.request()), "a failure of one place is not one of another");
}

/// A host whose identity provider runs `meanwhile` during a fetch, with the number of fetches begun.
fn interrupted(meanwhile: impl Fn(&TestHost, usize) -> Result<TestResponse, CallError> + 'static) -> TestHost {
    let (slot, count) = (Rc::new(RefCell::new(None::<TestHost>)), Cell::new(0));
    let own = slot.clone();
    let host = TestHost::new().upstream("idp", move |_| {
        count.set(count.get() + 1);
        let host = slot.borrow().clone().ok_or(CallError::Connect)?;
        meanwhile(&host, count.get())
    });
    *own.borrow_mut() = Some(host.clone());
    host
}

#[test]
fn old_keys_serve_at_once_while_one_request_fetches_new_ones() {
    let idp = Rc::new(Idp::new("a"));
    let (set, asked) = (json!({"keys": [idp.jwk()]}).to_string(), idp.clone());
    let host = interrupted(move |host, fetch| {
        if fetch > 1 {
            let other = host.configure::<Auth>(config()).unwrap();
            assert!(passes(host, &other, asked.request()), "it has to wait");
        }
        Ok(TestResponse::new(200).body(set.clone()))
    });
    let plugin = host.configure::<Auth>(config()).unwrap();
    assert!(passes(&host, &plugin, idp.request()));
    host.advance(Duration::from_secs(601));
    assert!(passes(&host, &plugin, idp.request()));
    assert_eq!(host.calls().len(), 2, "one renews the set, the other one goes on with the old one");
    host.advance(Duration::from_secs(601));
    assert!(passes(&host, &plugin, idp.request()));
    assert_eq!(host.calls().len(), 3, "the lease of the one before is given back");
}

#[test]
fn those_that_share_a_flight_count_and_log_it_once() {
    for (set, result) in [(true, "ok"), (false, "failed")] {
        let idp = Rc::new(Idp::new("a"));
        let (keys, asked) = (json!({"keys": [idp.jwk()]}).to_string(), idp.clone());
        let host = interrupted(move |host, fetch| {
            if fetch == 1 {
                // A second request of the same flight, which gets its answer first.
                let other = host.configure::<Auth>(config()).unwrap();
                assert_eq!(passes(host, &other, asked.request()), set);
            }
            if set { Ok(TestResponse::new(200).body(keys.clone())) } else { Err(CallError::Timeout) }
        });
        let plugin = host.configure::<Auth>(config()).unwrap();
        assert_eq!(passes(&host, &plugin, idp.request()), set);
        assert_eq!(host.counted("auth_jwks_fetches_total", &[("result", result)]), 1);
        assert_eq!(host.logs().len(), usize::from(!set), "{:?}", host.logs());
    }
}

#[test]
fn a_set_that_is_too_large_is_a_failed_fetch() {
    let idp = Idp::new("a");
    let large = json!({"keys": [idp.jwk()], "padding": "x".repeat(256 << 10)}).to_string();
    let host = TestHost::new().upstream("idp", move |_| Ok(TestResponse::new(200).body(large.clone())));
    let plugin = host.configure::<Auth>(config()).unwrap();
    for _ in 0..3 {
        assert_eq!(host.run(&plugin, idp.request()).response().status, 503);
    }
    assert_eq!(host.calls().len(), 1, "after a failure nobody asks for a while");
}

#[test]
fn a_list_whose_element_holds_a_comma_never_becomes_two_in_a_header() {
    let idp = Idp::new("a");
    let host = TestHost::new();
    let config = json!({"jwt": {"issuer": "idp", "audience": "api", "keys": [{"jwk": idp.jwk()}]},
        "claims_to_headers": {"groups": "x-groups"}});
    let plugin = host.configure::<Auth>(config).unwrap();
    let run = host.run(&plugin, bearer(&idp.token(json!({"groups": ["user", "guest"]}))));
    assert_eq!(run.forwarded().header("x-groups"), Some("user,guest"));
    let run = host.run(&plugin, bearer(&idp.token(json!({"groups": ["user,admin"]}))));
    assert_eq!(run.response().status, 401);
    let run = host.run(&plugin, bearer(&idp.token(json!({"roles": ["user,admin"]}))));
    assert_eq!(run.attribute("claim.roles"), None);
}

#[test]
fn a_claim_with_outer_spaces_never_arrives_as_the_one_without() {
    let idp = Idp::new("a");
    let host = TestHost::new();
    let config = json!({"jwt": {"issuer": "idp", "audience": "api", "keys": [{"jwk": idp.jwk()}]},
        "claims_to_headers": {"sub": "x-user"}});
    let plugin = host.configure::<Auth>(config).unwrap();
    for sub in [" admin", "admin ", "\tadmin", " "] {
        let run = host.run(&plugin, bearer(&idp.token(json!({"sub": sub}))));
        assert_eq!(run.response().status, 401, "{sub:?}");
    }
}

#[test]
fn users_of_one_client_whose_subject_is_no_string_do_not_share_a_principal() {
    let idp = Idp::new("a");
    let host = TestHost::new();
    let plugin = host
        .configure::<Auth>(json!({"jwt": {"issuer": "idp", "audience": "api", "keys": [{"jwk": idp.jwk()}]}}))
        .unwrap();
    let run = host.run(&plugin, bearer(&idp.token(json!({"sub": 7, "client_id": "app"}))));
    assert_eq!(run.response().status, 401);
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
    let principal = |request: TestRequest| host.run(&plugin, request).attribute("principal").unwrap();
    let with_key = |request: TestRequest| request.header("x-api-key", "secret-key");
    assert_eq!(principal(with_key(TestRequest::get("/"))), "key:alice", "never the principal of a token");
    assert_eq!(principal(with_key(bearer(&token))), "key:alice+jwt:alice", "neither of the two alone");
    let client = |name: &str| bearer(&idp.token(json!({"sub": "", (name): "alice"})));
    assert_eq!(principal(client("client_id")), "jwt/client_id:alice");
    assert_eq!(principal(client("azp")), "jwt/azp:alice");
    let nameless = |more: u8| principal(bearer(&idp.token(json!({"sub": "", "jti": more}))));
    assert_ne!(nameless(1), nameless(2), "a principal each");
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

#[test]
fn headers_that_stand_in_each_others_way_are_config_mistakes() {
    let host = TestHost::new().secret("shared", [7; 32]).secret("public", ED25519_PEM);
    let pointers = |config: Value| -> Vec<String> {
        match host.configure::<Auth>(config) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(|error| error.pointer.clone()).collect(),
        }
    };
    let digest = "0".repeat(64);
    let keys = |more: Value| {
        let mut keys = json!({"keys": [{"name": "n", "sha256": digest}]});
        keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        keys
    };
    let jwt = json!({"issuer": "i", "audience": "a", "keys": [{"secret": "shared", "algorithm": "HS256"}]});
    assert!(pointers(json!({"api_keys": keys(json!({"header": "authorization"}))})).is_empty());
    for (config, pointer) in [
        (json!({"api_keys": keys(json!({"header": "Authorization"})), "jwt": jwt}), "/api_keys/header"),
        (json!({"api_keys": keys(json!({"header": "Host"}))}), "/api_keys/header"),
        (json!({"api_keys": keys(json!({"name_header": "te"}))}), "/api_keys/name_header"),
        (json!({"api_keys": keys(json!({"name_header": "x_api_key"}))}), "/api_keys/name_header"),
        (json!({"jwt": jwt, "claims_to_headers": {"sub": "Transfer-Encoding"}}), "/claims_to_headers/sub"),
        (
            json!({"api_keys": keys(json!({})), "jwt": jwt, "claims_to_headers": {"sub": "x_api_key"}}),
            "/claims_to_headers/sub",
        ),
        (
            json!({"api_keys": keys(json!({"name_header": "x-who"})), "jwt": jwt, "claims_to_headers": {"sub": "x-who"}}),
            "/claims_to_headers/sub",
        ),
        (json!({"jwt": jwt, "claims_to_headers": {"a": "x-who", "b": "x_who"}}), "/claims_to_headers/b"),
        (json!({"api_keys": {"keys": [{"name": "a+b", "sha256": digest}]}}), "/api_keys/keys/0/name"),
    ] {
        assert_eq!(pointers(config.clone()), [pointer], "{config}");
    }
}

const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

#[test]
fn an_algorithm_that_does_not_fit_the_key_is_a_config_mistake() {
    let host = TestHost::new().secret("shared", [7; 32]).secret("public", ED25519_PEM);
    let of = |key: Value| -> Vec<String> {
        match host.configure::<Auth>(json!({"jwt": {"issuer": "i", "audience": "a", "keys": [key]}})) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(|error| error.pointer.clone()).collect(),
        }
    };
    for good in [
        json!({"pem": ED25519_PEM, "algorithm": "EdDSA"}),
        json!({"secret": "shared", "algorithm": "HS256"}),
        json!({"secret": "public", "algorithm": "EdDSA"}),
    ] {
        assert!(of(good.clone()).is_empty(), "{good}");
    }
    for wrong in [
        json!({"pem": ED25519_PEM, "algorithm": "RS256"}),
        json!({"pem": ED25519_PEM, "algorithm": "HS256"}),
        json!({"pem": ED25519_PEM}),
        json!({"secret": "shared", "algorithm": "RS256"}),
        json!({"secret": "public", "algorithm": "HS256"}),
        json!({"secret": "shared"}),
    ] {
        assert_eq!(of(wrong.clone()), ["/jwt/keys/0/algorithm"], "{wrong}");
    }
    assert_eq!(of(json!({"pem": "x", "algorithm": "RS256"})), ["/jwt/keys/0/pem"]);
}
