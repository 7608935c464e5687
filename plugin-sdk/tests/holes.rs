//! What an author may forget, and what must come of it: a message is never passed on as if it had been read, and a plugin
//! that input could end is told instead.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use plugin_sdk::counters::{self, Claim, Rate};
use plugin_sdk::prelude::*;
use plugin_sdk::testing::*;
use plugin_sdk::{FieldError, HeadersAction, TooLarge, crypto, kv, random};

/// Reads bodies whole, and passes those that say who sent them.
struct Signed;

#[plugin]
impl Plugin for Signed {
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
        Ok(Self)
    }

    fn on_request_headers(&self, _: &Exchange<'_>, _end: bool) -> RequestAction {
        RequestAction::read_body(BodyMode::Whole)
    }

    fn on_request_body(&self, exchange: &Exchange<'_>, data: Vec<u8>, end: bool) -> ChunkAction {
        assert!(end && exchange.body_mode() == Some(BodyMode::Whole));
        if data.starts_with(b"signed") { ChunkAction::pass() } else { ChunkAction::respond(LocalResponse::new(401)) }
    }

    fn on_response_headers(&self, _: &Exchange<'_>, _end: bool) -> ResponseAction {
        ResponseAction::read_body(BodyMode::Whole)
    }

    fn on_response_body(&self, exchange: &Exchange<'_>, data: Vec<u8>, end: bool) -> ChunkAction {
        assert!(end);
        exchange.set_log_field("read", Some(&data.len().to_string()));
        // Where no content is allowed, this goes nowhere.
        ChunkAction::replace("more")
    }
}

#[test]
fn a_request_without_a_body_does_not_pass_a_signature_check() {
    let host = TestHost::new();
    for request in [
        TestRequest::get("/"),
        TestRequest::post("/", "").header("content-length", "0"),
        TestRequest::post("/", "").chunks([""]),
        TestRequest::post("/", "unsigned"),
        TestRequest::get("/").header("content-encoding", "br"),
    ] {
        assert_eq!(host.run(&Signed, request).response().status, 401);
    }
    assert!(host.run(&Signed, TestRequest::post("/", "signed")).is_forwarded());
}

#[test]
fn a_response_without_a_body_is_read_whole_all_the_same() {
    let host = TestHost::new();
    for (method, status, body) in [("GET", 200, "more"), ("HEAD", 200, ""), ("GET", 204, ""), ("GET", 304, "")] {
        let mut run = host.run(&Signed, TestRequest::new(method, "/").body("signed"));
        assert_eq!(run.respond(TestResponse::new(status)).text(), body, "{method} {status}");
        assert_eq!(run.log_field("read").as_deref(), Some("0"), "{method} {status}");
    }
}

/// Asks for bodies, and has no method that reads them.
struct Forgetful(fn() -> HeadersAction);

#[plugin]
impl Plugin for Forgetful {
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
        Ok(Self(RequestAction::next))
    }

    fn on_request_headers(&self, _: &Exchange<'_>, _end: bool) -> RequestAction {
        self.0()
    }

    fn on_response_headers(&self, _: &Exchange<'_>, _end: bool) -> ResponseAction {
        ResponseAction::read_body(BodyMode::Chunks)
    }
}

#[test]
#[should_panic(expected = "on_request_headers asks for the body and has no phase for it")]
fn a_request_is_not_forwarded_unread_where_the_method_that_reads_it_is_missing() {
    TestHost::new().run(&Forgetful(|| RequestAction::read_body(BodyMode::Whole)), TestRequest::post("/", "body"));
}

#[test]
#[should_panic(expected = "on_response_headers asks for the body and has no phase for it")]
fn a_response_is_not_delivered_unread_where_the_method_that_reads_it_is_missing() {
    TestHost::new().run(&Forgetful(RequestAction::next), TestRequest::get("/")).respond(TestResponse::new(200));
}

#[test]
fn the_phases_are_those_that_are_implemented() {
    assert_eq!(Forgetful::PHASES, Phases::REQUEST_HEADERS.with(Phases::RESPONSE_HEADERS));
    assert!(!Signed::PHASES.contains(Phases::LOG) && Signed::PHASES.contains(Phases::RESPONSE_BODY));
}

/// Remembers what it has seen of a body, and tells it at the end.
struct Remembering;

impl Remembering {
    fn body(exchange: &Exchange<'_>, data: &[u8], end: bool) -> ChunkAction {
        let mut seen = exchange.stream_or_begin(Vec::<u8>::new);
        seen.extend_from_slice(data);
        if end { ChunkAction::replace(seen.clone()) } else { ChunkAction::hold() }
    }
}

