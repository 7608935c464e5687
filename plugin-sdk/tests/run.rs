//! The native test host runs the phases as the gateway does.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use plugin_sdk::prelude::*;
use plugin_sdk::testing::*;
use plugin_sdk::{FieldError, HeadersAction, calls, metrics};

type Phase = fn(&Exchange<'_>, bool) -> HeadersAction;
type BodyPhase = fn(&Exchange<'_>, Vec<u8>, bool) -> ChunkAction;

/// A plugin with its phases as functions.
struct Script {
    request: Phase,
    request_body: BodyPhase,
    response: Phase,
    response_body: BodyPhase,
    failure: fn(&Exchange<'_>, Failure) -> FailureAction,
}

const SCRIPT: Script = Script {
    request: |_, _| RequestAction::next(),
    request_body: |_, _, _| ChunkAction::Pass,
    response: |_, _| ResponseAction::next(),
    response_body: |_, _, _| ChunkAction::Pass,
    failure: |_, _| FailureAction::next(),
};

#[plugin]
impl Plugin for Script {
    const TRAITS: Traits = Traits::AUTHENTICATOR;
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
        Ok(SCRIPT)
    }

    fn on_request_headers(&self, exchange: &Exchange<'_>, end: bool) -> RequestAction {
        (self.request)(exchange, end)
    }

    fn on_request_body(&self, exchange: &Exchange<'_>, data: Vec<u8>, end: bool) -> ChunkAction {
        (self.request_body)(exchange, data, end)
    }

    fn on_response_headers(&self, exchange: &Exchange<'_>, end: bool) -> ResponseAction {
        (self.response)(exchange, end)
    }

    fn on_response_body(&self, exchange: &Exchange<'_>, data: Vec<u8>, end: bool) -> ChunkAction {
        (self.response_body)(exchange, data, end)
    }

    fn on_upstream_failure(&self, exchange: &Exchange<'_>, failure: Failure) -> FailureAction {
        (self.failure)(exchange, failure)
    }

    fn on_log(&self, exchange: &Exchange<'_>) {
        for name in ["response.status", "bytes.in", "bytes.out", "duration.total-us", "upstream.attempts"] {
            let value = exchange.measure(name).map(|value| value.to_string());
            exchange.set_log_field(name, value.as_deref());
        }
        let failure = exchange.failure().map(|failure| format!("{failure:?}"));
        exchange.set_log_field("failure", failure.as_deref());
    }
}

fn echo(exchange: &Exchange<'_>, data: Vec<u8>, end: bool) -> ChunkAction {
    let seen: Vec<String> = exchange.state().unwrap_or_default();
    let text = String::from_utf8_lossy(&data).into_owned();
    exchange.set_state(&[seen, vec![format!("{text}{}", if end { "." } else { "" })]].concat()).unwrap();
    ChunkAction::replace(data.to_ascii_uppercase())
}

#[test]
fn a_long_log_field_is_cut_at_a_character_and_ends_nothing() {
    let plugin = Script {
        request: |exchange, _| {
            exchange.set_log_field("long", Some(&format!("a{}", "æ".repeat(5 << 10))));
            RequestAction::next()
        },
        ..SCRIPT
    };
    let run = TestHost::new().run(&plugin, TestRequest::get("/"));
    assert_eq!(run.log_field("long").map(|value| value.len()), Some((8 << 10) - 1));
}

#[test]
fn request_phases_change_what_the_upstream_sees() {
    let plugin = Script {
        request: |exchange, end| {
            assert!(!end);
            let request = exchange.request();
            assert_eq!((request.target().as_str(), request.path().as_str()), ("/a?q=1", "/a"));
            assert_eq!(request.header("X-Twice").as_deref(), Some("1"));
            assert_eq!(request.header_all("x-twice"), [b"1", b"2"]);
            assert_eq!(request.set_header("Host", "x"), Err(FieldError::NotAllowed));
            assert_eq!(request.set_header("a b", "x"), Err(FieldError::InvalidName));
            assert_eq!(request.set_header("x", "a\r\nb"), Err(FieldError::InvalidValue));
            assert_eq!(request.set_target("/a/../b"), Err(FieldError::InvalidValue));
            assert_eq!(exchange.response().set_header("x", "y"), Err(FieldError::NotAllowed));
            assert_eq!(exchange.request_trailers().set_header("cookie", "y"), Err(FieldError::NotAllowed));
            assert!(exchange.set_upstream("other").is_err());
            exchange.set_upstream("beta").unwrap();
            request.set_header("X-New", " padded ").unwrap();
            request.remove_header("x-twice").unwrap();
            request.set_method("PUT").unwrap();
            request.set_target("/b").unwrap();
            RequestAction::next()
        },
        ..SCRIPT
    };
    let host = TestHost::new().upstream("beta", |_| Ok(TestResponse::new(200)));
    let request = TestRequest::post("/a?q=1", "body").header("X-Twice", "1").header("x-twice", "2");
    let run = host.run(&plugin, request.header("accept-encoding", "gzip"));
    let sent = run.forwarded();
    assert_eq!((&*sent.method, &*sent.target, &*sent.upstream), ("PUT", "/b", "beta"));
    assert_eq!((sent.header("x-new"), sent.header("x-twice")), (Some("padded"), None));
    // The plugin reads response bodies.
    assert_eq!(sent.header("accept-encoding"), Some("identity"));
    assert_eq!(sent.body(), b"body");
}

#[test]
fn a_body_comes_in_chunks_and_whole() {
    let chunks = Script { request: |_, _| RequestAction::read_body(BodyMode::Chunks), request_body: echo, ..SCRIPT };
    let whole = Script { request: |_, _| RequestAction::read_body(BodyMode::Whole), ..chunks };
    let host = TestHost::new();
    let request = || TestRequest::new("POST", "/").chunks(["ab", "", "cd"]).header("content-length", "4");
    let run = host.run(&chunks, request());
    assert_eq!(run.forwarded().chunks, [b"AB", b"CD"]);
    assert_eq!(run.forwarded().header("content-length"), None);
    assert_eq!(host.run(&whole, request()).forwarded().chunks, [b"ABCD"]);
    let trailing = host.run(&chunks, request().trailer("x-sum", "1"));
    assert_eq!((trailing.forwarded().chunks.len(), trailing.forwarded().trailers.len()), (2, 1));
    assert_eq!(host.run(&chunks, request().header("content-encoding", "compress")).response().status, 415);
    assert!(host.run(&chunks, TestRequest::get("/")).forwarded().chunks.is_empty());
}

#[test]
fn the_last_chunk_is_told_and_headers_may_change_until_bytes_go_out() {
    let plugin = Script {
        request: |_, _| RequestAction::read_body(BodyMode::Chunks),
        request_body: |exchange, data, end| {
            let expected = if data == b"a" { Ok(()) } else { Err(FieldError::TooLate) };
            assert_eq!(exchange.request().set_header("x-seen", &data), expected);
            assert_eq!(end, data.is_empty());
            ChunkAction::Pass
        },
        ..SCRIPT
    };
    let run = TestHost::new().run(&plugin, TestRequest::new("POST", "/").chunks(["a", "b", ""]));
    assert_eq!(run.forwarded().header("x-seen"), Some("a"));
}

#[test]
fn a_plugin_that_answers_does_not_see_its_own_response() {
    let plugin = Script {
        request: |_, _| RequestAction::problem(403, "Forbidden", "No."),
        response: |_, _| panic!("not for its own"),
        ..SCRIPT
    };
    let mut run = TestHost::new().run(&plugin, TestRequest::get("/"));
    assert_eq!(run.response().header("Content-Type"), Some("application/problem+json"));
    assert!(!run.is_forwarded() && matches!(run.outcome(), Outcome::Responded(_)));
    assert_eq!(run.log_field("response.status").as_deref(), Some("403"));
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.respond(TestResponse::new(200))));
    assert!(again.is_err());
}

