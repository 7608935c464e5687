//! The gateway with the built auth plugin, beside an identity provider that hangs, fails, redirects, or changes its keys.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use gateway_tests::client::{Client, Response};
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Seen, Upstream, text};
use serde_json::{Value, json};

/// A key of the identity provider, and the tokens that it signs.
struct Signer {
    pair: Ed25519KeyPair,
    kid: Option<String>,
}

impl Signer {
    fn new(kid: Option<&str>) -> Self {
        Self { pair: Ed25519KeyPair::generate().expect("a key"), kid: kid.map(str::to_owned) }
    }

    fn jwk(&self) -> Value {
        let mut jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(self.pair.public_key().as_ref())});
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// The value of an Authorization field.
    fn bearer(&self) -> String {
        let mut header = json!({"alg": "EdDSA"});
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        let claims = json!({"iss": "idp", "aud": "api", "exp": 4_102_444_800_u64, "sub": "alice"});
        let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        format!("Bearer {signed}.{}", BASE64.encode(self.pair.sign(signed.as_bytes()).as_ref()))
    }
}

/// What the identity provider does when it is asked for its keys.
#[derive(Clone)]
enum Mood {
    Serves(String),
    ServesLate(String),
    Hangs,
    Fails,
    Redirects,
}

struct Idp {
    upstream: Upstream,
    mood: Arc<Mutex<Mood>>,
}

impl Idp {
    fn start(mood: Mood) -> Self {
        let mood = Arc::new(Mutex::new(mood));
        let now = mood.clone();
        let upstream = Upstream::start_async(move |_: Seen| {
            let mood = now.lock().expect("no poison").clone();
            async move {
                match mood {
                    // No content type of key sets: what is said of it does not matter.
                    Mood::Serves(set) => text(200, set),
                    Mood::ServesLate(set) => {
                        tokio::time::sleep(Duration::from_millis(500)).await;
                        text(200, set)
                    }
                    Mood::Hangs => std::future::pending().await,
                    Mood::Fails => text(500, "broken"),
                    Mood::Redirects => {
                        let mut response = text(302, "");
                        response.headers_mut().insert("location", "/elsewhere".parse().expect("a value"));
                        response
                    }
                }
            }
        });
        Self { upstream, mood }
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().expect("no poison") = mood;
    }

    fn asked(&self) -> usize {
        self.upstream.seen().len()
    }
}

fn set(keys: &[&Signer]) -> Mood {
    Mood::Serves(set_of(keys))
}

fn set_of(keys: &[&Signer]) -> String {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string()
}

/// printf %s alice | sha256sum
const ALICE: &str = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";

/// A gateway whose auth has few instances, so that it takes few clients to hold them.
fn gateway(idp: &Idp, service: &Upstream) -> TestGateway {
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins, grants: {{auth: {{upstreams: [idp]}}}}, limits: {{auth: {{instances: 8}}}}}}
upstreams:
  one: {{endpoints: [\"{}\"]}}
  idp: {{endpoints: [\"{}\"], passive_health: {{max_failures: 0}}}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    upstream: one
    plugins:
      - name: auth
        config:
          api_keys: {{keys: [{{name: alice, sha256: {ALICE}}}]}}
          jwt: {{issuer: idp, audience: api, jwks: {{upstream: idp, path: /keys}}}}
",
        service.address(),
        idp.upstream.address()
    );
    TestGateway::start(&yaml, &["auth"])
}

fn service() -> Upstream {
    Upstream::start(|_| text(200, "hello"))
}

fn with_token(client: &mut Client, bearer: &str) -> Response {
    client.get_with("/", &[("authorization", bearer)])
}

/// Clients that ask one after the other, each with a token of its own, until they are told to stop.
struct Crowd {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Response>>>,
}

impl Crowd {
    fn start(address: SocketAddr, tokens: Vec<String>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let clients = tokens.into_iter().map(|token| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut client = Client::http1(address);
                let mut responses = vec![with_token(&mut client, &token)];
                while !stop.load(Ordering::Relaxed) {
                    responses.push(with_token(&mut client, &token));
                    std::thread::sleep(Duration::from_millis(20));
                }
                responses
            })
        });
        let clients = clients.collect();
        Self { stop, clients }
    }

    fn stop(self) -> Vec<Response> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    }
}

