//! Canonical authority and path: one form of a request's target, which serves both the routing and the upstream, so
//! that no two parties of a request read it differently.
//!
//! What the forms are, and what has none, is in [`plugin_rules::target`], which holds for plugins as well.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use http::{Method, Uri, Version};
use plugin_rules::target;

use crate::error::{Error, ErrorKind};
use crate::message::{FieldMap, known};
use crate::sensitive::Sensitive;

/// A request's target in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Hostname and, where the client sent one, port. Empty where a request of HTTP/1.0 names none.
    pub authority: Sensitive<String>,
    /// The path, and the query with its question mark. `*` for a server-wide OPTIONS.
    pub path_and_query: Sensitive<PathAndQuery>,
}

fn bad(detail: &'static str) -> Error {
    Error::new(ErrorKind::BadRequest, detail)
}

/// The canonical target of a request, or why it is refused.
///
/// `uri` holds the request target of HTTP/1 in any form, or `:scheme`, `:authority` and `:path` of HTTP/2 and HTTP/3.
pub fn target(method: &Method, uri: &Uri, headers: &FieldMap, version: Version) -> Result<Target, Error> {
    if method == Method::CONNECT {
        return Err(Error::new(ErrorKind::NotImplemented, "CONNECT is not served"));
    }
    if method == Method::TRACE {
        // Whoever echoes a request tells what it holds to those who may not read it: RFC 9110 section 9.3.8.
        return Err(Error::new(ErrorKind::NotImplemented, "TRACE is not served"));
    }
    if let Some(scheme) = uri.scheme_str()
        && scheme != "http"
        && scheme != "https"
    {
        return Err(bad("the target's scheme is neither http nor https"));
    }
    let authority = request_authority(uri, headers, version)?;
    let raw_path = uri.path();
    if raw_path == "*" {
        // RFC 9112 section 3.2.4: asterisk form is only for a server-wide OPTIONS.
        if method != Method::OPTIONS || uri.query().is_some() {
            return Err(bad("`*` is only a target of OPTIONS"));
        }
        return Ok(Target { authority: authority.into(), path_and_query: PathAndQuery::from_static("*").into() });
    }
    let path = path(raw_path)?;
    let query = uri.query().map(query).transpose()?;
    let path_and_query = match (uri.path_and_query(), &path, &query) {
        // Nearly all are canonical as they come, and shared then.
        (Some(sent), Cow::Borrowed(_), None | Some(Cow::Borrowed(_))) if sent.as_str().starts_with('/') => sent.clone(),
        (_, path, query) => {
            let mut whole = path.clone().into_owned();
            if let Some(query) = query {
                whole.push('?');
                whole.push_str(query);
            }
            PathAndQuery::try_from(whole).map_err(|_| bad("the target is too long"))?
        }
    };
    Ok(Target { authority: authority.into(), path_and_query: path_and_query.into() })
}

fn request_authority(uri: &Uri, headers: &FieldMap, version: Version) -> Result<String, Error> {
    let mut hosts = headers.get_all(&known::HOST);
    let host = hosts.next();
    if hosts.next().is_some() {
        // RFC 9112 section 3.2: more than one Host line is answered with 400.
        return Err(bad("more than one Host field"));
    }
    let host = match host {
        Some(value) => Some(authority(value.expose_str().map_err(|_| bad("the Host field is not ASCII"))?)?),
        // RFC 9112 section 3.2: also required beside a target in absolute form.
        None if version == Version::HTTP_11 => return Err(bad("no Host field")),
        None => None,
    };
    let named = match uri.authority() {
        Some(named) => Some(authority(named.as_str())?),
        None => None,
    };
    match (named, host) {
        (Some(named), Some(host)) => {
            let default = if uri.scheme_str() == Some("https") { ":443" } else { ":80" };
            let plain = |text: &str| text.strip_suffix(default).unwrap_or(text).len();
            // RFC 9112 section 3.2.2 gives precedence to the target, RFC 9113 section 8.3.1 lets a mismatch be refused.
            if named[..plain(&named)] != host[..plain(&host)] {
                return Err(bad("the target's authority and Host differ"));
            }
            Ok(named)
        }
        (Some(one), None) | (None, Some(one)) => Ok(one),
        // RFC 9112 section 3.3: there is a default for what names none, here the routes without hostnames. Health checks of
        // balancers are like that. HTTP/1.1 has to name one, if only an empty one, and so have streams.
        (None, None) if version == Version::HTTP_10 => Ok(String::new()),
        (None, None) => Err(bad("no authority")),
    }
}