#[test]
fn a_body_may_be_answered_or_aborted() {
    let read: Phase = |_, _| RequestAction::read_body(BodyMode::Chunks);
    let refuse: BodyPhase = |_, data, _| match data.as_slice() {
        b"bad" => ChunkAction::respond(LocalResponse::new(422)),
        b"worse" => ChunkAction::Abort,
        _ => ChunkAction::Pass,
    };
    let plugin = Script { request: read, request_body: refuse, response: read, response_body: refuse, ..SCRIPT };
    let host = TestHost::new();
    let sent = |chunks: &[&str]| host.run(&plugin, TestRequest::new("POST", "/").chunks(chunks.iter().copied()));
    assert_eq!(sent(&["bad"]).response().status, 422);
    assert_eq!(sent(&["worse"]).response().status, 503);
    let late = sent(&["ok", "bad", "ok"]);
    assert!(late.forwarded().aborted);
    assert_eq!((late.forwarded().body().as_slice(), late.response().status), (&b"ok"[..], 503));

    let got = |chunks: &[&str]| sent(&[]).respond(TestResponse::new(200).chunks(chunks.iter().copied()));
    // The head of a response has gone out before its first chunk.
    for chunk in ["bad", "worse"] {
        assert_eq!((got(&[chunk]).status, got(&[chunk]).aborted), (200, true));
    }
    let whole = Script { response: |_, _| ResponseAction::read_body(BodyMode::Whole), ..plugin };
    let got_whole = |body: &str| host.run(&whole, TestRequest::get("/")).respond(TestResponse::new(200).body(body));
    assert_eq!(got_whole("bad").status, 422);
    assert_eq!((got_whole("worse").status, got_whole("worse").aborted), (503, false));
    assert_eq!((got(&["ok", "worse"]).text().as_str(), got(&["ok", "worse"]).aborted), ("ok", true));
    let cut = sent(&[]).respond(TestResponse::new(200).body("ok").cut(Failure::Reset));
    assert_eq!((cut.text().as_str(), cut.aborted), ("ok", true));
}