#[test]
fn a_hanging_identity_provider_holds_up_neither_api_keys_nor_tokens_of_known_keys() {
    let known = Signer::new(Some("known"));
    let (idp, service) = (Idp::start(set(&[&known])), service());
    let gateway = gateway(&idp, &service);
    let mut client = Client::http1(gateway.address());
    assert_eq!(with_token(&mut client, &known.bearer()).status, 200);
    idp.becomes(Mood::Hangs);
    let strangers = (0..32).map(|n| Signer::new(Some(&format!("x{n}"))).bearer()).collect();
    let crowd = Crowd::start(gateway.address(), strangers);
    let waits = || gateway.metric("gateway_requests_in_flight", &[]);
    eventually("the fetch hangs, and some wait for it", || (idp.asked() == 2 && waits() >= 2.0).then_some(()));
    let (began, mut answered) = (Instant::now(), 0);
    // Over several fetches that fail and the pauses between them. On connections of both workers.
    while began.elapsed() < Duration::from_secs(4) {
        let mut client = Client::http1(gateway.address());
        let response = client.get_with("/", &[("x-api-key", "alice")]);
        assert_eq!(response.status, 200, "after {answered}: {}", response.text());
        let response = with_token(&mut client, &known.bearer());
        assert_eq!(response.status, 200, "after {answered}: {}", response.text());
        answered += 2;
        std::thread::sleep(Duration::from_millis(5));
    }
    let responses = crowd.stop();
    let mut said: Vec<u16> = responses.iter().map(|response| response.status).collect();
    said.sort_unstable();
    said.dedup();
    assert_eq!(said, [503], "nobody can say whether there is such a key");
    assert!(responses.iter().all(|response| !response.header("retry-after").is_empty()));
    assert!(gateway.metric("gateway_plugin_outbound_refused_total", &["auth"]) > 0.0, "all were let wait");
    // The first set, then one fetch after the other, each with its two seconds, and pauses of one and two between them.
    assert!(idp.asked() <= 4, "asked {} times", idp.asked());
    assert!(answered > 20, "only {answered}");
}

#[test]
fn those_who_come_before_the_first_set_wait_for_one_fetch() {
    let known = Signer::new(Some("known"));
    let (idp, service) = (Idp::start(Mood::ServesLate(set_of(&[&known]))), service());
    let gateway = gateway(&idp, &service);
    let address = gateway.address();
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let bearer = known.bearer();
            std::thread::spawn(move || with_token(&mut Client::http1(address), &bearer).status)
        })
        .collect();
    let statuses: Vec<u16> = clients.into_iter().map(|client| client.join().expect("a client")).collect();
    assert_eq!(statuses, [200; 6]);
    assert_eq!(idp.asked(), 1);
}

#[test]
fn an_identity_provider_that_fails_or_redirects_gives_no_keys_and_is_left_in_peace() {
    for mood in [Mood::Fails, Mood::Redirects, Mood::Serves("<html>".to_owned())] {
        let known = Signer::new(Some("known"));
        let (idp, service) = (Idp::start(mood), service());
        let gateway = gateway(&idp, &service);
        let mut client = Client::http1(gateway.address());
        for _ in 0..5 {
            let response = with_token(&mut client, &known.bearer());
            assert_eq!((response.status, response.header("retry-after")), (503, "1"), "{}", response.text());
            assert_eq!(client.get_with("/", &[("x-api-key", "alice")]).status, 200);
        }
        assert!(idp.upstream.seen().iter().all(|seen| seen.target == "/keys"), "no redirect is followed");
        assert!(idp.asked() <= 2, "asked {} times", idp.asked());
        idp.becomes(set(&[&known]));
        eventually("it is asked again, and answers", || {
            (with_token(&mut client, &known.bearer()).status == 200).then_some(())
        });
    }
}

