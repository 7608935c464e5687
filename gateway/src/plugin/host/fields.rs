//! The fields of an exchange as plugins see and change them. Nothing that a guest hands over reaches a message unchecked.

use http::header::{HeaderName, HeaderValue};
use plugin_rules::fields::{
    Progress, check_allowed, check_name, check_room, check_writable, stays_when_not_set, trim_value,
};

pub use plugin_rules::fields::{FieldError, Part};

use crate::exchange::Exchange;
use crate::message::{AsFieldName, FieldMap};

/// The name of a field that a plugin may have in this part.
pub(crate) fn field_name(name: &str, part: Part) -> Result<HeaderName, FieldError> {
    let name = parsed_name(name)?;
    check_allowed(name.as_str(), part)?;
    Ok(name)
}

/// The name of a field.
pub(crate) fn parsed_name(name: &str) -> Result<HeaderName, FieldError> {
    // Of names that are names, `http` refuses only what is very long.
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| check_name(name).err().unwrap_or(FieldError::TooLarge))
}

/// The value of a field.
pub(crate) fn field_value(value: &[u8]) -> Result<HeaderValue, FieldError> {
    HeaderValue::from_bytes(trim_value(value)?).map_err(|_| FieldError::InvalidValue)
}

/// Remembers that the plugin at this place is about to change the fields of this name, whether there are any or not: no
/// trailer may bring them back.
fn note_edit(exchange: &mut Exchange, by: usize, part: Part, name: &HeaderName) {
    match (part, &mut exchange.response) {
        (Part::Request, _) => exchange.request.edited(name, by),
        (Part::Response, Some(response)) if !response.barred.expose().contains(name) => {
            response.barred.expose_mut().push(name.clone());
        }
        _ => {}
    }
}

/// Whether the part has room for a value more; `replacing`: it takes the place of those of this name.
fn room(headers: &FieldMap, more: usize, replacing: Option<&HeaderName>) -> Result<(), FieldError> {
    let replaces = || replacing.is_some_and(|name| headers.contains_key(name));
    let bytes = || headers.bytes();
    check_room(headers.len(), more, replaces, bytes)
}

/// The fields of a part; `None` where there is none (yet).
pub(crate) fn fields(exchange: &Exchange, part: Part) -> Option<&FieldMap> {
    match part {
        Part::Request => Some(&exchange.request.headers),
        Part::RequestTrailers => exchange.request.trailers.as_ref(),
        Part::Response => exchange.response.as_ref().map(|response| &response.headers),
        Part::ResponseTrailers => exchange.response.as_ref().and_then(|response| response.trailers.as_ref()),
    }
}

/// The fields of a part that can still be changed.
fn fields_mut(exchange: &mut Exchange, part: Part) -> Result<&mut FieldMap, FieldError> {
    let response = exchange.response.as_ref();
    check_writable(
        part,
        Progress {
            request_sent: exchange.request.sent,
            has_response: response.is_some(),
            response_sent: response.is_some_and(|response| response.sent),
        },
    )?;
    let (request, response) = (&mut exchange.request, exchange.response.as_mut());
    match part {
        Part::Request => Ok(&mut request.headers),
        Part::RequestTrailers => Ok(request.trailers.get_or_insert_default()),
        Part::Response => response.map(|response| &mut response.headers).ok_or(FieldError::NotAllowed),
        Part::ResponseTrailers => {
            response.map(|response| response.trailers.get_or_insert_default()).ok_or(FieldError::NotAllowed)
        }
    }
}

/// `http.get`.
pub(crate) fn get(exchange: &Exchange, part: Part, name: impl AsFieldName) -> Option<Vec<u8>> {
    fields(exchange, part)?.get(name).map(|value| value.expose().to_vec())
}

/// `http.set`.
pub(crate) fn set(
    exchange: &mut Exchange,
    by: usize,
    part: Part,
    name: Result<HeaderName, FieldError>,
    value: Result<HeaderValue, FieldError>,
) -> Result<(), FieldError> {
    let fields = fields_mut(exchange, part)?;
    let name = name?;
    check_allowed(name.as_str(), part)?;
    let value = value.and_then(|value| room(fields, value.len(), Some(&name)).map(|()| value));
    if value.is_err() && stays_when_not_set(part) {
        return value.map(drop);
    }
    note_edit(exchange, by, part, &name);
    let fields = fields_mut(exchange, part)?;
    match value {
        Ok(value) => {
            fields.insert(name, value);
            Ok(())
        }
        Err(error) => {
            fields.remove(&name);
            Err(error)
        }
    }
}

