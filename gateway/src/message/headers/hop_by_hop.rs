//! Removes the fields that end at this hop (RFC 9110 section 7.6.1).

use http::{HeaderName, HeaderValue};
use plugin_rules::class::{Class, class, is_needed, is_trailers};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::members;
use crate::message::{FieldMap, KnownNames, known};

/// Removes hop-by-hop fields of a request or a response in place: those that Connection lists, and the known ones. Gives
/// the listed names that trailers could bring as well: the rule holds for "any header or trailer fields" of that name.
///
/// `TE: trailers` stays, because gRPC needs it and the gateway passes trailers on; `Trailer` stays for the same reason.
pub fn strip_hop_by_hop(headers: &mut FieldMap) -> Vec<HeaderName> {
    // For most messages there is nothing to do, or Connection alone says that the connection stays, or closes.
    if !headers.may_have(ENDING) {
        return Vec::new();
    }
    let trailers = members(headers, &known::TE).any(is_trailers);
    let (mut doomed, mut listed) = (SmallVec::<[HeaderName; 8]>::new(), Vec::new());
    let mut closes = false;
    // RFC 9110 section 7.6.1: the listed fields go first, then Connection itself.
    for member in members(headers, &known::CONNECTION) {
        // What nearly all say lists no field; one of these names ends here all the same.
        if member.eq_ignore_ascii_case(b"keep-alive") {
            continue;
        }
        if member.eq_ignore_ascii_case(b"close") {
            closes = true;
            continue;
        }
        if let Ok(name) = HeaderName::from_bytes(member)
            && !is_needed(name.as_str())
        {
            if class(name.as_str()) == Class::Other {
                listed.push(name.clone());
            }
            doomed.push(name);
        }
    }
    remove(headers, &doomed);
    if closes {
        headers.remove("close");
    }
    if trailers {
        headers.append(known::TE, HeaderValue::from_static("trailers"));
    }
    listed
}

/// What ends here in any case (`ENDS_AT_THIS_HOP`), and what says what else does.
const ENDING: KnownNames = KnownNames::of(&[
    known::CONNECTION,
    known::TE,
    known::KEEP_ALIVE,
    known::PROXY_CONNECTION,
    known::PROXY_AUTHENTICATE,
    known::PROXY_AUTHORIZATION,
    known::PROXY_AUTHENTICATION_INFO,
    known::TRANSFER_ENCODING,
    known::UPGRADE,
    known::HTTP2_SETTINGS,
    known::EXPECT,
    known::PROXY,
]);

/// Removes what ends here, and the fields of these names, of which a client may have listed thousands.
fn remove(headers: &mut FieldMap, doomed: &[HeaderName]) {
    const FEW: usize = 16;
    headers.remove_all(ENDING);
    match doomed {
        few if few.len() <= FEW => {
            for doomed in few {
                headers.remove(doomed);
            }
        }
        many => {
            let many: FxHashSet<&str> = many.iter().map(HeaderName::as_str).collect();
            headers.retain(|name, _| !many.contains(name.expose_str()));
        }
    }
}

#[cfg(test)]
mod tests {
    use plugin_rules::class::ENDS_AT_THIS_HOP;
    use proptest::prelude::*;

    use super::*;
    use crate::message::FieldName;
    use crate::message::headers::map;
    use http::header;

    fn names(headers: &FieldMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.names().map(FieldName::expose_str).collect();
        names.sort_unstable();
        names
    }

    /// What the contract says ends here has no hole where a name is not among the well-known ones.
    #[test]
    fn all_that_ends_here_is_among_the_names_that_are_looked_for() {
        for name in ENDS_AT_THIS_HOP.into_iter().chain(["connection", "te"]) {
            assert!(FieldName::of(name.as_bytes()).is_among(ENDING), "{name}");
        }
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
        assert_eq!(headers.text(header::TE), "trailers");
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
            headers.insert(header::CONNECTION, HeaderValue::from_str(&listed.join(" , ")).unwrap());
            strip_hop_by_hop(&mut headers);
            prop_assert_eq!(names(&headers), vec![kept.as_str()]);
        }
    }
}
