//! What the gateway sends on the streams of requests: HEADERS frames and the heads of DATA frames (RFC 9114 section 7.2).
//!
//! Field sections refer to QPACK's static table and hold the rest as it is. There is no dynamic table, so nothing has to be
//! waited for; and Huffman coding costs more than the quarter of a head's bytes that it saves.

use bytes::{BufMut, BytesMut};
use http::StatusCode;

use super::frames::{DATA, HEADERS};
use crate::message::FieldMap;

/// RFC 9114 section 4.2.2: what a field counts for beside its name and its value.
const FIELD: u64 = 32;
/// The largest head of a DATA frame: its type, and a length of eight bytes.
pub(super) const DATA_HEAD: usize = 9;
/// The first bit of every field that is a literal with a name of the static table, and of every indexed one (RFC 9204
/// section 4.5).
const NAMED: u8 = 0b0101_0000;
const INDEXED: u8 = 0b1100_0000;
const LITERAL: u8 = 0b0010_0000;
/// The bits of both kinds of literal which say that it stays one (RFC 9204 section 4.5.4).
const NEVER_INDEXED_NAMED: u8 = 0b0010_0000;
const NEVER_INDEXED: u8 = 0b0001_0000;

/// A head that is larger than the client takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Appends the head of a response, or of one before it, unless it is larger than `limit` (RFC 9114 section 4.2.2).
pub(super) fn head(out: &mut BytesMut, status: StatusCode, fields: &FieldMap, limit: u64) -> Result<(), TooLarge> {
    section(out, Some(status), fields, limit)
}

/// Appends trailers.
pub(super) fn trailers(out: &mut BytesMut, fields: &FieldMap, limit: u64) -> Result<(), TooLarge> {
    section(out, None, fields, limit)
}

/// Appends the head of a DATA frame.
pub(super) fn data(out: &mut BytesMut, length: usize) {
    out.put_u8(DATA as u8);
    match length {
        0..=0x3f => out.put_u8(length as u8),
        0x40..=0x3fff => out.put_u16(0x4000 | length as u16),
        0x4000..=0x3fff_ffff => out.put_u32(0x8000_0000 | length as u32),
        _ => out.put_u64(0xc000_0000_0000_0000 | length as u64),
    }
}

