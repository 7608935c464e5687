//! What the SDK gives and takes in the types of the crate `http` is what it has in texts and bytes.

#![allow(clippy::unwrap_used)]

use plugin_sdk::http::header::{CONTENT_LENGTH, COOKIE, HOST, SET_COOKIE};
use plugin_sdk::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use plugin_sdk::prelude::*;
use plugin_sdk::testing::*;
use plugin_sdk::{FieldError, calls, http};

/// A plugin with its phases as functions.
struct Script {
    request: fn(&Exchange<'_>) -> RequestAction,
    response: fn(&Exchange<'_>) -> ResponseAction,
}

const SCRIPT: Script = Script { request: |_| RequestAction::next(), response: |_| ResponseAction::next() };

#[plugin]
impl Plugin for Script {
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
        Ok(SCRIPT)
    }

    fn on_request_headers(&self, exchange: &Exchange<'_>, _end: bool) -> RequestAction {
        (self.request)(exchange)
    }

    fn on_response_headers(&self, exchange: &Exchange<'_>, _end: bool) -> ResponseAction {
        (self.response)(exchange)
    }
}

#[test]
fn a_request_is_what_its_texts_are() {
    let request = |exchange: &Exchange<'_>| {
        let request = exchange.request();
        assert_eq!(request.http_method(), Method::from_bytes(b"PURGE").unwrap());
        assert_eq!(request.http_uri().unwrap(), Uri::from_static("https://example.test/a%20b?c=d"));
        let fields = request.header_map();
        assert_eq!(fields.get_all("x-two").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(fields["x-opaque"].as_bytes(), b"caf\xe9", "also what is no text");
        RequestAction::next()
    };
    let of = TestRequest::new("PURGE", "/a%20b?c=d");
    let of = of.header("x-two", "1").header("X-Two", "2").header("x-opaque", b"caf\xe9".to_vec());
    assert!(TestHost::new().run(&Script { request, ..SCRIPT }, of).is_forwarded());
}

#[test]
fn the_target_of_a_whole_server_is_a_uri() {
    let request = |exchange: &Exchange<'_>| {
        assert_eq!(exchange.request().http_uri().unwrap().path(), "*");
        RequestAction::next()
    };
    assert!(TestHost::new().run(&Script { request, ..SCRIPT }, TestRequest::new("OPTIONS", "*")).is_forwarded());
}

#[test]
fn what_is_taken_out_of_a_map_is_taken_off_the_request() {
    let request = |exchange: &Exchange<'_>| {
        let mut fields = exchange.request().header_map();
        fields.remove(COOKIE);
        fields.insert("x-two", HeaderValue::from_static("3"));
        fields.append("x-new", HeaderValue::from_static("a"));
        fields.append("x-new", HeaderValue::from_bytes(b"\xe9").unwrap());
        exchange.request().set_header_map(&fields).unwrap();
        assert_eq!(exchange.request().header_map(), fields);
        RequestAction::next()
    };
    let of = TestRequest::post("/", "body").header("content-length", "4").header("cookie", "a=b");
    let of = of.header("x-two", "1").header("x-two", "2").header("x-kept", "1");
    let script = Script { request, ..SCRIPT };
    let run = TestHost::new().run(&script, of);
    let sent = run.forwarded();
    assert_eq!((sent.header("cookie"), sent.header("x-two"), sent.header("x-kept")), (None, Some("3"), Some("1")));
}

#[test]
fn a_map_changes_no_field_that_is_the_gateway_s() {
    let request = |exchange: &Exchange<'_>| {
        let request = exchange.request();
        let mut fields = request.header_map();
        fields.insert(CONTENT_LENGTH, HeaderValue::from_static("5"));
        assert_eq!(request.set_header_map(&fields), Err(FieldError::NotAllowed));
        fields.remove(CONTENT_LENGTH);
        assert_eq!(request.set_header_map(&fields), Err(FieldError::NotAllowed));
        assert_eq!(
            request.set_header_map(&HeaderMap::from_iter([(HOST, HeaderValue::from_static("h"))])),
            Err(FieldError::NotAllowed)
        );
        RequestAction::next()
    };
    let of = TestRequest::post("/", "body").header("content-length", "4");
    assert!(TestHost::new().run(&Script { request, ..SCRIPT }, of).is_forwarded());
}

