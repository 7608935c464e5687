//! Heads and chunks, written.

use bytes::BufMut as _;
use http::{Method, StatusCode, Version};

use crate::message::FieldMap;

/// A request line in origin form (RFC 9112 section 3).
pub fn request_line(out: &mut Vec<u8>, method: &Method, target: &str) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// A status line with the status's own phrase (RFC 9112 section 4).
pub fn status_line(out: &mut Vec<u8>, version: Version, status: StatusCode) {
    if version == Version::HTTP_11 && status == StatusCode::OK {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Field lines.
pub fn write_fields(out: &mut Vec<u8>, fields: &FieldMap) {
    fields.write_lines(out);
}

/// The line before a chunk.
pub(super) fn chunk_size(out: &mut Vec<u8>, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digits = (usize::BITS - (size | 1).leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.put_u8(DIGITS[size >> (4 * digit) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// The last chunk, with trailers.
pub(super) fn last_chunk(out: &mut Vec<u8>, trailers: Option<&FieldMap>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        write_fields(out, trailers);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::http1::parse_fields;
    use crate::http1::{HeadLimits, Reading, Section, parse_response};

    const LIMITS: HeadLimits = HeadLimits { bytes: 1 << 20, fields: 100 };

    #[test]
    fn sizes_are_written_in_hexadecimal() {
        for (size, text) in [(0, "0\r\n"), (1, "1\r\n"), (15, "F\r\n"), (16, "10\r\n"), (0xabc_def0, "ABCDEF0\r\n")] {
            let mut out = Vec::new();
            chunk_size(&mut out, size);
            assert_eq!(out, text.as_bytes());
        }
        let mut out = Vec::new();
        chunk_size(&mut out, usize::MAX);
        assert_eq!(out, b"FFFFFFFFFFFFFFFF\r\n");
    }

    #[test]
    fn statuses_have_their_lines() {
        for (version, status, line) in [
            (Version::HTTP_11, StatusCode::OK, "HTTP/1.1 200 OK\r\n"),
            (Version::HTTP_10, StatusCode::OK, "HTTP/1.0 200 OK\r\n"),
            (Version::HTTP_11, StatusCode::NOT_FOUND, "HTTP/1.1 404 Not Found\r\n"),
            (Version::HTTP_11, StatusCode::from_u16(299).unwrap(), "HTTP/1.1 299 \r\n"),
        ] {
            let mut out = Vec::new();
            status_line(&mut out, version, status);
            assert_eq!(out, line.as_bytes());
            let head = BytesMut::from(&[&out[..], b"\r\n"].concat()[..]);
            let found = Section::default().find_end(&head, 1, LIMITS, Reading::Strict).unwrap().unwrap();
            assert_eq!(parse_response(head, &found).unwrap().status, status);
        }
    }

    proptest! {
        #[test]
        fn fields_come_back_as_they_were_written(fields in proptest::collection::vec(("[a-z-]{1,9}", "([!-~]([ -~]{0,9}[!-~])?)?"), 0..9)) {
            let fields: FieldMap = fields
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            let mut out = Vec::new();
            write_fields(&mut out, &fields);
            out.extend_from_slice(b"\r\n");
            let found = Section::default().find_end(&out, 0, LIMITS, Reading::Strict).unwrap().unwrap();
            prop_assert_eq!(parse_fields(out[..].into(), &found, Reading::Strict).unwrap(), fields);
        }
    }
}
