//! Refuses what two parties could frame differently. Framing towards the upstream is made anew, so a request that gets
//! past these checks has exactly one reading.

use http::{HeaderName, HeaderValue, Version};

use super::members;
use crate::error::{Error, ErrorKind};
use crate::message::{FieldMap, known};

fn bad(detail: &'static str) -> Error {
    Error::new(ErrorKind::BadRequest, detail)
}

/// Checks the fields that say where a request ends, and those that only one connection may mean.
pub fn check_framing(version: Version, headers: &FieldMap) -> Result<(), Error> {
    let mut lengths = headers.get_all(&known::CONTENT_LENGTH);
    let length = lengths.next();
    if lengths.next().is_some() {
        // RFC 9110 section 8.6 leaves merging equal ones to us; nothing good sends two.
        return Err(bad("more than one Content-Length"));
    }
    if let Some(length) = length {
        let digits = length.expose();
        // 19 digits fit into 64 bits.
        if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(bad("invalid Content-Length"));
        }
    }
    if matches!(version, Version::HTTP_2 | Version::HTTP_3) {
        return check_streams(headers);
    }
    let mut codings = headers.get_all(&known::TRANSFER_ENCODING);
    if let Some(coding) = codings.next() {
        // RFC 9112 section 6.1: such a message might be an attempt at smuggling. NGINX and Envoy refuse it as well.
        if length.is_some() {
            return Err(bad("both Content-Length and Transfer-Encoding"));
        }
        if version != Version::HTTP_11 {
            return Err(bad("Transfer-Encoding before HTTP/1.1"));
        }
        if codings.next().is_some() || !coding.expose().eq_ignore_ascii_case(b"chunked") {
            return Err(bad("a transfer coding other than chunked"));
        }
    }
    if let Some(expectation) = headers.get(known::EXPECT)
        && !expectation.expose().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(bad("an expectation other than 100-continue"));
    }
    Ok(())
}

/// What makes a header section malformed that came over a stream.
fn check_streams(headers: &FieldMap) -> Result<(), Error> {
    headers.iter().try_for_each(|(name, value)| check_stream_field(name.expose_str(), value.expose()))?;
    let mut te = members(headers, &known::TE);
    if te.any(|member| !member.eq_ignore_ascii_case(b"trailers")) {
        return Err(bad("TE other than trailers on a stream"));
    }
    Ok(())
}

/// What makes a field section malformed, head or trailers, that came over HTTP/2 or HTTP/3: fields that belong to a
/// connection (RFC 9113 section 8.2.2, RFC 9114 section 4.2), and values with a blank at either end (RFC 9113 section
/// 8.2.1; RFC 9110 section 5.5 has such blanks outside of a value). The next hop would read those without.
pub fn check_stream_fields<'a>(
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) -> Result<(), Error> {
    fields.into_iter().try_for_each(|(name, value)| check_stream_field(name.as_str(), value.as_bytes()))
}

fn check_stream_field(name: &str, value: &[u8]) -> Result<(), Error> {
    if matches!(name, "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade") {
        return Err(bad("a connection-specific field on a stream"));
    }
    if let [b' ' | b'\t', ..] | [.., b' ' | b'\t'] = value {
        return Err(bad("a field value on a stream that begins or ends with a blank"));
    }
    Ok(())
}

/// Whether a client of HTTP/1 wants to go on with the connection after this request (RFC 9112 section 9.3).
pub fn is_persistent(version: Version, headers: &FieldMap) -> bool {
    let says = |option: &[u8]| members(headers, &known::CONNECTION).any(|member| member.eq_ignore_ascii_case(option));
    !says(b"close") && (version == Version::HTTP_11 || says(b"keep-alive"))
}

/// Whether a request asks for another protocol on its connection. An offer of h2c is ignored, as RFC 9113 section 3.1 has it;
/// so is any Upgrade that HTTP/1.0 sends or that Connection does not name (RFC 9110 section 7.8).
pub fn asks_for_upgrade(version: Version, headers: &FieldMap) -> bool {
    version == Version::HTTP_11
        && headers.contains_key(known::UPGRADE)
        && members(headers, &known::CONNECTION).any(|member| member.eq_ignore_ascii_case(b"upgrade"))
        && members(headers, &known::UPGRADE).any(|member| !member.eq_ignore_ascii_case(b"h2c"))
}