#[plugin]
impl Plugin for Remembering {
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
        Ok(Self)
    }

    fn on_request_headers(&self, _: &Exchange<'_>, _end: bool) -> RequestAction {
        RequestAction::read_body(BodyMode::Chunks)
    }

    fn on_request_body(&self, exchange: &Exchange<'_>, data: Vec<u8>, end: bool) -> ChunkAction {
        Self::body(exchange, &data, end)
    }

    fn on_response_headers(&self, exchange: &Exchange<'_>, _end: bool) -> ResponseAction {
        exchange.begin_stream(b"response ".to_vec());
        ResponseAction::read_body(BodyMode::Chunks)
    }

    fn on_response_body(&self, exchange: &Exchange<'_>, data: Vec<u8>, end: bool) -> ChunkAction {
        assert_eq!(exchange.response().set_header("x-late", "1"), Err(FieldError::TooLate));
        Self::body(exchange, &data, end)
    }
}

/// Reads a request in chunks and refuses it where no chunk had the signature: at the end, whether that comes with bytes or not.
struct Scanning;

#[plugin]
impl Plugin for Scanning {
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
        Ok(Self)
    }

    fn on_request_headers(&self, exchange: &Exchange<'_>, _end: bool) -> RequestAction {
        exchange.begin_stream(false);
        RequestAction::read_body(BodyMode::Chunks)
    }

    fn on_request_body(&self, exchange: &Exchange<'_>, data: Vec<u8>, end: bool) -> ChunkAction {
        let mut signed = exchange.stream::<bool>().expect("begun");
        *signed |= data.starts_with(b"signed");
        exchange
            .set_log_field("calls", Some(&format!("{}{}", exchange.log_fields().len(), if end { "." } else { "" })));
        match end {
            true if !*signed => ChunkAction::respond(LocalResponse::new(401)),
            true => ChunkAction::pass(),
            false => ChunkAction::hold(),
        }
    }
}

#[test]
fn a_request_without_a_body_does_not_pass_a_check_that_reads_chunks() {
    let host = TestHost::new();
    for request in [TestRequest::get("/"), TestRequest::post("/", ""), TestRequest::post("/", "unsigned")] {
        let run = host.run(&Scanning, request);
        assert_eq!((run.response().status, run.log_field("calls").as_deref()), (401, Some("0.")));
    }
    assert!(host.run(&Scanning, TestRequest::post("/", "signed")).is_forwarded());
}

/// One that looks at the bytes only where they come with the end, or decides without them there.
#[test]
fn the_end_of_a_body_comes_alone_where_it_is_in_chunks_and_with_the_bytes_where_it_is_one() {
    let host = TestHost::new();
    let calls = |request| host.run(&Scanning, request).log_field("calls");
    assert_eq!(calls(TestRequest::post("/", "signed")).as_deref(), Some("0."));
    assert_eq!(calls(TestRequest::post("/", "").chunks(["signed"])).as_deref(), Some("1."));
}

#[test]
fn cases_are_run_with_both_ends_of_a_body() {
    let wrong = std::panic::catch_unwind(|| {
        run_cases::<Scanning>(
            "[{name: one call, steps: [{request: {method: POST, body: signed}, expect: {log: {calls: 1.}}}]}]",
        );
    });
    let told = wrong.unwrap_err().downcast::<String>().unwrap();
    assert!(told.contains("log field calls: expected Some(\"1.\"), found Some(\"0.\")"), "{told}");
}

#[test]
fn what_was_seen_of_one_body_reaches_no_other_exchange_and_not_the_other_message() {
    let host = TestHost::new();
    let mut left = host.run(&Remembering, TestRequest::post("/", "").chunks(["mine ", "too"]));
    assert_eq!(left.forwarded().body(), b"mine too");
    // The client leaves in the middle of what only it may see.
    left.respond(TestResponse::new(200).chunks(["secret"]).cut(Failure::Cancelled));
    let mut next = host.run(&Remembering, TestRequest::post("/", "").chunks(["a", "b"]));
    assert_eq!(next.forwarded().body(), b"ab");
    assert_eq!(next.respond(TestResponse::new(200).chunks(["c", "d"])).text(), "response cd");
}

#[test]
fn a_body_of_which_too_much_is_to_be_remembered_is_cut_and_not_passed_on() {
    let host = TestHost::new();
    let body = || [vec![b'x'; 40 << 10], vec![b'x'; 40 << 10], b"end".to_vec()];
    assert_eq!(host.run(&Remembering, TestRequest::post("/", "").chunks(body())).response().status, 503);
    let cut = host.run(&Remembering, TestRequest::get("/")).respond(TestResponse::new(200).chunks(body()));
    assert!(cut.aborted && cut.body().is_empty());
}

