//! What the standard plugins promise for the whole gateway, on the built wasm: over two workers, with clients at the same
//! time, and for two callers that must not meet.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::eventually;
use gateway_tests::gateway::{TestGateway, install};
use gateway_tests::load::Spawned;
use gateway_tests::upstream::{Upstream, reusable, text};
use serde_json::Value;
use tokio::sync::watch;

const LISTENER: &str = "listeners: [{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}]
workers: 2
";

/// The public key and a token that passes of the vectors for an algorithm.
fn key_and_token(algorithm: &str) -> (Value, String) {
    let vectors: Value = serde_json::from_str(include_str!("../../plugins/auth/tests/vectors.json")).expect("vectors");
    let begins = format!("{algorithm} passes");
    let mut all = vectors.as_array().into_iter().flatten();
    let vector = all.find(|vector| vector["name"].as_str().is_some_and(|name| name.starts_with(&begins)));
    let vector = vector.expect("the vector of the algorithm");
    let token = vector["steps"][0]["request"]["headers"]["authorization"].as_str().expect("a token");
    (vector["config"]["jwt"]["keys"][0]["jwk"].clone(), token.to_owned())
}

/// Runs `ask` with a connection of its own in each of `count` threads at once; what each gave.
fn at_once<T: Send + 'static>(
    count: usize,
    ask: impl Fn() -> T + Send + Sync + 'static,
) -> Vec<std::thread::JoinHandle<T>> {
    let (barrier, ask) = (Arc::new(std::sync::Barrier::new(count)), Arc::new(ask));
    let threads = (0..count).map(|_| {
        let (barrier, ask) = (barrier.clone(), ask.clone());
        std::thread::spawn(move || {
            barrier.wait();
            ask()
        })
    });
    threads.collect()
}