/// `http.append`.
pub(crate) fn append(
    exchange: &mut Exchange,
    by: usize,
    part: Part,
    name: &str,
    value: &[u8],
) -> Result<(), FieldError> {
    let fields = fields_mut(exchange, part)?;
    let (name, value) = (field_name(name, part)?, field_value(value)?);
    room(fields, value.len(), None)?;
    // What is there stays, so a response's trailers may go on bringing more of it.
    if part == Part::Request {
        note_edit(exchange, by, part, &name);
    }
    fields_mut(exchange, part)?.append(&name, value);
    Ok(())
}

/// `http.remove`.
pub(crate) fn remove(exchange: &mut Exchange, by: usize, part: Part, name: &str) -> Result<(), FieldError> {
    if fields(exchange, part).is_none() {
        return Ok(());
    }
    fields_mut(exchange, part)?;
    let name = field_name(name, part)?;
    note_edit(exchange, by, part, &name);
    fields_mut(exchange, part)?.remove(&name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use plugin_rules::fields::{MAX_FIELDS, MAX_NAME, is_token, is_value};
    use proptest::prelude::*;

    use super::*;
    use crate::exchange::{ConnectionInfo, Protocol, RequestHead, ResponseHead};
    use crate::message::headers::RequestId;

    #[test]
    fn names_are_read_without_regard_to_case_and_refused_as_the_rules_say() {
        assert_eq!(field_name("X-Mixed", Part::Response).unwrap(), "x-mixed");
        assert_eq!(field_name("Host", Part::Request), Err(FieldError::NotAllowed));
        assert_eq!(field_name("authorization", Part::RequestTrailers), Err(FieldError::NotAllowed));
        let long = [("x".repeat(MAX_NAME + 1), false), ("x".repeat(1 << 17), true), ("x y".repeat(MAX_NAME), true)];
        for (long, invalid) in long {
            assert_eq!(field_name(&long, Part::Request), Err(FieldError::TooLarge));
            assert_eq!(parsed_name(&long).is_err(), invalid, "one that a client sent can be read");
        }
        assert_eq!(field_value(b" padded ").unwrap(), "padded");
    }

    #[test]
    fn a_value_in_place_of_another_one_needs_no_room() {
        let mut headers = FieldMap::new();
        for index in 0..MAX_FIELDS {
            assert!(room(&headers, 1, None).is_ok());
            headers.append("x", HeaderValue::from(index));
        }
        let [here, elsewhere] = ["x", "y"].map(HeaderName::from_static);
        assert_eq!(room(&headers, 1, Some(&here)), Ok(()));
        assert_eq!(room(&headers, 1, Some(&elsewhere)), Err(FieldError::TooLarge));
    }

    #[test]
    fn a_field_of_the_request_that_can_not_be_set_is_not_the_clients_either() {
        let name = HeaderName::from_static("x-user");
        let client =
            || [(name.clone(), HeaderValue::from_static("mallory"))].into_iter().collect::<http::HeaderMap>().into();
        let request = RequestHead::new(
            http::Method::GET,
            "https",
            "a".to_owned(),
            http::uri::PathAndQuery::from_static("/"),
            client(),
        );
        let connection = ConnectionInfo::local(Protocol::Http2);
        let mut exchange = Exchange::new(RequestId::random(), connection, [192, 0, 2, 1].into(), request);
        exchange.response = Some(ResponseHead::new(http::StatusCode::OK, client()));
        for part in [Part::Request, Part::Response] {
            let refused = set(&mut exchange, 0, part, Ok(name.clone()), field_value(b"a\r\nb"));
            assert_eq!(refused, Err(FieldError::InvalidValue));
        }
        assert_eq!(get(&exchange, Part::Request, &name), None);
        assert!(exchange.request.field_edits().iter().any(|edit| edit.name == name), "no trailer brings it back");
        assert_eq!(get(&exchange, Part::Response, &name).as_deref(), Some(&b"mallory"[..]), "the upstream's own stays");
    }

    proptest! {
        /// `http` makes the gateway's names and values, the rules alone those of the SDK's test host.
        #[test]
        fn what_is_a_name_and_a_value_is_the_same_for_both(name in "[ -~\\x00-\\x20æ]{0,3}", value in any::<Vec<u8>>()) {
            prop_assert_eq!(HeaderName::from_bytes(name.as_bytes()).is_ok(), is_token(&name));
            prop_assert_eq!(http::Method::from_bytes(name.as_bytes()).is_ok(), is_token(&name));
            prop_assert_eq!(HeaderValue::from_bytes(&value).is_ok(), is_value(&value));
        }
    }
}
