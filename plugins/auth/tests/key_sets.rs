//! The remote key set: when it is fetched, which keys of it count, and what is refused meanwhile.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use auth::Auth;
use plugin_sdk::testing::{CallError, TestHost, TestResponse, json};
use serde_json::Value;

mod idp;

use idp::{Idp, bearer, config, passes, serving};

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
fn a_key_that_was_looked_for_in_vain_is_not_looked_for_again_for_thirty_seconds() {
    let (idp, stranger) = (Idp::new("a"), Idp::new("b"));
    let host = serving(vec![idp.jwk()], &Rc::new(Cell::new(true)));
    let plugin = host.configure::<Auth>(config()).unwrap();
    assert!(passes(&host, &plugin, idp.request()));
    for fetches in [2, 3] {
        for _ in 0..10 {
            assert_eq!(host.run(&plugin, stranger.request()).response().status, 401);
            assert!(passes(&host, &plugin, idp.request()));
        }
        assert_eq!(host.calls().len(), fetches);
        host.advance(Duration::from_secs(30));
    }
}

#[test]
fn who_makes_names_of_keys_up_causes_no_more_than_a_few_fetches() {
    let idp = Idp::new("a");
    let host = serving(vec![idp.jwk()], &Rc::new(Cell::new(true)));
    let plugin = host.configure::<Auth>(config()).unwrap();
    assert!(passes(&host, &plugin, idp.request()));
    let mut made_up = (0..).map(|n| idp.token_with(json!({"alg": "EdDSA", "kid": format!("x{n}")}), json!({})));
    for fetches in [5, 6, 7] {
        for token in made_up.by_ref().take(50) {
            assert_eq!(host.run(&plugin, bearer(&token)).response().status, 401);
        }
        assert_eq!(host.calls().len(), fetches, "four at once, and one more for each thirty seconds");
        host.advance(Duration::from_secs(30));
    }
}

#[test]
fn a_token_that_cannot_pass_anyway_causes_no_fetch() {
    let (idp, stranger) = (Idp::new("a"), Idp::new("b"));
    let host = serving(vec![idp.jwk()], &Rc::new(Cell::new(true)));
    let plugin = host.configure::<Auth>(config()).unwrap();
    let expired = json!({"exp": 1});
    assert_eq!(host.run(&plugin, bearer(&idp.token(expired.clone()))).response().status, 401);
    assert_eq!(host.calls().len(), 0);
    assert!(passes(&host, &plugin, idp.request()));
    for claims in [expired, json!({"iss": "another"}), json!({"aud": "another"})] {
        assert_eq!(host.run(&plugin, bearer(&stranger.token(claims))).response().status, 401);
    }
    assert_eq!(host.calls().len(), 1);
}

#[test]
fn a_key_that_another_one_took_the_name_of_is_found_at_the_first_bad_signature() {
    let (old, new, forger) = (Idp::new("a"), Idp::new("a"), Idp::new("a"));
    let rotated = Rc::new(Cell::new(false));
    let (switch, sets) = (rotated.clone(), [&old, &new].map(|idp| json!({"keys": [idp.jwk()]}).to_string()));
    let host = TestHost::new()
        .upstream("idp", move |_| Ok(TestResponse::new(200).body(sets[usize::from(switch.get())].clone())));
    let plugin = host.configure::<Auth>(config()).unwrap();
    let other_worker = host.configure::<Auth>(config()).unwrap();
    assert!(passes(&host, &plugin, old.request()) && passes(&host, &other_worker, old.request()));
    rotated.set(true);
    assert!(passes(&host, &plugin, new.request()));
    assert!(passes(&host, &other_worker, new.request()));
    assert_eq!(host.calls().len(), 2, "what one has found the others take");
    assert!(!passes(&host, &plugin, old.request()), "its key is no more");
    for _ in 0..10 {
        assert_eq!(host.run(&plugin, forger.request()).response().status, 401);
    }
    assert_eq!(host.calls().len(), 3, "bad signatures ask once in thirty seconds");
}

