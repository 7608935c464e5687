//! Names in the config file: what an operator may call things, hostnames, paths, header fields and methods. Each
//! function gives the value or the end of a sentence that begins with the text.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method};
use regex::Regex;

use crate::message::headers::{is_made_here, strip_hop_by_hop};
use crate::message::{FieldMap, normalize};
use crate::model::{HostnameMatch, Pin};

/// A name that goes into logs, metrics and file names: letters, digits, `.`, `_` and `-`.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let valid = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if valid {
        Ok(text.to_owned())
    } else {
        Err("is not a name; use up to 64 letters, digits, \".\", \"_\" and \"-\", beginning with a letter or digit"
            .to_owned())
    }
}

/// The name of a route.
pub(super) fn route_name(text: &str) -> Result<String, String> {
    match text {
        "none" => Err("is what metrics call the requests without a route; choose another name".to_owned()),
        _ => name(text),
    }
}

/// [`name`] as the check of a key.
pub(super) fn key(text: &str) -> Result<(), String> {
    name(text).map(drop)
}

/// `IP:PORT`.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let why = match dissect(text) {
        Some(Part::Scheme(_)) => {
            "the scheme does not belong here: \"tls\" of the listener says whether it is encrypted; "
        }
        Some(Part::Unix) => "sockets of the file system are not supported; ",
        Some(Part::Path) => "a path does not belong here: routes have paths; ",
        Some(Part::Space) => "there is a space in it; ",
        Some(Part::User) | None => "",
    };
    Err(format!("is not an address; {why}write IP:PORT, for example 0.0.0.0:8443 or [::]:8443"))
}

/// What was probably meant by something that is no [`socket_address`].
pub(super) fn socket_address_hint(text: &str) -> Option<String> {
    let (host, port) = meant(text)?;
    match host.as_str() {
        "" | "*" => Some(format!("0.0.0.0:{}", port?)),
        "localhost" => Some(format!("127.0.0.1:{}", port?)),
        host => Some(SocketAddr::new(host.parse().ok()?, port?).to_string()),
    }
}

/// What in a text does not belong into an address.
enum Part<'t> {
    /// As `http` in `http://a:80`.
    Scheme(&'t str),
    /// A socket of the file system.
    Unix,
    /// A user's name or password.
    User,
    /// A path, a query or a fragment.
    Path,
    /// White space.
    Space,
}

fn dissect(text: &str) -> Option<Part<'_>> {
    if text.starts_with("unix:") || text.starts_with('/') || text.starts_with("./") || text.starts_with('@') {
        Some(Part::Unix)
    } else if let Some((scheme, _)) = text.split_once("://") {
        Some(Part::Scheme(scheme))
    } else if text.contains(char::is_whitespace) {
        Some(Part::Space)
    } else if text.contains('@') {
        Some(Part::User)
    } else if text.contains(['/', '?', '#']) {
        Some(Part::Path)
    } else {
        None
    }
}

/// The host and the port of something that is written like an address, or a URL.
fn meant(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    if authority.contains(char::is_whitespace) {
        return None;
    }
    let default = match scheme {
        "http" | "ws" | "h2c" => Some(80),
        "https" | "wss" | "grpcs" => Some(443),
        _ => None,
    };
    // An IPv6 address alone, or with a port behind a bracket.
    if let Ok(IpAddr::V6(address)) = authority.trim_start_matches('[').trim_end_matches(']').parse() {
        return Some((address.to_string(), default));
    }
    if !authority.is_empty() && authority.bytes().all(|b| b.is_ascii_digit()) {
        return Some((String::new(), authority.parse().ok()));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
            Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), Some(port)))
        }
        None => Some((authority.to_owned(), default)),
    }
}

/// A DNS name without a port, in lower case (RFC 1123 section 2.1; `_` is met in practice).
fn dns_name(text: &str) -> Option<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    (name.len() <= 253 && name.split('.').all(label)).then(|| name.to_ascii_lowercase())
}

