//! What may stand in a trailer section. A trailer comes when all has been decided by the head, and some servers merge the
//! two: so nothing that a head could not have brought may come behind it (RFC 9110 section 6.5.1).

use http::HeaderName;
use plugin_rules::class::{Direction, is_forbidden_in_trailers, same_when_folded};

use crate::message::{FieldMap, FieldName};
use crate::model::HeaderEdits;

/// Removes from a trailer section what must not stand there.
pub fn strip_trailers(trailers: &mut FieldMap, of: Direction) {
    retain(trailers, |name| !is_forbidden_in_trailers(name.expose_str(), of));
}

/// Removes what a head was not allowed to bring, or what was set in its place: the names of `barred`, and those of a
/// route's changes.
pub fn strip_barred(trailers: &mut FieldMap, barred: &[HeaderName], edits: &HeaderEdits) {
    retain(trailers, |name| !is_barred(name, barred, edits));
}

fn is_barred(name: FieldName<'_>, barred: &[HeaderName], edits: &HeaderEdits) -> bool {
    barred.iter().chain(edits.names()).any(|barred| same_when_folded(barred.as_str(), name.expose_str()))
}

fn retain(trailers: &mut FieldMap, keep: impl Fn(FieldName<'_>) -> bool) {
    trailers.retain(|name, _| keep(name));
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(names: &[&str]) -> FieldMap {
        let name = |name: &&str| HeaderName::from_bytes(name.as_bytes()).unwrap();
        names.iter().map(|text| (name(text), HeaderValue::from_static("1"))).collect()
    }

    fn left(names: &[&str], of: Direction) -> Vec<String> {
        let mut trailers = fields(names);
        strip_trailers(&mut trailers, of);
        trailers.names().map(|name| name.expose_str().to_owned()).collect()
    }

    #[test]
    fn trailers_carry_no_control_data() {
        let forbidden = [
            "content-length",
            "transfer-encoding",
            "host",
            "cdn-loop",
            "max-forwards",
            "via",
            "x-forwarded-for",
            "x-forwarded-port",
            "x-original-url",
            "authorization",
            "set-cookie",
            "cookie",
            "www-authenticate",
            "cache-control",
            "if-match",
            "if-schedule-tag-match",
            "range",
            "accept-encoding",
            "te",
            "expires",
            "location",
            "vary",
            "access-control-allow-origin",
            "content-type",
            "content-language",
            "x_forwarded_for",
            "transfer_encoding",
            "x-http-method-override",
        ];
        let allowed = [
            "grpc-status",
            "grpc-message",
            "x-checksum",
            "content-digest",
            "repr-digest",
            "etag",
            "server-timing",
            "signature",
            "signature-input",
            "my_checksum",
        ];
        for of in [Direction::Request, Direction::Response] {
            assert!(left(&forbidden, of).is_empty(), "{:?}", left(&forbidden, of));
            assert_eq!(left(&allowed, of), allowed);
        }
        // RFC 9110 section 11.6.3: a response's.
        assert_eq!(left(&["authentication-info"], Direction::Response), ["authentication-info"]);
    }

    #[test]
    fn credentials_come_in_no_trailer_of_a_request() {
        assert!(left(&["x-api-key", "x-auth-token", "x-session-id"], Direction::Request).is_empty());
        assert_eq!(left(&["x-next-page-token"], Direction::Response), ["x-next-page-token"]);
    }

    #[test]
    fn what_was_taken_off_a_head_does_not_come_back_behind_it_in_any_spelling() {
        let mut trailers = fields(&["x-user", "x_user", "x-set", "x-kept", "x.gone"]);
        let edits = HeaderEdits {
            remove: vec![HeaderName::from_static("x-gone")],
            set: vec![(HeaderName::from_static("x-set"), HeaderValue::from_static("2"))],
            ..HeaderEdits::default()
        };
        strip_barred(&mut trailers, &[HeaderName::from_static("x-user")], &edits);
        assert_eq!(trailers.names().collect::<Vec<_>>(), ["x-kept"]);
    }
}
