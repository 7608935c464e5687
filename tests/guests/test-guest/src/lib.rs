//! A plugin that misbehaves, or behaves, as the request header `x-do` tells it: `PHASE=VERB` or `ID/PHASE=VERB`,
//! separated by commas. Built for wasm32 and driven by the end-to-end tests.

use std::time::Duration;

use plugin_sdk::counters::{self, Claim, Rate};
use plugin_sdk::crypto::{Digest, digest};
use plugin_sdk::encoding::hex;
use plugin_sdk::kv;
use plugin_sdk::prelude::*;

#[path = "../../misbehave.rs"]
mod misbehave;
mod noted;

use misbehave::misbehave;

/// Which build this is; tests make another one by changing these bytes in the wasm binary.
const BUILD: &str = "test-guest-build-A";

/// The config of an entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    id: String,
    #[serde(default)]
    configure: Option<String>,
}

/// The plugin.
pub struct Guest(Config);

impl Guest {
    /// What to do in a phase.
    fn verbs(&self, exchange: &Exchange, phase: &str) -> Vec<String> {
        let text = exchange.request().header("x-do").unwrap_or_default();
        let mine = |word: &str| {
            let (place, verb) = word.trim().split_once('=')?;
            let (id, named) = place.split_once('/').unwrap_or((&self.0.id, place));
            (id == self.0.id && named == phase).then(|| verb.to_owned())
        };
        text.split(',').filter_map(mine).collect()
    }

