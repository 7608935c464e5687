//! The rules for bodies that a plugin reads (`plugin_rules::body`, `plugin_rules::codings`), on the fields of a message and
//! on its body: the codings come off before the first plugin that reads it, and one is put on again behind the last.

mod decoded;
mod encoded;
mod reader;

use std::sync::{Arc, LazyLock};

use futures_util::stream;
use http::header::{ACCEPT_ENCODING, HeaderName, VARY};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use plugin_rules::body::{ASKS_FOR_OTHER_BYTES, LENGTH_AND_DIGESTS, OF_THE_BYTES, VARIES_BY, says_varies};
use plugin_rules::codings::{Accepted, Coding, Content, Unreadable, of_the_payload};

use self::decoded::{Decoded, Unread};
use self::encoded::Encoded;
pub(super) use self::reader::Reader;
use super::stored::Values;
use crate::error::Error;
use crate::exchange::ResponseHead;
use crate::memory::Budget;
use crate::message::headers::Direction;
use crate::message::{Body, FieldMap, FieldValue, known};

static DESCRIPTION: LazyLock<[HeaderName; 7]> = LazyLock::new(|| OF_THE_BYTES.map(HeaderName::from_static));
static DEMANDS: LazyLock<[HeaderName; 3]> = LazyLock::new(|| ASKS_FOR_OTHER_BYTES.map(HeaderName::from_static));

/// What the head of a message says of its content.
pub(super) fn content_of(headers: &FieldMap, direction: Direction) -> Content {
    match headers.contains_key(known::CONTENT_ENCODING) {
        true => Content::of(&Values(headers), direction),
        false => Content::Plain,
    }
}

/// The same of a response. A part of an encoded representation can't be decoded (RFC 9110 section 15.3.7).
pub(super) fn content_of_response(response: &ResponseHead) -> Content {
    match content_of(&response.headers, Direction::Response) {
        Content::Coded(_) if response.status == StatusCode::PARTIAL_CONTENT => Content::Unreadable(Unreadable::Part),
        content => content,
    }
}

/// A body that can't be read, where it is empty.
///
/// # Errors
/// Where it is not.
pub(super) async fn only_if_empty(mut body: Body) -> Result<Body, Error> {
    while let Some(frame) = body.frame().await.transpose()? {
        if frame.is_trailers() {
            return Ok(Body::boxed(StreamBody::new(stream::iter([Ok(frame)]))));
        }
    }
    Ok(Body::empty())
}

/// The body as plugins read it.
///
/// # Errors
/// Where there is no memory for it.
pub(super) fn decoded(body: Body, content: &Content, reader: Reader) -> Result<Body, Error> {
    match content {
        Content::Plain => Ok(body),
        Content::Coded(codings) => Decoded::body(body, codings, reader),
        Content::Unreadable(why) => Ok(Body::boxed(Unread { body, reader, why: *why })),
    }
}

/// The codings go from the head, with what told of `aws-chunked` where that is one. Where a body can't be read, what is said
/// of it stays: only an empty one goes on.
pub(super) fn is_decoded(headers: &mut FieldMap, content: &Content) {
    let Content::Coded(codings) = content else { return };
    if !codings.in_aws_chunks() {
        headers.remove(known::CONTENT_ENCODING);
    } else {
        headers.retain(|name, _| !codings.take_along(name.expose_str()));
        let hash = HeaderName::from_static("x-amz-content-sha256");
        if let Some(told) = headers.get(&hash).and_then(|value| of_the_payload(value.expose())) {
            headers.insert(hash, HeaderValue::from_static(told));
        }
    }
}

/// What the client accepts.
pub(super) fn accepted(request: &FieldMap) -> Accepted {
    Accepted::of(request.get_all(&ACCEPT_ENCODING).map(FieldValue::expose))
}

/// A response that came with the coding `own`, which was taken off, as this client gets it. `bare`: it has no body, or
/// something in its place.
pub(super) fn encode_again(
    headers: &mut FieldMap,
    body: Body,
    bare: bool,
    (own, accepted): (Coding, Accepted),
    memory: &Arc<Budget>,
) -> Body {
    if !says_varies(&Values(headers)) {
        headers.append(VARY, HeaderValue::from_static(VARIES_BY));
    }
    // A plugin may have put one on itself.
    let Some(coding) = accepted.choose(own).filter(|_| !headers.contains_key(known::CONTENT_ENCODING)) else {
        return body;
    };
    let body = match bare {
        true => Ok(body),
        // Some clients take an empty body for a broken one where it has a coding.
        false if body.as_full().is_some_and(|bytes| bytes.is_empty()) => Err(body),
        false => Encoded::body(body, coding, memory),
    };
    if body.is_ok() {
        headers.insert(known::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    body.unwrap_or_else(|body| body)
}

/// Asks for a response that plugins can read: unencoded and whole.
pub(super) fn ask_for_identity(request: &mut FieldMap) {
    for name in &*DEMANDS {
        request.remove(name);
    }
    request.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Drops what tells of a body that isn't sent, and that nobody knows as it would be.
pub(super) fn length_is_unknown(headers: &mut FieldMap) {
    for name in DESCRIPTION.iter().take(LENGTH_AND_DIGESTS) {
        headers.remove(name);
    }
}

/// Drops what holds only for the body as it came.
pub(super) fn body_may_change(headers: &mut FieldMap) {
    for name in &*DESCRIPTION {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_before_is_not_asked_for_any_more() {
        let name = |name: &&'static str| HeaderName::from_static(name);
        let all = |names: &[&'static str]| -> FieldMap {
            names.iter().map(|text| (name(text), HeaderValue::from_static("1"))).collect()
        };
        let mut request = all(&["accept-encoding", "range", "if-range", "accept"]);
        ask_for_identity(&mut request);
        assert_eq!((request.len(), request.text(ACCEPT_ENCODING)), (2, "identity"));
        let mut response = all(&["content-length", "repr-digest", "etag", "content-encoding"]);
        assert!(matches!(content_of(&response, Direction::Response), Content::Unreadable(_)));
        length_is_unknown(&mut response);
        assert_eq!(response.len(), 2);
        body_may_change(&mut response);
        assert_eq!(response.names().collect::<Vec<_>>(), ["content-encoding"]);
    }
}
