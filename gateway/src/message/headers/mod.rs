//! Header rules: what ends at the gateway, what may not pass it, and what it adds.
//!
//! [`HeaderRules`] is made once per configuration and holds everything that can be computed before a request comes.
//! All changes are made in place; a `FieldMap` is never rebuilt or cloned.

mod cookie;
mod date;
mod forwarding;
mod framing;
mod hop_by_hop;
mod loops;
mod max_forwards;
mod request_id;
mod trailers;

use http::{HeaderName, Method, Uri};

use crate::message::{AsFieldName, FieldMap, known};

pub use cookie::join as join_cookies;
pub use date::set_date;
pub use forwarding::{Arrival, HeaderRules, Received, address};
pub use framing::{asks_for_upgrade, check_framing, check_stream_fields, check_upgrade, is_persistent};
pub use hop_by_hop::strip_hop_by_hop;
pub use loops::Hops;
pub use max_forwards::count_down as count_down_max_forwards;
use plugin_rules::class::poses;
pub use plugin_rules::class::{Direction, is_credential, is_forwarding, is_odd, same_when_folded};
pub use request_id::RequestId;
pub use trailers::{strip_barred, strip_trailers};

/// Whether fields of this name are made by the gateway itself, so that neither plugins nor the configuration may.
pub fn is_made_here(name: &HeaderName) -> bool {
    plugin_rules::class::is_made_here(name.as_str())
}

/// Whether the message is gRPC: its content type is `application/grpc`, alone or with a suffix.
pub fn is_grpc(headers: &FieldMap) -> bool {
    let Some(value) = headers.get(known::CONTENT_TYPE) else { return false };
    match value.expose().strip_prefix(b"application/grpc") {
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    }
}

/// Removes fields with odd names that some servers would take for one of these, which plugins or the route have set or
/// taken off: `x_user` beside `x-user`.
pub fn strip_lookalikes<'a>(headers: &mut FieldMap, of: impl Iterator<Item = &'a HeaderName>) {
    let names: smallvec::SmallVec<[&HeaderName; 8]> = of.collect();
    headers.retain(|name, _| !poses(name.expose_str(), names.iter().map(|name| name.as_str())));
}

/// The size of a request's head as HTTP/2 and HTTP/3 count it (RFC 9113 section 6.5.2, RFC 9114 section 4.2.2): 32 bytes
/// for each field besides its name and value, pseudo-header fields included.
pub fn size(method: &Method, uri: &Uri, fields: &FieldMap) -> usize {
    const FIELD: usize = 32;
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len() + ":authority".len() + FIELD);
    let scheme = uri.scheme_str().map_or(0, |scheme| scheme.len() + ":scheme".len() + FIELD);
    let pseudo = method.as_str().len() + ":method".len() + target + ":path".len() + 2 * FIELD + authority + scheme;
    pseudo + fields.bytes() + FIELD * fields.len()
}

/// The bytes that the pieces of a cookie may take in that count beyond those of the whole cookie: "cookie" and what is
/// counted for a field, less the separator, for each of a thousand pieces. Browsers keep fewer for a site.
pub const COOKIE_PIECES: usize = 1024 * ("cookie".len() + 32 - "; ".len());

/// The comma-separated members of all fields of this name, trimmed, without empty ones (RFC 9110 section 5.6.1).
fn members<'a>(headers: &'a FieldMap, name: &'a impl AsFieldName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).flat_map(|value| {
        value.expose().split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    })
}

/// These header fields, for tests.
#[cfg(test)]
pub(crate) fn map(fields: &[(&'static str, &str)]) -> FieldMap {
    let field = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
    fields.iter().map(field).collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use crate::message::FieldName;

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
            let mut headers = FieldMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_grpc(&headers), expected, "{value}");
        }
        assert!(!is_grpc(&FieldMap::new()));
    }

    #[test]
    fn a_name_that_poses_as_one_that_was_set_goes_and_one_that_was_set_itself_stays() {
        let mut headers = FieldMap::new();
        for name in ["x-user", "x_user", "x_role", "x_other"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        let set = ["x-user", "x_role", "x-role"].map(HeaderName::from_static);
        strip_lookalikes(&mut headers, set.iter());
        let mut left: Vec<_> = headers.names().map(FieldName::expose_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-user", "x_other", "x_role"]);
    }
}