/// A DNS name or an IP address (IPv6 in brackets or not), without a port; IPv6 comes out without brackets.
pub(super) fn host(text: &str) -> Result<String, String> {
    let address = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = address.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    // Digits and dots alone are a mistyped address, not a name.
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match dns_name(text) {
        Some(name) if !numeric => Ok(name),
        _ if !text.is_ascii() => Err("is not a hostname; write it in its ASCII form (xn--...)".to_owned()),
        _ => Err("is not a hostname; write a DNS name or an IP address, without scheme, port or path".to_owned()),
    }
}

/// `HOST:PORT`, IPv6 in brackets. The host comes out without them.
pub(super) fn host_and_port(text: &str) -> Result<(String, u16), String> {
    const EXPECTED: &str = "write HOST:PORT, for example 10.0.0.7:5000, [::1]:5000 or orders.internal:80";
    let wrong = |why: &str| Err(format!("is not an endpoint; {why}{EXPECTED}"));
    match dissect(text) {
        None => {}
        Some(Part::Scheme("https" | "wss" | "grpcs")) => {
            return wrong("the scheme does not belong here: \"tls: {}\" of the upstream makes it encrypted; ");
        }
        Some(Part::Scheme("h2c" | "grpc")) => {
            return wrong("the scheme does not belong here: \"protocol: http2\" of the upstream says what is spoken; ");
        }
        Some(Part::Scheme(_)) => {
            return wrong("the scheme does not belong here: without \"tls\" the upstream is in clear text; ");
        }
        Some(Part::Unix) => return wrong("sockets of the file system are not supported; "),
        Some(Part::User) => {
            return wrong("a user does not belong here: set authorization by request_headers of the route; ");
        }
        Some(Part::Path) => return wrong("a path does not belong here: see \"rewrite\" of the route; "),
        Some(Part::Space) => return wrong("there is a space in it; "),
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() || !text.contains(':') {
        return wrong("the port is missing; ");
    }
    let Some((name, port)) = text.rsplit_once(':') else { return wrong("the port is missing; ") };
    let Some(port) = port.parse::<u16>().ok().filter(|port| *port > 0) else {
        return wrong("its port is a number from 1 to 65535; ");
    };
    if name.contains(':') && !name.starts_with('[') {
        return wrong("put the IPv6 address in brackets; ");
    }
    match host(name) {
        Ok(name) => Ok((name, port)),
        Err(_) => wrong(""),
    }
}

/// What was probably meant by something that is no [`host_and_port`].
pub(super) fn host_and_port_hint(text: &str) -> Option<String> {
    let (name, port) = meant(text)?;
    let name = host(&name).ok()?;
    let name = if name.contains(':') { format!("[{name}]") } else { name };
    Some(format!("{name}:{}", port?))
}

/// The pin of a public key (RFC 7469 section 2.4): `sha256/`, or `sha256//` as curl has it, and 32 bytes in base64.
pub(super) fn pin(text: &str) -> Result<Pin, String> {
    let base64 = text.strip_prefix("sha256/").map(|rest| rest.strip_prefix('/').unwrap_or(rest));
    let bytes = base64.and_then(|base64| STANDARD.decode(base64).ok());
    bytes.and_then(|bytes| Some(Pin(bytes.try_into().ok()?))).ok_or_else(|| {
        "is not a pin; write sha256/ and 44 characters of base64, as given by: openssl x509 -in CERTIFICATE -pubkey -noout | \
         openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64"
            .to_owned()
    })
}

/// What may be sent as Host: a hostname, with a port or without.
pub(super) fn authority(text: &str) -> Result<HeaderValue, String> {
    let bracketed = text.starts_with('[') || !text.contains(':');
    let valid = (bracketed && host(text).is_ok()) || host_and_port(text).is_ok();
    HeaderValue::from_str(text)
        .ok()
        .filter(|_| valid)
        .ok_or_else(|| "is not a hostname; write preserve, endpoint, or a name such as api.example.no".to_owned())
}

/// A hostname condition: `api.example.no` or `*.example.no`.
pub(super) fn hostname_match(text: &str) -> Result<HostnameMatch, String> {
    if text == "*" {
        return Err("matches every hostname; leave \"hostnames\" out for that".to_owned());
    }
    if let Some(parent) = text.strip_prefix("*.") {
        return dns_name(parent)
            .map(HostnameMatch::Wildcard)
            .ok_or_else(|| "is not a hostname; after \"*.\" comes a DNS name, for example *.example.no".to_owned());
    }
    if text.contains('*') {
        return Err("is not a hostname; \"*\" stands only for whole labels in front, as in *.example.no".to_owned());
    }
    let exact = host(text)?;
    // A request's authority has an IPv6 address in brackets (RFC 3986 section 3.2.2).
    Ok(HostnameMatch::Exact(if exact.contains(':') { format!("[{exact}]") } else { exact }))
}

/// A path as normalised requests have it (RFC 3986 section 6.2.2): anything else would never match.
pub(super) fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("is not a path; it begins with \"/\"".to_owned());
    }
    if text.contains(['?', '#']) {
        return Err("is not a path; it has no query and no fragment (see match.query)".to_owned());
    }
    match normalize::path(text) {
        Ok(normal) if normal == text => Ok(text.to_owned()),
        Ok(_) => Err("would never match: paths are made normal before they are routed".to_owned()),
        Err(error) => Err(format!("would never match: requests with it are refused ({})", error.detail())),
    }
}

