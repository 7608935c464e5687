//! Content codings of bodies that plugins read: taken off before, and put on again behind.

use plugin_rules::codings::{Bounds, Coding, Codings, Decoder, Encoder};
use tokio::sync::mpsc;

use super::*;
/// Reads both bodies by chunks and leaves them as they are.
fn reader() -> Script {
    plugin("r", |phase| if phase.ends_with("body") { GO } else { CHUNKS })
}

fn encoded(coding: Coding, content: &[u8]) -> Bytes {
    let mut encoder = Encoder::new(coding).unwrap();
    encoder.write(content).unwrap();
    encoder.finish().unwrap().into()
}

fn decoded(coding: Coding, content: &[u8]) -> Vec<u8> {
    let bounds = Bounds { size: None, ratio: 100 };
    let mut decoder = Decoder::new(&Codings::of([coding]), bounds).unwrap();
    let mut all = Vec::new();
    decoder.decode(content, &mut all).unwrap();
    decoder.finish().unwrap();
    all
}

/// A body of these bytes, in pieces, whose end is told in a step of its own.
fn pieces(content: &Bytes, size: usize) -> Body {
    let frames: Vec<_> = content.chunks(size).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    Body::boxed(StreamBody::new(stream::iter(frames)))
}

fn bytes(body: Body) -> Result<Vec<u8>, Error> {
    wait(async { Ok(body.collect().await?.to_bytes().to_vec()) })
}

const GZIP: (&str, &str) = ("content-encoding", "gzip");

#[test]
fn a_request_goes_through_its_readers_and_upstream_without_its_codings() {
    for coding in Coding::ALL {
        for body in [Body::full(encoded(coding, b"a body")), pieces(&encoded(coding, b"a body"), 1)] {
            let mut trip = trip(vec![reader()]);
            trip.request_fields(&[("content-encoding", coding.name()), ("content-length", "9")]);
            let passed = continues(trip.request(body));
            assert_eq!(bytes(passed).unwrap(), b"a body", "{coding:?}");
            assert_eq!(trip.with(|exchange| exchange.request.headers.clone()), map(&[("accept-encoding", "identity")]));
        }
    }
    let mut trip = trip(vec![reader()]);
    trip.request_fields(&[GZIP]);
    continues(trip.request(Body::full(encoded(Coding::Gzip, b"a body"))));
    assert_eq!(trip.trail(), ["r:request", "r:request body a body$"], "its end is told with its last bytes");
}

#[test]
fn a_request_that_is_not_what_its_coding_says_is_refused() {
    let whole = encoded(Coding::Gzip, b"a body");
    let cut = whole.slice(..whole.len() - 1);
    let more = Bytes::from([&whole[..], b"GARBAGE"].concat());
    let long = encoded(Coding::Gzip, b"more than ten bytes");
    for (content, kind) in [
        (cut, ErrorKind::BadRequest),
        (more, ErrorKind::BadRequest),
        (Bytes::from_static(b"plain text"), ErrorKind::BadRequest),
        (long, ErrorKind::BodyTooLarge),
    ] {
        for size in [1, 1000] {
            let mut trip = trip(vec![Script { policy: OnFailure::Open, ..reader() }]);
            trip.request_fields(&[GZIP]);
            // Either before anything has gone upstream, or in the middle of it.
            let error = match trip.request(pieces(&content, size)) {
                Ok(Flow::Continue(body)) => bytes(body).expect_err("it is no good"),
                Ok(Flow::Respond(_)) => panic!("answered"),
                Err(error) => error,
            };
            assert_eq!(error.kind(), kind, "{error} in pieces of {size}");
        }
    }
}

