//! Canonical authority and path: one form of a request's target, which serves both the routing and the upstream, so
//! that no two parties of a request read it differently.
//!
//! Decisions, where HTTP leaves a choice:
//! - *Authority.* Lower case; one trailing dot and an empty port go; a port is kept as sent; IPv6 literals get their one
//!   canonical text. Userinfo, percent escapes, empty labels and everything outside letters, digits, `-`, `_` and `.` is
//!   refused. Where a request names its authority twice (absolute form or `:authority`, and Host) the two must agree,
//!   because NGINX, Envoy and origin servers differ in which they believe.
//! - *Slashes* are merged, as NGINX does by default: `//admin` must not slip past a route for `/admin` to an upstream
//!   that merges them itself.
//! - *Dot segments* are removed, also where they are written `%2e`. Climbing above the root is refused, as NGINX does,
//!   and so are dot segments that only some servers see: with a path parameter (`/..;/`), beside an encoded slash
//!   or backslash (`..%2F`).
//! - *Escapes* of unreserved characters are decoded, others get upper-case digits; `%2F` and `%5C` stay as they are.
//!   `%00` is refused. Characters that may not stand in a path are escaped, except control characters and the backslash,
//!   which are refused.
//! - *The query* stays as it came, apart from escapes for bytes outside ASCII and for `"`, `<` and `>`, which no parser
//!   of targets takes; control characters are refused.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use http::{Method, Uri, Version, header};

use crate::error::{Error, ErrorKind};
use crate::message::FieldMap;

/// The longest hostname of DNS in text form.
const MAX_HOSTNAME: usize = 253;
const UPPER_HEX: &[u8; 16] = b"0123456789ABCDEF";

/// A request's target in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Hostname and, where the client sent one, port. Empty where a request of HTTP/1.0 names none.
    pub authority: String,
    /// The path, and the query with its question mark. `*` for a server-wide OPTIONS.
    pub path_and_query: String,
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
        return Ok(Target { authority, path_and_query: "*".to_owned() });
    }
    let path = path(raw_path)?;
    let path_and_query = match uri.query() {
        None => path.into_owned(),
        Some(raw_query) => {
            let query = query(raw_query)?;
            let mut whole = String::with_capacity(path.len() + 1 + query.len());
            whole.push_str(&path);
            whole.push('?');
            whole.push_str(&query);
            whole
        }
    };
    Ok(Target { authority, path_and_query })
}

fn request_authority(uri: &Uri, headers: &FieldMap, version: Version) -> Result<String, Error> {
    let mut hosts = headers.get_all(header::HOST);
    let host = hosts.next();
    if hosts.next().is_some() {
        // RFC 9112 section 3.2: more than one Host line is answered with 400.
        return Err(bad("more than one Host field"));
    }
    let host = match host {
        Some(value) => Some(authority(value.to_str().map_err(|_| bad("the Host field is not ASCII"))?)?),
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
    let (host, port) = split_port(raw)?;
    let mut out = String::with_capacity(raw.len());
    if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.strip_suffix(']').ok_or_else(|| bad("unclosed IP literal in the authority"))?;
        let address: Ipv6Addr = literal.parse().map_err(|_| bad("invalid IP literal in the authority"))?;
        use std::fmt::Write;
        // Writing to a String does not fail.
        let _ = write!(out, "[{address}]");
    } else {
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() || host.len() > MAX_HOSTNAME {
            return Err(bad("the authority's hostname is empty or too long"));
        }
        let mut previous = b'.';
        for &byte in host.as_bytes() {
            let allowed = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            if !allowed || (byte == b'.' && previous == b'.') {
                return Err(bad("invalid hostname in the authority"));
            }
            previous = byte;
        }
        if previous == b'.' {
            return Err(bad("invalid hostname in the authority"));
        }
        out.push_str(host);
        out.make_ascii_lowercase();
    }
    if let Some(port) = port {
        out.push(':');
        out.push_str(port);
    }
    Ok(out)
}

