//! The heads of requests and responses (RFC 9112 sections 2 to 5), parsed where they lie: values are parts of the buffer that
//! they came in.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use memchr::memchr;

use super::{Malformed, Reading};
use crate::message::FieldMap;

/// The longest target: what the `http` crate can keep.
const LONGEST_TARGET: usize = u16::MAX as usize - 1;

/// A request line and fields.
#[derive(Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target, in the form that it was sent in.
    pub target: Uri,
    /// HTTP/1.0 or 1.1. Later minor versions are served as 1.1 (RFC 9110 section 2.5).
    pub version: Version,
    /// The fields.
    pub fields: FieldMap,
}

/// A status line and fields.
#[derive(Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// HTTP/1.0 or 1.1.
    pub version: Version,
    /// The fields.
    pub fields: FieldMap,
}

fn bad<T>(what: &'static str) -> Result<T, Malformed> {
    Err(Malformed::Syntax(what))
}

/// Parses a whole head of a request, with the empty line that ends it.
///
/// # Errors
/// Where it is not exactly that.
pub fn parse_request(head: &Bytes) -> Result<RequestHead, Malformed> {
    let mut lines = Lines { head, place: 0 };
    let Some((start, end)) = lines.next() else { return bad("no request line") };
    let line = &head[start..end];
    let Some(first) = memchr(b' ', line) else { return bad("a request line without a target") };
    let Ok(method) = Method::from_bytes(&line[..first]) else { return bad("a method that is no token") };
    let rest = &line[first + 1..];
    let Some(second) = memchr(b' ', rest) else { return bad("a request line without a version") };
    let version = version(&rest[second + 1..])?;
    if second > LONGEST_TARGET {
        return Err(Malformed::TargetTooLong);
    }
    if memchr(b'#', &rest[..second]).is_some() {
        // RFC 9112 section 3.2: no form of a target has one. A party that takes it for a part of the path sees another path.
        return bad("a target with a fragment");
    }
    let start = start + first + 1;
    let Ok(target) = Uri::from_maybe_shared(head.slice(start..start + second)) else {
        return bad("a target that is no URI");
    };
    let fields = lines.fields(Reading::Strict)?;
    Ok(RequestHead { method, target, version, fields })
}

/// Parses a whole head of a response, with the empty line that ends it.
///
/// # Errors
/// Where it is not exactly that.
pub fn parse_response(head: &Bytes) -> Result<ResponseHead, Malformed> {
    let mut lines = Lines { head, place: 0 };
    let Some((start, end)) = lines.next() else { return bad("no status line") };
    let line = &head[start..end];
    let Some((name, rest)) = line.split_at_checked("HTTP/1.1".len()) else {
        return bad("a line that is no status line");
    };
    let version = version(name)?;
    // RFC 9112 section 4: the blank before an empty reason is not optional, but some leave it out.
    let status = match rest {
        [b' ', digits @ ..] => digits,
        _ => return bad("a status line without a status"),
    };
    let (digits, reason) = status.split_at(status.len().min(3));
    let Ok(status) = StatusCode::from_bytes(digits) else { return bad("a status that is not three digits") };
    if !(reason.is_empty() || reason[0] == b' ' && reason.iter().all(|&byte| is_text(byte))) {
        return bad("a reason phrase with a control character");
    }
    let fields = lines.fields(Reading::Tolerant)?;
    Ok(ResponseHead { status, version, fields })
}

/// Parses a section of fields with the empty line that ends it: trailers.
///
/// # Errors
/// Where it is not exactly that.
pub fn parse_fields(section: &Bytes, reading: Reading) -> Result<FieldMap, Malformed> {
    Lines { head: section, place: 0 }.fields(reading)
}

fn version(text: &[u8]) -> Result<Version, Malformed> {
    match text {
        b"HTTP/1.1" => Ok(Version::HTTP_11),
        b"HTTP/1.0" => Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => Ok(Version::HTTP_11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Malformed::Version),
        _ => bad("a version that is none"),
    }
}

/// What a value or a reason phrase may hold: visible characters, blanks, and what is beyond ASCII.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

/// The lines of a section, as places in it.
struct Lines<'a> {
    head: &'a Bytes,
    place: usize,
}

