//! The calls that a step can make, each with a word for what it gave.

use std::fmt::Write as _;
use std::time::Duration;

use plugin_sdk::audit::{Action, Place};
use plugin_sdk::counters::{self, Claim, Rate};
use plugin_sdk::crypto::{self, Digest, Key};
use plugin_sdk::prelude::*;
use plugin_sdk::{FieldError, Fields, calls, kv, metrics, random, secrets, time};
use serde_json::Value;

const PLACES: [Place; 6] = [
    Place::RequestBody,
    Place::RequestHeader,
    Place::RequestPath,
    Place::RequestQuery,
    Place::ResponseBody,
    Place::ResponseHeader,
];
const ACTIONS: [Action; 5] = [Action::Found, Action::Masked, Action::Blocked, Action::Pseudonymised, Action::Passed];

/// A text; `{repeat: [TEXT, TIMES]}` is a long one.
pub(crate) fn text(of: &Value) -> String {
    match &of["repeat"] {
        Value::Array(repeat) => text(&repeat[0]).repeat(number(&repeat[1])),
        _ => of.as_str().map_or_else(|| if of.is_null() { String::new() } else { of.to_string() }, str::to_owned),
    }
}

fn number(of: &Value) -> usize {
    of.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}

fn word<T>(result: Result<T, FieldError>) -> String {
    match result {
        Ok(_) => "ok",
        Err(FieldError::InvalidName) => "invalid-name",
        Err(FieldError::InvalidValue) => "invalid-value",
        Err(FieldError::NotAllowed) => "not-allowed",
        Err(FieldError::TooLarge) => "too-large",
        Err(FieldError::TooLate) => "too-late",
    }
    .to_owned()
}

fn or_none(value: Option<String>) -> String {
    value.unwrap_or_else(|| "none".to_owned())
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The fields of a part: `request`, `response`, or their `…_trailers`.
fn fields<'a>(exchange: &Exchange<'a>, part: &Value) -> Fields<'a> {
    match part.as_str() {
        Some("request_trailers") => exchange.request_trailers(),
        Some("response_trailers") => exchange.response_trailers(),
        Some("response") => *exchange.response(),
        _ => *exchange.request(),
    }
}

/// Calls that need an exchange; others are made anywhere.
pub(crate) fn make(exchange: &Exchange<'_>, call: &str, of: &Value) -> String {
    let (request, response) = (exchange.request(), exchange.response());
    let (name, value) = (text(&of[1]), text(&of[2]));
    match call {
        "get" => or_none(fields(exchange, &of[0]).header(&name)),
        "count_fields" => fields(exchange, &of[0]).header_all(&name).len().to_string(),
        "set" => word(fields(exchange, &of[0]).set_header(&name, value)),
        "append" => word(fields(exchange, &of[0]).append_header(&name, value)),
        "remove" => word(fields(exchange, &of[0]).remove_header(&name)),
        "method" => request.method(),
        "target" => request.target(),
        "authority" => request.authority(),
        "set_method" => word(request.set_method(&text(of))),
        "set_target" => word(request.set_target(&text(of))),
        "set_authority" => word(request.set_authority(&text(of))),
        "set_upstream" => exchange.set_upstream(&text(of)).map_or_else(|_| "refused".to_owned(), |()| "ok".to_owned()),
        "status" => or_none(response.status().map(|status| status.to_string())),
        "set_status" => word(response.set_status(u16::try_from(number(of)).unwrap_or(u16::MAX))),
        "property" => or_none(exchange.property(&text(of))),
        "measure" => or_none(exchange.measure(&text(of)).map(|measure| measure.to_string())),
        "set_state" => {
            let kept = exchange.set_state_bytes(text(of).as_bytes());
            if kept.is_ok() { "ok" } else { "too-large" }.to_owned()
        }
        "state" => lossy(exchange.state_bytes()),
        "begin_stream" => {
            exchange.begin_stream(text(of));
            "ok".to_owned()
        }
        "set_principal" => word(exchange.set_principal(&text(of))),
        "set_attribute" => word(exchange.set_attribute(&text(&of[0]), &name)),
        "attribute" => or_none(exchange.attribute(&text(of))),
        "set_log_field" => {
            exchange.set_log_field(&text(&of[0]), Some(name.as_str()).filter(|_| !of[1].is_null()));
            "ok".to_owned()
        }
        "store" => {
            exchange.store_response(&text(&of[0]), Duration::from_millis(of[1].as_u64().unwrap_or(60_000)));
            "ok".to_owned()
        }
        "trace" | "trace_attribute" | "span" | "note" => make_note(exchange, call, of),
        _ => make_anywhere(call, of),
    }
}