#[test]
fn response_phases_change_what_the_client_gets() {
    let plugin = Script {
        response: |exchange, _| {
            let response = exchange.response();
            assert_eq!(response.status(), Some(200));
            response.set_status(203).unwrap();
            assert_eq!(exchange.request().set_header("x", "late"), Err(FieldError::TooLate));
            response.append_header("x", "1").unwrap();
            ResponseAction::read_body(BodyMode::Whole)
        },
        response_body: |exchange, data, end| {
            assert!(end);
            exchange.response_trailers().set_header("x-end", "1").unwrap();
            ChunkAction::replace(data.to_ascii_uppercase())
        },
        ..SCRIPT
    };
    let host = TestHost::new();
    let mut run = host.run(&plugin, TestRequest::get("/"));
    host.advance(Duration::from_millis(7));
    let response = run.respond(TestResponse::new(200).header("etag", "e").chunks(["a", "b"]));
    assert_eq!((response.status, response.header("x"), response.header("etag")), (203, Some("1"), None));
    assert_eq!((response.text().as_str(), response.trailers.len()), ("AB", 1));
    assert_eq!(run.log_field("bytes.out").as_deref(), Some("2"));
    assert_eq!(run.log_field("duration.total-us").as_deref(), Some("7000"));
    let head = host.run(&plugin, TestRequest::new("HEAD", "/")).respond(TestResponse::new(200));
    assert!(head.chunks.is_empty() && head.trailers.is_empty());
}

#[test]
fn a_failure_is_answered_by_the_plugin_or_the_gateway() {
    let host = TestHost::new();
    let plugin = Script {
        failure: |_, failure| match failure {
            Failure::Timeout => FailureAction::respond(LocalResponse::new(599)),
            _ => FailureAction::next(),
        },
        response: |exchange, _| {
            assert_eq!(exchange.property("response.source").as_deref(), Some("gateway"));
            exchange.response().set_header("x-seen", "1").unwrap();
            ResponseAction::next()
        },
        ..SCRIPT
    };
    let mut run = host.run(&plugin, TestRequest::get("/"));
    assert_eq!(run.fail(Failure::Timeout).status, 599);
    assert_eq!(run.log_field("failure").as_deref(), Some("Failure::Timeout"));
    let refused = host.run(&plugin, TestRequest::get("/")).fail(Failure::Connect);
    assert_eq!((refused.status, refused.header("x-seen")), (502, Some("1")));
    let mut left = host.run(&plugin, TestRequest::get("/"));
    left.cancel();
    assert_eq!(left.log_field("failure").as_deref(), Some("Failure::Cancelled"));
    assert_eq!(left.log_field("response.status"), None);
}