/// Hostname and port of an authority; an empty port counts as none (RFC 3986 section 3.2.3).
fn split_port(raw: &str) -> Result<(&str, Option<&str>), Error> {
    let border = match raw.strip_prefix('[') {
        Some(_) => raw.find(']').ok_or_else(|| bad("unclosed IP literal in the authority"))? + 1,
        // Authorities are short: nothing that searches by larger steps is faster.
        None => raw.bytes().position(|byte| byte == b':').unwrap_or(raw.len()),
    };
    let (host, rest) = raw.split_at(border);
    let Some(port) = rest.strip_prefix(':') else {
        return if rest.is_empty() { Ok((host, None)) } else { Err(bad("invalid authority")) };
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    let canonical = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    if !canonical || port.parse::<u16>().is_err() {
        return Err(bad("invalid port in the authority"));
    }
    Ok((host, Some(port)))
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
    if is_canonical(raw.as_bytes()) {
        return Ok(Cow::Borrowed(raw));
    }
    let bytes = raw.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(bad("the path does not start with a slash"));
    }
    let mut out = Vec::with_capacity(raw.len() + 8);
    out.push(b'/');
    // Where the segment that is being read starts in `out`.
    let mut segment = 1;
    let mut index = 1;
    while let Some(&byte) = bytes.get(index) {
        index += 1;
        match byte {
            b'/' => {
                finish_segment(&mut out, segment)?;
                // Neither after an empty segment (merged) nor after a dot segment (removed) is another slash due.
                if out.last() != Some(&b'/') {
                    out.push(b'/');
                }
                segment = out.len();
            }
            b'%' => {
                let escape = bytes.get(index..index + 2).and_then(|digits| Some((hex(digits[0])?, hex(digits[1])?)));
                let (high, low) = escape.ok_or_else(|| bad("invalid escape in the path"))?;
                index += 2;
                match high << 4 | low {
                    0 => return Err(bad("%00 in the path")),
                    decoded if is_unreserved(decoded) => out.push(decoded),
                    decoded => push_escaped(&mut out, decoded),
                }
            }
            b'\\' => return Err(bad("backslash in the path")),
            b'#' | b'?' => return Err(bad("fragment or query in the path")),
            0..=b' ' | 0x7f => return Err(bad("control character in the path")),
            _ if is_path_byte(byte) => out.push(byte),
            _ => push_escaped(&mut out, byte),
        }
    }
    finish_segment(&mut out, segment)?;
    // All bytes are ASCII by now.
    String::from_utf8(out).map(Cow::Owned).map_err(|_| bad("the path is not ASCII"))
}

/// Removes the segment from `start` on, if it is a dot segment (RFC 3986 section 5.2.4), with what it stands for.
fn finish_segment(out: &mut Vec<u8>, start: usize) -> Result<(), Error> {
    match &out[start..] {
        b"." => out.truncate(start),
        b".." => {
            let parent = out[..start - 1].iter().rposition(|&byte| byte == b'/');
            out.truncate(parent.ok_or_else(|| bad("the path climbs above its root"))? + 1);
        }
        segment if hides_dots(segment) => return Err(bad("a hidden dot segment in the path")),
        _ => {}
    }
    Ok(())
}

/// Whether some servers see a dot segment in this one: before a path parameter, or beside an encoded separator.
fn hides_dots(segment: &[u8]) -> bool {
    let mut rest = segment;
    loop {
        let border = rest.windows(3).position(|three| three == b"%2F" || three == b"%5C");
        let part = &rest[..border.unwrap_or(rest.len())];
        let name = part.split(|&byte| byte == b';').next().unwrap_or(part);
        if name == b"." || name == b".." {
            return true;
        }
        match border {
            Some(border) => rest = &rest[border + 3..],
            None => return false,
        }
    }
}

