//! Any bytes that a client may send over HTTP/1.1: how they are cut makes no difference, and what we take for requests hyper
//! takes for the same ones.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::BytesMut;
use http::header::CONNECTION;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response, StatusCode, Uri, Version};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::http1_pieces::{Content, LIMITS, ROOM, check_fields, cuts, feed, later_minor, nothing, same_refusal, whole};
use crate::http1::{
    BodyDecoder, Malformed, Reading, RequestHead, Section, parse_request, request_length, request_line, write_fields,
};
use crate::message::headers;

/// A request, or as much of it as has come.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    method: Method,
    target: Uri,
    version: Version,
    fields: HeaderMap,
    content: Content,
}

/// Our reading of a connection.
#[derive(Default)]
struct Connection {
    buffer: BytesMut,
    section: Section,
    decoder: Option<BodyDecoder>,
    messages: Vec<Message>,
    /// The last request says that no other one follows.
    last: bool,
    /// The same in a way that hyper does not read: Connection with bytes beyond ASCII. Whether another request follows is
    /// no matter of framing.
    unread_by_hyper: bool,
    refused: Option<Malformed>,
    /// Bytes that have come.
    received: usize,
    /// Where minor versions stand that we serve as 1.
    later_minors: Vec<usize>,
}

impl Connection {
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut connection = Self::default();
        for piece in pieces {
            connection.buffer.extend_from_slice(piece);
            connection.received += piece.len();
            if let Err(malformed) = connection.advance() {
                connection.refused = Some(malformed);
                break;
            }
        }
        connection
    }

    fn advance(&mut self) -> Result<(), Malformed> {
        loop {
            if let Some(decoder) = &mut self.decoder
                && let Some(Message { content, .. }) = self.messages.last_mut()
            {
                while content.take(decoder.decode(&mut self.buffer)?) {}
                if !content.whole {
                    return Ok(());
                }
                self.decoder = None;
            }
            if self.last {
                return Ok(());
            }
            let Some(found) = self.section.find_end(&self.buffer, 1, LIMITS, Reading::Strict)? else { return Ok(()) };
            let begin = self.received - self.buffer.len() + found.place.start;
            let bytes = self.buffer.split_to(found.place.end).split_off(found.place.start);
            let line = bytes[..].split(|&byte| byte == b'\n').next().unwrap_or_default();
            // Of the last word: a target may hold anything.
            let version = line.iter().rposition(|&byte| byte == b' ').map_or(0, |blank| blank + 1);
            self.later_minors.extend(later_minor(&line[version..]).map(|place| begin + version + place));
            self.begin(parse_request(bytes, &found)?)?;
        }
    }

    fn begin(&mut self, head: RequestHead) -> Result<(), Malformed> {
        check_written(&head);
        let RequestHead { method, target, version, fields } = head;
        let length = request_length(version, &fields).ok_or(Malformed::Syntax("no length"))?;
        self.section = Section::default();
        self.unread_by_hyper = fields.get_all(&CONNECTION).any(|value| value.expose_str().is_err());
        self.last = self.unread_by_hyper || !headers::is_persistent(version, &fields);
        self.decoder = Some(BodyDecoder::new(length, Reading::Strict, LIMITS));
        let content = Content::default();
        let (method, target, fields) = (method.into_exposed(), target.into_exposed(), fields.into_map());
        self.messages.push(Message { method, target, version, fields, content });
        Ok(())
    }
}

/// What we would send of a head is read as the same.
fn check_written(head: &RequestHead) {
    check_fields(&head.fields);
    // Only the origin form goes on, and `*`. That of a target without a path is made by `message::normalize`.
    let target = head.target.expose().path_and_query().filter(|target| target.as_str().starts_with(['/', '*']));
    let Some(target) = target else { return };
    let mut written = Vec::new();
    request_line(&mut written, head.method.expose(), target.as_str());
    write_fields(&mut written, &head.fields);
    written.extend_from_slice(b"\r\n");
    let (written, found) = whole(written, 1);
    let read = parse_request(written, &found).expect("what we write is well-formed");
    // As text: an empty path is written as `/`.
    assert_eq!(read.target.expose().path_and_query().map(PathAndQuery::as_str), Some(target.as_str()));
    assert_eq!((&read.method, &read.fields), (&head.method, &head.fields));
}

/// What hyper's server makes of a connection.
fn hypers<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Message> {
    let messages: Rc<RefCell<Vec<Message>>> = Rc::default();
    let seen = messages.clone();
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let seen = seen.clone();
        async move {
            let (head, body) = request.into_parts();
            let content = Content::of(body).await;
            let (method, target, version) = (head.method, head.uri, head.version);
            seen.borrow_mut().push(Message { method, target, version, fields: head.headers, content });
            let mut response = Response::new(nothing());
            // A success would end HTTP where CONNECT was asked for.
            *response.status_mut() = StatusCode::NOT_FOUND;
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let (near, far) = tokio::io::duplex(ROOM);
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.half_close(true).max_headers(1 << 10).max_header_size(ROOM).max_buf_size(ROOM);
    // It ends in an error where it refuses.
    let _ = feed(near, pieces, builder.serve_connection(TokioIo::new(far), service));
    messages.take()
}

/// Input: what a client sends.
///
/// # Panics
/// Where a cut makes a difference, where hyper refuses or frames in another way what we accept, and where what we would
/// write of a request is read as something else.
pub fn run(data: &[u8]) {
    let ways = cuts(data);
    let ours = Connection::read(ways[0].iter().copied());
    for way in &ways[1..] {
        let cut = Connection::read(way.iter().copied());
        assert_eq!(ours.messages, cut.messages, "in {} pieces", way.len());
        let pieces = way.len();
        assert!(same_refusal(ours.refused, cut.refused), "{:?}, {:?} in {pieces}", ours.refused, cut.refused);
    }
    // RFC 9110 section 2.5: later minor versions are served as the highest that is known; hyper refuses them.
    let mut data = data.to_vec();
    for &place in &ours.later_minors {
        data[place] = b'1';
    }
    for way in [0, 3] {
        let theirs = hypers(cuts(&data)[way].iter().copied());
        assert!(ours.messages.len() <= theirs.len(), "hyper refuses what follows {theirs:?}: {:?}", ours.messages);
        for (ours, theirs) in ours.messages.iter().zip(&theirs) {
            let whole = ours.content.whole;
            if whole {
                assert_eq!(ours, theirs);
                ours.content.check_written();
            }
        }
        if ours.refused.is_none() && !ours.unread_by_hyper {
            assert_eq!(ours.messages, theirs, "what has come is the same, and nothing else");
        }
    }
}
