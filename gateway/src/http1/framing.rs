//! How long a body is (RFC 9112 section 6.3).

use http::{Method, StatusCode, Version};

use super::Malformed;
use crate::message::{FieldMap, known};

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// After so many bytes.
    Exact(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// The length of a request's body. `None`: its framing could be understood in more than one way. Such a request is refused
/// (`message::headers::check_framing` says why), and nobody can tell where the next one begins.
pub fn request_length(version: Version, fields: &FieldMap) -> Option<BodyLength> {
    let mut codings = fields.get_all(&known::TRANSFER_ENCODING);
    let mut lengths = fields.get_all(&known::CONTENT_LENGTH);
    match (codings.next(), lengths.next()) {
        (None, None) => Some(BodyLength::Exact(0)),
        (None, Some(length)) => number(length.expose()).filter(|_| lengths.next().is_none()).map(BodyLength::Exact),
        (Some(coding), None) => {
            let chunked = coding.expose().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
            (chunked && version == Version::HTTP_11).then_some(BodyLength::Chunked)
        }
        (Some(_), Some(_)) => None,
    }
}

/// The length of the body of a response to a request of this method.
///
/// # Errors
/// Where two parties could read it in two ways.
pub fn response_length(
    method: &Method,
    version: Version,
    status: StatusCode,
    fields: &FieldMap,
) -> Result<BodyLength, Malformed> {
    let mut codings = fields.get_all(&known::TRANSFER_ENCODING);
    let mut lengths = fields.get_all(&known::CONTENT_LENGTH);
    let length = match (codings.next(), lengths.next()) {
        (None, None) => BodyLength::UntilClose,
        (None, Some(length)) => match number(length.expose()).filter(|_| lengths.next().is_none()) {
            Some(length) => BodyLength::Exact(length),
            None => return Err(Malformed::Syntax("a Content-Length that is not one number")),
        },
        (Some(_), Some(_)) => return Err(Malformed::Syntax("both Transfer-Encoding and Content-Length")),
        (Some(coding), None) => {
            if !coding.expose().eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
                return Err(Malformed::Syntax("a Transfer-Encoding other than chunked"));
            }
            // RFC 9112 section 6.1: its framing is faulty, and whoever knows only HTTP/1.0 has read on to the end.
            if version != Version::HTTP_11 {
                return Err(Malformed::Syntax("Transfer-Encoding before HTTP/1.1"));
            }
            BodyLength::Chunked
        }
    };
    let bare = *method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    Ok(if bare { BodyLength::Exact(0) } else { length })
}

/// One plain number. 19 digits fit into 64 bits.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter().try_fold(0, |number, &byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::headers::map;

    #[test]
    fn a_request_ends_in_one_place_or_is_refused() {
        let exact = |length| Some(BodyLength::Exact(length));
        for (fields, expected) in [
            (&[][..], exact(0)),
            (&[("content-length", "12")], exact(12)),
            (&[("content-length", "9223372036854775807")], exact(i64::MAX as u64)),
            (&[("transfer-encoding", "Chunked")], Some(BodyLength::Chunked)),
            (&[("content-length", "12345678901234567890")], None),
            (&[("content-length", "")], None),
            (&[("content-length", "+1")], None),
            (&[("content-length", "1,1")], None),
            (&[("content-length", "1"), ("content-length", "1")], None),
            (&[("transfer-encoding", "gzip, chunked")], None),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], None),
            (&[("transfer-encoding", "chunked"), ("content-length", "1")], None),
        ] {
            let fields = map(fields);
            assert_eq!(request_length(Version::HTTP_11, &fields), expected, "{fields:?}");
            let refused = crate::message::headers::check_framing(Version::HTTP_11, &fields).is_err();
            assert_eq!(refused, expected.is_none(), "what has no length is refused, and nothing else: {fields:?}");
        }
        assert_eq!(request_length(Version::HTTP_10, &map(&[("transfer-encoding", "chunked")])), None);
    }

    #[test]
    fn a_response_ends_where_its_status_and_method_say() {
        let length = |method: Method, status: u16, fields: &[(&'static str, &str)]| {
            response_length(&method, Version::HTTP_11, StatusCode::from_u16(status).unwrap(), &map(fields))
        };
        assert_eq!(length(Method::GET, 200, &[("content-length", "3")]), Ok(BodyLength::Exact(3)));
        assert_eq!(length(Method::GET, 200, &[]), Ok(BodyLength::UntilClose));
        assert_eq!(length(Method::GET, 200, &[("transfer-encoding", "chunked")]), Ok(BodyLength::Chunked));
        assert_eq!(length(Method::HEAD, 200, &[("content-length", "3")]), Ok(BodyLength::Exact(0)));
        assert_eq!(length(Method::GET, 304, &[("content-length", "3")]), Ok(BodyLength::Exact(0)));
        assert_eq!(length(Method::GET, 204, &[]), Ok(BodyLength::Exact(0)));
        for fields in [
            &[("content-length", "3"), ("transfer-encoding", "chunked")][..],
            &[("content-length", "3"), ("content-length", "3")],
            &[("content-length", "3, 3")],
            &[("transfer-encoding", "gzip")],
        ] {
            assert!(length(Method::HEAD, 200, fields).is_err(), "{fields:?}");
        }
    }

    #[test]
    fn a_response_of_http_1_0_in_chunks_is_refused() {
        let length = |fields| response_length(&Method::GET, Version::HTTP_10, StatusCode::OK, &map(fields));
        assert!(length(&[("transfer-encoding", "chunked")]).is_err());
        assert_eq!(length(&[]), Ok(BodyLength::UntilClose));
        assert_eq!(length(&[("content-length", "3")]), Ok(BodyLength::Exact(3)));
    }
}