/// Whether [`path`] would leave these bytes as they are; paths with encoded separators take the long way.
fn is_canonical(path: &[u8]) -> bool {
    if path.first() != Some(&b'/') {
        return false;
    }
    let mut index = 1;
    let mut previous = b'/';
    while let Some(&byte) = path.get(index) {
        match byte {
            b'%' => {
                let [high, low] = match path.get(index + 1..index + 3) {
                    Some(&[high, low]) => [high, low],
                    _ => return false,
                };
                if high.is_ascii_lowercase() || low.is_ascii_lowercase() {
                    return false;
                }
                let (Some(high), Some(low)) = (hex(high), hex(low)) else { return false };
                let decoded = high << 4 | low;
                if is_unreserved(decoded) || matches!(decoded, 0 | b'/' | b'\\') {
                    return false;
                }
                index += 2;
            }
            b'/' | b'.' if previous == b'/' => {
                if byte == b'/' {
                    return false;
                }
                let rest = &path[index + 1..];
                let rest = rest.strip_prefix(b".").unwrap_or(rest);
                if matches!(rest.first(), None | Some(b'/' | b';' | b'%')) {
                    return false;
                }
            }
            _ if !is_path_byte(byte) => return false,
            _ => {}
        }
        previous = byte;
        index += 1;
    }
    true
}

/// The query, with escapes for what may not stand in one (RFC 3986 section 3.4) and is refused by who reads the target.
/// Of clients' queries only bytes outside ASCII get here; what a plugin makes of them may hold anything.
pub(crate) fn query(raw: &str) -> Result<Cow<'_, str>, Error> {
    if raw.bytes().any(|byte| byte <= b' ' || byte == 0x7f || byte == b'#') {
        return Err(bad("control character or fragment in the query"));
    }
    let stays = |byte: u8| byte.is_ascii() && !matches!(byte, b'"' | b'<' | b'>');
    if raw.bytes().all(stays) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = Vec::with_capacity(raw.len() + 16);
    for &byte in raw.as_bytes() {
        if stays(byte) {
            out.push(byte);
        } else {
            push_escaped(&mut out, byte);
        }
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| bad("the query is not ASCII"))
}