/// Refuses a switch of protocols.
pub fn check_upgrade(version: Version, headers: &FieldMap) -> Result<(), Error> {
    if asks_for_upgrade(version, headers) {
        return Err(Error::new(ErrorKind::NotImplemented, "Upgrade is not served"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::headers::map;

    #[test]
    fn one_reading_passes() {
        for fields in [
            &[][..],
            &[("content-length", "0")],
            &[("content-length", "1234567890123456789")],
            &[("transfer-encoding", "Chunked")],
            &[("expect", "100-Continue"), ("content-length", "3")],
        ] {
            assert!(check_framing(Version::HTTP_11, &map(fields)).is_ok(), "{fields:?}");
        }
        let te = map(&[("te", "trailers"), ("content-length", "1")]);
        assert!(check_framing(Version::HTTP_2, &te).is_ok());
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for fields in [
            &[("content-length", "1"), ("transfer-encoding", "chunked")][..],
            &[("content-length", "1"), ("content-length", "2")],
            &[("content-length", "1"), ("content-length", "1")],
            &[("content-length", "1, 1")],
            &[("content-length", "+1")],
            &[("content-length", "-1")],
            &[("content-length", "0x1")],
            &[("content-length", "")],
            &[("content-length", "12345678901234567890")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked, chunked")],
            &[("transfer-encoding", "identity")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("expect", "200-ok")],
        ] {
            assert_eq!(
                check_framing(Version::HTTP_11, &map(fields)).unwrap_err().kind(),
                ErrorKind::BadRequest,
                "{fields:?}"
            );
        }
        assert!(check_framing(Version::HTTP_10, &map(&[("transfer-encoding", "chunked")])).is_err());
    }

    #[test]
    fn streams_carry_no_connection_fields() {
        for fields in [
            ("connection", "close"),
            ("keep-alive", "5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("te", "trailers, gzip"),
        ] {
            for version in [Version::HTTP_2, Version::HTTP_3] {
                assert!(check_framing(version, &map(&[fields])).is_err(), "{fields:?}");
            }
        }
    }

    #[test]
    fn connections_persist_unless_the_client_says_otherwise() {
        for (version, connection, persists) in [
            (Version::HTTP_11, &[][..], true),
            (Version::HTTP_11, &[("connection", "keep-alive, Close")], false),
            (Version::HTTP_10, &[], false),
            (Version::HTTP_10, &[("connection", "Keep-Alive")], true),
            (Version::HTTP_10, &[("connection", "keep-alive"), ("connection", "close")], false),
        ] {
            assert_eq!(is_persistent(version, &map(connection)), persists, "{version:?} {connection:?}");
        }
    }

    #[test]
    fn values_on_streams_have_no_outer_blanks() {
        for value in [" a", "a ", "\ta", "a\t", " ", "\t"] {
            let fields = map(&[("x-a", "1"), ("x-b", value)]);
            assert!(check_streams(&fields).is_err(), "{value:?}");
            for version in [Version::HTTP_2, Version::HTTP_3] {
                assert!(check_framing(version, &fields).is_err(), "{value:?}");
            }
            // HTTP/1 has them outside of the value: a parser that leaves them in is not a client's mistake.
            assert!(check_framing(Version::HTTP_11, &fields).is_ok(), "{value:?}");
        }
        assert!(check_streams(&map(&[("x-a", ""), ("x-b", "a b\tc")])).is_ok());
    }

    #[test]
    fn only_meant_upgrades_are_refused() {
        let websocket = map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(check_upgrade(Version::HTTP_11, &websocket).unwrap_err().kind(), ErrorKind::NotImplemented);
        assert!(check_upgrade(Version::HTTP_10, &websocket).is_ok());
        let h2c = map(&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c")]);
        assert!(check_upgrade(Version::HTTP_11, &h2c).is_ok());
        assert!(check_upgrade(Version::HTTP_11, &map(&[("upgrade", "websocket")])).is_ok());
    }
}