#[test]
fn a_set_without_names_and_tokens_without_are_tried_against_each_other() {
    let (nameless, stranger) = (Idp::nameless(), Idp::nameless());
    let others: Vec<Idp> = (0..9).map(|_| Idp::nameless()).collect();
    let mut keys: Vec<Value> = others.iter().map(Idp::jwk).collect();
    keys.push(json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}));
    keys.push(nameless.jwk());
    let host = serving(keys, &Rc::new(Cell::new(true)));
    let plugin = host.configure::<Auth>(config()).unwrap();
    assert!(passes(&host, &plugin, nameless.request()));
    let named = nameless.token_with(json!({"alg": "EdDSA", "kid": "anything"}), json!({}));
    assert!(passes(&host, &plugin, bearer(&named)), "a key without a name may be the one");
    assert!(!passes(&host, &plugin, stranger.request()));
}

#[test]
fn a_set_of_a_hundred_keys_serves_all_of_them_and_one_that_is_too_large_says_so() {
    let idps: Vec<Idp> = (0..100).map(|n| Idp::new(Box::leak(format!("k{n}").into_boxed_str()))).collect();
    let host = serving(idps.iter().map(Idp::jwk).collect(), &Rc::new(Cell::new(true)));
    let plugin = host.configure::<Auth>(config()).unwrap();
    assert!(idps.iter().all(|idp| passes(&host, &plugin, idp.request())));
    assert_eq!((host.calls().len(), host.logs().len()), (1, 0));

    let last = Idp::new("last");
    let mut keys = vec![Idp::new("first").jwk(); 512];
    keys.push(last.jwk());
    let host = serving(keys, &Rc::new(Cell::new(true)));
    let plugin = host.configure::<Auth>(config()).unwrap();
    assert!(!passes(&host, &plugin, last.request()));
    assert!(format!("{:?}", host.logs()).contains("more than 512 usable keys; 1 are left out"), "{:?}", host.logs());
}

#[test]
fn an_unknown_key_is_the_tokens_fault_only_where_the_idp_could_be_asked() {
    let (idp, stranger, forger, up) = (Idp::new("a"), Idp::new("b"), Idp::new("a"), Rc::new(Cell::new(true)));
    let host = serving(vec![idp.jwk()], &up);
    let plugin = host.configure::<Auth>(config()).unwrap();
    assert!(passes(&host, &plugin, idp.request()));
    up.set(false);
    for _ in 0..3 {
        let run = host.run(&plugin, stranger.request());
        assert_eq!(run.response().status, 503);
        assert_eq!(run.response().header("retry-after"), Some("1"));
        assert!(passes(&host, &plugin, idp.request()), "known keys go on");
        assert_eq!(host.run(&plugin, forger.request()).response().status, 401, "this key is known");
    }
    assert_eq!(host.calls().len(), 2, "after a failure nobody asks for a while");
}