#[test]
fn a_coding_that_is_not_known_is_refused_by_name_at_the_first_byte() {
    let refused = |value: &'static str, body| {
        let mut trip = trip(vec![reader()]);
        trip.request_fields(&[("content-encoding", value)]);
        let error = fails(trip.request(body));
        assert_eq!((error.kind(), trip.trail()), (ErrorKind::UnsupportedEncoding, vec!["r:request".to_owned()]));
        error.detail().to_owned()
    };
    let told = refused("compress", chunks(&["x"]));
    assert!(told.starts_with("plugin `r` reads the body: its content coding compress is not known; gzip"), "{told}");
    assert!(!refused("secret", chunks(&["x"])).contains("secret"), "no log repeats what a client made up");
    for value in ["compress", "br", "gzip"] {
        let mut trip = trip(vec![reader()]);
        trip.request_fields(&[("content-encoding", value)]);
        assert_eq!(bytes(continues(trip.request(chunks(&[])))).unwrap(), b"", "{value}: its end comes behind its head");
        assert_eq!(trip.trail(), ["r:request", "r:request body $"]);
    }
}

#[test]
fn what_is_no_coding_passes_with_what_is_said_of_it() {
    let mut trip = trip(vec![reader()]);
    trip.request_fields(&[("content-encoding", "UTF-8")]);
    assert_eq!(text(continues(trip.request(chunks(&["text"])))).unwrap(), "text");
    assert!(trip.with(|exchange| exchange.request.headers.contains_key("content-encoding")));
}