#[test]
fn a_new_key_under_the_old_name_serves_at_once_and_forged_ones_ask_no_more_than_once() {
    let (old, new) = (Signer::new(Some("a")), Signer::new(Some("a")));
    let (idp, service) = (Idp::start(set(&[&old])), service());
    let gateway = gateway(&idp, &service);
    let mut client = Client::http1(gateway.address());
    assert_eq!(with_token(&mut client, &old.bearer()).status, 200);
    idp.becomes(set(&[&new]));
    assert_eq!(with_token(&mut client, &new.bearer()).status, 200);
    assert_eq!(with_token(&mut client, &old.bearer()).status, 401, "its key is no more");
    for _ in 0..20 {
        let forged = Signer::new(Some("a")).bearer();
        assert_eq!(with_token(&mut client, &forged).status, 401);
    }
    assert_eq!(idp.asked(), 3, "the first, the one that found the new key, and one for all that are bad");
    assert_eq!(with_token(&mut client, &new.bearer()).status, 200);
}

#[test]
fn a_hundred_keys_serve_with_their_names_and_thirty_without() {
    for (count, named) in [(100, true), (30, false)] {
        let keys: Vec<Signer> = (0..count).map(|n| Signer::new(named.then(|| format!("key-{n}")).as_deref())).collect();
        let (idp, service) = (Idp::start(set(&keys.iter().collect::<Vec<_>>())), service());
        let gateway = gateway(&idp, &service);
        let mut client = Client::http1(gateway.address());
        for (n, key) in keys.iter().enumerate() {
            let response = with_token(&mut client, &key.bearer());
            assert_eq!(response.status, 200, "key {n} of {count}: {}", response.text());
        }
        assert_eq!(idp.asked(), 1);
    }
}

#[test]
fn requests_that_need_no_call_go_on_while_every_call_of_a_plugin_hangs() {
    let hung = Upstream::start_async(|_| std::future::pending());
    let main = service();
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins, grants: {{test-caller: {{upstreams: [side]}}}}, limits: {{test-caller: {{instances: 4}}}}}}
upstreams:
  one: {{endpoints: [\"{}\"]}}
  side: {{endpoints: [\"{}\"], passive_health: {{max_failures: 0}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, plugins: [{{name: test-caller}}], upstream: one}}]
workers: 1
",
        main.address(),
        hung.address()
    );
    let gateway = TestGateway::start(&yaml, &["test-caller"]);
    let address = gateway.address();
    let waiting: Vec<_> = (0..3).map(|_| std::thread::spawn(move || Client::http1(address).get("/"))).collect();
    eventually("three of four instances wait", || {
        let instances = gateway.metric("gateway_plugin_instances", &["test-caller"]);
        let in_flight = gateway.metric("gateway_requests_in_flight", &[]);
        (instances >= 3.0 && in_flight == 3.0 && !hung.seen().is_empty()).then_some(()).ok_or((instances, in_flight))
    });
    let mut client = Client::http1(address);
    // Whether the last of the three calls yet can't be seen from outside: ask until one is refused.
    eventually("nobody else may call", || {
        let began = Instant::now();
        let refused = client.get("/");
        let at_once = began.elapsed() < Duration::from_secs(1);
        // It is told apart from a callee that can't be reached.
        let is_refused = refused.text().contains("connect") && refused.headers["x-refused-here"] == "true";
        (refused.status == 500 && is_refused && at_once).then_some(())
    });
    for _ in 0..50 {
        let response = client.get_with("/", &[("x-call-in", "nowhere")]);
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    }
    assert!(gateway.metric("gateway_plugin_outbound_refused_total", &["test-caller"]) >= 1.0);
    for client in waiting {
        let said = client.join().expect("a client");
        assert!(said.text().contains("timeout"), "{}", said.text());
        assert_eq!(said.headers["x-refused-here"], "false");
    }
}