#[test]
fn a_stored_response_is_given_out_to_the_same_caller_only() {
    let plugin = Script {
        request: |exchange, _| {
            exchange.set_principal(&exchange.request().header("x-user").unwrap_or_default()).unwrap();
            RequestAction::next()
        },
        response: |exchange, _| {
            exchange.store_response("good", Duration::from_secs(60));
            ResponseAction::next()
        },
        failure: |_, _| FailureAction::respond_stored("good", LocalResponse::new(504)),
        ..SCRIPT
    };
    let host = TestHost::new().store_unmarked();
    let run = |target: &str, user: &str| host.run(&plugin, TestRequest::get(target).header("x-user", user));
    assert_eq!(run("/a", "alice").fail(Failure::Reset).status, 504);
    run("/a", "alice").respond(TestResponse::new(200).body("alice's"));
    run("/b", "alice").respond(TestResponse::new(200).header("set-cookie", "a=b").body("personal"));
    host.advance(Duration::from_secs(9));
    let stale = run("/a", "alice").fail(Failure::Reset);
    assert_eq!((stale.status, stale.text().as_str(), stale.header("age")), (200, "alice's", Some("9")));
    assert_eq!(run("/a", "bob").fail(Failure::Reset).status, 504);
    assert_eq!(run("/b", "alice").fail(Failure::Reset).status, 504);
    host.advance(Duration::from_secs(60));
    assert_eq!(run("/a", "alice").fail(Failure::Reset).status, 504);
}

/// Keeps every response, and does this to the request.
fn keeping(request: fn(&Exchange<'_>, bool) -> RequestAction) -> Script {
    Script {
        request,
        response: |exchange, _| {
            exchange.store_response("good", Duration::from_secs(60));
            ResponseAction::next()
        },
        failure: |_, _| FailureAction::respond_stored("good", LocalResponse::new(504)),
        ..SCRIPT
    }
}

#[test]
fn what_a_plugin_makes_of_a_request_does_not_get_a_response_stored() {
    let takes_credentials_off = keeping(|exchange, _| {
        exchange.request().remove_header("authorization").unwrap();
        RequestAction::next()
    });
    let makes_it_a_get = keeping(|exchange, _| {
        exchange.request().set_method("GET").unwrap();
        RequestAction::next()
    });
    let sets_a_field = keeping(|exchange, _| {
        exchange.request().set_header("accept-language", "no").unwrap();
        RequestAction::next()
    });
    let plain = TestResponse::new(200).body("good");
    let varies = TestResponse::new(200).header("vary", "Accept-Language").body("good");
    for (plugin, request, response) in [
        (takes_credentials_off, TestRequest::get("/").header("authorization", "x"), plain.clone()),
        (makes_it_a_get, TestRequest::post("/", ""), plain.clone()),
        (sets_a_field, TestRequest::get("/"), varies),
    ] {
        let host = TestHost::new().store_unmarked();
        host.run(&plugin, request).respond(response);
        assert_eq!(host.run(&plugin, TestRequest::get("/")).fail(Failure::Reset).status, 504);
        host.run(&plugin, TestRequest::get("/other")).respond(plain.clone());
        let kept = host.run(&plugin, TestRequest::get("/other")).fail(Failure::Reset);
        assert_eq!(kept.status, 200, "without that it is kept");
    }
}

#[test]
fn a_response_that_says_nothing_of_reuse_is_kept_only_where_the_entry_says_so() {
    let plugin = keeping(|_, _| RequestAction::next());
    for (host, kept) in
        [(TestHost::new(), false), (TestHost::new().store_unmarked(), true), (TestHost::new().shared(), true)]
    {
        host.run(&plugin, TestRequest::get("/")).respond(TestResponse::new(200));
        assert_eq!(host.run(&plugin, TestRequest::get("/")).fail(Failure::Reset).status == 200, kept);
    }
}

#[test]
fn callers_of_one_name_are_kept_apart_by_the_credentials_that_it_does_not_stand_for() {
    let names_all_alike = keeping(|exchange, _| {
        exchange.request().remove_header("x-api-key").unwrap();
        exchange.set_principal("service").unwrap();
        RequestAction::next()
    });
    let host = TestHost::new().store_unmarked();
    let of = |key: &str, cookie: &str| TestRequest::get("/").header("x-api-key", key).header("cookie", cookie);
    host.run(&names_all_alike, of("old", "a=alice")).respond(TestResponse::new(200).body("alice's"));
    assert_eq!(host.run(&names_all_alike, of("new", "a=alice")).fail(Failure::Reset).status, 200, "the same caller");
    assert_eq!(host.run(&names_all_alike, of("old", "a=bob")).fail(Failure::Reset).status, 504);
}

#[test]
fn a_response_that_a_plugin_makes_has_no_field_of_the_connection() {
    let plugin = Script {
        request: |_, _| {
            let mut response = LocalResponse::new(200).header("x-kept", "1");
            for name in ["Host", "Keep-Alive", "te", "trailer", "upgrade", "proxy-connection", "http2-settings"] {
                response = response.header(name, "1");
            }
            response.into()
        },
        ..SCRIPT
    };
    let run = TestHost::new().run(&plugin, TestRequest::get("/"));
    assert_eq!(run.response().headers, [("x-kept".to_owned(), b"1".to_vec())]);
}

#[test]
fn where_nothing_is_stored_the_exchange_may_go_on() {
    let plugin = Script {
        request: |_, _| RequestAction::respond_stored_or_next("good"),
        response: |_, _| ResponseAction::respond_stored_or_next("good"),
        failure: |_, _| FailureAction::respond_stored_or_next("good"),
        ..SCRIPT
    };
    let host = TestHost::new();
    let answered = host.run(&plugin, TestRequest::get("/")).respond(TestResponse::new(200).body("the upstream's"));
    assert_eq!((answered.status, answered.text().as_str()), (200, "the upstream's"));
    assert_eq!(host.run(&plugin, TestRequest::get("/")).fail(Failure::Timeout).status, 504);
}

#[test]
fn a_shared_entry_gives_one_callers_response_to_another() {
    let plugin = Script {
        request: |exchange, _| {
            exchange.set_principal(&exchange.request().header("x-user").unwrap_or_default()).unwrap();
            RequestAction::next()
        },
        response: |exchange, _| {
            exchange.store_response("good", Duration::from_secs(60));
            ResponseAction::next()
        },
        failure: |_, _| FailureAction::respond_stored("good", LocalResponse::new(504)),
        ..SCRIPT
    };
    let host = TestHost::new().shared();
    let run = |user: &str| host.run(&plugin, TestRequest::get("/").header("x-user", user).header("cookie", "a=b"));
    run("alice").respond(TestResponse::new(200).body("everybody's"));
    assert_eq!(run("bob").fail(Failure::Reset).text(), "everybody's");
}

#[test]
fn a_client_may_leave_in_the_middle_of_a_response() {
    let host = TestHost::new();
    let mut run = host.run(&SCRIPT, TestRequest::get("/"));
    let got = run.respond(TestResponse::new(200).body("half").cut(Failure::Cancelled));
    assert!(got.aborted);
    assert_eq!(run.log_field("failure").as_deref(), Some("Failure::Cancelled"));
    assert_eq!(run.log_field("response.status").as_deref(), Some("200"));
}

struct Calls;

#[plugin]
impl Plugin for Calls {
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
        assert_eq!(calls::get("idp", "/").send(), Err(CallError::Denied));
        Ok(Self)
    }
}

