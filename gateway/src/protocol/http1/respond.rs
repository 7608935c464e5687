//! A response over HTTP/1: its head says how its body is framed and whether the connection stays (RFC 9112 sections 6 and 9).

use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use http::{StatusCode, Version};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::channel::Channel;
use crate::http1::{AHEAD, BodyLength, BodyWriter, Outgoing, status_line, write_fields};
use crate::message::{Body, FieldMap, FieldValue, content, headers, known};
use crate::protocol::paced::Paced;
use crate::protocol::tracked::OverTcp;

/// What a request says about the framing of its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    /// Whether it asks for a head only.
    pub(super) head: bool,
    /// Its version, which is the response's.
    pub(super) version: Version,
}

impl Framing {
    /// Writes the head of a response. Gives what frames its body, and whether the connection stays.
    pub(super) fn write_head(
        self,
        status: StatusCode,
        mut fields: FieldMap,
        body: &Body,
        stays: bool,
        outgoing: &mut Outgoing,
    ) -> (BodyWriter, bool) {
        headers::set_date(&mut fields, SystemTime::now);
        fields.remove(known::CONNECTION);
        let (length, told) = self.length(status, &fields, body);
        // What ends with the connection leaves none.
        let stays = stays && length != BodyLength::UntilClose;
        outgoing.write(|out| {
            status_line(out, self.version, status);
            write_fields(out, &fields);
            match length {
                BodyLength::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
                BodyLength::Exact(length) if !told => {
                    out.extend_from_slice(b"content-length: ");
                    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
                BodyLength::Exact(_) | BodyLength::UntilClose => {}
            }
            if !stays {
                out.extend_from_slice(b"connection: close\r\n");
            } else if self.version == Version::HTTP_10 {
                out.extend_from_slice(b"connection: keep-alive\r\n");
            }
            out.extend_from_slice(b"\r\n");
        });
        (BodyWriter::new(length, &fields), stays)
    }

    /// The length of the body as it is sent, and whether nothing more is to be said about it.
    fn length(self, status: StatusCode, fields: &FieldMap, body: &Body) -> (BodyLength, bool) {
        let stated = fields.get(known::CONTENT_LENGTH);
        if self.head || !content::is_allowed(status) {
            return (BodyLength::Exact(0), true);
        }
        if body.is_end_stream() {
            return (BodyLength::Exact(0), stated.is_some());
        }
        let number = |stated: FieldValue<'_>| stated.expose_str().ok()?.parse().ok();
        match (stated.and_then(number), body.size_hint().exact()) {
            (Some(stated), _) => (BodyLength::Exact(stated), true),
            (None, Some(length)) => (BodyLength::Exact(length), false),
            (None, None) if self.version == Version::HTTP_11 => (BodyLength::Chunked, true),
            (None, None) => (BodyLength::UntilClose, true),
        }
    }
}

/// A response does not reach its end: the client is gone, or the body broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

/// Writes a response until it is over.
pub(super) fn poll_write<S: AsyncRead + AsyncWrite + OverTcp + Unpin>(
    channel: &Channel<S>,
    writer: &mut BodyWriter,
    body: &mut Option<Paced>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Closed>> {
    loop {
        let mut more = false;
        if let Some(paced) = body {
            let outgoing = &mut *channel.outgoing.borrow_mut();
            match writer.poll_fill(paced, outgoing, cx, |data| data) {
                Poll::Pending => more = outgoing.len() >= AHEAD,
                Poll::Ready(Ok(())) => *body = None,
                Poll::Ready(Err(_)) => {
                    *body = None;
                    return Poll::Ready(Err(Closed));
                }
            }
        }
        ready!(channel.poll_flush(cx)).map_err(|_| Closed)?;
        if body.is_none() {
            return Poll::Ready(Ok(()));
        }
        if !more {
            return Poll::Pending;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::headers::map;

    fn head(framing: Framing, status: u16, fields: &[(&'static str, &str)], body: Body, stays: bool) -> (String, bool) {
        let mut fields = map(fields);
        fields.insert("date", http::HeaderValue::from_static("now"));
        let mut outgoing = Outgoing::default();
        let status = StatusCode::from_u16(status).unwrap();
        let (_, stays) = framing.write_head(status, fields, &body, stays, &mut outgoing);
        let (mut sink, mut cx) = (Vec::new(), Context::from_waker(std::task::Waker::noop()));
        assert!(outgoing.poll_flush(&mut sink, &mut cx).is_ready());
        let text = String::from_utf8(sink).unwrap();
        (text.replace("date: now\r\n", "").replace("\r\n", "|"), stays)
    }

    fn streamed() -> Body {
        Body::boxed(http_body_util::StreamBody::new(futures_util::stream::pending()))
    }

    #[test]
    fn heads_say_how_bodies_end_and_whether_the_connection_stays() {
        let get = Framing { head: false, version: Version::HTTP_11 };
        let old = Framing { version: Version::HTTP_10, ..get };
        let only_head = Framing { head: true, ..get };
        for (framing, status, fields, body, stays, expected) in [
            (get, 200, &[][..], Body::full("abc"), true, "HTTP/1.1 200 OK|content-length: 3||"),
            (get, 200, &[("content-length", "3")], streamed(), true, "HTTP/1.1 200 OK|content-length: 3||"),
            (get, 200, &[], streamed(), true, "HTTP/1.1 200 OK|transfer-encoding: chunked||"),
            (get, 200, &[], streamed(), false, "HTTP/1.1 200 OK|transfer-encoding: chunked|connection: close||"),
            (get, 200, &[], Body::empty(), true, "HTTP/1.1 200 OK|content-length: 0||"),
            (get, 204, &[], Body::empty(), true, "HTTP/1.1 204 No Content||"),
            (
                get,
                304,
                &[("content-length", "9")],
                Body::empty(),
                true,
                "HTTP/1.1 304 Not Modified|content-length: 9||",
            ),
            (only_head, 200, &[("content-length", "9")], Body::empty(), true, "HTTP/1.1 200 OK|content-length: 9||"),
            (only_head, 200, &[], Body::empty(), true, "HTTP/1.1 200 OK||"),
            (old, 200, &[], Body::full("abc"), true, "HTTP/1.0 200 OK|content-length: 3|connection: keep-alive||"),
        ] {
            assert_eq!(head(framing, status, fields, body, stays), (expected.to_owned(), stays), "{framing:?}");
        }
        let until_close = head(old, 200, &[], streamed(), true);
        assert_eq!(until_close, ("HTTP/1.0 200 OK|connection: close||".to_owned(), false));
    }
}