/// Calls of `trace` and `audit`.
fn make_note(exchange: &Exchange<'_>, call: &str, of: &Value) -> String {
    match call {
        "trace" => or_none(exchange.trace().map(|context| context.traceparent())),
        "trace_attribute" => word(exchange.set_trace_attribute(&text(&of[0]), text(&of[1]))),
        "span" => word(exchange.begin_span(&text(of))),
        _ => {
            // Of another word than those of the contract nothing can be told but by its name.
            let place = PLACES.iter().find(|place| place.name() == text(&of[1])).copied();
            let action = ACTIONS.iter().find(|action| action.name() == text(&of[2])).copied();
            let (Some(place), Some(action)) = (place, action) else { return "no-word".to_owned() };
            let count = u32::try_from(number(&of[3])).unwrap_or(u32::MAX);
            word(exchange.note_audit(&text(&of[0]), place, action, count))
        }
    }
}

/// Calls that `configure` can make too.
#[expect(clippy::infinite_loop, reason = "that is what it is for")]
pub(crate) fn make_anywhere(call: &str, of: &Value) -> String {
    match call {
        "kv_get" => or_none(kv::get(&text(of)).map(|entry| lossy(entry.value))),
        "kv_set" => {
            let set = kv::set(&text(&of[0]), text(&of[1]).as_bytes(), of[2].as_u64().map(Duration::from_millis));
            if set.is_ok() { "ok" } else { "too-large" }.to_owned()
        }
        "kv_delete" => {
            kv::delete(&text(of));
            "ok".to_owned()
        }
        "kv_add" => {
            let added = kv::compare_and_swap(&text(&of[0]), None, Some(text(&of[1]).as_bytes()), None);
            if added.is_ok() { "ok" } else { "taken" }.to_owned()
        }
        "take" => {
            let burst = u32::try_from(number(&of[1])).unwrap_or(u32::MAX);
            let claim = Claim::new(text(&of[0]), 1, Rate { burst, per_second: 0.000_1 });
            let allowed = counters::take(&[claim]).is_ok_and(|all| all[0].allowed);
            if allowed { "allowed" } else { "refused" }.to_owned()
        }
        "take_many" | "keys" | "random_beyond" => make_too_many(call, of),
        "add" => counters::add(&text(&of[0]), of[1].as_i64().unwrap_or(1), Duration::from_secs(3600)).to_string(),
        "secret" => or_none(secrets::get(&text(of)).map(lossy)),
        "digest" => hex(&crypto::digest(Digest::Sha256, text(of).as_bytes())),
        "mac" => match Key::from_secret(&text(&of[0])) {
            Ok(key) => hex(&key.mac(Digest::Sha256, text(&of[1]).as_bytes())),
            Err(_) => "no-key".to_owned(),
        },
        "granted" => calls::is_granted(&text(of)).to_string(),
        "call" => match calls::get(&text(&of[0]), &text(&of[1])).send() {
            Ok(answer) => format!("{}:{}", answer.status, lossy(answer.body)),
            Err(error) => error.name().to_owned(),
        },
        "random" => {
            let (one, other) = (random::bytes::<16>(), random::bytes::<16>());
            if one == other { "same" } else { "differ" }.to_owned()
        }
        "clock" => {
            let (before, unix) = (time::monotonic(), time::unix());
            let sane = time::monotonic() >= before && unix > Duration::from_secs(1_700_000_000);
            if sane { "runs" } else { "stands" }.to_owned()
        }
        "log" => {
            log::info!("{}", text(of));
            "ok".to_owned()
        }
        "count" => {
            metrics::count(&text(&of[0]), &[("label", &text(&of[1]))], 1);
            "ok".to_owned()
        }
        "panic" => panic!("told to"),
        "loop" => loop {
            std::hint::black_box(());
        },
        "grow" => {
            let kept = vec![1_u8; number(of)];
            std::hint::black_box(&kept).len().to_string()
        }
        "kv_calls" => {
            (0..number(of)).for_each(|_| drop(std::hint::black_box(kv::get("x"))));
            "ok".to_owned()
        }
        other => panic!("no such call: {other}"),
    }
}

/// Calls that are about how much of something there may be.
fn make_too_many(call: &str, of: &Value) -> String {
    match call {
        "take_many" => {
            let rate = Rate { burst: 1, per_second: 0.000_1 };
            let claims: Vec<_> = (0..number(of)).map(|at| Claim::new(at.to_string(), 1, rate)).collect();
            match counters::take(&claims) {
                Ok(all) if all.iter().all(|decision| decision.allowed) => "allowed",
                Ok(_) => "refused",
                Err(counters::TooMany) => "too-many",
            }
            .to_owned()
        }
        "keys" => {
            let jwk = r#"{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
            let keys: Vec<_> = (0..number(of)).map_while(|_| Key::from_jwk(jwk).ok()).collect();
            keys.len().to_string()
        }
        _ => random::bytes::<{ (64 << 10) + 1 }>().len().to_string(),
    }
}
