//! What plugins may do to bodies, and what that means for header fields.

use std::pin::Pin;

use http_body::Body as _;

use super::*;

/// Reads bodies by chunks, and does this to them.
fn reader(behave: impl Fn(&[u8]) -> Act + 'static) -> Script {
    scripted("r", move |phase, _, _, data| if phase.ends_with("body") { behave(data) } else { CHUNKS })
}

/// The same, and reads no requests.
fn reader_of_responses(behave: impl Fn(&[u8]) -> Act + 'static) -> Script {
    scripted("r", move |phase, _, _, data| match phase {
        "request" => GO,
        phase if phase.ends_with("body") => behave(data),
        _ => CHUNKS,
    })
}

fn passing(behave: impl Fn(&[u8]) -> Act + 'static, pieces: &[&'static str]) -> Result<String, Error> {
    let mut trip = trip(vec![reader(behave)]);
    continues(trip.request(Body::empty()));
    text(trip.upstream(chunks(pieces))?)
}

#[test]
fn what_holds_only_for_the_bytes_that_came_is_dropped() {
    const FIELDS: [(&str, &str); 8] = [
        ("content-length", "2"),
        ("etag", "\"x\""),
        ("accept-ranges", "bytes"),
        ("content-md5", "x"),
        ("digest", "x"),
        ("content-digest", "x"),
        ("repr-digest", "x"),
        ("content-type", "text/plain"),
    ];
    let mut trip = trip(vec![reader(|_| GO)]);
    trip.request_fields(&FIELDS);
    trip.with(|exchange| {
        exchange.request.headers.append("range", HeaderValue::from_static("bytes=0-1"));
        exchange.request.headers.append("if-range", HeaderValue::from_static("\"x\""));
    });
    continues(trip.request(chunks(&["hi"])));
    let left = trip.with(|exchange| exchange.request.headers.clone());
    assert_eq!(left, map(&[("content-type", "text/plain"), ("accept-encoding", "identity")]));
    trip.response(ResponseSource::Upstream, 200, &FIELDS, chunks(&["hi"])).unwrap();
    let left = trip.with(|exchange| exchange.response.as_ref().map(|response| response.headers.clone()));
    assert_eq!(left, Some(map(&[("content-type", "text/plain")])));
}

#[test]
fn an_answer_to_head_does_not_tell_the_length_that_the_plugin_changes() {
    let stored = Arc::new(StoredResponses::new(1 << 20));
    let mut trip = trip_with(vec![reader(|_| GO)], Method::HEAD, &stored);
    continues(trip.request(Body::empty()));
    let fields = [("content-length", "2000"), ("etag", "\"x\""), ("content-encoding", "gzip")];
    trip.response(ResponseSource::Upstream, 200, &fields, Body::empty()).unwrap();
    assert_eq!((trip.response_field("content-length"), trip.response_field("etag")), (None, None));
    assert!(trip.trail().contains(&"r:response 200$".to_owned()), "it is told that there is no body");
}

#[test]
fn an_answer_to_head_keeps_the_body_that_tells_its_length() {
    let stored = Arc::new(StoredResponses::new(1 << 20));
    let answering = || plugin("long", |_| Act::Respond(200));
    for method in [Method::GET, Method::HEAD] {
        let answer = answers(trip_with(vec![answering()], method, &stored).request(Body::empty()));
        assert_eq!(http_body::Body::size_hint(&answer.body).exact(), Some(4));
    }
    let answer = answers(trip(vec![plugin("a", |_| Act::Respond(204))]).request(Body::empty()));
    assert_eq!(http_body::Body::size_hint(&answer.body).exact(), Some(0));
}

#[test]
fn bytes_pass_are_replaced_and_are_held_back() {
    assert_eq!(passing(|_| GO, &["a", "b"]).unwrap(), "ab");
    assert_eq!(passing(|data| if data == b"a" { Act::Replace("AA") } else { GO }, &["a", "b"]).unwrap(), "AAb");
    let held = |data: &[u8]| if data.is_empty() { Act::Replace("all") } else { Act::Replace("") };
    assert_eq!(passing(held, &["a", "b"]).unwrap(), "all");
}

