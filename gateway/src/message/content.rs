//! Which responses have content, and which tell its length, whoever made them and over whatever protocol they go.

use http::{HeaderValue, StatusCode};

use crate::message::{FieldMap, known};

/// Whether a response of this status may have content.
pub fn is_allowed(status: StatusCode) -> bool {
    plugin_rules::response::may_have_content(status.as_u16())
}

/// Makes the fields of a response say the length that it has. RFC 9110 section 8.6: 1xx and 204 have no Content-Length, and
/// some clients refuse one. A 205 is framed as any other response (RFC 9112 section 6.3), so it says that it is empty.
/// `length`: of the content that is sent, or would be in answer to GET, where that is known.
pub fn tell_length(status: StatusCode, fields: &mut FieldMap, length: Option<u64>) {
    // RFC 9112 section 6.1: this is the connection's to say.
    fields.remove(known::TRANSFER_ENCODING);
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        fields.remove(known::CONTENT_LENGTH);
    } else if status == StatusCode::RESET_CONTENT {
        fields.insert(known::CONTENT_LENGTH, HeaderValue::from_static("0"));
    } else if let Some(length) = length
        && status != StatusCode::NOT_MODIFIED
        && !fields.contains_key(known::CONTENT_LENGTH)
    {
        fields.insert(known::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

    use super::*;

    fn told(status: u16, stated: Option<&'static str>, length: Option<u64>) -> Option<String> {
        let mut fields = FieldMap::from_iter([(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))]);
        if let Some(stated) = stated {
            fields.insert(CONTENT_LENGTH, HeaderValue::from_static(stated));
        }
        tell_length(StatusCode::from_u16(status).unwrap(), &mut fields, length);
        assert!(!fields.contains_key(TRANSFER_ENCODING));
        fields.get(CONTENT_LENGTH).map(|length| length.expose_str().unwrap().to_owned())
    }

    #[test]
    fn a_response_that_can_have_no_content_tells_no_length_of_it() {
        for status in [103, 204] {
            assert_eq!(told(status, Some("5"), Some(0)), None, "{status}");
        }
        assert_eq!(told(205, Some("5"), None).as_deref(), Some("0"));
        assert_eq!(told(304, Some("5"), Some(0)).as_deref(), Some("5"), "that of the answer to GET");
        assert_eq!(told(304, None, Some(0)), None);
        assert_eq!(told(200, None, Some(3)).as_deref(), Some("3"));
        assert_eq!(told(200, None, None), None);
    }
}
