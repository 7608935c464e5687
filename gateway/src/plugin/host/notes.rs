//! What plugins leave in an exchange: state of their own, attributes, fields of the log, and the wish to keep a response.
//! Errors are breaches of bounds, which no good plugin makes.

use std::time::Duration;

use bytes::Bytes;
use plugin_rules::notes;

use crate::exchange::{Exchange, StoreRequest};
use crate::phase::Phase;

/// `http.state`.
pub(crate) fn state(exchange: &Exchange, of: usize) -> &[u8] {
    exchange.scratch.get(of).map(|scratch| &*scratch.state).unwrap_or_default()
}

/// `http.set-state`.
pub(crate) fn set_state(exchange: &mut Exchange, of: usize, value: Vec<u8>) -> Result<(), &'static str> {
    notes::check_state(value.len())?;
    exchange.scratch_of(of).state = Bytes::from(value);
    Ok(())
}

/// `http.set-attribute`.
pub(crate) fn set_attribute(exchange: &mut Exchange, by: usize, name: &str, value: String) -> Result<(), &'static str> {
    notes::check_attribute(name, &value, exchange.attributes.len(), || exchange.attribute(name).is_some())?;
    if name == notes::PRINCIPAL {
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
    notes::check_store(phase, &key)?;
    exchange.scratch_of(by).store = Some(StoreRequest { key, ttl });
    Ok(())
}

/// `http.set-log-field`.
pub(crate) fn set_log_field(exchange: &mut Exchange, name: String, value: Option<String>) -> Result<(), &'static str> {
    let at = exchange.log_fields.iter().position(|(known, _)| *known == name);
    notes::check_log_field(&name, exchange.log_fields.len() - usize::from(at.is_some()))?;
    let value = value.map(|mut value| {
        let others = exchange.log_fields.iter().filter(|(known, _)| *known != name);
        let others = others.filter_map(|(_, value)| value.as_ref()).map(String::len).sum();
        value.truncate(notes::kept_of_log_value(&value, others));
        value
    });
    match at.and_then(|at| exchange.log_fields.get_mut(at)) {
        Some((_, slot)) => *slot = value,
        None => exchange.log_fields.push((name, value)),
    }
    Ok(())
}