#[test]
fn calls_are_checked_as_the_gateway_checks_them() {
    let host = TestHost::new().upstream("idp", |_| Ok(TestResponse::new(200)));
    assert!(host.configure::<Calls>(json!({})).is_ok());
    host.enter(|| {
        assert!(calls::get("idp", "/a?b").header("accept", "x").send().is_ok());
        assert_eq!(calls::get("other", "/").send(), Err(CallError::Denied));
        for call in [
            calls::get("idp", "keys"),
            calls::get("idp", "/a b"),
            calls::call("CONNECT", "idp", "/"),
            calls::get("idp", "/").header("host", "x"),
            calls::get("idp", "/").header("x", "a\r\nb"),
        ] {
            assert_eq!(call.send(), Err(CallError::Denied));
        }
        assert_eq!(calls::post("idp", "/", vec![0; (1 << 20) + 1]).send(), Err(CallError::TooLarge));
    });
    assert_eq!(host.calls().len(), 1);
}

#[test]
fn a_metric_that_the_gateway_drops_or_renames_is_dropped_or_renamed_here() {
    let host = TestHost::new();
    host.enter(|| {
        metrics::count("requests-seen_total", &[("a.b", "1")], 1);
        metrics::count("2nd", &[], 1);
        metrics::count("seen", &[("le", "1")], 1);
    });
    assert_eq!(host.counted("requests_seen", &[("a_b", "1")]), 1);
    assert_eq!((host.counted("2nd", &[]), host.counted("seen", &[("le", "1")])), (0, 0));
}