#[test]
fn a_payload_in_chunks_of_aws_goes_upstream_without_them() {
    let mut trip = trip(vec![reader()]);
    trip.request_fields(&[
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("x-amz-meta-a", "b"),
    ]);
    let body = chunks(&["5\r\nhel", "lo\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"]);
    assert_eq!(text(continues(trip.request(body))).unwrap(), "hello");
    let left = trip.with(|exchange| exchange.request.headers.clone());
    let expected =
        [("x-amz-meta-a", "b"), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("accept-encoding", "identity")];
    assert_eq!(left, map(&expected));
    trip.request_fields(&[
        ("content-encoding", "aws-chunked"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
    ]);
    let error = fails(trip.request(chunks(&["5;chunk-signature=00\r\nhello\r\n"])));
    assert_eq!(error.kind(), ErrorKind::UnsupportedEncoding);
    assert!(error.detail().contains("payload is signed"), "{error}");
}

/// The response as the client gets it that accepts this.
fn answered(accept: &'static str, method: Method, fields: &[(&'static str, &'static str)], body: Body) -> (Trip, Body) {
    let mut trip = trip_with(vec![reader()], method, &Arc::new(StoredResponses::new(1 << 20)));
    trip.request_fields(&[("accept-encoding", accept)]);
    continues(trip.request(Body::empty()));
    trip.trail();
    let body = trip.response(ResponseSource::Upstream, 200, fields, body).unwrap();
    (trip, body)
}

#[test]
fn a_response_is_read_without_its_coding_and_gets_one_again_that_the_client_accepts() {
    let accepts = [("gzip, br", Some(Coding::Gzip)), ("br;q=0.5, zstd", Some(Coding::Zstd)), ("identity", None)];
    for (accept, expected) in accepts {
        for body in [Body::full(encoded(Coding::Gzip, b"a body")), pieces(&encoded(Coding::Gzip, b"a body"), 1)] {
            let (trip, body) = answered(accept, Method::GET, &[GZIP, ("etag", "\"x\""), ("vary", "origin")], body);
            let told = [trip.response_field("content-encoding"), trip.response_field("etag")];
            assert_eq!(told, [expected.map(|coding| coding.name().to_owned()), None], "{accept}");
            let vary = trip.with(|exchange| {
                let headers = &exchange.response.as_ref().unwrap().headers;
                headers.get_all("vary").map(|value| value.expose_str().unwrap().to_owned()).collect::<Vec<_>>()
            });
            assert_eq!(vary, ["origin", "accept-encoding"], "{accept}");
            let bytes = bytes(body).unwrap();
            assert_eq!(expected.map_or(bytes.clone(), |coding| decoded(coding, &bytes)), b"a body", "{accept}");
            assert!(trip.trail().last().is_some_and(|last| last.ends_with('$')), "{accept}");
        }
    }
}

#[test]
fn a_short_response_is_encoded_with_its_length() {
    let (_, body) = answered("gzip", Method::GET, &[GZIP], Body::full(encoded(Coding::Gzip, b"a body")));
    assert_eq!(body.size_hint().exact(), Some(bytes(body).unwrap().len() as u64));
}

#[test]
fn a_response_that_came_as_it_is_stays_so() {
    let (trip, body) = answered("gzip", Method::GET, &[], chunks(&["a body"]));
    assert_eq!((trip.response_field("content-encoding"), trip.response_field("vary")), (None, None));
    assert_eq!(text(body).unwrap(), "a body");
}

#[test]
fn an_answer_to_head_says_what_one_to_get_would() {
    for (accept, expected) in [("gzip", Some("gzip")), ("", None)] {
        let (trip, body) = answered(accept, Method::HEAD, &[GZIP, ("content-length", "9")], Body::empty());
        assert_eq!(trip.response_field("content-encoding").as_deref(), expected);
        assert_eq!(trip.response_field("vary").as_deref(), Some("accept-encoding"));
        assert_eq!((trip.response_field("content-length"), body.is_end_stream()), (None, true));
    }
    let (trip, body) = answered("gzip", Method::GET, &[GZIP], Body::empty());
    assert_eq!((trip.response_field("content-encoding").as_deref(), body.is_end_stream()), (Some("gzip"), true));
}

#[test]
fn a_response_that_can_t_be_read_is_refused_while_the_gateway_can_still_answer() {
    let whole = encoded(Coding::Gzip, b"a body");
    let waiting = || {
        let first = stream::once(async {
            tokio::task::yield_now().await;
            Ok(Frame::data(Bytes::from_static(b"x")))
        });
        Body::boxed(StreamBody::new(Box::pin(first)))
    };
    for (fields, body) in [
        (&[("content-encoding", "compress")][..], chunks(&["x"])),
        (&[("content-encoding", "compress")], waiting()),
        (&[GZIP], chunks(&["not gzip at all"])),
        (&[GZIP], Body::full(whole.slice(..whole.len() - 1))),
        (&[GZIP, ("content-range", "bytes 0-5/90")], chunks(&["x"])),
    ] {
        let mut trip = trip(vec![quiet("a"), reader()]);
        continues(trip.request(Body::empty()));
        let error = fails(trip.response(ResponseSource::Upstream, 200, fields, body));
        assert_eq!((error.kind(), error.kind().status()), (ErrorKind::EncodedResponse, StatusCode::BAD_GATEWAY));
        trip.trail();
        let body = trip.response(ResponseSource::Gateway, 502, &[], Body::full("problem")).unwrap();
        assert_eq!((text(body).unwrap().as_str(), trip.trail()), ("problem", vec!["a:response 502".to_owned()]));
        assert_eq!(trip.response_field("vary"), None);
    }
    let (trip, body) = answered("gzip", Method::GET, &[("content-encoding", "compress")], chunks(&[]));
    assert_eq!(
        (bytes(body).unwrap(), trip.trail()),
        (Vec::new(), vec!["r:response 200".to_owned(), "r:response body $".to_owned()])
    );
}

/// A body that is a bomb ends in an error, and the client never gets what it becomes.
#[test]
fn a_response_that_is_a_bomb_is_cut() {
    let bomb = encoded(Coding::Gzip, &vec![0; 4 << 20]);
    let mut trip = trip(vec![reader()]);
    continues(trip.request(Body::empty()));
    let error = match trip.response(ResponseSource::Upstream, 200, &[GZIP], pieces(&bomb, 1000)) {
        Ok(body) => bytes(body).expect_err("it is a bomb"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::ResponseTooLarge, "{error}");
}

#[test]
fn an_event_reaches_the_client_before_the_next_one_comes() {
    for (own, accept, got) in [
        (Coding::Gzip, "gzip", Some(Coding::Gzip)),
        (Coding::Br, "br", Some(Coding::Br)),
        (Coding::Zstd, "zstd", Some(Coding::Zstd)),
        (Coding::Gzip, "", None),
    ] {
        let (events, mut come) = mpsc::unbounded_channel();
        let body = Body::boxed(StreamBody::new(stream::poll_fn(move |cx| come.poll_recv(cx))));
        let (_trip, mut body) = answered(accept, Method::GET, &[("content-encoding", own.name())], body);
        let mut encoder = Encoder::new(own).unwrap();
        let codings = Codings::of(got);
        let mut client = Decoder::new(&codings, Bounds { size: None, ratio: 100 }).unwrap();
        for number in 0..5 {
            let event = format!("data: {number}\n\n");
            encoder.write(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            events.send(Ok(Frame::data(encoder.take().into()))).unwrap();
            let mut seen = Vec::new();
            wait(async {
                while seen.len() < event.len() {
                    let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
                    match got {
                        Some(_) => client
                            .decode(&piece, &mut seen)
                            .unwrap_or_else(|fault| panic!("{own:?} {number} {fault} {piece:?}")),
                        None => seen.extend_from_slice(&piece),
                    }
                }
            });
            assert_eq!(seen, event.as_bytes(), "{own:?} {accept:?}");
        }
    }
}

#[test]
fn what_is_stored_is_what_its_head_says() {
    let storing = |name, reads: bool| {
        scripted(name, move |phase, exchange, index, _| {
            if phase == "response" {
                exchange.scratch_of(index).store =
                    Some(StoreRequest { key: "k".to_owned().into(), ttl: Duration::from_secs(60) });
            }
            match phase {
                "request" => Act::RespondStoredOrGo,
                "response" if reads => CHUNKS,
                _ => GO,
            }
        })
    };
    let gzipped = || Body::full(encoded(Coding::Gzip, b"a body"));
    for accept in ["gzip", "identity"] {
        let stored = Arc::new(StoredResponses::new(1 << 20));
        // The one that stores stands behind the one that reads, so it stores what came.
        for (source, body) in [(ResponseSource::Upstream, Some(gzipped())), (ResponseSource::Stored(1), None)] {
            let mut trip = trip_with(vec![reader(), storing("s", false)], Method::GET, &stored);
            trip.request_fields(&[("accept-encoding", accept)]);
            let body = match (trip.request(Body::empty()).unwrap(), body) {
                (Flow::Continue(_), Some(body)) => trip.response(source, 200, &[GZIP], body).unwrap(),
                (Flow::Respond(answer), None) => wait(trip.run.response(answer.source, answer.body)).unwrap(),
                _ => panic!("{source:?}"),
            };
            let expected = (accept == "gzip").then_some("gzip");
            assert_eq!(trip.response_field("content-encoding").as_deref(), expected, "{source:?}");
            let bytes = bytes(body).unwrap();
            let content = if expected.is_some() { decoded(Coding::Gzip, &bytes) } else { bytes };
            assert_eq!(content, b"a body", "{source:?} {accept}");
        }
    }
    // The one that stores reads as well, so it stores what it has read, which has no coding.
    let stored = Arc::new(StoredResponses::new(1 << 20));
    let mut first = trip_with(vec![storing("s", true)], Method::GET, &stored);
    first.request_fields(&[("accept-encoding", "gzip")]);
    continues(first.request(Body::empty()));
    let body = first.response(ResponseSource::Upstream, 200, &[GZIP], gzipped()).unwrap();
    assert_eq!(decoded(Coding::Gzip, &bytes(body).unwrap()), b"a body");
    let mut second = trip_with(vec![storing("s", true)], Method::GET, &stored);
    let answer = answers(second.request(Body::empty()));
    assert_eq!((text(answer.body).unwrap().as_str(), second.response_field("content-encoding")), ("a body", None));
}