/// The canonical form of a Host field's value or of an `:authority`.
pub fn authority(raw: &str) -> Result<String, Error> {
    target::authority(raw).map_err(bad)
}

/// The hostname of a canonical authority: without port, IPv6 literals with their brackets.
pub fn hostname(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

/// The canonical form of a path (without its query); borrowed where it already is in that form.
pub fn path(raw: &str) -> Result<Cow<'_, str>, Error> {
    target::path(raw).map_err(bad)
}

/// The query, with escapes for what may not stand in one (RFC 3986 section 3.4).
pub(crate) fn query(raw: &str) -> Result<Cow<'_, str>, Error> {
    target::query(raw).map_err(bad)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    fn headers(hosts: &[&str]) -> FieldMap {
        let mut headers = FieldMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        headers
    }

    fn get(uri: &str, hosts: &[&str]) -> Result<(String, String), ErrorKind> {
        target(&Method::GET, &uri.parse().unwrap(), &headers(hosts), Version::HTTP_11)
            .map(|target| (target.authority.into_exposed(), target.path_and_query.expose().to_string()))
            .map_err(|error| error.kind())
    }

    fn ok(authority: &str, path: &str) -> Result<(String, String), ErrorKind> {
        Ok((authority.to_owned(), path.to_owned()))
    }

    #[test]
    fn authority_comes_from_host_or_target() {
        assert_eq!(get("/a?b=c", &["Example.NO:8443"]), ok("example.no:8443", "/a?b=c"));
        assert_eq!(get("http://a.no/x", &["a.no:80"]), ok("a.no", "/x"));
        assert_eq!(get("http://A.no", &["a.no"]), ok("a.no", "/"));
        let h2 = target(&Method::GET, &"https://a.no/x".parse().unwrap(), &headers(&[]), Version::HTTP_2).unwrap();
        assert_eq!((h2.authority.expose().as_str(), h2.path_and_query.expose().as_str()), ("a.no", "/x"));
    }

    #[test]
    fn ambiguous_authorities_are_refused() {
        for (uri, hosts) in [
            ("/", &[][..]),
            ("/", &["a.no", "a.no"]),
            ("/", &[""]),
            ("http://a.no/", &[]),
            ("http://a.no/", &["b.no"]),
            ("http://a.no:443/", &["a.no"]),
            ("https://a.no:80/", &["a.no"]),
            ("http://user@a.no/", &["a.no"]),
            ("ftp://a.no/", &["a.no"]),
            ("/", &["user@a.no"]),
            ("*", &["a.no"]),
            ("a.no:80", &["a.no"]),
        ] {
            assert_eq!(get(uri, hosts), Err(ErrorKind::BadRequest), "{uri} {hosts:?}");
        }
        let connect = target(&Method::CONNECT, &"a.no:443".parse().unwrap(), &headers(&["a.no"]), Version::HTTP_11);
        assert_eq!(connect.unwrap_err().kind(), ErrorKind::NotImplemented);
    }

    #[test]
    fn only_http_1_0_may_name_no_host() {
        let of = |version| target(&Method::GET, &"/a".parse().unwrap(), &headers(&[]), version);
        let target = of(Version::HTTP_10).unwrap();
        assert_eq!((target.authority.expose().as_str(), target.path_and_query.expose().as_str()), ("", "/a"));
        for version in [Version::HTTP_11, Version::HTTP_2, Version::HTTP_3] {
            assert_eq!(of(version).unwrap_err().kind(), ErrorKind::BadRequest, "{version:?}");
        }
    }

    #[test]
    fn trace_is_not_echoed() {
        let trace = target(&Method::TRACE, &"/".parse().unwrap(), &headers(&["a.no"]), Version::HTTP_11);
        assert_eq!(trace.unwrap_err().kind(), ErrorKind::NotImplemented);
    }

    #[test]
    fn asterisk_is_for_options() {
        let options = target(&Method::OPTIONS, &"*".parse().unwrap(), &headers(&["a.no"]), Version::HTTP_11).unwrap();
        assert_eq!(options.path_and_query.expose(), "*");
    }

    #[test]
    fn hostname_drops_the_port() {
        for (authority, name) in [("a.no:1", "a.no"), ("a.no", "a.no"), ("[::1]", "[::1]"), ("[::1]:1", "[::1]")] {
            assert_eq!(hostname(authority), name);
        }
    }

    #[test]
    fn queries_stay_as_they_came() {
        assert_eq!(get("/a?x=%zz&y=/../&&", &["a"]), ok("a", "/a?x=%zz&y=/../&&"));
    }
}
