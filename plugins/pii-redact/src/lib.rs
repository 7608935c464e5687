//! Redaction of personal data in bodies, headers, queries and log fields.
//!
//! This file is the glue between the phases and [`scanner`]; the README has the config.

pub mod body;
pub mod config;
pub mod content;
pub mod decode;
pub mod deltas;
pub mod detect;
pub mod pseudonym;
pub mod reader;
pub mod replace;
mod report;
pub mod rules;
pub mod scanner;
pub mod texts;
mod vault;

use plugin_sdk::crypto::{Digest, Key};
use plugin_sdk::encoding::hex;
use plugin_sdk::prelude::*;
use plugin_sdk::{FieldError, Fields};

use body::declared::{Declared, Kind};
use body::{Body, Refused, Unreadable};
use config::{Config, Log, Settings};
use content::Format;
use replace::Pseudonyms;
use report::{Source, report};
use scanner::Outcome;
use vault::{Returning, Vault};

/// Bytes of a picture, film or document that is waited for as a whole where it could be refused.
const LARGEST_WHOLE_MEDIA: u64 = 4 << 20;

/// The plugin.
#[derive(Debug)]
pub struct PiiRedact {
    settings: Settings,
    keys: Keys,
}

/// Keys for pseudonyms by the name of their secret; the host holds the secrets themselves.
#[derive(Debug, Default)]
struct Keys(Vec<(String, Key)>);

impl Pseudonyms for Keys {
    fn pseudonym(&self, secret: &str, value: &[u8]) -> Option<String> {
        self.mac(secret, value).map(|mac| hex(&mac))
    }
}

impl Keys {
    fn mac(&self, secret: &str, message: &[u8]) -> Option<Vec<u8>> {
        let (_, key) = self.0.iter().find(|(name, _)| name == secret)?;
        Some(key.mac(Digest::Sha256, message))
    }
}

#[plugin]
impl Plugin for PiiRedact {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        let settings = config.compile().map_err(|mistakes| {
            let mut errors = ConfigErrors::new();
            mistakes.into_iter().for_each(|mistake| errors.push(mistake.pointer, mistake.message));
            errors
        })?;
        let mut keys = Keys::default();
        for (pointer, secret) in &settings.secrets {
            if keys.0.iter().all(|(name, _)| name != secret) {
                match Key::from_secret(secret) {
                    Ok(key) if key.is_symmetric() => keys.0.push((secret.clone(), key)),
                    Ok(_) => errors.push(pointer, format!("secret `{secret}` holds a public key, which makes no hash")),
                    Err(message) => errors.push(pointer, format!("secret `{secret}` can't be used: {message}")),
                }
            }
        }
        errors.result(|| Self { settings, keys })
    }

    fn on_request_headers(&self, exchange: &Exchange, end: bool) -> RequestAction {
        let vault = self.vault(exchange);
        let action = self.request_headers(exchange, &vault, end);
        vault.keep();
        action
    }

    fn on_request_body(&self, exchange: &Exchange, data: Vec<u8>, end: bool) -> ChunkAction {
        self.body(exchange, Side::Request, &data, end)
    }

    fn on_response_headers(&self, exchange: &Exchange, _end: bool) -> ResponseAction {
        let response = exchange.response();
        if self
            .headers(exchange, &response, &self.keys, &self.settings.response_headers, Source::ResponseHeader)
            .is_err()
        {
            return ResponseAction::respond(refused_response());
        }
        let restores = self.settings.rules.pseudonymises() && self.vault(exchange).is_used();
        match self.settings.response_body.then(|| self.begin(exchange, &response, restores)).flatten() {
            // Also where no body comes: the head is that of a redacted one, and the host drops the length and the validator
            // that an answer to HEAD would tell of the original.
            Some(mode) => ResponseAction::read_body(mode),
            None => ResponseAction::next(),
        }
    }

    fn on_response_body(&self, exchange: &Exchange, data: Vec<u8>, end: bool) -> ChunkAction {
        self.body(exchange, Side::Response, &data, end)
    }

    fn on_log(&self, exchange: &Exchange) {
        if self.settings.log == Log::All(false) {
            return;
        }
        for (name, value) in exchange.log_fields() {
            if matches!(&self.settings.log, Log::Named(names) if !names.contains(&name)) {
                continue;
            }
            match self.text(exchange, &self.keys, value.as_bytes(), Format::Text, Source::Log) {
                Ok(None) => {}
                Ok(Some(value)) => exchange.set_log_field(&name, Some(&String::from_utf8_lossy(&value))),
                // There is nobody to refuse it to: the value goes, the record stays.
                Err(_) => exchange.set_log_field(&name, Some("***")),
            }
        }
    }
}

/// Which message a body belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

impl Side {
    fn source(self) -> Source {
        match self {
            Self::Request => Source::RequestBody,
            Self::Response => Source::ResponseBody,
        }
    }

    fn refusal(self, refused: &Refused) -> LocalResponse {
        match (self, refused) {
            (Self::Request, Refused::Value(_)) => refused_request(),
            (Self::Request, Refused::Unreadable) => unreadable_request(),
            (Self::Response, Refused::Value(_)) => refused_response(),
            (Self::Response, Refused::Unreadable) => unreadable_response(),
        }
    }
}

