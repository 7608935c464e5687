//! A plugin that does in each phase what its config says, and writes what came of it into the log record: the other half of
//! the cases in `plugin-sdk/conformance/`. A host passes them where it answers each call as they expect.
//!
//! The config has a list of steps by phase. A step is an object with one key, the call, and its arguments; what each gave is a
//! word, and the words of a phase are the log field of its name.

mod calls;

use std::collections::BTreeMap;

use plugin_sdk::prelude::*;
use serde_json::Value;

/// Steps by phase.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    request_headers: Vec<Step>,
    #[serde(default)]
    request_body: Vec<Step>,
    #[serde(default)]
    response_headers: Vec<Step>,
    #[serde(default)]
    response_body: Vec<Step>,
    #[serde(default)]
    upstream_failure: Vec<Step>,
    #[serde(default)]
    log: Vec<Step>,
    /// What `configure` itself does.
    #[serde(default)]
    configure: Vec<Step>,
    /// Pointers at which the config is wrong.
    #[serde(default)]
    mistakes: Vec<String>,
}

type Step = BTreeMap<String, Value>;

/// The plugin.
#[derive(Debug)]
pub struct Conformance {
    config: Config,
    /// What was refused in `configure`.
    configured: String,
}

/// What a phase does in the end.
#[derive(Default)]
enum End {
    #[default]
    Next,
    Read(BodyMode),
    Respond(LocalResponse),
    Stored(String, Option<LocalResponse>),
    Replace(Vec<u8>),
    Upper,
    Abort,
}

impl Conformance {
    /// Takes the steps of a phase, notes what came of them, and gives back how it ends.
    fn run(&self, exchange: &Exchange<'_>, phase: &str, steps: &[Step]) -> End {
        let mut end = End::Next;
        let mut words = Vec::new();
        for (call, argument) in steps.iter().flatten() {
            match ending(call, argument) {
                Some(other) => end = other,
                None => words.push(calls::make(exchange, call, argument)),
            }
        }
        if !words.is_empty() {
            exchange.set_log_field(phase, Some(&words.join(" ")));
        }
        end
    }

    fn body(&self, exchange: &Exchange<'_>, phase: &str, steps: &[Step], data: Vec<u8>) -> ChunkAction {
        match self.run(exchange, phase, steps) {
            End::Replace(bytes) => ChunkAction::replace(bytes),
            End::Upper => ChunkAction::replace(data.to_ascii_uppercase()),
            End::Respond(response) => ChunkAction::respond(response),
            End::Abort => ChunkAction::abort(),
            _ => ChunkAction::pass(),
        }
    }

    fn headers(&self, exchange: &Exchange<'_>, phase: &str, steps: &[Step]) -> RequestAction {
        match self.run(exchange, phase, steps) {
            End::Read(mode) => RequestAction::read_body(mode),
            End::Respond(response) => RequestAction::respond(response),
            End::Stored(key, Some(otherwise)) => RequestAction::respond_stored(key, otherwise),
            End::Stored(key, None) => RequestAction::respond_stored_or_next(key),
            _ => RequestAction::next(),
        }
    }
}

/// What a step makes of the phase, where it is not a call.
fn ending(name: &str, argument: &Value) -> Option<End> {
    Some(match name {
        "read" if argument == "whole" => End::Read(BodyMode::Whole),
        "read" => End::Read(BodyMode::Chunks),
        "respond" => End::Respond(response(argument)),
        "respond_stored" => {
            let otherwise = argument.get("otherwise").map(response);
            End::Stored(calls::text(&argument["key"]), otherwise)
        }
        "replace" => End::Replace(calls::text(argument).into_bytes()),
        "upper" => End::Upper,
        "abort" => End::Abort,
        _ => return None,
    })
}

fn response(of: &Value) -> LocalResponse {
    let status = of["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
    let mut response = LocalResponse::new(status).body(calls::text(&of["body"]));
    for (name, value) in of["headers"].as_object().into_iter().flatten() {
        response = response.header(name, calls::text(value));
    }
    response
}

#[plugin]
impl Plugin for Conformance {
    const GRANTS_ARE_OPTIONAL: bool = true;
    type Config = Config;

    fn configure(config: Config) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        config.mistakes.iter().for_each(|pointer| errors.push(pointer, "is a mistake"));
        let words = config.configure.iter().flatten().map(|(call, argument)| calls::make_anywhere(call, argument));
        let configured = words.collect::<Vec<_>>().join(" ");
        errors.result(|| Self { config, configured })
    }

    fn on_request_headers(&self, exchange: &Exchange<'_>, end: bool) -> RequestAction {
        if !self.configured.is_empty() {
            exchange.set_log_field("configure", Some(&self.configured));
        }
        if end {
            exchange.set_log_field("end", Some("request"));
        }
        self.headers(exchange, "request_headers", &self.config.request_headers)
    }

    fn on_request_body(&self, exchange: &Exchange<'_>, data: Vec<u8>, _end: bool) -> ChunkAction {
        self.body(exchange, "request_body", &self.config.request_body, data)
    }

    fn on_response_headers(&self, exchange: &Exchange<'_>, _end: bool) -> ResponseAction {
        self.headers(exchange, "response_headers", &self.config.response_headers)
    }

    fn on_response_body(&self, exchange: &Exchange<'_>, data: Vec<u8>, _end: bool) -> ChunkAction {
        self.body(exchange, "response_body", &self.config.response_body, data)
    }

    fn on_upstream_failure(&self, exchange: &Exchange<'_>, failure: Failure) -> FailureAction {
        let failed = match failure {
            Failure::Connect => "connect",
            Failure::Timeout => "timeout",
            Failure::Reset => "reset",
            _ => "other",
        };
        exchange.set_log_field("failed", Some(failed));
        match self.run(exchange, "upstream_failure", &self.config.upstream_failure) {
            End::Respond(response) => FailureAction::respond(response),
            End::Stored(key, Some(otherwise)) => FailureAction::respond_stored(key, otherwise),
            End::Stored(key, None) => FailureAction::respond_stored_or_next(key),
            _ => FailureAction::next(),
        }
    }

    fn on_log(&self, exchange: &Exchange<'_>) {
        self.run(exchange, "log", &self.config.log);
    }
}

plugin_sdk::export!(Conformance);
