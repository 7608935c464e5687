//! The plugin's phases on a test host: where it looks, what it changes, and what it tells.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pii_redact::PiiRedact;
use plugin_sdk::Failure;
use plugin_sdk::audit::{Action, Place};
use plugin_sdk::testing::{Outcome, TestHost, TestRequest, TestResponse, json};
use plugin_sdk::trace::Value;

const FNR: &str = "02013299997";

fn plugin(host: &TestHost, config: serde_json::Value) -> PiiRedact {
    host.configure(config).unwrap()
}

fn found(host: &TestHost, category: &str, place: &str) -> u64 {
    host.counted("pii_redacted_total", &[("category", category), ("where", place)])
}

fn json_response(body: &str) -> TestResponse {
    TestResponse::new(200).header("content-type", "application/json").body(body)
}

#[test]
fn bodies_headers_query_and_log_fields_are_read_and_counted() {
    let host = TestHost::new();
    let config = json!({
        "request": {"body": true, "query": true, "headers": ["x-user"]},
        "response": {"headers": ["x-owner"]},
    });
    let plugin = plugin(&host, config);
    let request = TestRequest::post("/a?q=100%&m=kari@example.no", format!("{{\"fnr\":\"{FNR}\"}}"))
        .header("content-type", "application/json")
        .header("x-user", "kari@example.no")
        .header("x-user", "nobody")
        .log_field("note", "ring +47 98765432");
    let mut run = host.run(&plugin, request);
    let forwarded = run.forwarded();
    assert_eq!(forwarded.target, "/a?q=100%25&m=***");
    assert_eq!(forwarded.body(), b"{\"fnr\":\"***\"}");
    assert_eq!(forwarded.header("x-user"), Some("***"));
    let response = run.respond(json_response(r#"{"e":"ola@example.no"}"#).header("x-owner", "kari@example.no"));
    assert_eq!((response.text().as_str(), response.header("x-owner")), (r#"{"e":"***"}"#, Some("***")));
    assert_eq!(run.log_field("note").as_deref(), Some("ring ***"));
    for (category, place) in [
        ("email", "query"),
        ("fodselsnummer", "request-body"),
        ("email", "request-header"),
        ("email", "response-body"),
        ("email", "response-header"),
        ("phone", "log"),
    ] {
        assert_eq!(found(&host, category, place), 1, "{category} in {place}");
    }
    assert_eq!(run.attribute("pii.count").as_deref(), Some("6"));
    let mut categories: Vec<_> = run.attribute("pii.categories").unwrap().split(',').map(str::to_owned).collect();
    categories.sort();
    assert_eq!(categories, ["email", "fodselsnummer", "phone"]);
}

#[test]
fn what_is_not_asked_for_is_not_read() {
    let host = TestHost::new();
    let plugin = plugin(&host, json!({"response": {"body": false}, "log": false}));
    let request =
        TestRequest::post("/a?m=kari@example.no", FNR).header("content-type", "text/plain").log_field("note", FNR);
    let mut run = host.run(&plugin, request);
    assert_eq!(run.forwarded().target, "/a?m=kari@example.no");
    assert_eq!(run.respond(json_response(FNR)).text(), FNR);
    assert_eq!(run.log_field("note").as_deref(), Some(FNR));
    assert_eq!(run.attribute("pii.count"), None);
}

#[test]
fn only_the_named_log_fields_are_read() {
    let host = TestHost::new();
    let plugin = plugin(&host, json!({"log": ["note"], "categories": {"fodselsnummer": "block"}}));
    let request = TestRequest::get("/").log_field("note", FNR).log_field("other", FNR);
    let mut run = host.run(&plugin, request);
    run.respond(TestResponse::new(204));
    assert_eq!(run.log_field("note").as_deref(), Some("***"));
    assert_eq!(run.log_field("other").as_deref(), Some(FNR));
}

#[test]
fn a_pseudonym_is_the_hosts_keyed_hash() {
    let config = json!({"categories": {"email": {"action": "hash", "secret": "pii"}}});
    let of = |key: &str| {
        let host = TestHost::new().secret("pii", key);
        let plugin = plugin(&host, config.clone());
        let body = "kari@example.no KARI@example.no ola@example.no";
        let response = TestResponse::new(200).header("content-type", "text/plain").body(body);
        host.run(&plugin, TestRequest::get("/")).respond(response).text()
    };
    let (one, other) = (of("key one"), of("key two"));
    let words: Vec<&str> = one.split(' ').collect();
    assert!(words[0].starts_with("email-") && words[0].len() == 22, "{one}");
    assert!(words[0] == words[1] && words[0] != words[2], "{one}");
    assert_ne!(one, other);
    assert!(TestHost::new().configure::<PiiRedact>(config).is_err(), "without its secret it is refused");
}

/// Every value would have the same hash: none.
#[test]
fn a_secret_that_holds_a_public_key_hashes_nothing() {
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let config = json!({"categories": {"email": {"action": "hash", "secret": "pii"}}});
    let errors = TestHost::new().secret("pii", public).configure::<PiiRedact>(config).unwrap_err();
    let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/categories/email/secret"]);
}

#[test]
fn a_secret_that_is_not_there_is_reported_where_it_is_named() {
    let config = json!({
        "categories": {"email": {"action": "hash", "secret": "known"}, "card": {"action": "hash", "secret": "gone"}},
        "custom": [
            {"name": "a", "pattern": "a", "action": "off"},
            {"name": "b", "pattern": "b", "action": "hash", "secret": "gone"},
        ],
    });
    let errors = TestHost::new().secret("known", "key").configure::<PiiRedact>(config).unwrap_err();
    let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/categories/card/secret", "/custom/1/secret"]);
}

#[test]
fn block_refuses_a_request_before_the_upstream_sees_it() {
    let host = TestHost::new();
    let config = json!({
        "request": {"body": true, "query": true, "headers": ["x-user"]},
        "categories": {"fodselsnummer": "block"},
    });
    let plugin = plugin(&host, config);
    let text = |request: TestRequest| request.header("content-type", "text/plain");
    for request in [
        text(TestRequest::post("/", "")).chunks([&b"a 020132"[..], b"99997 b"]),
        TestRequest::get("/?fnr=02013299997"),
        TestRequest::get("/").header("x-user", FNR),
    ] {
        let run = host.run(&plugin, request);
        assert!(matches!(run.outcome(), Outcome::Responded(response) if response.status == 403), "{:?}", run.outcome());
        assert!(!run.response().text().contains(FNR));
    }
    let clean = host.run(&plugin, text(TestRequest::post("/", "kari@example.no")));
    assert_eq!(clean.forwarded().body(), b"***");
}

#[test]
fn a_blocked_body_uses_nothing_that_another_exchange_left_or_began() {
    let host = TestHost::new();
    let config = json!({"request": {"body": true}, "categories": {"fodselsnummer": "block"}});
    let plugin = plugin(&host, config);
    let post = |kind: &str, body: &str| host.run(&plugin, TestRequest::post("/", body).header("content-type", kind));
    // A whole body leaves its instance to others between its two phases: here the response of one runs over the other.
    let mut first = post("text/plain", "clean");
    let mut second = post("application/json", "{\"a\":1}");
    let response = first.respond(json_response(&format!("{{\"a\":\"{FNR}\"}}")));
    assert_eq!(response.status, 502);
    let response = second.respond(TestResponse::new(200).header("content-type", "text/plain").body("kari@example.no"));
    assert_eq!((response.status, response.text().as_str()), (200, "***"));
}

#[test]
fn block_in_an_event_stream_resets_it_since_its_head_has_gone_out() {
    let host = TestHost::new();
    let plugin = plugin(&host, json!({"categories": {"fodselsnummer": "block"}}));
    let events = |chunks: &[&str]| {
        let chunks: Vec<Vec<u8>> = chunks.iter().map(|chunk| chunk.as_bytes().to_vec()).collect();
        TestResponse::new(200).header("content-type", "text/event-stream").chunks(chunks)
    };
    let response = host.run(&plugin, TestRequest::get("/")).respond(events(&["data: 02013299997\n\n"]));
    assert_eq!((response.status, response.aborted, response.text().as_str()), (200, true, ""));
    let response = host.run(&plugin, TestRequest::get("/")).respond(events(&["data: a\n\n", "data: 02013299997\n\n"]));
    assert_eq!((response.status, response.aborted, response.text().as_str()), (200, true, "data: a\n\n"));
}

#[test]
fn a_value_that_comes_in_several_events_is_masked_and_counted_once() {
    let host = TestHost::new();
    let plugin = plugin(&host, json!({}));
    let event =
        |piece: &str| format!("{}\n", json!({"message": {"role": "assistant", "content": piece}, "done": false}));
    let done = format!("{}\n", json!({"message": {"role": "assistant", "content": ""}, "done": true}));
    let pieces = ["skriv ", "til ka", "ri@exam", "ple.no"];
    let chunks = pieces.iter().map(|piece| event(piece)).chain([done.clone()]);
    let response = TestResponse::new(200).header("content-type", "application/x-ndjson").chunks(chunks);
    let response = host.run(&plugin, TestRequest::get("/")).respond(response);
    let expected: String = ["skriv ", "til ", "", ""].iter().map(|piece| event(piece)).collect();
    assert_eq!(response.text(), expected + &done.replace("\"\"", "\"***\""));
    assert_eq!(found(&host, "email", "response-body"), 1);
}

#[test]
fn a_body_that_is_cut_is_counted_as_far_as_it_came() {
    let host = TestHost::new();
    let plugin = plugin(&host, json!({}));
    let response = TestResponse::new(200)
        .header("content-type", "text/plain")
        .chunks([&b"kari@example.no and "[..], b"ola@example.no or "])
        .cut(Failure::Reset);
    let mut run = host.run(&plugin, TestRequest::get("/"));
    let response = run.respond(response);
    assert_eq!((response.aborted, response.text().as_str()), (true, "*** and *** or "));
    assert_eq!(found(&host, "email", "response-body"), 2);
    assert_eq!(run.attribute("pii.count").as_deref(), Some("2"));
}

#[test]
fn trailers_pass_and_a_response_without_a_body_is_left_alone() {
    let host = TestHost::new();
    let plugin = plugin(&host, json!({}));
    let response = json_response(r#"{"e":"kari@example.no"}"#).trailer("x-sum", "1");
    let response = host.run(&plugin, TestRequest::get("/")).respond(response);
    assert_eq!(response.text(), r#"{"e":"***"}"#);
    assert_eq!(response.trailers, [("x-sum".to_owned(), b"1".to_vec())]);
    let response = host.run(&plugin, TestRequest::new("HEAD", "/")).respond(json_response("x"));
    assert_eq!((response.status, response.body().len()), (200, 0));
}

#[test]
fn a_body_without_a_type_is_read_as_what_it_looks_like() {
    let host = TestHost::new();
    let plugin = plugin(&host, json!({}));
    for (body, expected) in [
        (" {\"fnr\":02013299997}", " {\"fnr\":\"***\"}"),
        ("skriv til kari@example.no", "skriv til ***"),
        ("PK\u{3}\u{4} kari@example.no", "PK\u{3}\u{4} kari@example.no"),
    ] {
        let response = host.run(&plugin, TestRequest::get("/")).respond(TestResponse::new(200).body(body));
        assert_eq!(response.text(), expected);
    }
}

#[test]
fn what_can_not_be_read_is_refused_where_something_blocks() {
    let host = TestHost::new();
    let blocks = plugin(&host, json!({"request": {"body": true}, "categories": {"fodselsnummer": "block"}}));
    let post = |kind: &str, body: &[u8]| TestRequest::post("/", body.to_vec()).header("content-type", kind);
    let gzip = b"\x1F\x8B\x08\0\0\0\0\0";
    for (kind, body) in [
        ("application/grpc", &b"\0\0\0\0\x01a"[..]),
        ("application/octet-stream", gzip),
        ("application/json", gzip),
        ("text/plain; charset=utf-7", b"a"),
        ("image/png", gzip),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; filename=a\r\n\r\n\x1F\x8B\x08\0\r\n--x--",
        ),
    ] {
        let run = host.run(&blocks, post(kind, body));
        assert!(matches!(run.outcome(), Outcome::Responded(response) if response.status == 415), "{kind}");
        let mut clean = host.run(&blocks, TestRequest::get("/"));
        let response = clean.respond(TestResponse::new(200).header("content-type", kind).body(body));
        // The head of what may be a large picture has gone out.
        assert!(response.status == 502 || response.aborted && kind == "image/png", "{kind}: {}", response.status);
    }
    // A picture of a known, small length can be waited for.
    let length = gzip.len().to_string();
    let lie = TestResponse::new(200)
        .header("content-type", "image/png")
        .header("content-length", length.as_str())
        .body(&gzip[..]);
    assert_eq!(host.run(&blocks, TestRequest::get("/")).respond(lie).status, 502);
    for (kind, body) in
        [("image/png", &b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR"[..]), ("application/grpc", b""), ("image/png", b"")]
    {
        assert_eq!(host.run(&blocks, post(kind, body)).forwarded().body(), body, "{kind}");
    }
    let passes = plugin(
        &host,
        json!({"request": {"body": true}, "categories": {"fodselsnummer": "block"}, "unreadable": "pass"}),
    );
    assert_eq!(host.run(&passes, post("application/octet-stream", gzip)).forwarded().body(), gzip);
}

#[test]
fn several_types_count_as_none() {
    let host = TestHost::new();
    let plugin = plugin(&host, json!({}));
    let response = TestResponse::new(200)
        .header("content-type", "image/png")
        .header("content-type", "text/plain")
        .body(r#"{"fnr":02013299997}"#);
    assert_eq!(host.run(&plugin, TestRequest::get("/")).respond(response).text(), r#"{"fnr":"***"}"#);
}

#[test]
fn a_file_is_read_by_its_name_and_a_query_holds_json() {
    let host = TestHost::new();
    let plugin = plugin(&host, json!({"request": {"query": true}}));
    let response = TestResponse::new(200)
        .header("content-type", "application/octet-stream")
        .header("content-disposition", "attachment; filename=\"a.csv\"")
        .body("id,tlf\n1,98765432\n");
    let mut run = host.run(&plugin, TestRequest::get("/?filter={%22fnr%22:02013299997}"));
    assert_eq!(run.forwarded().target, "/?filter=%7B%22fnr%22%3A%22***%22%7D");
    assert_eq!(run.respond(response).text(), "id,tlf\n1,***\n");
}

#[test]
fn the_audit_trail_is_told_category_place_action_and_count_and_no_value() {
    let host = TestHost::new().secret("pii", "k");
    let config = json!({
        "request": {"body": true, "query": true, "headers": ["x-user"]},
        "response": {"headers": ["x-owner"]},
        "categories": {"fodselsnummer": {"action": "hash", "secret": "pii"}, "card": {"action": "pseudonymise", "secret": "pii"}},
        "custom": [{"name": "Staff_no-1", "pattern": "S-\\d{4}"}],
    });
    let plugin = plugin(&host, config);
    let card = "4111 1111 1111 1111";
    let body = format!("{{\"a\":\"{FNR} og {FNR}\",\"b\":\"{card}\",\"c\":\"S-1234\"}}");
    let request = TestRequest::post("/a?m=kari@example.no", body)
        .header("content-type", "application/json")
        .header("x-user", "kari@example.no")
        .log_field("note", "ring +47 98765432");
    let mut run = host.run(&plugin, request);
    run.respond(json_response(&format!("{{\"b\":\"{card}\"}}")).header("x-owner", "kari@example.no"));
    for (category, place, action, count) in [
        ("email", Place::RequestHeader, Action::Masked, 1),
        ("email", Place::RequestQuery, Action::Masked, 1),
        ("fodselsnummer", Place::RequestBody, Action::Pseudonymised, 2),
        ("card", Place::RequestBody, Action::Pseudonymised, 1),
        ("Staff_no-1", Place::RequestBody, Action::Masked, 1),
        ("email", Place::ResponseHeader, Action::Masked, 1),
        ("card", Place::ResponseBody, Action::Masked, 1),
    ] {
        assert_eq!(run.audited(category, place, action), count, "{category}: {:?}", run.audit_notes());
    }
    assert_eq!(run.audit_notes().len(), 7, "the log is no place of the trail");
    let told = format!("{:?}", run.audit_notes());
    assert!(!told.contains(FNR) && !told.contains('@') && !told.contains("1111"), "{told}");
}

#[test]
fn what_a_body_held_until_it_broke_off_is_in_the_trail_and_what_was_refused_is_blocked() {
    let host = TestHost::new();
    let plain = plugin(&host, json!({}));
    let chunks = [format!("a {FNR} b "), "more ".repeat(100)];
    let cut = TestResponse::new(200).header("content-type", "text/plain").chunks(chunks).cut(Failure::Reset);
    let mut run = host.run(&plain, TestRequest::get("/"));
    run.respond(cut);
    assert_eq!(run.audited("fodselsnummer", Place::ResponseBody, Action::Masked), 1);
    let strict = plugin(&host, json!({"request": {"body": true}, "categories": {"fodselsnummer": "block"}}));
    let request = TestRequest::post("/", format!("{{\"a\":\"{FNR}\"}}")).header("content-type", "application/json");
    let run = host.run(&strict, request);
    assert_eq!(run.response().status, 403);
    assert_eq!(run.audited("fodselsnummer", Place::RequestBody, Action::Blocked), 1);
}

#[test]
fn a_trace_shows_what_was_found_where_it_is_recorded() {
    let host = TestHost::new();
    let plugin = plugin(&host, json!({}));
    let mut run = host.run(&plugin, TestRequest::get("/").traced());
    run.respond(json_response(&format!(r#"{{"a":"{FNR}","b":"{FNR}","c":"kari@example.no"}}"#)));
    assert_eq!(run.trace_attribute("found"), Some(3.into()));
    assert!(matches!(run.trace_attribute("categories"), Some(Value::Text(names)) if names.contains("email")));
    let mut run = host.run(&plugin, TestRequest::get("/").traced());
    run.respond(json_response("{}"));
    assert_eq!(run.trace_attribute("found"), None);
}
