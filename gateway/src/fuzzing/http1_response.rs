//! Any bytes that a server may send over HTTP/1.1: how they are cut makes no difference, and what we take for a response
//! hyper takes for the same one.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use futures_util::future::join;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use hyper_util::rt::TokioIo;

use super::http1_pieces::{Content, LIMITS, ROOM, check_fields, cuts, feed, later_minor, nothing, same_refusal, whole};
use crate::http1::{
    BodyDecoder, Malformed, Reading, ResponseHead, Section, parse_response, response_length, status_line, write_fields,
};

/// A head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: StatusCode,
    version: Version,
    fields: HeaderMap,
}

/// A response, or as much of it as has come.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    interim: Vec<Head>,
    head: Option<Head>,
    content: Content,
}

/// Our reading of a connection over which one request has gone.
struct Connection<'a> {
    method: &'a Method,
    buffer: BytesMut,
    section: Section,
    decoder: Option<BodyDecoder>,
    message: Message,
    refused: Option<Malformed>,
    /// Bytes that have come.
    received: usize,
    /// Where minor versions stand that we read as 1.
    later_minors: Vec<usize>,
}

impl<'a> Connection<'a> {
    fn read<'b>(method: &'a Method, pieces: impl IntoIterator<Item = &'b [u8]>) -> Self {
        let mut connection = Self {
            method,
            buffer: BytesMut::new(),
            section: Section::default(),
            decoder: None,
            message: Message::default(),
            refused: None,
            received: 0,
            later_minors: Vec::new(),
        };
        for piece in pieces {
            connection.buffer.extend_from_slice(piece);
            connection.received += piece.len();
            if let Err(malformed) = connection.advance() {
                connection.refused = Some(malformed);
                return connection;
            }
        }
        // The end of the connection is that of what it ends.
        let ends = connection.decoder.as_ref().is_some_and(BodyDecoder::ends_with_connection);
        connection.message.content.whole |= ends;
        connection
    }

    fn advance(&mut self) -> Result<(), Malformed> {
        while self.decoder.is_none() {
            let found = self.section.find_end(&self.buffer, 1, LIMITS, Reading::Tolerant)?;
            let Some(found) = found else { return Ok(()) };
            let begin = self.received - self.buffer.len() + found.place.start;
            let bytes = self.buffer.split_to(found.place.end).split_off(found.place.start);
            self.later_minors.extend(later_minor(&bytes[..bytes.len().min(8)]).map(|place| begin + place));
            self.section = Section::default();
            self.begin(parse_response(bytes, &found)?)?;
        }
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        if !self.message.content.whole {
            while self.message.content.take(decoder.decode(&mut self.buffer)?) {}
        }
        Ok(())
    }

    fn begin(&mut self, head: ResponseHead) -> Result<(), Malformed> {
        check_written(&head);
        let is_interim = head.status.is_informational();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Malformed::Syntax("it switches protocols, which was not asked for"));
        }
        if !is_interim {
            let length = response_length(self.method, head.version, head.status, &head.fields)?;
            self.decoder = Some(BodyDecoder::new(length, Reading::Tolerant, LIMITS));
        }
        let head = Head { status: head.status, version: head.version, fields: head.fields.into_map() };
        if is_interim {
            self.message.interim.push(head);
        } else {
            self.message.head = Some(head);
        }
        Ok(())
    }
}

/// What we would send of a head is read as the same, strictly.
fn check_written(head: &ResponseHead) {
    check_fields(&head.fields);
    let mut written = Vec::new();
    status_line(&mut written, head.version, head.status);
    write_fields(&mut written, &head.fields);
    written.extend_from_slice(b"\r\n");
    let (written, found) = whole(written, 1);
    let read = parse_response(written, &found).expect("what we write is well-formed");
    assert_eq!((read.status, read.version, &read.fields), (head.status, head.version, &head.fields));
}

/// What hyper's client makes of a connection.
fn hypers<'a>(method: &Method, pieces: impl IntoIterator<Item = &'a [u8]>) -> Message {
    let (near, far) = tokio::io::duplex(ROOM);
    let mut builder = hyper::client::conn::http1::Builder::new();
    // RFC 9112 section 5.1: a proxy removes blanks before a colon from a response.
    builder.allow_spaces_after_header_name_in_responses(true);
    builder.max_headers(1 << 10).max_header_size(ROOM).max_buf_size(ROOM);
    let interim: Arc<Mutex<Vec<Head>>> = Arc::default();
    let seen = interim.clone();
    let mut request = Request::new(nothing());
    request.method_mut().clone_from(method);
    hyper::ext::on_informational(&mut request, move |head| {
        let head = Head { status: head.status(), version: head.version(), fields: head.headers().clone() };
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(head);
    });
    let exchange = async move {
        let Ok((mut sender, connection)) = builder.handshake(TokioIo::new(far)).await else { return None };
        let response = async move {
            let response = sender.send_request(request).await.ok()?;
            let (head, body) = response.into_parts();
            Some((Head { status: head.status, version: head.version, fields: head.headers }, Content::of(body).await))
        };
        join(response, connection).await.0
    };
    // Nothing may come before the request has gone.
    let pieces = [&b""[..]; 4].into_iter().chain(pieces);
    let (head, content) = feed(near, pieces, exchange).unzip();
    let interim = std::mem::take(&mut *interim.lock().unwrap_or_else(PoisonError::into_inner));
    Message { interim, head, content: content.unwrap_or_default() }
}

/// Input: the method of a request in a line, and what a server sends.
///
/// # Panics
/// Where a cut makes a difference, where hyper refuses or frames in another way what we accept, and where what we would
/// write of a response is read as something else.
pub fn run(data: &[u8]) {
    let Some(end) = data.iter().position(|&byte| byte == b'\n') else { return };
    let method = if &data[..end] == b"HEAD" { Method::HEAD } else { Method::GET };
    let mut data = data[end + 1..].to_vec();
    let ways = cuts(&data);
    let ours = Connection::read(&method, ways[0].iter().copied());
    for way in &ways[1..] {
        let cut = Connection::read(&method, way.iter().copied());
        assert_eq!(ours.message, cut.message, "in {} pieces", way.len());
        let pieces = way.len();
        assert!(same_refusal(ours.refused, cut.refused), "{:?}, {:?} in {pieces}", ours.refused, cut.refused);
    }
    // RFC 9110 section 2.5: later minor versions are read as the highest that is known; hyper refuses them.
    for &place in &ours.later_minors {
        data[place] = b'1';
    }
    // RFC 9112 sections 5.1 and 7.1.2: blanks before a colon are removed from trailers too; hyper refuses them there.
    let blanks = data.windows(2).any(|two| matches!(two, b" :" | b"\t:"));
    let blanks = blanks && ours.message.content.trailers.is_some();
    for way in [0, 3] {
        let theirs = hypers(&method, cuts(&data)[way].iter().copied());
        let ours = (&ours.message, ours.refused);
        assert!(theirs.interim.starts_with(&ours.0.interim), "{ours:?}, {theirs:?}");
        if ours.0.content.whole && !blanks {
            assert_eq!(*ours.0, theirs);
            ours.0.content.check_written();
        } else if ours.1.is_none() && !blanks {
            // What hyper has of a head that is followed by an error is of no use to anybody.
            assert_eq!(*ours.0, theirs, "what has come is the same, and nothing else");
        }
    }
}