fn push_escaped(out: &mut Vec<u8>, byte: u8) {
    out.extend([b'%', UPPER_HEX[usize::from(byte >> 4)], UPPER_HEX[usize::from(byte & 15)]]);
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` of RFC 3986 section 3.3 without escapes, and the slash.
const fn is_path_byte(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            let this = byte as u8;
            let delimiter = matches!(
                this,
                b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/'
            );
            table[byte] = is_unreserved(this) || delimiter;
            byte += 1;
        }
        table
    };
    TABLE[byte as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(hosts: &[&str]) -> FieldMap {
        let mut headers = FieldMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        headers
    }

    fn get(uri: &str, hosts: &[&str]) -> Result<(String, String), ErrorKind> {
        target(&Method::GET, &uri.parse().unwrap(), &headers(hosts), Version::HTTP_11)
            .map(|target| (target.authority, target.path_and_query))
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
        assert_eq!((h2.authority.as_str(), h2.path_and_query.as_str()), ("a.no", "/x"));
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
        assert_eq!((target.authority.as_str(), target.path_and_query.as_str()), ("", "/a"));
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
        assert_eq!(options.path_and_query, "*");
    }

    #[test]
    fn authorities_get_one_form() {
        for (raw, canonical) in [
            ("A.no", "a.no"),
            ("a.no.", "a.no"),
            ("a.no:", "a.no"),
            ("a.no.:81", "a.no:81"),
            ("my_host", "my_host"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[0:0::1]:443", "[::1]:443"),
            ("[2001:DB8::A]", "[2001:db8::a]"),
        ] {
            assert_eq!(authority(raw).unwrap(), canonical, "{raw}");
        }
        for raw in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "a%41",
            "a:b",
            "a:1:2",
            "a:0",
            "a:080",
            "a:65536",
            "a:+1",
            "[::1",
            "[::1]x",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "a,b",
            "a\\b",
            "æ.no",
        ] {
            assert!(authority(raw).is_err(), "{raw}");
        }
        assert!(authority(&"a".repeat(254)).is_err());
    }

    #[test]
    fn hostname_drops_the_port() {
        for (authority, name) in [("a.no:1", "a.no"), ("a.no", "a.no"), ("[::1]", "[::1]"), ("[::1]:1", "[::1]")] {
            assert_eq!(hostname(authority), name);
        }
    }

    #[test]
    fn paths_get_one_form() {
        for (raw, canonical) in [
            ("/", "/"),
            ("/a/b.c/d", "/a/b.c/d"),
            ("/%61%7E%2d", "/a~-"),
            ("/%c3%a6", "/%C3%A6"),
            ("/æ", "/%C3%A6"),
            ("/a//b///", "/a/b/"),
            ("//", "/"),
            ("/a/./b/../c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a//../b", "/b"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/a%2fb%5c", "/a%2Fb%5C"),
            ("/a{b}\"", "/a%7Bb%7D%22"),
            ("/%25%32%65", "/%252e"),
            ("/a;v=1/b", "/a;v=1/b"),
        ] {
            assert_eq!(path(raw).unwrap(), canonical, "{raw}");
        }
    }

    #[test]
    fn dangerous_paths_are_refused() {
        for raw in [
            "",
            "a",
            "/..",
            "/a/../..",
            "/%2e%2e/",
            "/a\\b",
            "/%00",
            "/%",
            "/%4",
            "/%zz",
            "/a#b",
            "/a?b",
            "/a b",
            "/a\x7f",
            "/a\n",
            "/a/..;/b",
            "/a/.;x/b",
            "/a/..%2Fb",
            "/a/b%5c..",
            "/%2e%2e%2fb",
            "/a/..;x%2Fb",
        ] {
            assert!(path(raw).is_err(), "{raw:?} gave {:?}", path(raw));
        }
    }

    #[test]
    fn canonical_paths_are_borrowed() {
        for raw in ["/", "/inventory/items/42", "/.well-known/acme", "/a%20b", "/a/...", "/..a"] {
            assert!(matches!(path(raw), Ok(Cow::Borrowed(_))), "{raw}");
        }
    }

    #[test]
    fn queries_stay_as_they_came() {
        assert_eq!(get("/a?x=%zz&y=/../&&", &["a"]), ok("a", "/a?x=%zz&y=/../&&"));
        assert_eq!(query("æ=1").unwrap(), "%C3%A6=1");
        assert_eq!(query("a=\"<b>\"").unwrap(), "a=%22%3Cb%3E%22");
        assert!(query("a\r\nb").is_err());
    }

    proptest! {
        #[test]
        fn paths_are_safe_and_stable(raw in prop_oneof![
            "/[a-c./%2eEfF5cC;\\\\]{0,24}",
            "/(\\.|\\.\\.|%2e|%2E|a|%2f|;|/){0,12}",
            any::<String>(),
        ]) {
            if let Ok(once) = path(&raw) {
                let once = once.into_owned();
                prop_assert!(once.starts_with('/') && once.is_ascii());
                prop_assert!(!once.contains("//"));
                for segment in once.split('/') {
                    prop_assert!(segment != "." && segment != "..", "{once}");
                }
                let again = path(&once);
                prop_assert_eq!(again.map(Cow::into_owned).map_err(|error| error.to_string()), Ok(once));
            }
        }

        #[test]
        fn the_short_way_agrees_with_the_long_one(raw in "/([a-c.;]|%2e|%20|%2F|%41|/){0,16}") {
            if is_canonical(raw.as_bytes()) {
                // A doubled slash in front forces the long way and is merged away.
                let doubled = format!("/{raw}");
                prop_assert_eq!(path(&doubled).unwrap(), raw);
            }
        }

        #[test]
        fn authorities_are_stable(raw in "[a-zA-Z0-9.:_\\[\\]-]{0,20}") {
            if let Ok(once) = authority(&raw) {
                prop_assert_eq!(authority(&once).ok(), Some(once));
            }
        }
    }
}