/// The form in which requests for such a path are routed.
pub(super) fn normal_path(text: &str) -> Option<String> {
    Some(normalize::path(text).ok()?.into_owned())
}

/// A regular expression that has to match the whole text.
pub(super) fn whole_regex(text: &str) -> Result<Regex, String> {
    let build = |pattern: &str| regex::RegexBuilder::new(pattern).size_limit(1 << 20).build();
    // Alone first: `)|(` is no expression, though it would be one inside the group.
    build(text).and_then(|_| build(&format!(r"\A(?:{text})\z"))).map_err(|error| {
        let message = error.to_string();
        let reason = message.lines().last().unwrap_or_default();
        format!("is not a regular expression: {}", reason.strip_prefix("error: ").unwrap_or(reason))
    })
}

/// A method. They are case-sensitive (RFC 9110 section 9.1), so `get` is a mistake.
pub(super) fn method(text: &str) -> Result<Method, String> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if method == Method::CONNECT => Err("can't be routed; tunnels are not supported".to_owned()),
        Ok(method) if method == Method::TRACE => Err("can't be routed; the gateway echoes no request".to_owned()),
        Ok(method) if !text.contains(|c: char| c.is_ascii_lowercase()) => Ok(method),
        _ => Err("is not a method; they are in upper case".to_owned()),
    }
}

/// The name of a header field.
pub(super) fn header_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| "is not a header name; use letters, digits and \"-\"".to_owned())
}

/// The name of a header field that routes may look at: those that end at this hop (RFC 9110 section 7.6.1) are gone
/// before a route is looked up.
pub(super) fn routable_header_name(text: &str) -> Result<HeaderName, String> {
    let name = header_name(text)?;
    if name == "host" {
        return Err("would never match: write match.hostnames instead".to_owned());
    }
    if name == "cdn-loop" {
        return Err("would never match: the gateway takes it off and counts by itself (forwarding.max_hops)".to_owned());
    }
    let mut fields = FieldMap::new();
    fields.insert(name.clone(), HeaderValue::from_static("x"));
    strip_hop_by_hop(&mut fields);
    match fields.is_empty() {
        true => Err("would never match: the field ends at the gateway, before routing".to_owned()),
        false => Ok(name),
    }
}

