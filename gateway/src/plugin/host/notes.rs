//! What plugins leave in an exchange: state of their own, attributes, fields of the log, and the wish to keep a response.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plugin_rules::body::{MAX_STREAM_STATE, stream_of};
use plugin_rules::fields::FieldError;
use plugin_rules::notes;

use crate::exchange::{Exchange, StoreRequest, StreamState};
use crate::memory::Budget;
use crate::phase::Phase;
use crate::sanitize::PluginField;

/// `http.state`.
pub(crate) fn state(exchange: &Exchange, of: usize) -> &[u8] {
    exchange.scratch.get(of).map(|scratch| &**scratch.state.expose()).unwrap_or_default()
}

/// `http.set-state`.
pub(crate) fn set_state(exchange: &mut Exchange, of: usize, value: Vec<u8>) -> Result<(), &'static str> {
    notes::check_state(value.len())?;
    exchange.scratch_of(of).state = Bytes::from(value).into();
    Ok(())
}

/// Takes what `http.set-stream-state` kept.
pub(crate) fn take_stream_state(exchange: &mut Exchange, of: usize, phase: Phase) -> Option<Bytes> {
    let kept = exchange.scratch.get_mut(of)?.stream(stream_of(phase)?);
    match std::mem::take(kept) {
        StreamState::Kept(bytes) => Some(bytes.into_exposed()),
        other => {
            *kept = other;
            None
        }
    }
}

/// `http.set-stream-state`.
pub(crate) fn set_stream_state(
    exchange: &mut Exchange,
    of: usize,
    phase: Phase,
    value: Vec<u8>,
    memory: &Arc<Budget>,
) -> Result<(), &'static str> {
    let stream = stream_of(phase).ok_or("set-stream-state: only in headers and body phases")?;
    let kept = exchange.scratch_of(of).stream(stream);
    // What was lost does not come back with what is kept later.
    let fits = value.len() <= MAX_STREAM_STATE && !matches!(kept, StreamState::Lost);
    let counted = fits.then(|| memory.count(value)).and_then(Result::ok);
    *kept = counted.map_or(StreamState::Lost, |bytes| StreamState::Kept(bytes.into()));
    Ok(())
}

/// `http.put-attribute`.
pub(crate) fn set_attribute(exchange: &mut Exchange, by: usize, name: &str, value: String) -> Result<(), FieldError> {
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
    notes::check_store(phase)?;
    exchange.scratch_of(by).store = Some(StoreRequest { key: key.into(), ttl });
    Ok(())
}

/// `http.set-log-field`.
pub(crate) fn set_log_field(exchange: &mut Exchange, mut field: PluginField) {
    let at = exchange.log_fields.iter().position(|known| known.name == field.name);
    if !notes::takes_log_field(field.name.expose(), exchange.log_fields.len() - usize::from(at.is_some())) {
        return;
    }
    if let Some(value) = &mut field.value {
        let others = exchange.log_fields.iter().filter(|known| known.name != field.name);
        let others = others.filter_map(|known| known.value.as_ref()).map(|value| value.expose().len()).sum();
        let kept = notes::kept_of_log_value(value.expose(), others);
        value.expose_mut().truncate(kept);
    }
    match at.and_then(|at| exchange.log_fields.get_mut(at)) {
        Some(slot) => *slot = field,
        None => exchange.log_fields.push(field),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::exchange::{ConnectionInfo, Protocol, RequestHead};
    use crate::message::FieldMap;
    use crate::message::headers::RequestId;

    #[test]
    fn what_was_lost_of_a_body_does_not_come_back_with_what_is_kept_later() {
        let request = RequestHead::new(
            Method::GET,
            "https",
            "a".to_owned(),
            http::uri::PathAndQuery::from_static("/"),
            FieldMap::new(),
        );
        let connection = ConnectionInfo::local(Protocol::Http2);
        let mut exchange = Exchange::new(RequestId::random(), connection, [192, 0, 2, 1].into(), request);
        let memory = Budget::new(1 << 20);
        let mut keep = |phase, bytes| {
            set_stream_state(&mut exchange, 0, phase, vec![b'x'; bytes], &memory).expect("a phase with a body");
            take_stream_state(&mut exchange, 0, phase).map(|kept| kept.len())
        };
        assert_eq!(keep(Phase::RequestBody, MAX_STREAM_STATE), Some(MAX_STREAM_STATE));
        assert_eq!(keep(Phase::RequestBody, MAX_STREAM_STATE + 1), None);
        assert_eq!(keep(Phase::RequestBody, 1), None);
        assert_eq!(keep(Phase::ResponseBody, 1), Some(1), "the other message has its own");
    }
}