    fn headers(&self, exchange: &Exchange, phase: &str) -> RequestAction {
        let mut action = RequestAction::next();
        for verb in self.verbs(exchange, phase) {
            misbehave(&verb);
            match verb.as_str() {
                "respond" => {
                    action =
                        RequestAction::respond(LocalResponse::new(299).header("x-by", self.0.id.as_str()).body("own"));
                }
                "big" => action = RequestAction::respond(LocalResponse::new(200).body(vec![b'x'; 9 << 20])),
                "stored" => {
                    action = RequestAction::respond_stored("k", LocalResponse::new(200).body(vec![b'x'; 2 << 10]))
                }
                "bad-response" => {
                    action = RequestAction::respond(LocalResponse::new(200).header("x-evil", "a\r\nx-injected: 1"));
                }
                "many-fields" => {
                    let mut response = LocalResponse::new(200);
                    for _ in 0..30_000 {
                        response = response.header("x", "1");
                    }
                    action = RequestAction::respond(response);
                }
                "own-connection" => {
                    let mut response = LocalResponse::new(200).header("x-kept", "1").body("own");
                    for name in ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"] {
                        response = response.header(name, "x-kept");
                    }
                    action = RequestAction::respond(response);
                }
                "remember" => exchange.set_state_bytes(self.0.id.as_bytes()).unwrap_or_default(),
                "recall" => {
                    let state = exchange.state_bytes();
                    exchange.response().set_header(&format!("x-state-{}", self.0.id), state).ok();
                }
                verb if verb.starts_with("answer-") => {
                    let status = verb["answer-".len()..].parse().unwrap_or(500);
                    action = RequestAction::respond(LocalResponse::new(status).body("own"));
                }
                "bad-status" => action = RequestAction::respond(LocalResponse::new(99)),
                "bad-header" => {
                    // Names that were read are known, and still nobody's to write.
                    let (length, key) = ("content-length", "authorization");
                    exchange.response().header(length);
                    exchange.request().header(key);
                    let refused = exchange.response().set_header("x-evil", "a\r\nx-injected: 1").is_err()
                        && exchange.response().set_header("bad name", "1").is_err()
                        && (0..2).all(|_| exchange.response().set_header(length, "1").is_err())
                        && (0..2).all(|_| exchange.response_trailers().set_header(key, "1").is_err());
                    exchange.response().set_header("x-refused", refused.to_string()).ok();
                }
                "chunks" => action = RequestAction::read_body(BodyMode::Chunks),
                "whole" => action = RequestAction::read_body(BodyMode::Whole),
                "kv" => {
                    let bump = |old: Option<&[u8]>| {
                        let old = old.and_then(|old| String::from_utf8_lossy(old).parse().ok()).unwrap_or(0_u32);
                        Some((old + 1).to_string().into_bytes())
                    };
                    kv::update("n", None, bump).ok();
                    let value = kv::get("n").map(|entry| entry.value).unwrap_or_default();
                    action = RequestAction::respond(LocalResponse::new(200).body(value));
                }
                "take" => {
                    let rate = Rate { burst: 50, per_second: 0.0001 };
                    let allowed = counters::take(&[Claim::new("b", 1, rate)]).is_ok_and(|all| all[0].allowed);
                    action = RequestAction::respond(LocalResponse::new(if allowed { 200 } else { 429 }));
                }
                "add" => {
                    let sum = counters::add("s", 1, Duration::from_secs(60));
                    action = RequestAction::respond(LocalResponse::new(200).body(sum.to_string()));
                }
                "tell" => log::error!("the field says {}", exchange.request().header("x-told").unwrap_or_default()),
                "tell-panic" => panic!("the field says {}", exchange.request().header("x-told").unwrap_or_default()),
                "field" => exchange.set_log_field("guest", Some("seen")),
                "retarget" => action = retarget(exchange).unwrap_or(action),
                verb => action = bounds(exchange, verb).or_else(|| noted::answer(exchange, verb)).unwrap_or(action),
            }
        }
        action
    }

    fn trail(&self, exchange: &Exchange, phase: &str) {
        let step = format!("{}:{phase}", self.0.id);
        let trail = exchange.attribute("trail").map_or(step.clone(), |trail| format!("{trail} {step}"));
        exchange.set_attribute("trail", &trail).ok();
    }

    fn body(&self, exchange: &Exchange, phase: &str, data: Vec<u8>, end: bool) -> ChunkAction {
        for verb in self.verbs(exchange, phase) {
            misbehave(&verb);
            match verb.as_str() {
                "json" => {
                    let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&data);
                    let items = parsed.ok().and_then(|list| list.as_array().map(Vec::len));
                    return ChunkAction::replace(items.map_or("no list".to_owned(), |items| items.to_string()));
                }
                "upper" => return ChunkAction::replace(data.to_ascii_uppercase()),
                "sizes" => {
                    let mut text = format!("[{}]", data.len());
                    if end {
                        text.push('.');
                    }
                    return ChunkAction::replace(text);
                }
                "big" => return ChunkAction::replace(vec![b'x'; 9 << 20]),
                "number" => {
                    let mut number = exchange.stream_or_begin(|| 0_u32);
                    *number += 1;
                    let mut text = format!("{}:", *number).into_bytes();
                    text.extend_from_slice(&data);
                    return ChunkAction::replace(text);
                }
                "hoard" => exchange.stream_or_begin(Vec::<u8>::new).extend_from_slice(&data),
                "mode" => {
                    let late = exchange.response().set_header("x-late", "1");
                    return ChunkAction::replace(format!("{:?} {late:?}", exchange.body_mode()));
                }
                "respond" => return ChunkAction::respond(LocalResponse::new(298)),
                "give" => {
                    let digest = hex(&digest(Digest::Sha256, &data));
                    return ChunkAction::replace(format!("{digest} {:?}", kv::set("body", &data, None).is_ok()));
                }
                "abort" => return ChunkAction::abort(),
                _ => {}
            }
        }
        ChunkAction::pass()
    }
}

/// Gives the request the authority and the target that it names; 400 where one of them can't be.
fn retarget(exchange: &Exchange) -> Option<RequestAction> {
    let request = exchange.request();
    let authority = request.header("x-authority").map(|authority| request.set_authority(&authority));
    let target = request.header("x-target").map(|target| request.set_target(&target));
    let refused = [authority, target].into_iter().flatten().any(|set| set.is_err());
    refused.then(|| RequestAction::respond(LocalResponse::new(400)))
}