/// The name of a header field that the config may change. Framing and connection fields (RFC 9110 section 7.6.1) are
/// the gateway's own.
pub(super) fn editable_header_name(text: &str) -> Result<HeaderName, String> {
    let name = header_name(text)?;
    match name.as_str() {
        "host" => Err("can't be changed here; set \"host\" of the upstream".to_owned()),
        "cdn-loop" => Err("can't be changed; it is what ends loops (forwarding.max_hops)".to_owned()),
        _ if is_made_here(&name) => Err("can't be changed; the gateway makes the framing itself".to_owned()),
        _ => Ok(name),
    }
}

/// The value of a header field (RFC 9110 section 5.5).
pub(super) fn header_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).ok().filter(|_| text.is_ascii() && text.trim() == text).ok_or_else(|| {
        "is not a header value; use visible ASCII characters, without line breaks or spaces at the ends".to_owned()
    })
}

/// A token (RFC 9110 section 5.6.2).
pub(super) fn token(text: &str) -> Result<String, String> {
    let valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if valid {
        Ok(text.to_owned())
    } else {
        Err("is not a token; use letters, digits, \".\", \"_\" and \"-\"".to_owned())
    }
}

/// `sha256:` and the digest in hex, which comes out in lower case.
pub(super) fn sha256(text: &str) -> Result<String, String> {
    match text.strip_prefix("sha256:") {
        Some(digest) if digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(digest.to_ascii_lowercase())
        }
        _ => {
            Err("is no SHA-256; write sha256: and the 64 hex digits that `gateway plugin check FILE` shows".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        assert_eq!(host_and_port("10.0.0.7:5000"), Ok(("10.0.0.7".to_owned(), 5000)));
        assert_eq!(host_and_port("[::1]:80"), Ok(("::1".to_owned(), 80)));
        assert_eq!(host_and_port("Orders.internal:80"), Ok(("orders.internal".to_owned(), 80)));
        for text in
            ["10.0.0.7", "10.0.0.7:", "10.0.0.7:0", "10.0.0:80", "::1:80", "http://a:80", "a b:80", ":80", "a:70000"]
        {
            assert!(host_and_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_does_not_belong_into_an_endpoint_is_named_and_what_was_meant_is_shown() {
        for (text, said, meant) in [
            ("http://127.0.0.1:5000", "without \"tls\"", Some("127.0.0.1:5000")),
            ("https://api.internal", "\"tls: {}\"", Some("api.internal:443")),
            ("HTTP://a", "scheme", None),
            ("grpc://a:50051", "protocol: http2", Some("a:50051")),
            ("unix:/run/app.sock", "file system", None),
            ("/run/app.sock", "file system", None),
            ("a:80/path", "a path does not belong here", Some("a:80")),
            ("user:pass@a:80", "a user does not belong here", Some("a:80")),
            ("a :80", "a space", None),
            (" a:80", "a space", Some("a:80")),
            ("a", "the port is missing", None),
            ("10.0.0.7", "the port is missing", None),
            ("::1", "the port is missing", None),
            ("[::1]", "the port is missing", None),
            ("fe80::1:5000:x:80", "brackets", None),
            ("a:", "its port is a number", None),
            ("a:0", "its port is a number", None),
            ("a:http", "its port is a number", None),
            ("a:8000-8010", "its port is a number", None),
            ("", "the port is missing", None),
        ] {
            let error = host_and_port(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
            assert!(said == "brackets" || !error.contains("in brackets"), "{text}: {error}");
            assert_eq!(host_and_port_hint(text).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn what_does_not_belong_into_a_listener_s_address_is_named_and_what_was_meant_is_shown() {
        for (text, said, meant) in [
            ("http://0.0.0.0:80", "scheme", Some("0.0.0.0:80")),
            ("localhost:8080", "write IP:PORT", Some("127.0.0.1:8080")),
            (":8080", "write IP:PORT", Some("0.0.0.0:8080")),
            ("*:8080", "write IP:PORT", Some("0.0.0.0:8080")),
            ("8080", "write IP:PORT", Some("0.0.0.0:8080")),
            ("0.0.0.0", "write IP:PORT", None),
            ("unix:/run/a.sock", "file system", None),
            ("api.example.no:443", "write IP:PORT", None),
        ] {
            let error = socket_address(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
            assert_eq!(socket_address_hint(text).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn hostnames() {
        assert_eq!(hostname_match("API.example.no"), Ok(HostnameMatch::Exact("api.example.no".to_owned())));
        assert_eq!(hostname_match("*.Example.no"), Ok(HostnameMatch::Wildcard("example.no".to_owned())));
        assert_eq!(hostname_match("127.0.0.1"), Ok(HostnameMatch::Exact("127.0.0.1".to_owned())));
        assert_eq!(hostname_match("[::1]"), Ok(HostnameMatch::Exact("[::1]".to_owned())));
        for text in ["", "*", "a.*.b", "api*.no", "a:80", "-a.no", "a..b", "https://a.no", "blåbær.no", "256.1.1.1"] {
            assert!(hostname_match(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_that_could_never_match_are_refused() {
        for text in ["/", "/a/b/", "/a%2Fb", "/a;b=c", "/@:!$&'()*+,;="] {
            assert_eq!(path(text), Ok(text.to_owned()));
        }
        for (text, normal) in [
            ("/a//b", Some("/a/b")),
            ("/a/../b", Some("/b")),
            ("/.", Some("/")),
            ("/%41", Some("/A")),
            ("/%2f", Some("/%2F")),
            ("/å", Some("/%C3%A5")),
            ("/{a}", Some("/%7Ba%7D")),
            ("/%00", None),
            ("/..%2Fx", None),
            ("/..;/x", None),
            ("/a b", None),
            ("/a\\b", None),
            ("/%", None),
            ("/%zz", None),
        ] {
            assert!(path(text).is_err_and(|message| message.starts_with("would never match")), "{text}");
            assert_eq!(normal_path(text).as_deref(), normal, "{text}");
        }
        for text in ["", "a", "/a?b", "/a#b"] {
            assert!(path(text).is_err_and(|message| message.starts_with("is not a path")), "{text}");
        }
    }

    #[test]
    fn fields_that_are_gone_before_routing_are_refused() {
        for text in ["Connection", "te", "upgrade", "Expect", "keep-alive", "proxy-authorization", "transfer-encoding"]
        {
            assert!(routable_header_name(text).is_err_and(|message| message.contains("before routing")), "{text}");
        }
        assert!(routable_header_name("Host").is_err_and(|message| message.contains("match.hostnames")));
        assert!(routable_header_name("X-Tenant").is_ok());
    }

    #[test]
    fn methods_are_in_upper_case() {
        assert_eq!(method("PURGE"), Ok(Method::from_bytes(b"PURGE").unwrap()));
        for text in ["get", "Get", "", "A B", "CONNECT", "TRACE"] {
            assert!(method(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_regex_covers_the_whole_text() {
        let regex = whole_regex("/a|/b").unwrap();
        assert!(regex.is_match("/a") && regex.is_match("/b") && !regex.is_match("/ab") && !regex.is_match("/a\n"));
        assert!(whole_regex("(").unwrap_err().ends_with("unclosed group"));
        assert!(whole_regex(")|(").is_err());
        assert!(whole_regex("(a{1000}){1000}").is_err());
    }

    #[test]
    fn header_fields() {
        assert!(editable_header_name("X-Robots-Tag").is_ok());
        for text in ["Transfer-Encoding", "content-length", "host", "a b", ""] {
            assert!(editable_header_name(text).is_err(), "{text}");
        }
        for text in ["a\r\nb", " a", "é"] {
            assert!(header_value(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn hosts_for_upstreams() {
        for text in ["api.example.no", "api.example.no:8080", "[::1]:80", "[::1]", "10.0.0.1"] {
            assert!(authority(text).is_ok(), "{text}");
        }
        for text in ["", "a b", "http://a", "a:b", "::1"] {
            assert!(authority(text).is_err(), "{text}");
        }
    }
}
