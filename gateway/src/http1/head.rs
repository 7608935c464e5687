//! The heads of requests and responses (RFC 9112 sections 2 to 5), parsed where they lie: values are parts of the buffer that
//! they came in.

use bytes::BytesMut;
use http::{Method, StatusCode, Uri, Version};
use memchr::memchr;

use super::lines::Found;
use super::{Malformed, Reading, is_token};
use crate::message::{FieldMap, FieldName, FieldValue, ReceivedFields};
use crate::sensitive::Sensitive;

/// The longest target: what the `http` crate can keep.
const LONGEST_TARGET: usize = u16::MAX as usize - 1;

/// A request line and fields.
#[derive(Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Sensitive<Method>,
    /// The target, in the form that it was sent in.
    pub target: Sensitive<Uri>,
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

/// Parses a whole head of a request, as it was found.
///
/// # Errors
/// Where it is not exactly that.
pub fn parse_request(mut head: BytesMut, found: &Found) -> Result<RequestHead, Malformed> {
    let Some(line) = first_line(&head, found) else { return bad("no request line") };
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
    let fields = read_fields(&mut head, found, 1, Reading::Strict)?;
    let head = head.freeze();
    let Ok(target) = Uri::from_maybe_shared(head.slice(first + 1..first + 1 + second)) else {
        return bad("a target that is no URI");
    };
    Ok(RequestHead { method: method.into(), target: target.into(), version, fields: fields.of(head) })
}

/// Parses a whole head of a response, as it was found.
///
/// # Errors
/// Where it is not exactly that.
pub fn parse_response(mut head: BytesMut, found: &Found) -> Result<ResponseHead, Malformed> {
    let Some(line) = first_line(&head, found) else { return bad("no status line") };
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
    if !(reason.is_empty() || reason[0] == b' ' && FieldValue::of(reason).is_some()) {
        return bad("a reason phrase with a control character");
    }
    let fields = read_fields(&mut head, found, 1, Reading::Tolerant)?;
    Ok(ResponseHead { status, version, fields: fields.of(head.freeze()) })
}

/// Parses a section of fields, as it was found: trailers.
///
/// # Errors
/// Where it is not exactly that.
pub fn parse_fields(mut section: BytesMut, found: &Found, reading: Reading) -> Result<FieldMap, Malformed> {
    Ok(read_fields(&mut section, found, 0, reading)?.of(section.freeze()))
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

/// The first line of a head, without what ends it.
fn first_line<'a>(head: &'a [u8], found: &Found) -> Option<&'a [u8]> {
    let line = head.get(..*found.ends.first()? as usize)?.strip_suffix(b"\n")?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Reads the fields that the lines of a section are, but for the first `before` ones, and gives names lower-case letters.
fn read_fields(
    section: &mut [u8],
    found: &Found,
    before: usize,
    reading: Reading,
) -> Result<ReceivedFields, Malformed> {
    let mut fields = ReceivedFields::new();
    let mut place = before.checked_sub(1).and_then(|line| found.ends.get(line)).map_or(0, |end| *end as usize);
    for &end in found.ends.get(before..).unwrap_or_default() {
        let end = end as usize;
        let Some(line) = section.get_mut(place..end) else { return bad("a line that is not there") };
        read_field(line, place, reading, &mut fields)?;
        place = end;
    }
    Ok(fields)
}

