//! Joins the pieces of a cookie: HTTP/2 and HTTP/3 may split it for compression, and some clients do over HTTP/1, but
//! everything behind the gateway expects one field (RFC 9113 section 8.2.3, RFC 9114 section 4.2.1).

use http::HeaderValue;

use crate::message::{FieldMap, known};

/// Makes one Cookie field of several. What counts fields, or bytes of them, counts afterwards.
pub fn join(headers: &mut FieldMap) {
    let mut fields = headers.get_all(&known::COOKIE);
    let (Some(first), Some(second)) = (fields.next(), fields.next()) else { return };
    let mut joined = first.expose().to_vec();
    for field in [second].into_iter().chain(fields) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(field.expose());
    }
    // Valid values stay valid when they are joined with visible characters.
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        headers.insert(known::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use crate::message::FieldValue;

    use super::*;

    fn joined(fields: &[&'static str]) -> Vec<HeaderValue> {
        let mut headers = FieldMap::new();
        for field in fields {
            headers.append(header::COOKIE, HeaderValue::from_static(field));
        }
        join(&mut headers);
        headers.get_all(&header::COOKIE).map(FieldValue::to_header_value).collect()
    }

    #[test]
    fn crumbs_become_one_field_in_their_order() {
        assert_eq!(joined(&["a=1", "b=2; c=3", "a=4"]), ["a=1; b=2; c=3; a=4"]);
        assert_eq!(joined(&["a=1"]), ["a=1"]);
        assert!(joined(&[]).is_empty());
    }
}
