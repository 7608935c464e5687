//! Canonical authority and path: one form of a request's target, which serves both the routing and the upstream, so
//! that no two parties of a request read it differently; and where a plugin may send a request: only to what the router
//! could have made of a client's.
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

use crate::fields::{FieldError, is_token};

/// The longest hostname of DNS in text form.
const MAX_HOSTNAME: usize = 253;
/// Bytes of a target that a plugin sets, unless the current one is longer.
const MAX_TARGET: usize = 8 << 10;
/// Bytes of a method that a plugin sets.
const MAX_METHOD: usize = 32;
const UPPER_HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Refuses a method that a plugin may not give a request: CONNECT makes a tunnel, and TRACE tells what the request holds.
///
/// # Errors
/// Not allowed, or not a method.
pub fn check_method(method: &str) -> Result<(), FieldError> {
    match method {
        "CONNECT" | "TRACE" => Err(FieldError::NotAllowed),
        _ if method.len() <= MAX_METHOD && is_token(method) => Ok(()),
        _ => Err(FieldError::InvalidValue),
    }
}

/// The canonical form of a target that a plugin hands over; `None` for one that the router could not have produced.
/// The current path has passed the router already: a plugin may change the query of whatever came through it.
pub fn replacement(target: &str, current: &str) -> Option<String> {
    let split = |target| str::split_once(target, '?').map_or((target, None), |(path, query)| (path, Some(query)));
    let ((path, query), (current_path, _)) = (split(target), split(current));
    if target.len() > MAX_TARGET.max(current.len()) {
        return None;
    }
    let path = if path == current_path { path.into() } else { replacement_path(path)? };
    match query {
        None => Some(path.into_owned()),
        Some(text) => Some(format!("{path}?{}", self::query(text).ok()?)),
    }
}

/// The form that the router would have given a client's path. Where a client may write dot segments and encoded
/// separators, a plugin may not: it says what it means, or hands on what somebody else meant.
fn replacement_path(text: &str) -> Option<Cow<'_, str>> {
    let lower = text.to_ascii_lowercase();
    let hidden = ["%2f", "%5c"].iter().any(|escape| lower.contains(escape));
    let dots = lower.replace("%2e", ".").split('/').any(|segment| segment == "." || segment == "..");
    if hidden || dots { None } else { path(text).ok() }
}

/// The bytes of hostnames: letters, digits, `-`, `_` and `.`. A table, because every request is held against it.
const IN_HOSTNAMES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_' | b'.');
        byte += 1;
    }
    table
};

/// The canonical form of a Host field's value or of an `:authority`.
///
/// # Errors
/// Why there is none, without anything of what came; likewise below.
pub fn authority(raw: &str) -> Result<String, &'static str> {
    let (host, port) = split_port(raw)?;
    let mut out = String::with_capacity(raw.len());
    if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.strip_suffix(']').ok_or("unclosed IP literal in the authority")?;
        let address: Ipv6Addr = literal.parse().map_err(|_| "invalid IP literal in the authority")?;
        use std::fmt::Write;
        // Writing to a String does not fail.
        let _ = write!(out, "[{address}]");
    } else {
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() || host.len() > MAX_HOSTNAME {
            return Err("the authority's hostname is empty or too long");
        }
        let mut previous = b'.';
        for &byte in host.as_bytes() {
            if !IN_HOSTNAMES[usize::from(byte)] || (byte == b'.' && previous == b'.') {
                return Err("invalid hostname in the authority");
            }
            previous = byte;
        }
        if previous == b'.' {
            return Err("invalid hostname in the authority");
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
fn split_port(raw: &str) -> Result<(&str, Option<&str>), &'static str> {
    let border = match raw.strip_prefix('[') {
        Some(_) => raw.find(']').ok_or("unclosed IP literal in the authority")? + 1,
        // Authorities are short: nothing that searches by larger steps is faster.
        None => raw.bytes().position(|byte| byte == b':').unwrap_or(raw.len()),
    };
    let (host, rest) = raw.split_at(border);
    let Some(port) = rest.strip_prefix(':') else {
        return if rest.is_empty() { Ok((host, None)) } else { Err("invalid authority") };
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    let canonical = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    if !canonical || port.parse::<u16>().is_err() {
        return Err("invalid port in the authority");
    }
    Ok((host, Some(port)))
}

/// The canonical form of a path (without its query); borrowed where it already is in that form.
///
/// # Errors
/// Why there is none.
pub fn path(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    if is_canonical(raw.as_bytes()) {
        return Ok(Cow::Borrowed(raw));
    }
    let bytes = raw.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err("the path does not start with a slash");
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
                let (high, low) = escape.ok_or("invalid escape in the path")?;
                index += 2;
                match high << 4 | low {
                    0 => return Err("%00 in the path"),
                    decoded if is_unreserved(decoded) => out.push(decoded),
                    decoded => push_escaped(&mut out, decoded),
                }
            }
            b'\\' => return Err("backslash in the path"),
            b'#' | b'?' => return Err("fragment or query in the path"),
            0..=b' ' | 0x7f => return Err("control character in the path"),
            _ if is_path_byte(byte) => out.push(byte),
            _ => push_escaped(&mut out, byte),
        }
    }
    finish_segment(&mut out, segment)?;
    // All bytes are ASCII by now.
    String::from_utf8(out).map(Cow::Owned).map_err(|_| "the path is not ASCII")
}