#[test]
fn a_long_key_is_counted_like_any_other() {
    TestHost::new().enter(|| {
        let key = "k".repeat(1025);
        let take =
            || counters::take(&[Claim::new(&*key, 1, Rate { burst: 2, per_second: 0.001 })]).unwrap().remove(0).allowed;
        assert_eq!([take(), take(), take()], [true, true, false]);
        assert_eq!([1, 1].map(|one| counters::add(&key, one, Duration::from_secs(1))), [1, 2]);
        kv::set(&key, b"v", None).unwrap();
        assert_eq!(kv::get(&key).map(|entry| entry.value).as_deref(), Some(&b"v"[..]));
        assert!(kv::get(&key[1..]).is_none());
    });
}

#[test]
fn more_claims_at_once_than_are_decided_are_told_and_take_nothing() {
    TestHost::new().enter(|| {
        let rate = Rate { burst: 1, per_second: 0.001 };
        let take = |count: usize| {
            let claims: Vec<_> = (0..count).map(|at| Claim::new(at.to_string(), 1, rate)).collect();
            counters::take(&claims).map(|all| all.iter().all(|decision| decision.allowed))
        };
        assert_eq!([take(65), take(64), take(1)], [Err(counters::TooMany), Ok(true), Ok(false)]);
    });
}

#[test]
fn more_keys_than_an_instance_may_have_are_told_and_dropped_ones_do_not_count() {
    let jwk = r#"{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    TestHost::new().enter(|| {
        let mut keys: Vec<_> = (0..1024).map(|_| crypto::Key::from_jwk(jwk).unwrap()).collect();
        assert_eq!(crypto::Key::from_jwk(jwk).unwrap_err(), "at most 1024 keys at a time");
        keys.pop();
        assert!(crypto::Key::from_jwk(jwk).is_ok());
    });
}

#[test]
#[should_panic(expected = "sys.random: 65537 bytes asked for, 65536 are allowed")]
fn more_random_bytes_than_the_gateway_gives_panic() {
    TestHost::new().enter(random::bytes::<65537>);
}

#[test]
fn the_largest_answer_of_a_call_fits_into_kv_and_what_does_not_is_told() {
    TestHost::new().enter(|| {
        kv::set("answer", &vec![1; 1 << 20], None).unwrap();
        assert_eq!(kv::set("answer", &vec![2; 2 << 20], None), Err(TooLarge));
        assert_eq!(kv::update("answer", None, |_| Some(vec![3; 2 << 20])), Err(kv::UpdateError::TooLarge));
        assert_eq!(kv::get("answer").unwrap().value[0], 1);
    });
}

/// Notes a field of the request everywhere.
struct Noting;

#[plugin]
impl Plugin for Noting {
    const TRAITS: Traits = Traits::AUTHENTICATOR;
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
        Ok(Self)
    }

    fn on_request_headers(&self, exchange: &Exchange<'_>, _end: bool) -> RequestAction {
        let value = exchange.request().header("x-value").unwrap_or_default();
        for place in 0..65 {
            exchange.set_log_field(&format!("{place}"), Some("v"));
        }
        exchange.set_log_field(&value, Some("v"));
        assert_eq!(exchange.set_state_bytes(&vec![0; (64 << 10) + 1]), Err(TooLarge));
        assert_eq!(exchange.set_attribute(&value, "v"), Err(FieldError::InvalidName));
        match exchange.set_principal(&value) {
            Ok(()) => RequestAction::next(),
            Err(_) => RequestAction::problem(400, "Bad Request", "This name is too long."),
        }
    }

    fn on_response_headers(&self, exchange: &Exchange<'_>, _end: bool) -> ResponseAction {
        exchange.store_response(&exchange.request().header("x-value").unwrap_or_default(), Duration::from_secs(1));
        ResponseAction::next()
    }
}

#[test]
fn no_value_of_a_request_ends_a_plugin_that_notes_it() {
    let host = TestHost::new();
    let long = |bytes| TestRequest::get("/").header("x-value", "v".repeat(bytes));
    assert_eq!(host.run(&Noting, long(8193)).response().status, 400);
    let mut run = host.run(&Noting, long(8192));
    assert_eq!((run.is_forwarded(), run.log_fields().len()), (true, 64));
    run.respond(TestResponse::new(200));
}
