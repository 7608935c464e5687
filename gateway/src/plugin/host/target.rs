//! Where a plugin may send a request: only to what the router could have made of a client's.

use std::borrow::Cow;

use http::Method;

use super::fields::FieldError;
use crate::exchange::Exchange;
use crate::message::normalize;

/// Bytes of a target, unless the current one is longer.
const MAX_TARGET: usize = 8 << 10;

/// The canonical form of a target that a plugin hands over; `None` for one that the router could not have produced.
/// The current path has passed the router already: a plugin may change the query of whatever came through it.
pub(crate) fn canonical_target(target: &str, current: &str) -> Option<String> {
    let split = |target| str::split_once(target, '?').map_or((target, None), |(path, query)| (path, Some(query)));
    let ((path, query), (current_path, _)) = (split(target), split(current));
    if target.len() > MAX_TARGET.max(current.len()) {
        return None;
    }
    let path = if path == current_path { path.into() } else { canonical_path(path)? };
    match query {
        None => Some(path.into_owned()),
        Some(query) => Some(format!("{path}?{}", normalize::query(query).ok()?)),
    }
}

/// The form that the router would have given a client's path. Where a client may write dot segments and encoded
/// separators, a plugin may not: it says what it means, or hands on what somebody else meant.
fn canonical_path(path: &str) -> Option<Cow<'_, str>> {
    let lower = path.to_ascii_lowercase();
    let hidden = ["%2f", "%5c"].iter().any(|escape| lower.contains(escape));
    let dots = lower.replace("%2e", ".").split('/').any(|segment| segment == "." || segment == "..");
    if hidden || dots { None } else { normalize::path(path).ok() }
}

/// The form that the router would have given a client's authority.
pub(crate) fn canonical_authority(authority: &str) -> Option<String> {
    normalize::authority(authority).ok()
}

/// `http.set-target`. All is checked before anything is changed.
pub(crate) fn retarget(
    exchange: &mut Exchange,
    method: Option<String>,
    authority: Option<String>,
    path: Option<String>,
) -> Result<(), FieldError> {
    if exchange.request.sent {
        return Err(FieldError::TooLate);
    }
    let method = method
        .map(|method| match Method::from_bytes(method.as_bytes()) {
            // CONNECT makes a tunnel, and TRACE tells what the request holds: no plugin can ask for them.
            Ok(Method::CONNECT | Method::TRACE) => Err(FieldError::NotAllowed),
            Ok(method) if method.as_str().len() <= 32 => Ok(method),
            _ => Err(FieldError::InvalidValue),
        })
        .transpose()?;
    let authority = authority.map(|text| canonical_authority(&text).ok_or(FieldError::InvalidValue)).transpose()?;
    let current = &exchange.request.path_and_query;
    let path = path.map(|text| canonical_target(&text, current).ok_or(FieldError::InvalidValue)).transpose()?;
    exchange.request.retarget(method, authority, path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_any_target_that_came_through_the_router_can_be_changed() {
        let long = "x".repeat(MAX_TARGET);
        for path in ["/a%2Fb", "*", "/a%5Cb", &format!("/{long}")] {
            let current = format!("{path}?key=s&b=%zz");
            assert_eq!(canonical_target(&format!("{path}?b=%zz"), &current), Some(format!("{path}?b=%zz")));
            assert_eq!(canonical_target(path, &current).as_deref(), Some(path));
        }
        assert_eq!(canonical_target("/a%2Fc", "/a%2Fb"), None);
        assert_eq!(canonical_target(&format!("/a?{long}"), "/a?b"), None);
        assert!(canonical_target(&format!("/a?{long}"), &format!("/a?{long}&key=s")).is_some());
    }

    #[test]
    fn a_target_with_a_second_reading_is_not_taken() {
        for bad in ["/a/..;/b", "/a/.;x/b", "/a/%2e%2e;/b", "/%00"] {
            assert_eq!(canonical_target(bad, "/x"), None, "{bad:?}");
        }
        for (target, canonical) in [("//a///b", "/a/b"), ("/%61%c3", "/a%C3"), ("/æ\"", "/%C3%A6%22")] {
            assert_eq!(canonical_target(target, "/x").as_deref(), Some(canonical));
        }
        for (authority, canonical) in [("A.no.", "a.no"), ("a.no:", "a.no"), ("[2001:DB8::0]:1", "[2001:db8::]:1")] {
            assert_eq!(canonical_authority(authority).as_deref(), Some(canonical));
        }
        for bad in ["a..b", ".a", "a:65536", "a:x", "[::1", "a,b", "a%41"] {
            assert_eq!(canonical_authority(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn only_canonical_targets_are_taken() {
        for good in ["/", "/a/b?c=../d", "/a%20b", "/a?b=%zz%&c=\\", "/a?"] {
            assert_eq!(canonical_target(good, "/x").as_deref(), Some(good));
        }
        for bad in ["", "a", "*", "//x/../y", "/a/%2e%2E/b", "/a%2fb", "/a b", "/a\r\n", "/a#b", "/%zz", "/%4", "/a\\b"]
        {
            assert_eq!(canonical_target(bad, "/x"), None, "{bad:?}");
        }
        for bad in ["/a?b c", "/a?b#c", "/a?b\r\n"] {
            assert_eq!(canonical_target(bad, "/a"), None, "{bad:?}");
        }
        assert_eq!(canonical_target("/a?æ", "/a").as_deref(), Some("/a?%C3%A6"));
        assert_eq!(canonical_authority("API.example.no:8443").as_deref(), Some("api.example.no:8443"));
        for bad in ["", "user@host", "a b", "a/b"] {
            assert_eq!(canonical_authority(bad), None, "{bad:?}");
        }
    }
}