#[test]
fn a_request_without_a_body_comes_once_to_a_plugin_that_reads_chunks() {
    let refusing = || reader(|data| if data.is_empty() { Act::Respond(401) } else { GO });
    let mut trip = trip(vec![refusing()]);
    assert_eq!(answers(trip.request(Body::empty())).source, ResponseSource::Plugin(0));
    assert_eq!(trip.trail(), ["r:request $", "r:request body $"]);
    // One that was built when it was not called may take that for a mistake.
    let mut trip = self::trip(vec![Script { pins: true, ..refusing() }]);
    continues(trip.request(Body::empty()));
    assert_eq!(trip.trail(), ["r:request $"]);
}

fn refusing() -> Script {
    reader(|data| if data == b"b" { Act::Respond(403) } else { Act::Replace("") })
}

#[test]
fn a_plugin_that_holds_back_may_still_answer() {
    let answer = answers(trip(vec![refusing()]).request(chunks(&["a", "b", "c"])));
    assert_eq!(answer.source, ResponseSource::Plugin(0));
    // To one that was built when heads waited for it, they do.
    let mut trip = trip(vec![Script { pins: true, ..refusing() }]);
    continues(trip.request(Body::empty()));
    let body = trip.upstream(chunks(&["a", "b", "c"])).unwrap();
    assert_eq!(text(body).unwrap(), "r");
    assert_eq!(trip.with(|exchange| exchange.response.as_ref().map(|head| head.status.as_u16())), Some(403));
}

#[test]
fn the_head_of_a_response_does_not_wait_for_its_first_chunk_and_can_t_be_taken_back() {
    let mut trip = trip(vec![quiet("a"), refusing()]);
    continues(trip.request(Body::empty()));
    let (send, sent) = tokio::sync::oneshot::channel();
    let frames = stream::once(async move {
        sent.await.map(|()| Frame::data(Bytes::from_static(b"b"))).map_err(|_| ErrorKind::Internal.into())
    });
    let mut body = trip.upstream(Body::boxed(StreamBody::new(Box::pin(frames)))).unwrap();
    assert_eq!(trip.trail().last().map(String::as_str), Some("a:response 200"), "nothing has come yet");
    send.send(()).unwrap();
    let error = wait(body.frame()).unwrap().unwrap_err();
    assert_eq!(error.detail(), "plugin `r`: answered after it had let bytes go, or the head");
}

#[test]
fn a_plugin_finds_the_head_gone_out_with_the_first_chunk_however_soon_that_comes() {
    let mut trip = trip(vec![scripted("r", |phase, exchange, _, _| {
        let response = exchange.response.as_ref();
        assert_eq!(response.is_some_and(|head| head.sent), phase == "response body", "{phase}");
        if phase.ends_with("body") { GO } else { CHUNKS }
    })]);
    continues(trip.request(chunks(&["a"])));
    assert_eq!(text(trip.upstream(chunks(&["a", "b"])).unwrap()).unwrap(), "ab");
}

#[test]
fn an_instance_is_held_between_chunks_only_where_it_keeps_something_there() {
    for (pins, checkouts) in [(true, 2), (false, 5)] {
        let mut trip = trip(vec![Script { pins, ..reader(|_| GO) }]);
        // The body's end comes in a call of its own.
        assert_eq!(text(continues(trip.request(chunks(&["a", "b", "c"])))).unwrap(), "abc");
        let words = std::mem::take(&mut *trip.trail.borrow_mut());
        let count = words.iter().filter(|word| *word == "r:checkout").count();
        assert_eq!(count, if pins { 1 } else { checkouts }, "{words:?}");
        trip.run.slots.iter().for_each(|slot| assert!(slot.guest.is_none()));
    }
}

#[test]
fn a_request_without_a_body_does_not_get_past_a_plugin_that_wants_it_whole() {
    let whole = || plugin("w", |phase| if phase.ends_with("body") { Act::Respond(401) } else { WHOLE });
    for fields in [&[][..], &[("content-length", "0")], &[("content-encoding", "br")]] {
        let mut trip = trip(vec![whole()]);
        trip.request_fields(fields);
        let answer = answers(trip.request(Body::empty()));
        assert_eq!(answer.source, ResponseSource::Plugin(0));
        assert_eq!(trip.trail(), ["w:request $", "w:request body $"]);
    }
}