impl Lines<'_> {
    /// The next line without what ends it; `None` behind the last, which is empty.
    fn next(&mut self) -> Option<(usize, usize)> {
        let start = self.place;
        let length = memchr(b'\n', &self.head[start..])?;
        self.place = start + length + 1;
        let end =
            if length > 0 && self.head[start + length - 1] == b'\r' { start + length - 1 } else { start + length };
        (end > start).then_some((start, end))
    }

    /// The fields that the rest of the lines are.
    fn fields(&mut self, reading: Reading) -> Result<FieldMap, Malformed> {
        let mut fields = FieldMap::with_capacity(FIELDS);
        while let Some((start, end)) = self.next() {
            let line = &self.head[start..end];
            let Some(colon) = memchr(b':', line) else { return bad("a line without a colon") };
            let mut name = &line[..colon];
            if reading == Reading::Tolerant {
                // RFC 9112 section 5.1: a proxy removes blanks from a response, and nothing else. In a request they are refused.
                let length = name.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last + 1);
                name = &name[..length];
            }
            // A name is a token: a line that continues another one (RFC 9112 section 5.2) has none.
            let Ok(name) = HeaderName::from_bytes(name) else { return bad("a field name that is no token") };
            let value = &line[colon + 1..];
            let first = value.iter().position(|&byte| !is_blank(byte)).unwrap_or(value.len());
            let length = value.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last + 1 - first);
            let start = start + colon + 1 + first;
            let Ok(value) = HeaderValue::from_maybe_shared(self.head.slice(start..start + length)) else {
                return bad("a field value with a control character");
            };
            fields.append(name, value);
        }
        Ok(fields)
    }
}

/// Fields that there is room for at first: most requests of a browser have fewer, and what the gateway adds fits as well.
const FIELDS: usize = 24;

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &str) -> Result<RequestHead, Malformed> {
        parse_request(&Bytes::copy_from_slice(head.as_bytes()))
    }

    fn response(head: &str) -> Result<ResponseHead, Malformed> {
        parse_response(&Bytes::copy_from_slice(head.as_bytes()))
    }

    #[test]
    fn a_request_is_read_as_it_was_sent() {
        let head =
            request("POST /a?b HTTP/1.1\r\nHost: x\r\nX-A:\t1 2 \r\nx-a:\r\nÅ: 1\r\n\r\n".replace('Å', "e").as_str());
        let head = head.unwrap();
        assert_eq!((head.method, head.version), (Method::POST, Version::HTTP_11));
        assert_eq!(head.target, "/a?b");
        assert_eq!(head.fields.get_all("x-a").collect::<Vec<_>>(), ["1 2", ""]);
        assert_eq!(head.fields.len(), 4);
    }

    #[test]
    fn later_minor_versions_are_served_as_1_1_and_others_are_not() {
        for (version, expected) in [
            ("HTTP/1.0", Ok(Version::HTTP_10)),
            ("HTTP/1.1", Ok(Version::HTTP_11)),
            ("HTTP/1.2", Ok(Version::HTTP_11)),
            ("HTTP/1.9", Ok(Version::HTTP_11)),
            ("HTTP/2.0", Err(Malformed::Version)),
            ("HTTP/0.9", Err(Malformed::Version)),
            ("HTTP/1.10", Err(Malformed::Syntax("a version that is none"))),
            ("http/1.1", Err(Malformed::Syntax("a version that is none"))),
            ("HTTP/1.1 ", Err(Malformed::Syntax("a version that is none"))),
        ] {
            let read = request(&format!("GET / {version}\r\n\r\n")).map(|head| head.version);
            assert_eq!(read, expected, "{version}");
        }
    }

    #[test]
    fn requests_that_could_be_read_in_two_ways_are_refused() {
        for head in [
            "GET  / HTTP/1.1\r\n\r\n",
            "GET /\r\n\r\n",
            " GET / HTTP/1.1\r\n\r\n",
            "GET /\t HTTP/1.1\r\n\r\n",
            "GET /public#/../private HTTP/1.1\r\n\r\n",
            "GET http://a#b/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\n A: b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\n: b\r\n\r\n",
            "GET / HTTP/1.1\r\nA b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\x7f\r\n\r\n",
            "GET / HTTP/1.1\r\nA\0: b\r\n\r\n",
            "G(T / HTTP/1.1\r\n\r\n",
        ] {
            assert!(matches!(request(head), Err(Malformed::Syntax(_))), "{head:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(LONGEST_TARGET));
        assert_eq!(request(&long).unwrap_err(), Malformed::TargetTooLong);
    }

    #[test]
    fn responses_are_read_as_servers_send_them() {
        for (head, status) in [
            ("HTTP/1.1 200 OK\r\n\r\n", 200),
            ("HTTP/1.1 404 \r\n\r\n", 404),
            ("HTTP/1.1 204\r\n\r\n", 204),
            ("HTTP/1.0 302 M\u{f8}ved\r\n\r\n", 302),
            ("HTTP/1.1 200 OK\nA: b\n\n", 200),
        ] {
            assert_eq!(response(head).unwrap().status, status, "{head:?}");
        }
        let head = response("HTTP/1.1 200 OK\r\nServer : x\r\nA:b\r\n\r\n").unwrap();
        assert_eq!((head.fields["server"].as_bytes(), head.fields["a"].as_bytes()), (&b"x"[..], &b"b"[..]));
        for byte in ['\r', '\x0b', '\x0c', '\0'] {
            let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding{byte}: chunked\r\n\r\n");
            assert!(response(&head).is_err(), "{head:?}: only blanks are left out");
        }
        for head in
            ["HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n", "HTTP/1.1 20\r\n\r\n", "ICY 200 OK\r\n\r\n", "\r\n"]
        {
            assert!(response(head).is_err(), "{head:?}");
        }
    }
}
