//! The rules for bodies that a plugin reads (`plugin_rules::body`), on the fields of a message.

use std::sync::LazyLock;

use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, HeaderName};
use plugin_rules::body::{ASKS_FOR_OTHER_BYTES, LENGTH_AND_DIGESTS, OF_THE_BYTES, is_encoded};

use crate::message::{FieldMap, FieldValue, known};

static DESCRIPTION: LazyLock<[HeaderName; 7]> = LazyLock::new(|| OF_THE_BYTES.map(HeaderName::from_static));
static DEMANDS: LazyLock<[HeaderName; 3]> = LazyLock::new(|| ASKS_FOR_OTHER_BYTES.map(HeaderName::from_static));

/// Whether the content is encoded, so that a plugin would see gibberish.
pub(super) fn says_encoded(headers: &FieldMap) -> bool {
    is_encoded(headers.get_all(&known::CONTENT_ENCODING).map(FieldValue::as_bytes))
}

/// Asks for a response that plugins can read: unencoded and whole.
pub(super) fn ask_for_identity(request: &mut FieldMap) {
    for name in &*DEMANDS {
        request.remove(name);
    }
    request.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Drops what tells of a body that isn't sent, and that nobody knows as it would be.
pub(super) fn length_is_unknown(headers: &mut FieldMap) {
    for name in DESCRIPTION.iter().take(LENGTH_AND_DIGESTS) {
        headers.remove(name);
    }
}

/// Drops what holds only for the body as it came.
pub(super) fn body_may_change(headers: &mut FieldMap) {
    for name in &*DESCRIPTION {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_before_is_not_asked_for_any_more() {
        let name = |name: &&'static str| HeaderName::from_static(name);
        let all = |names: &[&'static str]| -> FieldMap {
            names.iter().map(|text| (name(text), HeaderValue::from_static("1"))).collect()
        };
        let mut request = all(&["accept-encoding", "range", "if-range", "accept"]);
        ask_for_identity(&mut request);
        assert_eq!((request.len(), request.text(ACCEPT_ENCODING)), (2, "identity"));
        let mut response = all(&["content-length", "repr-digest", "etag", "content-encoding"]);
        assert!(says_encoded(&response));
        length_is_unknown(&mut response);
        assert_eq!(response.len(), 2);
        body_may_change(&mut response);
        assert_eq!(response.names().collect::<Vec<_>>(), ["content-encoding"]);
    }
}
