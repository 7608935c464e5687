//! What plugins leave in an exchange: state of their own, attributes, fields of the log, and the wish to keep a response.
//! Errors are breaches of bounds, which no good plugin makes.

use std::time::Duration;

use bytes::Bytes;

use super::fields::{MAX_NAME, MAX_VALUE};
use crate::exchange::{Exchange, StoreRequest};
use crate::phase::Phase;

/// `set-state`.
const MAX_STATE: usize = 64 << 10;
/// Attributes and log fields: how many, and how long an attribute may be.
const MAX_ENTRIES: usize = 64;
const MAX_ENTRY: usize = 8 << 10;
/// All log fields of an exchange together.
const MAX_LOG: usize = 512 << 10;
/// `store-response`.
const MAX_KEY: usize = 1 << 10;

/// `http.state`.
pub(crate) fn state(exchange: &Exchange, of: usize) -> &[u8] {
    exchange.scratch.get(of).map(|scratch| &*scratch.state).unwrap_or_default()
}

/// `http.set-state`.
pub(crate) fn set_state(exchange: &mut Exchange, of: usize, value: Vec<u8>) -> Result<(), &'static str> {
    if value.len() > MAX_STATE {
        return Err("set-state: at most 64 KiB");
    }
    exchange.scratch_of(of).state = Bytes::from(value);
    Ok(())
}

/// `http.set-attribute`.
pub(crate) fn set_attribute(exchange: &mut Exchange, by: usize, name: &str, value: String) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_NAME || value.len() > MAX_ENTRY {
        return Err("set-attribute: a name of 1 to 256 bytes and a value of at most 8 KiB");
    }
    if exchange.attributes.len() >= MAX_ENTRIES && exchange.attribute(name).is_none() {
        return Err("set-attribute: at most 64 attributes");
    }
    if name == "principal" {
        exchange.request.edits.principal_by = Some(by);
    }
    exchange.set_attribute(name, value);
    Ok(())
}

/// `http.store-response`.
pub(crate) fn store_response(
    exchange: &mut Exchange,
    by: usize,
    phase: Phase,
    key: String,
    ttl: Duration,
) -> Result<(), &'static str> {
    if phase != Phase::ResponseHeaders {
        return Err("store-response: only in on-response-headers");
    }
    if key.len() > MAX_KEY {
        return Err("store-response: a key of at most 1 KiB");
    }
    exchange.scratch_of(by).store = Some(StoreRequest { key, ttl });
    Ok(())
}

/// `http.set-log-field`.
pub(crate) fn set_log_field(exchange: &mut Exchange, name: String, value: Option<String>) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err("set-log-field: a name of 1 to 256 bytes");
    }
    let value = value.map(|value| fitting(value, &name, &exchange.log_fields));
    let count = exchange.log_fields.len();
    match exchange.log_fields.iter_mut().find(|(known, _)| *known == name) {
        Some((_, slot)) => *slot = value,
        None if count >= MAX_ENTRIES => return Err("set-log-field: at most 64 fields"),
        None => exchange.log_fields.push((name, value)),
    }
    Ok(())
}

/// A value as it is kept for the log. Cut, not refused: how long a value is, a request decides, and one must not be able
/// to fail the plugin that makes the value harmless. The record has less of it: it is cut once more when plugins have seen
/// it, since half of an address is not recognised as one.
fn fitting(mut value: String, name: &str, fields: &[(String, Option<String>)]) -> String {
    let others = fields.iter().filter(|(known, _)| known != name).filter_map(|(_, value)| value.as_ref());
    let room = MAX_LOG.saturating_sub(others.map(String::len).sum());
    value.truncate(value.floor_char_boundary(MAX_VALUE.min(room)));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_fields_are_bounded_each_and_together() {
        let mut fields = Vec::new();
        for name in 0..MAX_ENTRIES {
            let (name, value) = (name.to_string(), format!("a{}", "æ".repeat(MAX_VALUE)));
            let value = fitting(value, &name, &fields);
            fields.push((name, Some(value)));
        }
        let lengths: Vec<usize> = fields.iter().map(|(_, value)| value.as_ref().map_or(0, String::len)).collect();
        assert_eq!(lengths[0], MAX_VALUE - 1, "a whole character less");
        assert!(lengths.iter().sum::<usize>() <= MAX_LOG);
        let again = fitting("b".repeat(MAX_VALUE), "0", &fields);
        assert_eq!(again.len(), lengths[0], "a value in place of another one has its room");
    }
}
