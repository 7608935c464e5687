//! A response that a plugin makes, checked.

use http::StatusCode;
use plugin_rules::response::{INVALID_VALUE, check_size, is_status, on_refused_name};

use super::fields::{FieldError, Part, field_name, field_value};
use crate::exchange::Exchange;
use crate::message::FieldMap;
use crate::plugin::call::Field;

/// The fields of a response that a plugin makes, under the bounds of a part. Those that the gateway makes itself are
/// dropped.
pub(crate) fn response_fields(fields: Vec<Field>) -> Result<FieldMap, &'static str> {
    let bytes: usize = fields.iter().map(|field| field.name.len() + field.value.len()).sum();
    check_size(fields.len(), bytes)?;
    let mut headers = FieldMap::new();
    for Field { name, value } in fields {
        match field_name(&name, Part::Response) {
            Ok(name) => {
                headers.append(name, field_value(&value).map_err(|_| INVALID_VALUE)?);
            }
            Err(error) => on_refused_name(&name, error).map_or(Ok(()), Err)?,
        }
    }
    Ok(headers)
}

/// The status of a response that goes to the client in full: no interim one.
pub(crate) fn response_status(code: u16) -> Result<StatusCode, FieldError> {
    match StatusCode::from_u16(code) {
        Ok(status) if is_status(code) => Ok(status),
        _ => Err(FieldError::InvalidValue),
    }
}

/// `http.set-status`.
pub(crate) fn set_status(exchange: &mut Exchange, code: u16) -> Result<(), FieldError> {
    let response = exchange.response.as_mut().ok_or(FieldError::NotAllowed)?;
    if response.sent {
        return Err(FieldError::TooLate);
    }
    response.status = response_status(code)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use plugin_rules::fields::MAX_FIELDS;

    use super::*;

    #[test]
    fn a_made_response_has_the_bounds_of_a_part_and_no_framing_of_its_own() {
        let field = |name: &str, value: &[u8]| Field { name: name.to_owned(), value: value.to_vec() };
        let many = vec![field("x", b"1"); 30_000];
        assert!(response_fields(many).is_err(), "more than a header map can hold");
        assert!(response_fields(vec![field("x", b"1"); MAX_FIELDS]).is_ok());
        assert!(response_fields(vec![field("x", &[b'a'; 60 << 10]); 5]).is_err(), "too many bytes in sum");
        for (name, value) in [("x", &b"a\r\nb: c"[..]), ("a b", b""), (":status", b"200")] {
            assert!(response_fields(vec![field(name, value)]).is_err(), "{name}");
        }
        let owned = ["connection", "Content-Length", "keep-alive", "upgrade", "te", "trailer", "proxy-connection"];
        let mut fields: Vec<_> = owned.iter().map(|name| field(name, b"1")).collect();
        fields.push(field("x-kept", b"1"));
        assert_eq!(response_fields(fields).unwrap().names().collect::<Vec<_>>(), ["x-kept"]);
    }
}
