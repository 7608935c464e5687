//! What an author may take for something else: a caller without a name, state that is not what was kept, a MAC that is none.

#![allow(clippy::unwrap_used)]

use plugin_sdk::crypto::{Digest, Key, Signature};
use plugin_sdk::prelude::*;
use plugin_sdk::testing::*;
use plugin_sdk::{FieldError, calls};

/// Does this to the head of a request and to each piece of its body, and says whether it decides who may pass.
struct Does<const AUTHENTICATES: bool> {
    head: fn(&Exchange<'_>) -> RequestAction,
    body: fn(&Exchange<'_>) -> ChunkAction,
}

#[plugin]
impl<const AUTHENTICATES: bool> Plugin for Does<AUTHENTICATES> {
    const TRAITS: Traits = Traits { authenticator: AUTHENTICATES };
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
        Ok(head(|_| RequestAction::next()))
    }

    fn on_request_headers(&self, exchange: &Exchange<'_>, _end: bool) -> RequestAction {
        (self.head)(exchange)
    }

    fn on_request_body(&self, exchange: &Exchange<'_>, _data: Vec<u8>, _end: bool) -> ChunkAction {
        (self.body)(exchange)
    }

    fn on_response_headers(&self, _: &Exchange<'_>, _end: bool) -> ResponseAction {
        ResponseAction::read_body(BodyMode::Chunks)
    }

    fn on_response_body(&self, exchange: &Exchange<'_>, _data: Vec<u8>, _end: bool) -> ChunkAction {
        exchange.begin_stream("little");
        ChunkAction::pass()
    }
}

fn head<const AUTHENTICATES: bool>(head: fn(&Exchange<'_>) -> RequestAction) -> Does<AUTHENTICATES> {
    Does { head, body: |_| ChunkAction::pass() }
}

fn body(body: fn(&Exchange<'_>) -> ChunkAction) -> Does<false> {
    Does { head: |_| RequestAction::read_body(BodyMode::Chunks), body }
}

#[test]
fn whoever_names_the_caller_says_that_it_decides_who_may_pass() {
    let host = TestHost::new();
    let named = head::<true>(|exchange| {
        assert_eq!(exchange.set_principal(""), Err(FieldError::InvalidValue));
        assert_eq!(exchange.set_attribute("principal", "x"), Err(FieldError::NotAllowed));
        assert_eq!(exchange.set_principal("alice"), Ok(()));
        RequestAction::next()
    });
    assert_eq!(host.run(&named, TestRequest::get("/")).attribute("principal").as_deref(), Some("alice"));
    let forgot = head::<false>(|exchange| {
        assert_eq!(exchange.set_principal("alice"), Err(FieldError::NotAllowed));
        RequestAction::next()
    });
    assert_eq!(host.run(&forgot, TestRequest::get("/")).attribute("principal"), None);
}

#[test]
fn a_caller_without_a_name_is_none() {
    let plugin = head::<false>(|exchange| {
        assert_eq!(exchange.principal(), None);
        RequestAction::next()
    });
    TestHost::new().run(&plugin, TestRequest::get("/").property("attribute.principal", ""));
}

#[test]
#[should_panic(expected = "the state is not what was kept")]
fn state_of_another_shape_is_not_taken_for_none() {
    let plugin = head::<false>(|exchange| {
        assert_eq!(exchange.state::<u32>(), None);
        exchange.set_state(&"text").unwrap();
        exchange.state::<u32>().map_or(RequestAction::next(), |_| RequestAction::next())
    });
    TestHost::new().run(&plugin, TestRequest::get("/"));
}

#[test]
#[should_panic(expected = "the state of the stream is lent already")]
fn the_state_of_a_stream_that_is_lent_is_not_taken_for_none() {
    let plugin = body(|exchange| {
        let _first = exchange.stream_or_begin(|| 1_u32);
        let _second = exchange.stream_or_begin(|| 2_u32);
        ChunkAction::pass()
    });
    TestHost::new().run(&plugin, TestRequest::post("/", "body"));
}

#[test]
#[should_panic(expected = "the stream's state is not what was kept: 1 bytes are left of it")]
fn a_part_of_a_streams_state_is_not_taken_for_all_of_it() {
    let plugin = body(|exchange| {
        exchange.begin_stream((1_u8, 2_u8));
        exchange.stream::<u8>().map_or(ChunkAction::pass(), |_| ChunkAction::pass())
    });
    TestHost::new().run(&plugin, TestRequest::post("/", "").chunks(["body"]));
}

#[test]
fn what_was_lost_of_a_body_does_not_come_back_with_what_is_kept_later() {
    let plugin = body(|exchange| {
        exchange.begin_stream("x".repeat(70_000));
        exchange.begin_stream("little");
        ChunkAction::pass()
    });
    let run = TestHost::new().run(&plugin, TestRequest::post("/", "").chunks(["body"]));
    assert_eq!(run.response().status, 503);
}

#[test]
fn what_is_lost_of_a_request_that_is_not_read_does_not_cut_the_response() {
    let plugin = head::<false>(|exchange| {
        exchange.begin_stream("x".repeat(70_000));
        RequestAction::next()
    });
    let response = TestHost::new().run(&plugin, TestRequest::get("/")).respond(TestResponse::new(200).body("whole"));
    assert_eq!((response.text().as_str(), response.aborted), ("whole", false));
}

const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

/// An empty one would be equal to what a client sends in place of none.
#[test]
#[should_panic(expected = "a MAC needs a symmetric key")]
fn a_public_key_makes_no_mac_that_something_could_be_equal_to() {
    TestHost::new().secret("key", PUBLIC).enter(|| {
        let key = Key::from_secret("key").unwrap();
        assert!(!key.verify(Signature::Hs256, b"message", b""));
        key.mac(Digest::Sha256, b"message")
    });
}

#[test]
fn an_answer_of_any_status_is_one_and_says_whether_it_is_good() {
    let host = TestHost::new().upstream("idp", |call| Ok(TestResponse::new(call.path[1..].parse().unwrap())));
    let good = |path| host.enter(|| calls::get("idp", path).send().unwrap().is_success());
    assert_eq!(["/200", "/204", "/302", "/403", "/500"].map(good), [true, true, false, false, false]);
}

#[test]
#[should_panic(expected = "made more than 10000 host calls")]
fn a_plugin_that_makes_more_host_calls_than_it_may_is_ended_here_too() {
    let plugin = head::<false>(|exchange| {
        (0..=10_000).for_each(|_| drop(exchange.request().method()));
        RequestAction::next()
    });
    TestHost::new().run(&plugin, TestRequest::get("/"));
}

#[test]
fn a_call_has_the_host_calls_of_as_many_as_its_bytes_could_have_come_in() {
    let plugin = body(|exchange| {
        (0..15_000).for_each(|_| drop(exchange.request().method()));
        ChunkAction::pass()
    });
    assert!(TestHost::new().run(&plugin, TestRequest::post("/", vec![b'x'; 16 << 10])).is_forwarded());
}

#[test]
#[should_panic(expected = "gave the host more than 8388608 bytes")]
fn an_answer_that_is_larger_than_it_may_be_ends_a_plugin_here_too() {
    let plugin = head::<false>(|_| RequestAction::respond(LocalResponse::new(403).body(vec![0; (8 << 20) + 1])));
    TestHost::new().run(&plugin, TestRequest::get("/"));
}

#[test]
fn a_plugin_has_no_more_keys_at_a_time_than_it_may_here_too() {
    let host = TestHost::new().secret("key", "secret");
    host.enter(|| {
        let mut held: Vec<Key> = (0..1024).map(|_| Key::from_secret("key").unwrap()).collect();
        assert!(Key::from_secret("key").is_err(), "one more is an error");
        held.pop();
        assert!(Key::from_secret("key").is_ok(), "and none when another one is gone");
    });
}

#[test]
fn the_routes_own_upstream_needs_a_grant_to_be_named() {
    let plugin = head::<false>(|exchange| {
        let granted = exchange.set_upstream("test").is_ok();
        exchange.set_log_field("granted", Some(&granted.to_string()));
        RequestAction::next()
    });
    let granted = |host: TestHost| host.run(&plugin, TestRequest::get("/")).log_field("granted");
    assert_eq!(granted(TestHost::new()).as_deref(), Some("false"));
    assert_eq!(granted(TestHost::new().upstream("test", |_| Ok(TestResponse::new(200)))).as_deref(), Some("true"));
}

#[test]
fn a_request_arrives_as_at_the_gateway() {
    let plugin = head::<true>(|exchange| {
        let request = exchange.request();
        assert_eq!((&*request.authority(), &*request.target()), ("api.example", "/a/b?c=%3C"));
        let mut names: Vec<_> = request.headers().into_iter().map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(names, ["content-length", "te", "x-kept", "x_user"]);
        request.set_header("x-user", "alice").unwrap();
        RequestAction::next()
    });
    let host = TestHost::new();
    let mut request = TestRequest::new("POST", "//a/%62?c=<").header("Host", "API.example.").header("x-kept", "1");
    for (name, value) in [
        ("connection", "x-listed, content-length"),
        ("x-listed", "1"),
        ("keep-alive", "1"),
        ("upgrade", "h2c"),
        ("expect", "100-continue"),
        ("proxy-authorization", "Basic x"),
        ("te", "gzip, trailers;q=0.5"),
        ("cdn-loop", "a"),
        ("transfer_encoding", "chunked"),
        ("x_user", "mallory"),
        ("content-length", "0"),
    ] {
        request = request.header(name, value);
    }
    let run = host.run(&plugin, request);
    assert_eq!((run.forwarded().header("x_user"), run.forwarded().header("x-user")), (None, Some("alice")));
    for refused in [
        TestRequest::get("/a/..%2fb"),
        TestRequest::get("no path"),
        TestRequest::get("/").header("host", "a").header("host", "b"),
        TestRequest::get("/").authority("a..b"),
    ] {
        assert_eq!(host.run(&plugin, refused).response().status, 400, "no phase has seen it");
    }
}

#[test]
fn a_field_of_the_request_that_can_not_be_set_is_not_the_clients_either() {
    let plugin = head::<false>(|exchange| {
        assert_eq!(exchange.request().set_header("x-user", "a\nb"), Err(FieldError::InvalidValue));
        assert_eq!(exchange.request().append_header("x-kept", "a\nb"), Err(FieldError::InvalidValue));
        RequestAction::next()
    });
    let request = TestRequest::get("/").header("x-user", "mallory").header("x-kept", "1");
    let run = TestHost::new().run(&plugin, request);
    assert_eq!((run.forwarded().header("x-user"), run.forwarded().header("x-kept")), (None, Some("1")));
}
