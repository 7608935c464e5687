//! Removes the fields that end at this hop (RFC 9110 section 7.6.1).

use http::{HeaderName, HeaderValue, header};
use plugin_rules::class::{Class, class, ends_at_this_hop, is_needed, is_trailers};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::members;
use crate::message::FieldMap;

/// Removes hop-by-hop fields of a request or a response in place: those that Connection lists, and the known ones. Gives
/// the listed names that trailers could bring as well: the rule holds for "any header or trailer fields" of that name.
///
/// `TE: trailers` stays, because gRPC needs it and the gateway passes trailers on; `Trailer` stays for the same reason.
pub fn strip_hop_by_hop(headers: &mut FieldMap) -> Vec<HeaderName> {
    // One walk over the names finds out what there is to do; for most messages that is nothing or Connection alone.
    let mut doomed: SmallVec<[HeaderName; 8]> = SmallVec::new();
    let mut listed = Vec::new();
    let (mut connection, mut te) = (false, false);
    for name in headers.names() {
        match name.as_str() {
            "connection" => connection = true,
            "te" => te = true,
            text if ends_at_this_hop(text) => doomed.push(name.clone()),
            _ => {}
        }
    }
    let trailers = te && members(headers, &header::TE).any(is_trailers);
    if connection {
        // RFC 9110 section 7.6.1: the listed fields go first, then Connection itself.
        for member in members(headers, &header::CONNECTION) {
            if let Ok(name) = HeaderName::from_bytes(member)
                && !is_needed(name.as_str())
            {
                if class(name.as_str()) == Class::Other && name != "close" {
                    listed.push(name.clone());
                }
                doomed.push(name);
            }
        }
        doomed.push(header::CONNECTION);
    }
    remove(headers, &doomed);
    if te {
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        } else {
            headers.remove(header::TE);
        }
    }
    listed
}

/// Removes the fields of these names, of which a client may have listed thousands.
fn remove(headers: &mut FieldMap, doomed: &[HeaderName]) {
    const FEW: usize = 16;
    match doomed {
        [] => {}
        few if few.len() <= FEW => headers.retain(|name, _| !few.contains(name)),
        many => {
            let many: FxHashSet<&HeaderName> = many.iter().collect();
            headers.retain(|name, _| !many.contains(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::headers::map;

    fn names(headers: &FieldMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.names().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn hop_by_hop_fields_end_here() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Secret ,, content-length"),
            ("connection", "x-more"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eA=="),
            ("proxy", "http://evil/"),
            ("te", "gzip, trailers;q=0.5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("expect", "100-continue"),
            ("x-secret", "1"),
            ("x-secret", "2"),
            ("x-more", "3"),
            ("trailer", "x-t"),
            ("content-length", "3"),
            ("accept", "*/*"),
        ]);
        let listed = strip_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["accept", "content-length", "te", "trailer"]);
        assert_eq!(listed, ["x-secret", "x-more"], "what trailers must not bring either");
        assert_eq!(headers[header::TE], "trailers");
    }

    #[test]
    fn te_without_trailers_goes() {
        let mut headers = map(&[("te", "gzip, deflate")]);
        strip_hop_by_hop(&mut headers);
        assert!(headers.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_listed_survives(listed in proptest::collection::vec("x-[a-f]{1,3}", 0..6), kept in "y-[a-f]{1,3}") {
            let mut headers = FieldMap::new();
            for name in &listed {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("1"));
            }
            headers.insert(HeaderName::from_bytes(kept.as_bytes()).unwrap(), HeaderValue::from_static("1"));
            headers.insert(header::CONNECTION, listed.join(" , ").parse().unwrap());
            strip_hop_by_hop(&mut headers);
            prop_assert_eq!(names(&headers), vec![kept.as_str()]);
        }
    }
}
