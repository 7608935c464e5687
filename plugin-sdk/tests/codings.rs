//! The native test host takes content codings off and puts them on as the gateway does.

#![allow(clippy::unwrap_used)]

use plugin_rules::codings::{Bounds, Coding, Codings, Decoder, Encoder, RATIO};
use plugin_sdk::prelude::*;
use plugin_sdk::testing::*;

/// Writes bodies in capitals, which it reads as the config says.
struct Capitals(BodyMode);

#[plugin]
impl Plugin for Capitals {
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
        Ok(Self(BodyMode::Chunks))
    }

    fn on_request_headers(&self, _: &Exchange<'_>, _: bool) -> RequestAction {
        RequestAction::read_body(self.0)
    }

    fn on_request_body(&self, _: &Exchange<'_>, data: Vec<u8>, _: bool) -> ChunkAction {
        ChunkAction::replace(data.to_ascii_uppercase())
    }

    fn on_response_headers(&self, exchange: &Exchange<'_>, _: bool) -> ResponseAction {
        exchange.store_response("k", std::time::Duration::from_secs(60));
        ResponseAction::read_body(self.0)
    }

    fn on_response_body(&self, _: &Exchange<'_>, data: Vec<u8>, _: bool) -> ChunkAction {
        ChunkAction::replace(data.to_ascii_uppercase())
    }

    fn on_upstream_failure(&self, _: &Exchange<'_>, _: Failure) -> FailureAction {
        FailureAction::respond_stored("k", LocalResponse::new(599))
    }
}

const MODES: [Capitals; 2] = [Capitals(BodyMode::Chunks), Capitals(BodyMode::Whole)];

fn encoded(coding: Coding, content: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(coding).unwrap();
    encoder.write(content).unwrap();
    encoder.finish().unwrap()
}

fn decoded(coding: Coding, content: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(&Codings::of([coding]), Bounds { size: None, ratio: RATIO }).unwrap();
    let mut all = Vec::new();
    decoder.decode(content, &mut all).unwrap();
    decoder.finish().unwrap();
    all
}

fn post(coding: &str, body: impl Into<Vec<u8>>) -> TestRequest {
    TestRequest::post("/", body).header("content-encoding", coding)
}

#[test]
fn a_request_is_read_and_goes_upstream_without_its_coding() {
    let host = TestHost::new();
    for plugin in &MODES {
        for coding in Coding::ALL {
            let bytes = encoded(coding, b"a body");
            for request in [post(coding.name(), bytes.clone()), post(coding.name(), "").chunks(bytes.chunks(1))] {
                let run = host.run(plugin, request);
                assert_eq!(run.forwarded().body(), b"A BODY", "{coding:?}");
                assert_eq!(run.forwarded().header("content-encoding"), None);
            }
        }
        let run = host.run(plugin, post("UTF-8", "text"));
        assert_eq!(
            (run.forwarded().body(), run.forwarded().header("content-encoding")),
            (b"TEXT".to_vec(), Some("UTF-8"))
        );
    }
}

#[test]
fn a_request_that_can_t_be_read_is_answered_by_the_gateway() {
    let host = TestHost::new();
    let whole = encoded(Coding::Gzip, b"a body");
    let bomb = encoded(Coding::Gzip, &vec![0; 8 << 20]);
    for plugin in &MODES {
        for (request, status) in [
            (post("compress", "x"), 415),
            (post("gzip", "x"), 400),
            (post("gzip", &whole[..whole.len() - 1]), 400),
            (post("gzip", [&whole[..], b"x"].concat()), 400),
            (post("aws-chunked", "5;chunk-signature=0\r\nhello\r\n"), 415),
        ] {
            assert_eq!(host.run(plugin, request).response().status, status);
        }
        for coding in ["compress", "gzip"] {
            assert_eq!(host.run(plugin, post(coding, "")).forwarded().body(), b"", "empty, whatever is said of it");
            assert_eq!(host.run(plugin, post(coding, "").chunks([""])).forwarded().body(), b"");
        }
    }
    assert_eq!(host.run(&MODES[1], post("gzip", bomb.clone())).response().status, 413);
    assert!(host.run(&MODES[0], post("gzip", bomb)).forwarded().aborted, "it had begun to go upstream");
}

#[test]
fn a_response_gets_a_coding_again_that_the_client_accepts() {
    let host = TestHost::new();
    let upstream = |body: Vec<u8>| TestResponse::new(200).header("content-encoding", "gzip").body(body);
    for plugin in &MODES {
        for (accept, expected) in [("gzip, br", Some(Coding::Gzip)), ("zstd", Some(Coding::Zstd)), ("", None)] {
            let mut run = host.run(plugin, TestRequest::get("/").header("accept-encoding", accept));
            let response = run.respond(upstream(encoded(Coding::Gzip, b"a body")));
            assert_eq!(response.header("content-encoding"), expected.map(Coding::name), "{accept}");
            assert_eq!(response.header("vary"), Some("accept-encoding"));
            let body = expected.map_or(response.body(), |coding| decoded(coding, &response.body()));
            assert_eq!(body, b"A BODY", "{accept}");
        }
        let mut run = host.run(plugin, TestRequest::new("HEAD", "/").header("accept-encoding", "br"));
        let head = run.respond(upstream(Vec::new()));
        assert_eq!((head.header("content-encoding"), head.body()), (Some("br"), Vec::new()));
        let mut run = host.run(plugin, TestRequest::get("/"));
        assert_eq!(run.respond(upstream(b"not gzip".to_vec())).status, 502);
        let mut run = host.run(plugin, TestRequest::get("/"));
        let part = TestResponse::new(206).header("content-encoding", "gzip").body("x");
        assert_eq!(run.respond(part).status, 502);
    }
}

#[test]
fn an_event_can_be_read_before_the_next_one_comes() {
    let host = TestHost::new();
    for coding in Coding::ALL {
        let mut encoder = Encoder::new(coding).unwrap();
        let events = ["data: a\n\n", "data: b\n\n"].map(|event| {
            encoder.write(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            encoder.take()
        });
        let chunks = events.into_iter().chain([encoder.finish().unwrap()]);
        let mut run = host.run(&MODES[0], TestRequest::get("/").header("accept-encoding", coding.name()));
        let response = run.respond(TestResponse::new(200).header("content-encoding", coding.name()).chunks(chunks));
        let mut decoder = Decoder::new(&Codings::of([coding]), Bounds { size: None, ratio: RATIO }).unwrap();
        for (chunk, event) in response.chunks.iter().zip(["DATA: A\n\n", "DATA: B\n\n"]) {
            let mut seen = Vec::new();
            decoder.decode(chunk, &mut seen).unwrap();
            assert_eq!(seen, event.as_bytes(), "{coding:?}");
        }
    }
}

#[test]
fn what_is_stored_has_no_coding_and_does_not_say_so() {
    let host = TestHost::new().store_unmarked();
    let get = || TestRequest::get("/").header("accept-encoding", "gzip");
    let body = encoded(Coding::Gzip, b"a body");
    host.run(&MODES[0], get()).respond(TestResponse::new(200).header("content-encoding", "gzip").body(body));
    let stored = host.run(&MODES[0], get()).fail(Failure::Connect);
    assert_eq!((stored.status, stored.text().as_str(), stored.header("content-encoding")), (200, "A BODY", None));
}