/// Removes the segment from `start` on, if it is a dot segment (RFC 3986 section 5.2.4), with what it stands for.
fn finish_segment(out: &mut Vec<u8>, start: usize) -> Result<(), &'static str> {
    match &out[start..] {
        b"." => out.truncate(start),
        b".." => {
            let parent = out[..start - 1].iter().rposition(|&byte| byte == b'/');
            out.truncate(parent.ok_or("the path climbs above its root")? + 1);
        }
        segment if hides_dots(segment) => return Err("a hidden dot segment in the path"),
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
///
/// # Errors
/// Why it is none.
pub fn query(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    if raw.bytes().any(|byte| byte <= b' ' || byte == 0x7f || byte == b'#') {
        return Err("control character or fragment in the query");
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
    String::from_utf8(out).map(Cow::Owned).map_err(|_| "the query is not ASCII")
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

    #[test]
    fn the_query_of_any_target_that_came_through_the_router_can_be_changed() {
        let long = "x".repeat(MAX_TARGET);
        for path in ["/a%2Fb", "*", "/a%5Cb", &format!("/{long}")] {
            let current = format!("{path}?key=s&b=%zz");
            assert_eq!(replacement(&format!("{path}?b=%zz"), &current), Some(format!("{path}?b=%zz")));
            assert_eq!(replacement(path, &current).as_deref(), Some(path));
        }
        assert_eq!(replacement("/a%2Fc", "/a%2Fb"), None);
        assert_eq!(replacement(&format!("/a?{long}"), "/a?b"), None);
        assert!(replacement(&format!("/a?{long}"), &format!("/a?{long}&key=s")).is_some());
    }

    #[test]
    fn a_target_with_a_second_reading_is_not_taken() {
        for bad in ["/a/..;/b", "/a/.;x/b", "/a/%2e%2e;/b", "/%00"] {
            assert_eq!(replacement(bad, "/x"), None, "{bad:?}");
        }
        for (target, canonical) in [("//a///b", "/a/b"), ("/%61%c3", "/a%C3"), ("/æ\"", "/%C3%A6%22")] {
            assert_eq!(replacement(target, "/x").as_deref(), Some(canonical));
        }
        for (text, canonical) in [("A.no.", "a.no"), ("a.no:", "a.no"), ("[2001:DB8::0]:1", "[2001:db8::]:1")] {
            assert_eq!(authority(text).as_deref().ok(), Some(canonical));
        }
        for bad in ["a..b", ".a", "a:65536", "a:x", "[::1", "a,b", "a%41"] {
            assert_eq!(authority(bad).ok(), None, "{bad:?}");
        }
    }

    #[test]
    fn only_canonical_targets_are_taken() {
        for good in ["/", "/a/b?c=../d", "/a%20b", "/a?b=%zz%&c=\\", "/a?"] {
            assert_eq!(replacement(good, "/x").as_deref(), Some(good));
        }
        for bad in ["", "a", "*", "//x/../y", "/a/%2e%2E/b", "/a%2fb", "/a b", "/a\r\n", "/a#b", "/%zz", "/%4", "/a\\b"]
        {
            assert_eq!(replacement(bad, "/x"), None, "{bad:?}");
        }
        for bad in ["/a?b c", "/a?b#c", "/a?b\r\n"] {
            assert_eq!(replacement(bad, "/a"), None, "{bad:?}");
        }
        assert_eq!(replacement("/a?æ", "/a").as_deref(), Some("/a?%C3%A6"));
        assert_eq!(authority("API.example.no:8443").as_deref().ok(), Some("api.example.no:8443"));
        for bad in ["", "user@host", "a b", "a/b"] {
            assert_eq!(authority(bad).ok(), None, "{bad:?}");
        }
    }
    #[test]
    fn no_plugin_makes_a_tunnel_or_an_echo_of_a_request() {
        for method in ["CONNECT", "TRACE"] {
            assert_eq!(check_method(method), Err(FieldError::NotAllowed));
        }
        for method in ["", "A B", &"M".repeat(MAX_METHOD + 1)] {
            assert_eq!(check_method(method), Err(FieldError::InvalidValue), "{method:?}");
        }
        assert_eq!(check_method("PROPFIND"), Ok(()));
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
    fn what_may_not_stand_in_a_query_is_escaped() {
        assert_eq!(query("x=%zz&y=/../&&").unwrap(), "x=%zz&y=/../&&");
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
                prop_assert_eq!(again.map(Cow::into_owned), Ok(once));
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