/// What a request may bring that is too long.
fn bounds(exchange: &Exchange, verb: &str) -> Option<RequestAction> {
    let key = exchange.request().header("x-key").unwrap_or_default();
    let status = match verb {
        "limit" => {
            let rate = Rate { burst: 2, per_second: 0.0001 };
            let allowed = counters::take(&[Claim::new(key, 1, rate)]).is_ok_and(|all| all[0].allowed);
            return (!allowed).then(|| RequestAction::respond(LocalResponse::new(429)));
        }
        "keep-all" => {
            let kept = kv::set("large", &vec![b'x'; 1 << 20], None).is_ok()
                && kv::get("large").is_some_and(|entry| entry.value.len() == 1 << 20)
                && kv::set("large", &vec![b'x'; 2 << 20], None).is_err();
            if kept { 200 } else { 500 }
        }
        "name" => match exchange.set_attribute("name", &key) {
            Ok(()) => 200,
            Err(_) => 400,
        },
        "bytes" => {
            let value = exchange.request().header("x-bytes").unwrap_or("none".to_owned());
            return Some(RequestAction::respond(LocalResponse::new(200).body(value)));
        }
        _ => return None,
    };
    Some(RequestAction::respond(LocalResponse::new(status)))
}

#[plugin]
impl Plugin for Guest {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, ConfigErrors> {
        if let Some(verb) = &config.configure {
            misbehave(verb);
            if verb == "count" {
                plugin_sdk::metrics::count("configured", &[], 1);
            }
            if verb == "slow" {
                // A second and a half of work.
                let began = plugin_sdk::time::monotonic();
                while plugin_sdk::time::monotonic() - began < Duration::from_millis(1500) {
                    (0..1_000_000).for_each(|turn| {
                        std::hint::black_box(turn);
                    });
                }
            }
            if verb == "refuse" {
                return Err(ConfigErrors::at("/configure", "this is refused"));
            }
        }
        Ok(Self(config))
    }

    fn on_request_headers(&self, exchange: &Exchange, _end: bool) -> RequestAction {
        self.trail(exchange, "request");
        self.headers(exchange, "request_headers")
    }

    fn on_request_body(&self, exchange: &Exchange, data: Vec<u8>, end: bool) -> ChunkAction {
        self.body(exchange, "request_body", data, end)
    }

    fn on_response_headers(&self, exchange: &Exchange, _end: bool) -> ResponseAction {
        self.trail(exchange, "response");
        let trail = exchange.attribute("trail").unwrap_or_default();
        exchange.response().set_header("x-trail", trail).ok();
        exchange.response().set_header("x-build", std::hint::black_box(BUILD)).ok();
        self.headers(exchange, "response_headers")
    }

    fn on_response_body(&self, exchange: &Exchange, data: Vec<u8>, end: bool) -> ChunkAction {
        self.body(exchange, "response_body", data, end)
    }

    fn on_upstream_failure(&self, exchange: &Exchange, _failure: Failure) -> FailureAction {
        for verb in self.verbs(exchange, "upstream_failure") {
            misbehave(&verb);
            if verb == "respond" {
                return FailureAction::respond(LocalResponse::new(297));
            }
            if verb == "retry" {
                return FailureAction::retry();
            }
        }
        FailureAction::next()
    }

    fn on_log(&self, exchange: &Exchange) {
        for verb in self.verbs(exchange, "log") {
            misbehave(&verb);
            if verb == "field" {
                exchange.set_log_field("guest", Some("seen"));
            }
            if verb == "count" {
                plugin_sdk::metrics::count("logged", &[], 1);
                kv::update("logged", None, |_| Some(b"1".to_vec())).ok();
                exchange.set_log_field("logged", Some("yes"));
            }
        }
    }
}

plugin_sdk::export!(Guest);
