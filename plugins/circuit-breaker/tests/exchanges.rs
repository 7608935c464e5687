//! Whole exchanges over time and over several instances: what vectors can't tell.

use std::time::Duration;

use circuit_breaker::CircuitBreaker;
use circuit_breaker::breaker::PROBE_LEASE_MS;
use plugin_sdk::Failure;
use plugin_sdk::testing::{Run, TestHost, TestRequest, TestResponse, json};

#[allow(clippy::unwrap_used, reason = "the empty config is a good one")]
fn breaker(host: &TestHost) -> CircuitBreaker {
    host.configure(json!({})).unwrap()
}

fn get<'p>(host: &TestHost, plugin: &'p CircuitBreaker) -> Run<'p, CircuitBreaker> {
    host.run(plugin, TestRequest::get("/"))
}

fn open(host: &TestHost, plugin: &CircuitBreaker) {
    for _ in 0..3 {
        get(host, plugin).fail(Failure::Connect);
    }
    assert!(!get(host, plugin).is_forwarded());
}

fn changes(host: &TestHost, to: &str) -> u64 {
    host.counted("circuit_breaker_state_changes_total", &[("route", "test"), ("to", to)])
}

#[test]
fn it_opens_for_all_workers_and_one_probe_of_them_all_closes_it() {
    let host = TestHost::new();
    let (one, two) = (breaker(&host), breaker(&host));
    open(&host, &one);
    let rejected = get(&host, &two);
    assert_eq!((rejected.response().status, rejected.response().header("retry-after")), (503, Some("5")));
    assert_eq!(rejected.log_field("circuit_breaker").as_deref(), Some("open"));
    let labels = [("route", "test"), ("decision", "refused"), ("state", "open")];
    assert_eq!(host.counted("circuit_breaker_decisions_total", &labels), 2);
    host.advance(Duration::from_secs(5));
    let mut probe = get(&host, &two);
    assert!(probe.is_forwarded());
    assert!(!get(&host, &one).is_forwarded());
    probe.respond(TestResponse::new(200));
    assert!(get(&host, &one).is_forwarded());
    assert_eq!((changes(&host, "open"), changes(&host, "half_open"), changes(&host, "closed")), (1, 1, 1));
}

#[test]
fn a_client_that_leaves_frees_its_probe_and_is_not_counted() {
    let host = TestHost::new();
    let plugin = breaker(&host);
    for _ in 0..10 {
        get(&host, &plugin).cancel();
    }
    open(&host, &plugin);
    host.advance(Duration::from_secs(5));
    get(&host, &plugin).cancel();
    let mut next = get(&host, &plugin);
    assert!(next.is_forwarded());
    next.fail(Failure::Timeout);
    assert!(!get(&host, &plugin).is_forwarded());
    assert_eq!(changes(&host, "open"), 2);
}

#[test]
fn a_probe_that_takes_longer_than_the_pause_closes_the_breaker() {
    let host = TestHost::new();
    let plugin = breaker(&host);
    open(&host, &plugin);
    host.advance(Duration::from_secs(5));
    let mut slow = get(&host, &plugin);
    assert!(slow.is_forwarded());
    host.advance(Duration::from_secs(20));
    let waiting = get(&host, &plugin);
    assert_eq!((waiting.response().status, waiting.response().header("retry-after")), (503, Some("5")));
    slow.respond(TestResponse::new(200));
    assert!(get(&host, &plugin).is_forwarded());
    assert_eq!(changes(&host, "closed"), 1);
}

#[test]
fn a_lost_probe_does_not_close_the_way_for_ever() {
    let host = TestHost::new();
    let plugin = breaker(&host);
    open(&host, &plugin);
    host.advance(Duration::from_secs(5));
    let lost = get(&host, &plugin);
    assert!(lost.is_forwarded());
    drop(lost);
    assert!(!get(&host, &plugin).is_forwarded());
    host.advance(Duration::from_millis(PROBE_LEASE_MS));
    assert!(get(&host, &plugin).is_forwarded());
}

#[test]
fn failures_that_are_not_the_upstreams_are_not_counted() {
    let host = TestHost::new();
    let plugin = breaker(&host);
    for failure in [Failure::Other, Failure::Overload] {
        for _ in 0..10 {
            assert!(get(&host, &plugin).is_forwarded());
            get(&host, &plugin).fail(failure);
        }
    }
    assert_eq!(changes(&host, "open"), 0);
}

#[test]
fn one_callers_stored_response_never_reaches_another() {
    let host = TestHost::new().store_unmarked();
    let plugin = breaker(&host);
    let of = |who: &str| TestRequest::get("/").property("attribute.principal", who);
    host.run(&plugin, of("jwt:alice")).respond(TestResponse::new(200).body("alice's"));
    let mut alice = host.run(&plugin, of("jwt:alice"));
    assert_eq!(alice.fail(Failure::Reset).text(), "alice's");
    let mut bob = host.run(&plugin, of("jwt:bob"));
    assert_eq!(bob.fail(Failure::Reset).status, 502);
    let bob = host.run(&plugin, of("jwt:bob"));
    assert_eq!(bob.response().status, 503);
}

#[test]
fn an_upload_becomes_a_probe_when_all_of_it_is_here() {
    let host = TestHost::new();
    let plugin = breaker(&host);
    open(&host, &plugin);
    host.advance(Duration::from_secs(5));
    let mut small = host.run(&plugin, TestRequest::post("/", "body").header("content-length", "4"));
    assert!(small.is_forwarded());
    assert_eq!(get(&host, &plugin).response().status, 503, "its place is taken now");
    small.respond(TestResponse::new(200));
    assert!(get(&host, &plugin).is_forwarded());
}

#[test]
fn a_probe_whose_body_is_cut_opens_the_breaker_again() {
    let host = TestHost::new();
    let plugin = breaker(&host);
    open(&host, &plugin);
    host.advance(Duration::from_secs(5));
    get(&host, &plugin).respond(TestResponse::new(200).body("half").cut(Failure::Reset));
    assert!(!get(&host, &plugin).is_forwarded());
    assert_eq!((changes(&host, "open"), changes(&host, "closed")), (2, 0));
}

#[test]
fn state_of_another_shape_is_begun_anew() {
    let host = TestHost::new();
    let plugin = breaker(&host);
    host.enter(|| plugin_sdk::kv::set("breaker", b"{}", None)).unwrap();
    assert!(get(&host, &plugin).is_forwarded());
}

#[test]
fn a_trace_shows_a_breaker_that_is_not_closed_and_whom_it_refused() {
    let host = TestHost::new();
    let plugin = breaker(&host);
    let passed = host.run(&plugin, TestRequest::get("/").traced());
    assert_eq!((passed.trace_attribute("state"), passed.trace_attribute("decision")), (None, None));
    open(&host, &plugin);
    let refused = host.run(&plugin, TestRequest::get("/").traced());
    assert_eq!(refused.trace_attribute("state"), Some("open".into()));
    assert_eq!(refused.trace_attribute("decision"), Some("refused".into()));
}