#[test]
fn an_answer_to_head_tells_no_length_that_the_plugin_might_have_changed() {
    let described = || TestResponse::new(200).header("content-length", "9").header("etag", "\"a\"");
    let host = TestHost::new();
    let skipped = host.run(&SCRIPT, TestRequest::new("HEAD", "/")).respond(described());
    assert_eq!((skipped.header("content-length"), skipped.header("etag")), (None, Some("\"a\"")));
    let reads = Script { response: |_, _| ResponseAction::read_body(BodyMode::Chunks), ..SCRIPT };
    let read = host.run(&reads, TestRequest::new("HEAD", "/")).respond(described());
    assert_eq!((read.header("content-length"), read.header("etag")), (None, None));
}

#[test]
fn a_response_that_may_have_no_content_has_none() {
    for status in [204, 205, 304] {
        let got = TestHost::new().run(&SCRIPT, TestRequest::get("/")).respond(TestResponse::new(status).body("no"));
        assert!(got.body().is_empty(), "{status}");
    }
}

#[test]
fn a_target_gets_the_form_that_a_clients_has() {
    let plugin = Script {
        request: |exchange, _| {
            exchange.request().set_authority("API.example.").unwrap();
            exchange.request().set_target("//a///%61?b=<c>").unwrap();
            assert_eq!(exchange.request().set_authority("a..b"), Err(FieldError::InvalidValue));
            RequestAction::next()
        },
        ..SCRIPT
    };
    let run = TestHost::new().run(&plugin, TestRequest::get("/"));
    assert_eq!((&*run.forwarded().authority, &*run.forwarded().target), ("api.example", "/a/a?b=%3Cc%3E"));
}

#[test]
fn no_trailer_brings_what_a_head_could_not() {
    let plugin = Script {
        request: |_, _| RequestAction::read_body(BodyMode::Chunks),
        request_body: |exchange, _, _| {
            for name in ["x-api-key", "priority", "x_forwarded_for", "sec-fetch-mode"] {
                assert_eq!(exchange.request_trailers().set_header(name, "1"), Err(FieldError::NotAllowed), "{name}");
            }
            assert_eq!(exchange.request_trailers().set_header("x-checksum", "1"), Ok(()));
            ChunkAction::Pass
        },
        ..SCRIPT
    };
    let run = TestHost::new().run(&plugin, TestRequest::post("/", "body"));
    assert_eq!(run.forwarded().trailers, [("x-checksum".to_owned(), b"1".to_vec())]);
}

#[test]
fn what_a_plugin_takes_off_a_head_does_not_come_back_behind_it() {
    let plugin = Script {
        request: |exchange, _| {
            exchange.request().remove_header("x-user").unwrap();
            RequestAction::next()
        },
        response: |exchange, _| {
            exchange.response().set_header("x-set", "1").unwrap();
            ResponseAction::next()
        },
        ..SCRIPT
    };
    let request =
        TestRequest::post("/", "body").trailer("x_user", "alice").trailer("cookie", "a=b").trailer("x-sum", "1");
    let mut run = TestHost::new().run(&plugin, request);
    assert_eq!(run.forwarded().trailers, [("x-sum".to_owned(), b"1".to_vec())]);
    let response = TestResponse::new(200).body("body").trailer("x-set", "2").trailer("via", "x").trailer("x-sum", "1");
    assert_eq!(run.respond(response).trailers, [("x-sum".to_owned(), b"1".to_vec())]);
}

#[test]
fn a_field_in_place_of_another_one_needs_no_room() {
    let plugin = Script {
        request: |exchange, _| {
            for _ in 0..256 {
                exchange.request().append_header("x-many", "1").unwrap();
            }
            assert_eq!(exchange.request().append_header("x-many", "1"), Err(FieldError::TooLarge));
            assert_eq!(exchange.request().set_header("x-many", "1"), Ok(()));
            RequestAction::next()
        },
        ..SCRIPT
    };
    assert_eq!(TestHost::new().run(&plugin, TestRequest::get("/")).forwarded().headers.len(), 2);
}
