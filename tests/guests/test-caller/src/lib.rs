//! A plugin that fetches `/called` from the upstream `side` and answers with it, for the end-to-end tests. Before that, or
//! after the call, it misbehaves as `x-before` and `x-after` tell it: a guest that may wait runs on a stack of its own.

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

impl Plugin for Caller {
    const PHASES: Phases = Phases::REQUEST_HEADERS;
    type Config = Config;

    fn configure(_: Config) -> Result<Self, ConfigErrors> {
        Ok(Self)
    }

    fn on_request_headers(&self, exchange: &Exchange, _end: bool) -> RequestAction {
        let told = |when| exchange.request().header(when).unwrap_or_default();
        misbehave(&told("x-before"));
        let upstream = exchange.request().header("x-call").unwrap_or_else(|| "side".to_owned());
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
            Err(error) => RequestAction::respond(LocalResponse::new(500).body(format!("{error:?}"))),
        }
    }
}

plugin_sdk::export!(Caller);