#[test]
fn a_cold_start_of_all_workers_makes_exactly_one_fetch_of_the_jwks() {
    const CLIENTS: usize = 16;
    let (jwk, token) = key_and_token("RS256");
    let (release, released) = watch::channel(false);
    let idp = Upstream::start_async(move |_| {
        let (mut released, set) = (released.clone(), serde_json::json!({"keys": [jwk]}).to_string());
        async move {
            let _ = released.wait_for(|released| *released).await;
            text(200, set)
        }
    });
    let main = Upstream::start(|seen| text(200, seen.headers["x-user"].as_bytes().to_vec()));
    let yaml = format!(
        "{LISTENER}plugins: {{directory: plugins, grants: {{auth: {{upstreams: [idp]}}}}}}
upstreams: {{main: {{endpoints: [\"{}\"]}}, idp: {{endpoints: [\"{}\"]}}}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    upstream: main
    plugins:
      - name: auth
        config:
          jwt: {{issuer: https://idp.example.no, audience: api, jwks: {{upstream: idp, path: /keys, timeout: 30s}}}}
          claims_to_headers: {{sub: x-user}}
",
        main.address(),
        idp.address()
    );
    let gateway = TestGateway::start(&yaml, &["auth"]);
    let address = gateway.address();
    let clients = at_once(CLIENTS, move || {
        let response = Client::http1(address).get_with("/", &[("authorization", &token)]);
        (response.status, response.text())
    });
    // The answer comes once all of them wait for it.
    eventually("all requests are in flight", || {
        (gateway.metric("gateway_requests_in_flight", &[]) >= CLIENTS as f64).then_some(())
    });
    release.send(true).expect("the IdP waits");
    for client in clients {
        assert_eq!(client.join().expect("a client"), (200, "alice".to_owned()));
    }
    assert_eq!(idp.seen().len(), 1, "one fetch for all workers");
    assert_eq!(gateway.metric("gateway_plugin_custom_auth_jwks_fetches_total", &["ok"]), 1.0, "and counted once");
}

#[test]
fn keys_of_another_jwks_do_not_count_in_a_shared_state_or_after_a_reload() {
    let ((one, of_one), (other, of_other)) = (key_and_token("RS256"), key_and_token("ES256"));
    let idp = Upstream::start(move |seen| {
        let key = if seen.target == "/one" { &one } else { &other };
        text(200, serde_json::json!({"keys": [key]}).to_string())
    });
    let yaml = |first: &str, second: &str| {
        let mut yaml = format!(
            "{LISTENER}plugins: {{directory: plugins, grants: {{auth: {{upstreams: [idp]}}}}}}
upstreams: {{idp: {{endpoints: [\"{}\"]}}}}
routes:
",
            idp.address()
        );
        for (route, path) in [("first", first), ("second", second)] {
            let jwt =
                format!("{{issuer: https://idp.example.no, audience: api, jwks: {{upstream: idp, path: {path}}}}}");
            yaml.push_str(&format!(
                "  - name: {route}
    match: {{path: {{prefix: /{route}}}}}
    respond: {{status: 200, body: x}}
    plugins: [{{name: auth, share_state: both, config: {{jwt: {jwt}}}}}]
"
            ));
        }
        yaml
    };
    let gateway = TestGateway::start(&yaml("/one", "/other"), &["auth"]);
    let ask =
        |path: &str, token: &str| Client::http1(gateway.address()).get_with(path, &[("authorization", token)]).status;
    assert_eq!([ask("/first", &of_one), ask("/second", &of_other)], [200, 200]);
    assert_eq!([ask("/first", &of_other), ask("/second", &of_one)], [401, 401]);
    gateway.reload(&yaml("/other", "/one")).expect("reloaded");
    assert_eq!([ask("/first", &of_other), ask("/second", &of_one)], [200, 200]);
    assert_eq!([ask("/first", &of_one), ask("/second", &of_other)], [401, 401]);
}

#[test]
fn a_rate_limit_is_exact_for_clients_that_ask_at_the_same_time() {
    let upstream = Upstream::start(|_| text(200, "through"));
    let yaml = format!(
        "{LISTENER}plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    upstream: one
    plugins: [{{name: rate-limit, config: {{limits: [{{requests: 50, per: 1h, by: client.address}}]}}}}]
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &["rate-limit"]);
    let address = gateway.address();
    let clients = at_once(8, move || {
        let mut client = Client::http1(address);
        (0..10).filter(|_| client.get("/").status == 200).count()
    });
    let allowed: usize = clients.into_iter().map(|client| client.join().expect("a client")).sum();
    assert_eq!((allowed, upstream.seen().len()), (50, 50));
}

#[test]
fn behind_an_open_breaker_no_caller_with_an_api_key_gets_what_was_stored_for_another() {
    let config = "{api_keys: {name_header: x-consumer, keys: [
          {name: alice, sha256: 72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20},
          {name: bob, sha256: 9b94dc1a51a38769f135edf04033ad7f2f487b6c25929be7a861cfc1ab10cf98}]}}";
    no_caller_gets_what_was_stored_for_another(config, "x-api-key", ["alice-key", "bob-key", "mallory-key"]);
}

#[test]
fn behind_an_open_breaker_no_caller_with_a_token_gets_what_was_stored_for_another() {
    // All claims but `sub` are the same; they expire in the year 2100.
    let config = "{claims_to_headers: {sub: x-consumer}, jwt: {issuer: https://idp.example.no, audience: api, keys: [
          {jwk: {kty: oct, kid: h, alg: HS256, k: \"VkTdEEpFTmrV4ifXz345T5iM0ToGGxul85WtaWa-WCs7bJHIhcQJxz-H86IQ88lQsl7lSNzzekOGZKl_DwYS1g\"}}]}}";
    let alice = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImgifQ.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLm5vIiwiYXVkIjoiYXBpIiwic3ViIjoiYWxpY2UiLCJleHAiOjQxMDI0NDQ4MDB9.KpOa7eP-NW7RzPJAKfwShNHngH9vEiqx2NqZ3qJsOPA";
    let bob = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImgifQ.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLm5vIiwiYXVkIjoiYXBpIiwic3ViIjoiYm9iIiwiZXhwIjo0MTAyNDQ0ODAwfQ.VuE3UqGOnLgeJ4subppi_82wedp0AAv-IhR-OWnDTq0";
    // Says `alice`, and is signed with another key.
    let mallory = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImgifQ.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLm5vIiwiYXVkIjoiYXBpIiwic3ViIjoiYWxpY2UiLCJleHAiOjQxMDI0NDQ4MDB9.Nn0ygZPyc1nM8l4ENAqiURqjbWT-t_zKq75BYT3Y2d4";
    no_caller_gets_what_was_stored_for_another(config, "authorization", [alice, bob, mallory]);
}

fn no_caller_gets_what_was_stored_for_another(config: &str, field: &str, [alice, bob, mallory]: [&str; 3]) {
    for protocol in PROTOCOLS {
        let failing = Arc::new(AtomicBool::new(false));
        let switch = failing.clone();
        let upstream = Upstream::start(move |seen| match switch.load(Ordering::SeqCst) {
            true => text(500, "broken"),
            false => reusable(200, [b"of ", seen.headers["x-consumer"].as_bytes()].concat()),
        });
        let yaml = format!(
            "listeners: [{{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}]
plugins: {{directory: plugins, grants: {{auth: {{upstreams: [one]}}}}}}
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    upstream: one
    plugins:
      - {{name: auth, config: {config}}}
      - {{name: circuit-breaker, config: {{minimum_requests: 3, open_for: 1h}}}}
",
            upstream.address()
        );
        let gateway = TestGateway::start(&yaml, &["auth", "circuit-breaker"]);
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        let mut ask = |key: &str, path: &str| {
            let response = client.get_with(path, &[(field, key)]);
            (response.status, response.text())
        };
        assert_eq!(ask(alice, "/a"), (200, "of alice".to_owned()), "{protocol}");
        assert_eq!(ask(bob, "/b"), (200, "of bob".to_owned()), "{protocol}");
        failing.store(true, Ordering::SeqCst);
        eventually("it opens", || (ask(alice, "/c").0 == 503).then_some(()));
        assert_eq!(ask(alice, "/a"), (200, "of alice".to_owned()), "{protocol}: her own");
        assert_eq!(ask(bob, "/b"), (200, "of bob".to_owned()), "{protocol}: his own");
        assert_eq!(ask(bob, "/a").0, 503, "{protocol}: alice's, or nothing");
        assert_eq!(ask(alice, "/b").0, 503, "{protocol}: bob's, or nothing");
        assert_eq!(ask(mallory, "/a").0, 401, "{protocol}");
    }
}

/// Clients that ask again and again, each request over a connection of its own: so both workers take part.
struct Askers {
    stop: Arc<AtomicBool>,
    rejected: Arc<AtomicUsize>,
    passed: Arc<AtomicUsize>,
    /// The connection that each of them uses now.
    sockets: Arc<Mutex<Vec<Option<TcpStream>>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Askers {
    fn start(address: SocketAddr, count: usize) -> Self {
        let (stop, rejected, passed) = (Arc::default(), Arc::default(), Arc::default());
        let sockets = Arc::new(Mutex::new((0..count).map(|_| None).collect()));
        let mut askers = Self { stop, rejected, passed, sockets, threads: Vec::new() };
        for number in 0..count {
            let (stop, sockets) = (askers.stop.clone(), askers.sockets.clone());
            let (rejected, passed) = (askers.rejected.clone(), askers.passed.clone());
            askers.threads.push(std::thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    match ask(address, number, &sockets) {
                        Some(200) => passed.fetch_add(1, Ordering::SeqCst),
                        Some(503) => rejected.fetch_add(1, Ordering::SeqCst),
                        _ => 0,
                    };
                }
            }));
        }
        askers
    }

    /// Waits until this many more requests were rejected.
    fn rejects(&self, more: usize) {
        let before = self.rejected.load(Ordering::SeqCst);
        eventually("requests are rejected", || (self.rejected.load(Ordering::SeqCst) >= before + more).then_some(()));
    }

    /// Lets this client leave in the middle of its request.
    fn leave(&self, number: usize) {
        let sockets = self.sockets.lock().expect("no poison");
        sockets[number].as_ref().expect("its connection").shutdown(Shutdown::Both).expect("closed");
    }

    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a client");
        }
    }
}

/// The status of an answer; `None` where there was none.
fn ask(address: SocketAddr, number: usize, sockets: &Mutex<Vec<Option<TcpStream>>>) -> Option<u16> {
    let mut socket = TcpStream::connect(address).ok()?;
    sockets.lock().expect("no poison")[number] = socket.try_clone().ok();
    let request = format!("GET /{number} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).ok()?;
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

#[test]
fn a_half_open_breaker_admits_exactly_one_probe_of_all_workers_and_a_client_that_leaves_frees_it() {
    let (answers, answer) = watch::channel(500);
    let held = Arc::new(Mutex::new(Vec::<usize>::new()));
    let record = held.clone();
    let upstream = Upstream::start_async(move |seen| {
        let (mut answer, record) = (answer.clone(), record.clone());
        async move {
            if *answer.borrow() == 0 {
                let number = seen.target.trim_start_matches('/').parse().expect("a client's number");
                record.lock().expect("no poison").push(number);
            }
            let status = *answer.wait_for(|status| *status != 0).await.expect("the test runs");
            text(status, "")
        }
    });
    let yaml = format!(
        "{LISTENER}plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{}\"], passive_health: {{max_failures: 0}}}}}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    upstream: one
    plugins: [{{name: circuit-breaker, config: {{minimum_requests: 3, open_for: 20ms, fallback: {{stored: false}}}}}}]
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &["circuit-breaker"]);
    let mut client = Client::http1(gateway.address());
    eventually("it opens", || (client.get("/").status == 503).then_some(()));

    // From here on the upstream holds what it gets.
    answers.send(0).expect("the upstream runs");
    let askers = Askers::start(gateway.address(), 6);
    let probes = |count: usize| {
        eventually("a probe", || (held.lock().expect("no poison").len() >= count).then_some(()));
        // Much longer than the breaker is open.
        askers.rejects(300);
        let held = held.lock().expect("no poison");
        assert_eq!(held.len(), count, "more than one probe: {held:?}");
        held[count - 1]
    };
    let first = probes(1);
    askers.leave(first);
    probes(2);
    answers.send(200).expect("the upstream runs");
    eventually("it closes", || (askers.passed.load(Ordering::SeqCst) > 20).then_some(()));
    askers.end();
    assert_eq!(gateway.metric("gateway_plugin_custom_circuit_breaker_state_changes_total", &["closed"]), 1.0);
}

#[test]
fn a_panic_in_a_plugin_is_in_the_error_log_with_its_message_and_its_place() {
    let yaml = "listeners: [{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}]
plugins: {directory: plugins}
routes: [{name: all, match: {path: {prefix: /}}, respond: {status: 200, body: x}, plugins: [{name: test-guest}]}]
";
    let gateway = Spawned::start(yaml, |directory| install("test-guest", &directory.join("plugins")));
    let response = Client::http1(gateway.listener("clear")).get_with("/", &[("x-do", "request_headers=panic")]);
    assert_eq!(response.status, 503);
    let line = gateway.process.wait_for("told to");
    assert!(line.contains("panicked at ") && line.contains("misbehave.rs:"), "{line}");
    assert!(line.contains("test-guest"), "{line}");
}
