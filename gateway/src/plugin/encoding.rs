//! Header rules for bodies that a plugin reads: only `identity` can be read, and what describes bytes that may change
//! is dropped.

use http::HeaderValue;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderName, IF_RANGE, RANGE,
};

use crate::message::FieldMap;

/// Digests of content or representation: RFC 1864, RFC 3230, RFC 9530.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Whether the content is encoded (RFC 9110 section 8.4), so that a plugin would see gibberish.
pub(super) fn is_encoded(headers: &FieldMap) -> bool {
    headers.get_all(CONTENT_ENCODING).any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
    })
}

/// Asks for a response that plugins can read: unencoded (RFC 9110 section 12.5.3) and whole (section 14.2).
pub(super) fn ask_for_identity(request: &mut FieldMap) {
    request.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request.remove(RANGE);
    request.remove(IF_RANGE);
}

/// Drops what tells of a body that isn't sent, and that nobody knows as it would be (an answer to HEAD, a 304). What tells
/// versions apart stays: a plugin that leaves bodies as they are leaves it in answers to GET.
pub(super) fn length_is_unknown(headers: &mut FieldMap) {
    headers.remove(CONTENT_LENGTH);
    for name in &DIGESTS {
        headers.remove(name);
    }
}

/// Drops what holds only for the body as it came.
pub(super) fn body_may_change(headers: &mut FieldMap) {
    headers.remove(CONTENT_LENGTH);
    headers.remove(ETAG);
    headers.remove(ACCEPT_RANGES);
    for name in &DIGESTS {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_identity_is_readable() {
        let encoded = |value: &'static str| {
            is_encoded(&FieldMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(value))]))
        };
        assert!(!is_encoded(&FieldMap::new()));
        assert!(!encoded("identity") && !encoded("Identity, identity") && !encoded(""));
        assert!(encoded("gzip") && encoded("identity, br") && encoded("unknown"));
    }
}
