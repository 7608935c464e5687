//! Whole exchanges: what vectors can't tell, such as what later plugins learn.

use auth::Auth;
use plugin_sdk::testing::{TestHost, TestRequest, json};
use serde_json::Value;

mod idp;

use idp::{Idp, bearer};

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

#[test]
fn a_secret_that_is_shorter_than_its_hash_is_a_config_mistake() {
    let host = TestHost::new().secret("short", [7; 31]).secret("good", [7; 32]);
    let of = |key: Value| -> Vec<String> {
        match host.configure::<Auth>(json!({"jwt": {"issuer": "i", "audience": "a", "keys": [key]}})) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(|error| format!("{} {}", error.pointer, error.message)).collect(),
        }
    };
    assert!(of(json!({"secret": "good", "algorithm": "HS256"})).is_empty());
    for (secret, algorithm) in [("short", "HS256"), ("good", "HS384"), ("good", "HS512")] {
        let errors = of(json!({"secret": secret, "algorithm": algorithm}));
        assert!(errors.len() == 1 && errors[0].starts_with("/jwt/keys/0/secret is shorter"), "{errors:?}");
    }
}

#[test]
fn a_trace_shows_the_decision_and_the_kind_of_credential_and_no_value() {
    let idp = Idp::new("a");
    let host = TestHost::new();
    let config = json!({"jwt": {"issuer": "idp", "audience": "api", "keys": [{"jwk": idp.jwk()}]}});
    let plugin = host.configure::<Auth>(config).unwrap();
    let passed = host.run(&plugin, bearer(&idp.token(json!({"sub": "kari"}))).traced());
    assert_eq!(passed.trace_attribute("decision"), Some("passed".into()));
    assert_eq!(passed.trace_attribute("credential"), Some("jwt".into()));
    let refused = host.run(&plugin, TestRequest::get("/").traced());
    assert_eq!(refused.trace_attribute("decision"), Some("refused".into()));
    assert!(refused.trace_attribute("reason").is_some() && refused.trace_attribute("credential").is_none());
}