#[test]
fn a_response_without_a_body_comes_once_to_a_plugin_that_wants_it_whole() {
    let stored = Arc::new(StoredResponses::new(1 << 20));
    let whole = || plugin("w", |phase| if phase == "response body" { Act::Replace("more") } else { WHOLE });
    for (method, status, left) in
        [(Method::GET, 200, "more"), (Method::HEAD, 200, ""), (Method::GET, 204, ""), (Method::GET, 304, "")]
    {
        let mut trip = trip_with(vec![whole()], method, &stored);
        continues(trip.request(Body::empty()));
        trip.trail();
        let body = trip.response(ResponseSource::Upstream, status, &[], Body::empty()).unwrap();
        assert_eq!(text(body).unwrap(), left);
        assert_eq!(trip.trail(), [format!("w:response {status}$"), "w:response body $".to_owned()]);
    }
    // One that was built before is not called where it was not then.
    let mut trip = trip_with(vec![Script { pins: true, ..whole() }], Method::HEAD, &stored);
    continues(trip.request(chunks(&["x"])));
    trip.trail();
    trip.response(ResponseSource::Upstream, 200, &[], Body::empty()).unwrap();
    assert_eq!(trip.trail(), ["w:response 200$"]);
}

#[test]
fn a_plugin_that_asks_for_a_body_without_a_phase_for_it_passes_nothing_on_whatever_its_policy() {
    let forgetful = |mode| Script {
        phases: Phases::of(Phase::RequestHeaders) | Phases::of(Phase::ResponseHeaders),
        policy: OnFailure::Open,
        ..plugin("f", move |phase| if phase == mode { CHUNKS } else { GO })
    };
    let error = fails(trip(vec![forgetful("request")]).request(chunks(&["x"])));
    assert_eq!(
        (error.kind(), error.detail()),
        (ErrorKind::Plugin, "plugin `f`: asks for the body and has no phase for it")
    );
    let mut trip = trip(vec![forgetful("response")]);
    continues(trip.request(Body::empty()));
    assert_eq!(fails(trip.upstream(chunks(&["x"]))).kind(), ErrorKind::Plugin);
}

#[test]
fn a_plugin_that_loses_its_place_in_a_body_passes_nothing_on_whatever_its_policy() {
    use crate::exchange::StreamState;
    let forgets = || Script {
        policy: OnFailure::Open,
        ..scripted("s", |phase, exchange, index, data| {
            if data == b"b" {
                exchange.scratch_of(index).request_stream = StreamState::Lost;
                exchange.scratch_of(index).response_stream = StreamState::Lost;
            }
            if phase.ends_with("body") { GO } else { CHUNKS }
        })
    };
    let mut trip = trip(vec![forgets()]);
    let body = continues(trip.request(chunks(&["a", "b", "c"])));
    assert_eq!(fails(text(body)).detail(), "plugin `s`: keeps more than 64 KiB of a body between its chunks");
}

#[test]
fn an_answer_after_bytes_have_gone_out_cuts_the_stream() {
    let error = fails(passing(|data| if data == b"b" { Act::Respond(403) } else { GO }, &["a", "b", "c"]));
    assert_eq!(
        (error.kind(), error.detail()),
        (ErrorKind::PluginAbort, "plugin `r`: answered after it had let bytes go, or the head")
    );
}

#[test]
fn an_abort_cuts_the_stream() {
    let error = fails(passing(|data| if data == b"b" { Act::Abort } else { GO }, &["a", "b", "c"]));
    assert_eq!((error.kind(), error.detail()), (ErrorKind::PluginAbort, "plugin `r`: aborted the stream"));
}

#[test]
fn a_body_too_large_to_be_had_whole_is_413_or_502() {
    let whole = || plugin("w", |phase| if phase.ends_with("body") { GO } else { WHOLE });
    let mut trip = trip(vec![whole()]);
    let error = fails(trip.request(chunks(&["12345678", "9012"])));
    assert_eq!(error.kind().status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(error.detail(), "plugin `w`: wants the body whole, and the limit is 10");
    let error = fails(trip.upstream(chunks(&["12345678", "9012"])));
    assert_eq!(error.kind().status(), StatusCode::BAD_GATEWAY);
}

#[test]
fn a_body_had_whole_comes_in_one_piece() {
    let mut trip = trip(vec![plugin("w", |phase| if phase.ends_with("body") { GO } else { WHOLE })]);
    assert_eq!(text(continues(trip.request(chunks(&["12", "34"])))).unwrap(), "1234");
    assert!(trip.trail().contains(&"w:request body 1234$".to_owned()));
}

async fn comes_true(condition: impl Fn() -> bool) -> bool {
    for _ in 0..100 {
        if condition() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// Whoever sends the request may be waiting for the exchange, and not look at the body any more.
#[test]
fn a_plugin_that_waits_with_the_exchange_is_not_stuck_when_nobody_reads_its_body() {
    let gate = Rc::new(Notify::new());
    let mut trip = trip(vec![Script { gate: Some(gate.clone()), ..reader(|_| GO) }]);
    let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        gate.notify_one();
        continues(trip.run.request_headers(false).await.map(|_| Flow::Continue(Body::empty())));
        let mut body = continues(trip.run.request_body(chunks(&["a", "b"])).await);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        // The reader has room for one more, looks once, and then needs the exchange.
        let looked = std::future::poll_fn(|cx| std::task::Poll::Ready(Pin::new(&mut body).poll_frame(cx).is_pending()));
        assert!(looked.await);
        assert!(comes_true(|| trip.exchange.try_lock().is_none()).await, "the guest waits with the exchange");
        gate.notify_one();
        assert!(comes_true(|| trip.exchange.try_lock().is_some()).await, "it gives the exchange back");
        gate.notify_one();
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.to_bytes(), "b");
    });
}

