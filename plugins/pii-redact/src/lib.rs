//! Redaction of personal data in bodies, headers, queries and log fields.
//!
//! This file is the glue between the phases and [`scanner`]; the README has the config.

pub mod config;
pub mod content;
pub mod decode;
pub mod detect;
pub mod replace;
pub mod rules;
pub mod scanner;

use plugin_sdk::crypto::{Digest, Key};
use plugin_sdk::metrics;
use plugin_sdk::prelude::*;

use config::{Config, Log, Settings};
use content::Format;
use replace::Pseudonyms;
use rules::{Action, Rules};
use scanner::{Blocked, Outcome, Scanner};

/// The plugin.
#[derive(Debug)]
pub struct PiiRedact {
    settings: Settings,
    keys: Keys,
    request: StreamSlot<Scanner>,
    response: StreamSlot<Scanner>,
}

/// Keys for pseudonyms by the name of their secret; the host holds the secrets themselves.
#[derive(Debug, Default)]
struct Keys(Vec<(String, Key)>);

impl Pseudonyms for Keys {
    fn pseudonym(&self, secret: &str, value: &[u8]) -> Option<String> {
        let (_, key) = self.0.iter().find(|(name, _)| name == secret)?;
        let mac = key.mac(Digest::Sha256, value);
        (!mac.is_empty()).then(|| mac.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Plugin for PiiRedact {
    const PHASES: Phases = Phases::REQUEST_HEADERS
        .and(Phases::REQUEST_BODY)
        .and(Phases::RESPONSE_HEADERS)
        .and(Phases::RESPONSE_BODY)
        .and(Phases::LOG);
    type Config = Config;

    fn configure(config: Config) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        let settings = config.compile().map_err(|mistakes| {
            let mut errors = ConfigErrors::new();
            mistakes.into_iter().for_each(|mistake| errors.push(mistake.pointer, mistake.message));
            errors
        })?;
        let mut keys = Keys::default();
        for action in (0..settings.rules.categories()).filter_map(|index| settings.rules.action_at(index)) {
            if let Action::Hash { secret } = action
                && keys.0.iter().all(|(name, _)| name != secret)
            {
                match Key::from_secret(secret) {
                    Ok(key) => keys.0.push((secret.clone(), key)),
                    Err(message) => errors.push("/categories", format!("secret `{secret}` can't be used: {message}")),
                }
            }
        }
        errors.result(|| Self { settings, keys, request: StreamSlot::new(), response: StreamSlot::new() })
    }

    fn on_request_headers(&self, exchange: &Exchange, end: bool) -> RequestAction {
        let request = exchange.request();
        if self.headers(exchange, &request, &self.settings.request.headers, "request-header").is_err() {
            return RequestAction::respond(refused_request());
        }
        if self.settings.request.query
            && let Some((path, query)) = request.target().split_once('?')
        {
            match self.text(exchange, query.as_bytes(), Format::Form, "query") {
                Err(_) => return RequestAction::respond(refused_request()),
                Ok(None) => {}
                Ok(Some(query)) => {
                    let target = format!("{path}?{}", String::from_utf8_lossy(&query));
                    if request.set_target(&target).is_err() {
                        return RequestAction::respond(refused_request());
                    }
                }
            }
        }
        let format = request.header("content-type").and_then(|value| Format::of(&value));
        match format {
            Some(format) if self.settings.request.body && !end => {
                self.request.begin(Scanner::new(format));
                RequestAction::read_body(self.body_mode(format))
            }
            _ => RequestAction::next(),
        }
    }

    fn on_request_body(&self, exchange: &Exchange, data: Vec<u8>, end: bool) -> ChunkAction {
        self.body(exchange, &self.request, &data, end, "request-body", refused_request)
    }

    fn on_response_headers(&self, exchange: &Exchange, end: bool) -> ResponseAction {
        let response = exchange.response();
        if self.headers(exchange, &response, &self.settings.response_headers, "response-header").is_err() {
            return ResponseAction::respond(refused_response());
        }
        let format = response.header("content-type").and_then(|value| Format::of(&value));
        match format {
            Some(format) if self.settings.response_body && !end => {
                self.response.begin(Scanner::new(format));
                ResponseAction::read_body(self.body_mode(format))
            }
            _ => ResponseAction::next(),
        }
    }

    fn on_response_body(&self, exchange: &Exchange, data: Vec<u8>, end: bool) -> ChunkAction {
        self.body(exchange, &self.response, &data, end, "response-body", refused_response)
    }

    fn on_log(&self, exchange: &Exchange) {
        if self.settings.log == Log::All(false) {
            return;
        }
        for (name, value) in exchange.log_fields() {
            if matches!(&self.settings.log, Log::Named(names) if !names.contains(&name)) {
                continue;
            }
            match self.text(exchange, value.as_bytes(), Format::Text, "log") {
                Ok(None) => {}
                Ok(Some(value)) => exchange.set_log_field(&name, Some(&String::from_utf8_lossy(&value))),
                // There is nobody to refuse it to: the value goes, the record stays.
                Err(_) => exchange.set_log_field(&name, Some("***")),
            }
        }
    }
}

impl PiiRedact {
    /// A message that may be refused must not be begun before it is read. An event stream has no end to wait for.
    fn body_mode(&self, format: Format) -> BodyMode {
        if self.settings.rules.may_block() && format != Format::Events { BodyMode::Whole } else { BodyMode::Chunks }
    }

    fn body(
        &self,
        exchange: &Exchange,
        slot: &StreamSlot<Scanner>,
        data: &[u8],
        end: bool,
        place: &str,
        refusal: fn() -> LocalResponse,
    ) -> ChunkAction {
        let rules = &self.settings.rules;
        let scanned = slot.with(|scanner| {
            let mut out = Vec::with_capacity(data.len());
            let outcome = scanner.push(rules, &self.keys, data, end, &mut out);
            if end || outcome.is_err() {
                report(exchange, rules, scanner.counts(), place);
            }
            (outcome, out)
        });
        match scanned {
            // Without its state a body can't be read, and unread it must not pass.
            None => ChunkAction::Abort,
            Some((Ok(Outcome::Unchanged), _)) => ChunkAction::Pass,
            Some((Ok(Outcome::Rewritten), out)) => ChunkAction::Replace(out),
            Some((Err(_), _)) => ChunkAction::Respond(refusal()),
        }
    }

    /// Redacts all values of the fields; one that can't be written back is removed.
    fn headers(
        &self,
        exchange: &Exchange,
        fields: &plugin_sdk::Fields<'_>,
        names: &[String],
        place: &str,
    ) -> Result<(), Blocked> {
        for name in names {
            let mut changed = false;
            let mut values = fields.header_all(name);
            for value in &mut values {
                if let Some(redacted) = self.text(exchange, value, Format::Text, place)? {
                    *value = redacted;
                    changed = true;
                }
            }
            if changed && fields.remove_header(name).is_ok() {
                for value in values {
                    if fields.append_header(name, &value).is_err() {
                        log::warn!("a redacted value of {name} is no header value; it was removed");
                    }
                }
            }
        }
        Ok(())
    }

    /// Redacts a value that is there as a whole; `None` where it stays as it is.
    fn text(&self, exchange: &Exchange, text: &[u8], format: Format, place: &str) -> Result<Option<Vec<u8>>, Blocked> {
        let mut scanner = Scanner::new(format);
        let mut out = Vec::new();
        let outcome = scanner.push(&self.settings.rules, &self.keys, text, true, &mut out);
        report(exchange, &self.settings.rules, scanner.counts(), place);
        Ok(match outcome? {
            Outcome::Unchanged => None,
            Outcome::Rewritten => Some(out),
        })
    }
}

/// Tells metrics and attributes what was found: names of categories and numbers, never a value.
fn report(exchange: &Exchange, rules: &Rules, counts: &[u32], place: &str) {
    let mut sum = 0;
    let known = exchange.attribute("pii.categories").unwrap_or_default();
    let mut names: Vec<&str> = known.split(',').filter(|name| !name.is_empty()).collect();
    for (index, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let name = rules.name(index);
        metrics::count("pii_redacted_total", &[("category", name), ("where", place)], u64::from(count));
        sum += u64::from(count);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if sum > 0 {
        let before = exchange.attribute("pii.count").and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
        exchange.set_attribute("pii.count", &(before + sum).to_string());
        exchange.set_attribute("pii.categories", &names.join(","));
    }
}

fn refused_request() -> LocalResponse {
    LocalResponse::problem(403, "Forbidden", "The request holds personal data that may not be sent here.")
}

fn refused_response() -> LocalResponse {
    LocalResponse::problem(502, "Bad Gateway", "The response holds personal data that may not leave.")
}

plugin_sdk::export!(PiiRedact);