#[test]
fn where_keys_could_be_had_from_is_not_the_tokens_to_say() {
    let (idp, forger) = (Idp::new("a"), Idp::new("a"));
    let host = serving(vec![idp.jwk()], &Rc::new(Cell::new(true)));
    let plugin = host.configure::<Auth>(config()).unwrap();
    for more in [
        json!({"jwk": forger.jwk()}),
        json!({"jku": "https://evil.example/keys"}),
        json!({"x5u": "https://evil.example/certificate"}),
        json!({"x5c": ["MIIB"]}),
        json!({"kid": "../../keys"}),
        json!({"kid": "a' OR '1'='1"}),
    ] {
        let mut header = json!({"alg": "EdDSA", "kid": "a"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let run_status = host.run(&plugin, bearer(&forger.token_with(header.clone(), json!({})))).response().status;
        assert_eq!(run_status, 401, "{header}");
    }
    assert!(host.calls().iter().all(|call| (call.upstream.as_str(), call.path.as_str()) == ("idp", "/keys")));
}

#[test]
fn a_token_for_another_purpose_is_refused_and_types_can_be_asked_for() {
    let idp = Idp::new("a");
    let host = serving(vec![idp.jwk()], &Rc::new(Cell::new(true)));
    let of = |typ: &str| bearer(&idp.token_with(json!({"alg": "EdDSA", "kid": "a", "typ": typ}), json!({})));
    let plugin = host.configure::<Auth>(config()).unwrap();
    assert!(passes(&host, &plugin, of("JWT")) && passes(&host, &plugin, of("at+jwt")));
    assert_eq!(host.run(&plugin, of("logout+jwt")).response().status, 401);
    let mut strict = config();
    strict["jwt"]["types"] = json!(["at+jwt"]);
    let plugin = host.configure::<Auth>(strict).unwrap();
    assert!(passes(&host, &plugin, of("application/at+jwt")));
    assert!(!passes(&host, &plugin, of("JWT")) && !passes(&host, &plugin, idp.request()));
    let mut wrong = config();
    for types in [json!([]), json!([""]), json!(["a b"])] {
        wrong["jwt"]["types"] = types;
        assert_eq!(host.configure::<Auth>(wrong.clone()).unwrap_err().iter().next().unwrap().pointer, "/jwt/types");
    }
}

#[test]
fn a_path_as_long_as_the_config_allows_is_no_harm() {
    let idp = Idp::new("a");
    let set = json!({"keys": [idp.jwk()]}).to_string();
    let host = TestHost::new().upstream("idp", move |_| Ok(TestResponse::new(200).body(set.clone())));
    let mut long = config();
    long["jwt"]["jwks"]["path"] = json!(format!("/{}", "k".repeat(1023)));
    let plugin = host.configure::<Auth>(long).unwrap();
    assert!(passes(&host, &plugin, idp.request()));
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
    let large = json!({"keys": [idp.jwk()], "padding": "x".repeat(512 << 10)}).to_string();
    let host = TestHost::new().upstream("idp", move |_| Ok(TestResponse::new(200).body(large.clone())));
    let plugin = host.configure::<Auth>(config()).unwrap();
    for _ in 0..3 {
        assert_eq!(host.run(&plugin, idp.request()).response().status, 503);
    }
    assert_eq!(host.calls().len(), 1, "after a failure nobody asks for a while");
}

#[test]
fn a_gateway_without_room_for_the_call_is_no_failure_of_the_identity_provider() {
    let (idp, up) = (Idp::new("a"), Rc::new(Cell::new(true)));
    let host = serving(vec![idp.jwk()], &up);
    let plugin = host.configure::<Auth>(config()).unwrap();
    host.refuse_calls(true);
    for _ in 0..10 {
        assert_eq!(host.run(&plugin, idp.request()).response().status, 503, "nobody can say");
    }
    assert_eq!(host.counted("auth_jwks_fetches_total", &[("result", "failed")]), 0);
    assert!(host.logs().is_empty(), "{:?}", host.logs());
    host.refuse_calls(false);
    assert!(passes(&host, &plugin, idp.request()), "nobody waits for a pause to end");
    // The same where a set is due, and for a key that is not in it.
    host.advance(Duration::from_secs(601));
    host.refuse_calls(true);
    assert!(passes(&host, &plugin, idp.request()), "the old one does");
    assert_eq!(host.run(&plugin, Idp::new("b").request()).response().status, 503);
    host.refuse_calls(false);
    assert!(passes(&host, &plugin, idp.request()));
    assert_eq!(host.calls().len(), 2);
    // One that can't be reached is one that failed.
    up.set(false);
    host.advance(Duration::from_secs(601));
    assert!(passes(&host, &plugin, idp.request()));
    assert_eq!(host.counted("auth_jwks_fetches_total", &[("result", "failed")]), 1);
}