impl PiiRedact {
    fn request_headers(&self, exchange: &Exchange, vault: &Vault<'_>, end: bool) -> RequestAction {
        let request = exchange.request();
        if self.headers(exchange, &request, vault, &self.settings.request.headers, Source::RequestHeader).is_err() {
            return RequestAction::respond(refused_request());
        }
        if self.settings.request.query
            && let Some((path, query)) = request.target().split_once('?')
        {
            match self.text(exchange, vault, query.as_bytes(), Format::Form, Source::Query) {
                Err(_) => return RequestAction::respond(refused_request()),
                Ok(None) => {}
                Ok(Some(query)) => match request.set_target(&format!("{path}?{}", content::canonical_query(&query))) {
                    Ok(()) => {}
                    Err(FieldError::TooLarge) => return RequestAction::respond(too_long()),
                    Err(_) => return RequestAction::respond(unreadable()),
                },
            }
        }
        let wanted = self.settings.request.body && !end;
        match wanted.then(|| self.begin(exchange, &request, false)).flatten() {
            Some(mode) => RequestAction::read_body(mode),
            None => RequestAction::next(),
        }
    }

    fn vault<'a>(&'a self, exchange: &'a Exchange<'a>) -> Vault<'a> {
        Vault::new(exchange, &self.keys, self.settings.reach)
    }

    /// Whether the body has to be there as a whole: a message that may be refused must not be begun before it is read. An
    /// event stream has no end to wait for, and pictures and films, which are known by their first bytes, may be too large.
    fn mode(&self, kind: &Kind, length: impl Fn() -> Option<u64>) -> BodyMode {
        let refuses = self.settings.rules.may_block() || self.settings.unreadable == Unreadable::Block;
        let waits = || match kind {
            Kind::Read(Format::Events) => false,
            Kind::Binary(_) => length().is_some_and(|length| length <= LARGEST_WHOLE_MEDIA),
            _ => true,
        };
        if refuses && waits() { BodyMode::Whole } else { BodyMode::Chunks }
    }

    /// Prepares for a body of this message, to which values may return; `None` where nothing of it has to be seen.
    fn begin(&self, exchange: &Exchange, fields: &Fields<'_>, restores: bool) -> Option<BodyMode> {
        let types = fields.header_all("content-type");
        let mut declared = Declared::of(types.iter().map(Vec::as_slice));
        if matches!(declared.kind, Kind::Sniffed | Kind::Plain)
            && let Some(disposition) = fields.header("content-disposition")
        {
            declared = declared.of_attachment(disposition.as_bytes());
        }
        if declared.is_unreadable() && self.settings.unreadable == Unreadable::Pass {
            return None;
        }
        let length = || fields.header("content-length").and_then(|length| length.parse().ok());
        let mode = self.mode(&declared.kind, length);
        exchange.begin_stream(Body::new(declared, self.settings.unreadable, restores));
        Some(mode)
    }

    fn body(&self, exchange: &Exchange, side: Side, data: &[u8], end: bool) -> ChunkAction {
        let rules = &self.settings.rules;
        // Without its state a body can't be read, and unread it must not pass.
        let Some(mut body) = exchange.stream::<Body>() else { return ChunkAction::Abort };
        let mut out = Vec::new();
        let vault = self.vault(exchange);
        let outcome = match side {
            Side::Request => body.push(rules, &vault, data, end, &mut out),
            Side::Response => body.push(rules, &Returning(&vault), data, end, &mut out),
        };
        vault.keep();
        report(exchange, rules, &body.take_counts(), side.source());
        match outcome {
            Ok(Outcome::Unchanged) => ChunkAction::Pass,
            Ok(Outcome::Rewritten) => ChunkAction::Replace(out),
            Err(refused) => ChunkAction::Respond(side.refusal(&refused)),
        }
    }

    /// Redacts all values of the fields; one that can't be written back is removed.
    fn headers(
        &self,
        exchange: &Exchange,
        fields: &Fields<'_>,
        pseudonyms: &impl Pseudonyms,
        names: &[String],
        source: Source,
    ) -> Result<(), Refused> {
        for name in names {
            let mut changed = false;
            let mut values = fields.header_all(name);
            for value in &mut values {
                if let Some(redacted) = self.text(exchange, pseudonyms, value, Format::Text, source)? {
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
    fn text(
        &self,
        exchange: &Exchange,
        pseudonyms: &impl Pseudonyms,
        text: &[u8],
        format: Format,
        source: Source,
    ) -> Result<Option<Vec<u8>>, Refused> {
        let mut body = Body::of_format(format);
        let mut out = Vec::new();
        let outcome = body.push(&self.settings.rules, pseudonyms, text, true, &mut out);
        report(exchange, &self.settings.rules, &body.take_counts(), source);
        Ok(match outcome? {
            Outcome::Unchanged => None,
            Outcome::Rewritten => Some(out),
        })
    }
}

fn refused_request() -> LocalResponse {
    LocalResponse::problem(403, "Forbidden", "The request holds personal data that may not be sent here.")
}

fn too_long() -> LocalResponse {
    LocalResponse::problem(414, "URI Too Long", "The target is too long once personal data in its query is replaced.")
}

fn unreadable() -> LocalResponse {
    LocalResponse::problem(
        400,
        "Bad Request",
        "The target can't be written anew without the personal data in its query.",
    )
}

fn refused_response() -> LocalResponse {
    LocalResponse::problem(502, "Bad Gateway", "The response holds personal data that may not leave.")
}

// 415 and not 403: nobody knows whether it holds personal data; in another format, the same content may be welcome.
fn unreadable_request() -> LocalResponse {
    LocalResponse::problem(
        415,
        "Unsupported Media Type",
        "The request's body, or a part of it, can't be read, so that it can't be searched for personal data that may not be sent \
         here. Send it as text, JSON, XML, CSV or a form, neither compressed nor encrypted, with the Content-Type that it has.",
    )
}

fn unreadable_response() -> LocalResponse {
    LocalResponse::problem(
        502,
        "Bad Gateway",
        "The response's body, or a part of it, can't be read, so that it can't be searched for personal data that may not leave.",
    )
}

plugin_sdk::export!(PiiRedact);