#[test]
fn trailers_pass_and_a_plugin_sees_and_changes_them() {
    for mode in [CHUNKS, WHOLE] {
        let changing = scripted("t", move |phase, exchange, _, _| {
            let trailers = exchange.response.as_mut().and_then(|response| response.trailers.as_mut());
            if let ("response body", Some(trailers)) = (phase, trailers) {
                assert_eq!(trailers.text("grpc-status"), "0");
                trailers.insert("x-seen", HeaderValue::from_static("1"));
            }
            if phase.ends_with("body") { GO } else { mode }
        });
        let mut trip = trip(vec![changing]);
        continues(trip.request(Body::empty()));
        let body = trip.upstream(framed(&["a", "b"], Some(map(&[("grpc-status", "0")])))).unwrap();
        let (text, trailers) = read(body).unwrap();
        assert_eq!((text.as_str(), trailers), ("ab", Some(map(&[("grpc-status", "0"), ("x-seen", "1")]))));
    }
}

#[test]
fn a_failure_on_a_body_passes_the_rest_only_where_nothing_was_replaced() {
    let failing = |first: Act| Script {
        policy: OnFailure::Open,
        ..reader_of_responses(move |data| match data {
            b"a" => first,
            _ => Act::Fail,
        })
    };
    let run = |first| {
        let mut trip = trip(vec![failing(first)]);
        continues(trip.request(Body::empty()));
        let body = trip.upstream(chunks(&["a", "b", "c"]))?;
        text(body)
    };
    assert_eq!(run(GO).unwrap(), "abc");
    let error = fails(run(Act::Replace("A")));
    assert_eq!(error.detail(), "plugin `r`: response body failed", "a hole can't be told from the rest");
    assert!(run(Act::Replace("")).is_err(), "what it held back is lost");
}

#[test]
fn a_failure_on_a_body_with_policy_closed_is_an_error_before_the_first_byte() {
    let mut trip = trip(vec![quiet("a"), reader_of_responses(|_| Act::Fail)]);
    continues(trip.request(Body::empty()));
    let error = fails(trip.upstream(chunks(&["x"])));
    assert_eq!((error.kind(), error.detail()), (ErrorKind::Plugin, "plugin `r`: response body failed"));
    assert!(trip.trail().contains(&"r:warned response body failed false".to_owned()));
}

#[test]
fn a_plugin_that_failed_open_on_the_request_body_does_not_see_the_response() {
    for mode in [CHUNKS, WHOLE] {
        let failing = Script {
            policy: OnFailure::Open,
            ..plugin("a", move |phase| match phase {
                "request" => mode,
                "request body" => Act::Fail,
                _ => GO,
            })
        };
        let mut trip = trip(vec![failing, quiet("b")]);
        assert_eq!(text(continues(trip.request(chunks(&["up"])))).unwrap(), "up");
        trip.trail();
        wait(trip.run.upstream_failure(Failure::Connect, false)).unwrap();
        assert_eq!(text(trip.upstream(chunks(&["down"])).unwrap()).unwrap(), "down");
        assert_eq!(trip.trail(), ["b:failure", "b:response 200"]);
        wait(trip.run.log());
        let words: Vec<_> = trip.trail.take().into_iter().filter(|word| word.ends_with(":log")).collect();
        assert_eq!(words, ["b:log", "a:log"], "its request phase had run");
    }
}
