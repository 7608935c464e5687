//! The fields of an exchange as plugins see and change them. Nothing that a guest hands over reaches a message unchecked.

use http::header::{AsHeaderName, HeaderName, HeaderValue};

use crate::exchange::Exchange;
use crate::message::FieldMap;
use crate::message::headers::{self, Direction};

/// Fields of one part.
pub(super) const MAX_FIELDS: usize = 256;
/// Bytes of one value.
pub(super) const MAX_VALUE: usize = 64 << 10;
/// Bytes of one part, looked at when a long value comes.
pub(super) const MAX_PART: usize = 256 << 10;
/// Bytes of a name: of a field, an attribute, a field of the log.
pub(super) const MAX_NAME: usize = 256;

/// The part of an exchange that fields belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The request's head.
    Request,
    /// What comes after its body.
    RequestTrailers,
    /// The response's head.
    Response,
    /// What comes after its body.
    ResponseTrailers,
}

/// Why a plugin can't have what it wants: a mistake that a good plugin can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// Not the name of a field.
    InvalidName,
    /// Not a value.
    InvalidValue,
    /// The gateway's own, or not in this part or phase.
    NotAllowed,
    /// Over a bound.
    TooLarge,
    /// The head is on its way already.
    TooLate,
}

/// The name of a field that a plugin may have in this part.
pub(crate) fn field_name(name: &str, part: Part) -> Result<HeaderName, FieldError> {
    let name = parsed_name(name)?;
    allowed_name(&name, part)?;
    Ok(name)
}

/// The name of a field.
pub(crate) fn parsed_name(name: &str) -> Result<HeaderName, FieldError> {
    if name.starts_with(':') {
        return Err(FieldError::NotAllowed);
    }
    let error = || if name.len() > MAX_NAME { FieldError::TooLarge } else { FieldError::InvalidName };
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| error())
}

/// Refuses names that are too long, and fields that the gateway makes itself.
fn allowed_name(name: &HeaderName, part: Part) -> Result<(), FieldError> {
    if name.as_str().len() > MAX_NAME {
        return Err(FieldError::TooLarge);
    }
    let trailers = match part {
        Part::RequestTrailers => Some(Direction::Request),
        Part::ResponseTrailers => Some(Direction::Response),
        Part::Request | Part::Response => None,
    };
    if headers::is_made_here(name) || trailers.is_some_and(|of| headers::is_forbidden_in_trailers(name, of)) {
        return Err(FieldError::NotAllowed);
    }
    Ok(())
}

/// The value of a field.
pub(crate) fn field_value(value: &[u8]) -> Result<HeaderValue, FieldError> {
    if value.len() > MAX_VALUE {
        return Err(FieldError::TooLarge);
    }
    // RFC 9110 section 5.5: no CR, LF or NUL, and no space at either end; `HeaderValue` refuses the first three.
    HeaderValue::from_bytes(value.trim_ascii()).map_err(|_| FieldError::InvalidValue)
}

/// Remembers that the plugin at this place is about to change the fields of this name, whether there are any or not: no
/// trailer may bring them back.
fn note_edit(exchange: &mut Exchange, by: usize, part: Part, name: &HeaderName) {
    match (part, &mut exchange.response) {
        (Part::Request, _) => exchange.request.edited(name, by),
        (Part::Response, Some(response)) if !response.barred.contains(name) => response.barred.push(name.clone()),
        _ => {}
    }
}

/// Whether the part has room for a value more; `replacing`: it takes the place of those of this name.
fn room(headers: &FieldMap, more: usize, replacing: Option<&HeaderName>) -> Result<(), FieldError> {
    if headers.len() >= MAX_FIELDS && !replacing.is_some_and(|name| headers.contains_key(name)) {
        return Err(FieldError::TooLarge);
    }
    if more > 1024 {
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes + more > MAX_PART {
            return Err(FieldError::TooLarge);
        }
    }
    Ok(())
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
    match part {
        Part::Request if exchange.request.sent => Err(FieldError::TooLate),
        Part::Request => Ok(&mut exchange.request.headers),
        Part::RequestTrailers => Ok(exchange.request.trailers.get_or_insert_default()),
        Part::Response | Part::ResponseTrailers => {
            let response = exchange.response.as_mut().ok_or(FieldError::NotAllowed)?;
            match part {
                Part::ResponseTrailers => Ok(response.trailers.get_or_insert_default()),
                _ if response.sent => Err(FieldError::TooLate),
                _ => Ok(&mut response.headers),
            }
        }
    }
}

/// `http.get`.
pub(crate) fn get(exchange: &Exchange, part: Part, name: impl AsHeaderName) -> Option<Vec<u8>> {
    fields(exchange, part)?.get(name).map(|value| value.as_bytes().to_vec())
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
    allowed_name(&name, part)?;
    let value = value?;
    room(fields, value.len(), Some(&name))?;
    note_edit(exchange, by, part, &name);
    fields_mut(exchange, part)?.insert(name, value);
    Ok(())
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
    use super::*;

    #[test]
    fn header_splitting_is_refused() {
        for value in [&b"a\r\nset-cookie: x"[..], b"a\nb", b"a\0b"] {
            assert_eq!(field_value(value), Err(FieldError::InvalidValue));
        }
        assert_eq!(field_value(b" padded ").unwrap(), "padded");
        for name in ["a b", "a\r\n", "", "æ"] {
            assert_eq!(field_name(name, Part::Request), Err(FieldError::InvalidName), "{name:?}");
        }
        for (long, invalid) in [("x".repeat(MAX_NAME + 1), false), ("x y".repeat(MAX_NAME), true)] {
            assert_eq!(field_name(&long, Part::Request), Err(FieldError::TooLarge));
            assert_eq!(parsed_name(&long).is_err(), invalid, "one that a client sent can be read");
        }
        for name in [":path", "Host", "content-length", "Transfer-Encoding", "connection", "upgrade"] {
            assert_eq!(field_name(name, Part::Request), Err(FieldError::NotAllowed), "{name:?}");
        }
        assert_eq!(field_name("X-Mixed", Part::Response).unwrap(), "x-mixed");
        assert_eq!(field_name("authorization", Part::RequestTrailers), Err(FieldError::NotAllowed));
    }

    #[test]
    fn a_part_has_bounds() {
        let mut headers = FieldMap::new();
        for index in 0..MAX_FIELDS {
            assert!(room(&headers, 1, None).is_ok());
            headers.append("x", HeaderValue::from(index));
        }
        assert_eq!(room(&headers, 1, None), Err(FieldError::TooLarge));
        let [here, elsewhere] = ["x", "y"].map(HeaderName::from_static);
        assert_eq!(room(&headers, 1, Some(&here)), Ok(()), "a value in place of another one needs no room");
        assert_eq!(room(&headers, 1, Some(&elsewhere)), Err(FieldError::TooLarge));
        assert_eq!(field_value(&vec![b'a'; MAX_VALUE + 1]), Err(FieldError::TooLarge));
    }
}
