//! A plugin that fetches `/called` from the upstream `side` and answers with it, for the end-to-end tests.

use plugin_sdk::calls;
use plugin_sdk::prelude::*;

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
        let upstream = exchange.request().header("x-call").unwrap_or_else(|| "side".to_owned());
        let mut call = calls::get(&upstream, "/called").single_flight();
        match exchange.request().header("x-inject").as_deref() {
            Some("name") => call = call.header("x-a\r\nx-evil", "1"),
            Some("value") => call = call.header("x-a", "1\r\nx-evil: 1"),
            Some("path") => call = calls::get(&upstream, "/called HTTP/1.1\r\nx-evil: 1"),
            Some("method") => call = calls::call("GET / HTTP/1.1\r\nx-evil: 1\r\n\r\nGET", &upstream, "/called"),
            _ => {}
        }
        match call.send() {
            Ok(answer) => RequestAction::respond(LocalResponse::new(answer.status).body(answer.body)),
            Err(error) => RequestAction::respond(LocalResponse::new(500).body(format!("{error:?}"))),
        }
    }
}

plugin_sdk::export!(Caller);