/// Reads one field, whose line begins at this place of its section.
#[inline]
fn read_field(line: &mut [u8], place: usize, reading: Reading, fields: &mut ReceivedFields) -> Result<(), Malformed> {
    let Some(colon) = memchr(b':', line) else { return bad("a line without a colon") };
    let mut length = colon;
    if reading == Reading::Tolerant {
        // RFC 9112 section 5.1: a proxy removes blanks from a response, and nothing else. In a request they are refused.
        while length > 0 && is_blank(line[length - 1]) {
            length -= 1;
        }
    }
    let (name, rest) = line.split_at_mut(length);
    let rest = &*rest;
    lower_case(name);
    let name = FieldName::of(name);
    // A name is a token: a line that continues another one (RFC 9112 section 5.2) has none. Well-known ones are.
    let is_token = || (1..=LONGEST_NAME).contains(&length) && name.expose().iter().all(|&byte| is_token(byte));
    if !name.is_known() && !is_token() {
        return bad("a field name that is no token");
    }
    let text = match rest {
        [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] => text,
        text => text,
    };
    let (mut start, mut end) = (colon - length + 1, text.len());
    while start < end && is_blank(text[start]) {
        start += 1;
    }
    while start < end && is_blank(text[end - 1]) {
        end -= 1;
    }
    if FieldValue::of(&text[start..end]).is_none() {
        return bad("a field value with a control character");
    }
    let whole = start == 2 && text[1] == b' ' && rest.len() == end + 2 && rest[end] == b'\r';
    fields.push(name, place, place + length + start..place + length + end, whole);
    Ok(())
}

/// Gives a name lower-case letters, eight at a time and the last eight once more.
#[inline]
fn lower_case(name: &mut [u8]) {
    const EIGHT: usize = size_of::<u64>();
    let length = name.len();
    if length < EIGHT {
        return name.make_ascii_lowercase();
    }
    let mut place = 0;
    while place + EIGHT <= length {
        lower_eight(&mut name[place..place + EIGHT]);
        place += EIGHT;
    }
    lower_eight(&mut name[length - EIGHT..]);
}

#[inline]
fn lower_eight(eight: &mut [u8]) {
    const ONES: u64 = u64::MAX / 0xff;
    let Ok(bytes) = <&mut [u8; 8]>::try_from(eight) else { return };
    let word = u64::from_le_bytes(*bytes);
    let heptets = word & (0x7f * ONES);
    let (above_z, from_a) = (heptets + 0x25 * ONES, heptets + 0x3f * ONES);
    let upper = (from_a ^ above_z) & !word & (0x80 * ONES);
    *bytes = (word | upper >> 2).to_le_bytes();
}

/// The longest name: what the `http` crate can keep.
const LONGEST_NAME: usize = u16::MAX as usize;

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{HeadLimits, Section};

    const LIMITS: HeadLimits = HeadLimits { bytes: 1 << 20, fields: 100 };

    fn request(head: &str) -> Result<RequestHead, Malformed> {
        let found = Section::default().find_end(head.as_bytes(), 1, LIMITS, Reading::Strict)?.expect("a head");
        parse_request(BytesMut::from(&head.as_bytes()[found.place.clone()]), &found)
    }

    fn response(head: &str) -> Result<ResponseHead, Malformed> {
        let found = Section::default().find_end(head.as_bytes(), 1, LIMITS, Reading::Tolerant)?;
        let found = found.ok_or(Malformed::Syntax("no end"))?;
        parse_response(BytesMut::from(&head.as_bytes()[found.place.clone()]), &found)
    }

    #[test]
    fn a_request_is_read_as_it_was_sent() {
        let head =
            request("POST /a?b HTTP/1.1\r\nHost: x\r\nX-A:\t1 2 \r\nx-a:\r\nÅ: 1\r\n\r\n".replace('Å', "e").as_str());
        let head = head.unwrap();
        assert_eq!((head.method.expose(), head.version), (&Method::POST, Version::HTTP_11));
        assert_eq!(head.target.expose(), "/a?b");
        assert_eq!(head.fields.get_all("x-a").collect::<Vec<_>>(), ["1 2", ""]);
        assert_eq!(head.fields.len(), 4);
    }

    #[test]
    fn names_get_lower_case_letters_and_nothing_else_changes() {
        for length in 0..40 {
            for place in 0..length {
                for byte in 0..=255 {
                    let mut name = vec![b'Z'; length];
                    name[place] = byte;
                    let expected = name.to_ascii_lowercase();
                    lower_case(&mut name);
                    assert_eq!(name, expected, "{byte} at {place} of {length}");
                }
            }
        }
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
        assert_eq!((head.fields.text("server"), head.fields.text("a")), ("x", "b"));
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
