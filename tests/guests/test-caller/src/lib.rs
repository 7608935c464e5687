//! A plugin that fetches `/called` from the upstream `side` and answers with it, for the end-to-end tests. Before that, or
//! after the call, it misbehaves as `x-before` and `x-after` tell it: a guest that may wait runs on a stack of its own.
//!
//! Where `x-call-in` names a later phase, it does so there, as often as it is called, and goes on.

use plugin_sdk::calls;
use plugin_sdk::prelude::*;

#[path = "../../misbehave.rs"]
mod misbehave;

use misbehave::misbehave;

/// No config.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// The plugin.
pub struct Caller;

#[plugin]
impl Plugin for Caller {
    type Config = Config;

    fn configure(_: Config) -> Result<Self, ConfigErrors> {
        Ok(Self)
    }

    fn on_request_body(&self, _: &Exchange, _: Vec<u8>, _end: bool) -> ChunkAction {
        let _ = calls::get("side", "/called").send();
        ChunkAction::pass()
    }

    fn on_response_headers(&self, exchange: &Exchange, _end: bool) -> ResponseAction {
        if is_due(exchange, "response_headers") {
            let _ = calls::get("side", "/called").send();
        }
        if is_due(exchange, "forget") {
            // There is no method that would read it.
            return ResponseAction::read_body(BodyMode::Chunks);
        }
        ResponseAction::next()
    }

    fn on_upstream_failure(&self, exchange: &Exchange, _: Failure) -> FailureAction {
        if is_due(exchange, "upstream_failure") {
            let _ = calls::get("side", "/called").send();
        }
        FailureAction::next()
    }

    fn on_request_headers(&self, exchange: &Exchange, _end: bool) -> RequestAction {
        if is_due(exchange, "request_body") {
            return RequestAction::read_body(BodyMode::Chunks);
        }
        if exchange.request().header("x-call-in").is_some() {
            return RequestAction::next();
        }
        let told = |when| exchange.request().header(when).unwrap_or_default();
        misbehave(&told("x-before"));
        let upstream = exchange.request().header("x-call").unwrap_or_else(|| "side".to_owned());
        if exchange.request().header("x-all").is_some() {
            let both = calls::send_all([calls::get("nowhere", "/called"), calls::get(&upstream, "/called")]);
            let text: Vec<_> =
                both.into_iter().map(|answer| answer.map_or_else(|_| 0, |answer| answer.status)).collect();
            return RequestAction::respond(LocalResponse::new(200).body(format!("{text:?}")));
        }
        let mut call = calls::get(&upstream, "/called").single_flight();
        match exchange.request().header("x-inject").as_deref() {
            Some("name") => call = call.header("x-a\r\nx-evil", "1"),
            Some("value") => call = call.header("x-a", "1\r\nx-evil: 1"),
            Some("path") => call = calls::get(&upstream, "/called HTTP/1.1\r\nx-evil: 1"),
            Some("method") => call = calls::call("GET / HTTP/1.1\r\nx-evil: 1\r\n\r\nGET", &upstream, "/called"),
            _ => {}
        }
        if exchange.request().header("x-hang").is_some() {
            call = calls::get(&upstream, "/called").header("x-hang", "1");
        }
        let called = call.send();
        let after = told("x-after");
        misbehave(&after);
        if after == "big" {
            return RequestAction::respond(LocalResponse::new(200).body(vec![b'x'; 9 << 20]));
        }
        match called {
            Ok(answer) => RequestAction::respond(LocalResponse::new(answer.status).body(answer.body)),
            Err(error) => {
                let refused_here = calls::was_refused_here().to_string();
                let response = LocalResponse::new(500).header("x-refused-here", refused_here);
                RequestAction::respond(response.body(format!("{error:?}")))
            }
        }
    }
}

/// Whether the client wants a call in this phase.
fn is_due(exchange: &Exchange, phase: &str) -> bool {
    exchange.request().header("x-call-in").as_deref() == Some(phase)
}

plugin_sdk::export!(Caller);