#[test]
fn a_uri_is_set_whole_or_not_at_all() {
    let request = |exchange: &Exchange<'_>| {
        let request = exchange.request();
        let set = |uri| request.set_http_uri(&Uri::from_static(uri));
        assert_eq!(set("http://other.test/"), Err(FieldError::NotAllowed), "the client came by TLS");
        assert_eq!(set("https://other.test/a%2fb"), Err(FieldError::InvalidValue));
        assert_eq!((request.authority(), request.target()), ("example.test".to_owned(), "/a".to_owned()));
        set("/b?c").unwrap();
        assert_eq!((request.authority(), request.target()), ("example.test".to_owned(), "/b?c".to_owned()));
        set("https://other.test:8443/d").unwrap();
        RequestAction::next()
    };
    let script = Script { request, ..SCRIPT };
    let run = TestHost::new().run(&script, TestRequest::get("/a"));
    assert_eq!(run.forwarded().target, "/d");
    assert_eq!(run.forwarded().authority, "other.test:8443");
}

#[test]
fn a_response_is_what_its_texts_are_and_takes_a_map() {
    let response = |exchange: &Exchange<'_>| {
        let response = exchange.response();
        assert_eq!(response.http_status(), Some(StatusCode::CREATED));
        let mut fields = response.header_map();
        assert_eq!(fields.get_all(SET_COOKIE).iter().count(), 2);
        fields.remove(SET_COOKIE);
        response.set_header_map(&fields).unwrap();
        response.set_status(StatusCode::ACCEPTED.as_u16()).unwrap();
        ResponseAction::next()
    };
    let host = TestHost::new();
    let script = Script { response, ..SCRIPT };
    let mut run = host.run(&script, TestRequest::get("/"));
    let answer = TestResponse::new(201).header("set-cookie", "a").header("set-cookie", "b").header("x-kept", "1");
    let got = run.respond(answer);
    assert_eq!((got.status, got.header("set-cookie"), got.header("x-kept")), (202, None, Some("1")));
}

#[test]
fn there_is_no_status_before_there_is_a_response() {
    let request = |exchange: &Exchange<'_>| {
        assert_eq!(exchange.response().http_status(), None);
        RequestAction::next()
    };
    assert!(TestHost::new().run(&Script { request, ..SCRIPT }, TestRequest::get("/")).is_forwarded());
}

#[test]
fn responses_are_made_of_each_other() {
    let made = http::Response::builder().status(418).header("x-a", "1").header("x-a", "2").body("tea").unwrap();
    let local = LocalResponse::from(made);
    assert_eq!(local, LocalResponse::new(418).header("x-a", "1").header("x-a", "2").body("tea"));
    let back = http::Response::try_from(local).unwrap();
    assert_eq!((back.status().as_u16(), back.headers().get_all("x-a").iter().count()), (418, 2));
    assert!(http::Response::try_from(LocalResponse::new(99)).is_err());
    assert!(http::Response::try_from(LocalResponse::new(200).header("a b", "")).is_err());

    let host = TestHost::new().upstream("idp", |_| Ok(TestResponse::new(200).header("x-a", "1").body("keys")));
    let answer: Result<_, calls::Error> = host.enter(|| calls::get("idp", "/").send());
    let answer = http::Response::try_from(answer.unwrap()).unwrap();
    assert_eq!((answer.headers()["x-a"].as_bytes(), &**answer.body()), (&b"1"[..], &b"keys"[..]));
}
