//! Header rules: what ends at the gateway, what may not pass it, and what it adds.
//!
//! [`HeaderRules`] is made once per configuration and holds everything that can be computed before a request comes.
//! All changes are made in place; a `HeaderMap` is never rebuilt or cloned.

mod cookie;
mod date;
mod forwarding;
mod framing;
mod hop_by_hop;
mod max_forwards;

use http::{HeaderMap, HeaderName, HeaderValue, header};

pub use cookie::join as join_cookies;
pub use date::set_date;
pub use forwarding::{Arrival, HeaderRules, Received};
pub use framing::{check_framing, check_stream_fields, check_upgrade, is_persistent};
pub use hop_by_hop::{is_forbidden_in_trailers, is_made_here, strip_hop_by_hop, strip_trailers};
pub use max_forwards::count_down as count_down_max_forwards;

use crate::config::model::HeaderEdits;

/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// `X-Real-IP`.
pub const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// `X-Request-Id`.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Whether the message is gRPC: its content type is `application/grpc`, alone or with a suffix.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    match value.as_bytes().strip_prefix(b"application/grpc") {
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    }
}

/// Applies a route's static changes: removals first, then values that replace what is there.
pub fn edit(headers: &mut HeaderMap, edits: &HeaderEdits) {
    for name in &edits.remove {
        headers.remove(name);
    }
    for (name, value) in &edits.set {
        headers.insert(name.clone(), value.clone());
    }
}

/// The size of a request's head as HTTP/2 and HTTP/3 count it (RFC 9113 section 6.5.2, RFC 9114 section 4.2.2): 32 bytes
/// for each field besides its name and value, pseudo-header fields included.
pub fn size(head: &http::request::Parts) -> usize {
    const FIELD: usize = 32;
    let uri = &head.uri;
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len() + ":authority".len() + FIELD);
    let scheme = uri.scheme_str().map_or(0, |scheme| scheme.len() + ":scheme".len() + FIELD);
    let pseudo = head.method.as_str().len() + ":method".len() + target + ":path".len() + 2 * FIELD + authority + scheme;
    head.headers.iter().fold(pseudo, |size, (name, value)| size + name.as_str().len() + value.len() + FIELD)
}

/// The bytes that the pieces of a cookie may take in that count beyond those of the whole cookie: "cookie" and what is
/// counted for a field, less the separator, for each of a thousand pieces. Browsers keep fewer for a site.
pub const COOKIE_PIECES: usize = 1024 * ("cookie".len() + 32 - "; ".len());

/// The comma-separated members of all fields of this name, trimmed, without empty ones (RFC 9110 section 5.6.1).
fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().flat_map(|value: &HeaderValue| {
        value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for (value, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_grpc(&headers), expected, "{value}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn edits_remove_and_then_set() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        headers.append("x-b", HeaderValue::from_static("3"));
        let edits = HeaderEdits {
            remove: vec![HeaderName::from_static("x-a"), HeaderName::from_static("x-b")],
            set: vec![(HeaderName::from_static("x-a"), HeaderValue::from_static("4"))],
        };
        edit(&mut headers, &edits);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-a"], "4");
    }
}