fn section(out: &mut BytesMut, status: Option<StatusCode>, fields: &FieldMap, limit: u64) -> Result<(), TooLarge> {
    let start = out.len();
    // The length in four bytes, as it is not known yet; then the prefix of a section without dynamic references.
    out.put_slice(&[HEADERS as u8, 0, 0, 0, 0, 0, 0]);
    let mut size = 0;
    if let Some(status) = status {
        put_status(out, status);
        size += (":status".len() + 3) as u64 + FIELD;
    }
    for (name, value) in fields {
        let (name, value, sensitive) = (name.expose(), value.expose(), value.is_sensitive());
        size += (name.len() + value.len()) as u64 + FIELD;
        put_field(out, name, value, sensitive);
    }
    if size > limit {
        out.truncate(start);
        return Err(TooLarge);
    }
    let length = u32::try_from(out.len() - start - 5).map_err(|_| TooLarge)? | 0x8000_0000;
    out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn put_status(out: &mut BytesMut, status: StatusCode) {
    let index = match status.as_u16() {
        103 => 24,
        200 => 25,
        304 => 26,
        404 => 27,
        503 => 28,
        100 => 63,
        204 => 64,
        206 => 65,
        302 => 66,
        400 => 67,
        403 => 68,
        421 => 69,
        425 => 70,
        500 => 71,
        _ => {
            put_integer(out, NAMED, 4, 24);
            return put_string(out, 0, 7, status.as_str().as_bytes());
        }
    };
    put_integer(out, INDEXED, 6, index);
}

fn put_field(out: &mut BytesMut, name: &[u8], value: &[u8], sensitive: bool) {
    let known = BY_LENGTH.get(name.len()).and_then(|names| names.iter().find(|known| known.0.as_bytes() == name));
    let Some((_, index, values)) = known else {
        put_string(out, if sensitive { LITERAL | NEVER_INDEXED } else { LITERAL }, 3, name);
        return put_string(out, 0, 7, value);
    };
    if !sensitive && let Some((_, index)) = values.iter().find(|known| known.0.as_bytes() == value) {
        return put_integer(out, INDEXED, 6, usize::from(*index));
    }
    put_integer(out, if sensitive { NAMED | NEVER_INDEXED_NAMED } else { NAMED }, 4, usize::from(*index));
    put_string(out, 0, 7, value);
}

/// An integer with a prefix of `bits` bits below those of `first`, RFC 7541 section 5.1.
fn put_integer(out: &mut BytesMut, first: u8, bits: u32, value: usize) {
    let mask = (1 << bits) - 1;
    if value < mask {
        return out.put_u8(first | value as u8);
    }
    out.put_u8(first | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

fn put_string(out: &mut BytesMut, first: u8, bits: u32, text: &[u8]) {
    put_integer(out, first, bits, text.len());
    out.put_slice(text);
}

/// A name, an entry of the static table that has it, and the values that the table has with it.
type Known = (&'static str, u8, &'static [(&'static str, u8)]);

/// The names of responses in QPACK's static table (RFC 9204 appendix A) by their length.
const BY_LENGTH: [&[Known]; 33] = [
    &[],
    &[],
    &[],
    &[("age", 2, &[("0", 2)])],
    &[("date", 6, &[]), ("etag", 7, &[]), ("link", 11, &[]), ("vary", 59, &[("accept-encoding", 59), ("origin", 60)])],
    &[],
    &[("server", 92, &[])],
    &[("alt-svc", 83, &[("clear", 83)])],
    &[("location", 12, &[])],
    &[],
    &[("set-cookie", 14, &[])],
    &[],
    &[(
        "content-type",
        44,
        &[
            ("application/dns-message", 44),
            ("application/javascript", 45),
            ("application/json", 46),
            ("application/x-www-form-urlencoded", 47),
            ("image/gif", 48),
            ("image/jpeg", 49),
            ("image/png", 50),
            ("text/css", 51),
            ("text/html; charset=utf-8", 52),
            ("text/plain", 53),
            ("text/plain;charset=utf-8", 54),
        ],
    )],
    &[
        (
            "cache-control",
            36,
            &[
                ("max-age=0", 36),
                ("max-age=2592000", 37),
                ("max-age=604800", 38),
                ("no-cache", 39),
                ("no-store", 40),
                ("public, max-age=31536000", 41),
            ],
        ),
        ("last-modified", 10, &[]),
        ("accept-ranges", 32, &[("bytes", 32)]),
    ],
    &[("content-length", 4, &[("0", 4)])],
    &[("x-frame-options", 97, &[("deny", 97), ("sameorigin", 98)])],
    &[("content-encoding", 42, &[("br", 42), ("gzip", 43)]), ("x-xss-protection", 62, &[("1; mode=block", 62)])],
    &[],
    &[],
    &[("content-disposition", 3, &[]), ("timing-allow-origin", 93, &[("*", 93)])],
    &[],
    &[],
    &[("x-content-type-options", 61, &[("nosniff", 61)])],
    &[("content-security-policy", 85, &[("script-src 'none'; object-src 'none'; base-uri 'none'", 85)])],
    &[],
    &[(
        "strict-transport-security",
        56,
        &[
            ("max-age=31536000", 56),
            ("max-age=31536000; includesubdomains", 57),
            ("max-age=31536000; includesubdomains; preload", 58),
        ],
    )],
    &[],
    &[("access-control-allow-origin", 35, &[("*", 35)])],
    &[
        ("access-control-allow-headers", 33, &[("cache-control", 33), ("content-type", 34), ("*", 75)]),
        ("access-control-allow-methods", 76, &[("get", 76), ("get, post, options", 77), ("options", 78)]),
    ],
    &[("access-control-expose-headers", 79, &[("content-length", 79)])],
    &[],
    &[],
    &[("access-control-allow-credentials", 73, &[("FALSE", 73), ("TRUE", 74)])],
];

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::message::FieldMap;
    use crate::protocol::http3::decode::Decoder;

    fn fields(list: &[(&'static str, &'static str)]) -> FieldMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn each_entry_of_the_table_is_the_one_that_h3_knows() {
        let all: Vec<(&str, &str)> = BY_LENGTH
            .iter()
            .flat_map(|known| known.iter())
            .flat_map(|(name, _, values)| {
                values.iter().map(|(value, _)| *value).chain(["another value"]).map(move |value| (*name, value))
            })
            .collect();
        for (length, known) in BY_LENGTH.iter().enumerate() {
            assert!(known.iter().all(|(name, ..)| name.len() == length), "{known:?}");
        }
        let long: &'static str = "x".repeat(70_000).leak();
        for (name, value) in all.into_iter().chain([("x-a", ""), ("x-long-name-of-no-table", "1"), ("x-a", long)]) {
            let sent = fields(&[(name, value), ("x-b", "2")]);
            let mut out = BytesMut::new();
            trailers(&mut out, &sent, u64::MAX).expect("small");
            let length = u32::from_be_bytes(out[1..5].try_into().expect("four")) & 0x3fff_ffff;
            assert_eq!((out[0], length as usize), (1, out.len() - 5));
            let decoder = Decoder::for_tests(1 << 20);
            let read = decoder.trailers(&out[5..]).unwrap_or_else(|error| panic!("{name}: {value}: {error:?}"));
            assert_eq!(FieldMap::from(read), sent, "{name}: {value}");
        }
    }

    /// RFC 9204 section 4.5.4: who passes it on leaves it a literal that no table may have.
    #[test]
    fn what_must_not_be_compressed_is_a_literal_and_says_so() {
        for (name, first) in [("vary", NAMED | NEVER_INDEXED_NAMED), ("x-a", LITERAL | NEVER_INDEXED)] {
            let mut value = HeaderValue::from_static("origin");
            value.set_sensitive(true);
            let mut out = BytesMut::new();
            trailers(&mut out, &[(HeaderName::from_static(name), value)].into_iter().collect(), 1000).expect("small");
            assert_eq!(out[7] & 0xf0, first, "{name}");
            let read = Decoder::for_tests(1000).trailers(&out[5..]).expect("it is read");
            assert_eq!(read[name], "origin");
        }
    }

    #[test]
    fn a_status_is_three_digits() {
        let put = |status: u16| {
            let mut out = BytesMut::new();
            head(&mut out, StatusCode::from_u16(status).expect("a status"), &fields(&[]), 1000).expect("small");
            out[7..].to_vec()
        };
        assert_eq!(put(200), [0xc0 | 25]);
        assert_eq!(put(500), [0xc0 | 63, 8]);
        assert_eq!(put(201), [0x5f, 9, 3, b'2', b'0', b'1']);
    }

    #[test]
    fn what_is_larger_than_the_client_takes_is_not_sent() {
        let fields = fields(&[("x-a", "12345")]);
        let mut out = BytesMut::from("before");
        assert_eq!(head(&mut out, StatusCode::OK, &fields, 42 + 40 - 1), Err(TooLarge));
        assert_eq!(&out[..], b"before");
        assert_eq!(head(&mut out, StatusCode::OK, &fields, 42 + 40), Ok(()));
    }

    #[test]
    fn the_length_of_content_takes_no_more_than_it_needs() {
        for (length, bytes) in [
            (1, &[0, 1][..]),
            (64, &[0, 0x40, 64]),
            (20_000, &[0, 0x80, 0, 0x4e, 0x20]),
            (1 << 30, &[0, 0xc0, 0, 0, 0, 0x40, 0, 0, 0]),
        ] {
            let mut out = BytesMut::new();
            data(&mut out, length);
            assert_eq!(&out[..], bytes);
        }
    }
}
