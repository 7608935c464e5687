//! Which phases run, in which order, and what a failure changes of that.

use futures_util::FutureExt;

use super::*;
use crate::sanitize::PluginField;
use crate::sensitive::Sensitive;

#[test]
fn request_phases_run_in_order_and_response_phases_in_reverse() {
    let mut trip = trip(vec![quiet("a"), quiet("b")]);
    continues(trip.request(Body::empty()));
    assert_eq!(trip.trail(), ["a:request $", "b:request $"]);
    assert_eq!(text(trip.upstream(chunks(&["hi"])).unwrap()).unwrap(), "hi");
    assert_eq!(trip.trail(), ["b:response 200", "a:response 200"]);
    wait(trip.run.log());
    let words: Vec<_> = trip.trail.take().into_iter().filter(|word| word.ends_with(":log")).collect();
    assert_eq!(words, ["b:log", "a:log"]);
}

#[test]
fn a_plugins_answer_passes_the_plugins_before_it_and_not_its_own_phase() {
    let answering = plugin("b", |phase| if phase == "request" { Act::Respond(299) } else { GO });
    let mut trip = trip(vec![quiet("a"), answering, quiet("c")]);
    let answer = answers(trip.request(Body::empty()));
    assert_eq!(answer.source, ResponseSource::Plugin(1));
    assert_eq!(trip.response_field("x-by").as_deref(), Some("b"));
    let body = wait(trip.run.response(answer.source, answer.body)).unwrap();
    assert_eq!(text(body).unwrap(), "b");
    wait(trip.run.log());
    let words: Vec<_> = trip.trail.take().into_iter().filter(|word| !word.ends_with(":checkout")).collect();
    assert_eq!(words, ["a:request $", "b:request $", "a:response 299", "b:log", "a:log"], "c was never reached");
}

/// A check of the body that comes first, and a plugin behind it that answers from the head alone.
fn checked(mode: Act, answer: Act) -> Trip {
    let check = scripted("check", move |phase, exchange, _, data| match phase {
        "request" => mode,
        "request body" => {
            assert!(
                exchange.response.is_none() && exchange.source == ResponseSource::None,
                "nobody sees the answer yet"
            );
            if data == b"signed" { GO } else { Act::Respond(401) }
        }
        _ => GO,
    });
    trip(vec![check, plugin("later", move |phase| if phase == "request" { answer } else { GO }), quiet("never")])
}

#[test]
fn the_answer_of_a_later_plugin_does_not_get_round_what_an_earlier_one_makes_of_the_body() {
    for mode in [CHUNKS, WHOLE] {
        for answer in [Act::Respond(299), Act::RespondStored] {
            for body in [&[][..], &["unsigned"]] {
                let mut refused = checked(mode, answer);
                assert_eq!(answers(refused.request(chunks(body))).source, ResponseSource::Plugin(0));
                assert_eq!(refused.response_field("x-by").as_deref(), Some("check"));
            }
            let mut passed = checked(mode, answer);
            let answer = answers(passed.request(chunks(&["signed"])));
            assert_eq!(
                (answer.source, passed.response_field("x-by").as_deref()),
                (ResponseSource::Plugin(1), Some("later"))
            );
            assert_eq!(text(wait(passed.run.response(answer.source, answer.body)).unwrap()).unwrap(), "later");
            assert!(passed.trail().last().is_some_and(|last| last.starts_with("check:response ")));
        }
    }
}

#[test]
fn a_body_that_an_earlier_plugin_can_t_read_is_refused_whatever_a_later_one_answers() {
    let mut trip = checked(CHUNKS, Act::Respond(299));
    trip.request_fields(&[("content-encoding", "compress")]);
    assert_eq!(fails(trip.request(chunks(&["signed"]))).kind(), ErrorKind::UnsupportedEncoding);
    assert!(trip.with(|exchange| exchange.response.is_none()));
}

#[test]
fn errors_of_the_gateway_pass_every_plugin_that_ran() {
    for status in [502, 504, 413] {
        let mut trip = trip(vec![quiet("a"), quiet("b")]);
        continues(trip.request(Body::empty()));
        trip.trail();
        trip.response(ResponseSource::Gateway, status, &[], Body::full("problem")).unwrap();
        assert_eq!(trip.trail(), [format!("b:response {status}"), format!("a:response {status}")]);
    }
}

#[test]
fn a_response_phase_runs_at_most_once_also_after_an_error() {
    let failing = plugin("b", |phase| if phase == "response" { Act::Fail } else { GO });
    let mut trip = trip(vec![quiet("a"), failing, quiet("c")]);
    continues(trip.request(Body::empty()));
    trip.trail();
    let error = fails(trip.upstream(chunks(&["hi"])));
    assert_eq!((error.kind(), error.detail()), (ErrorKind::Plugin, "plugin `b`: response failed"));
    trip.response(ResponseSource::Gateway, 503, &[], Body::empty()).unwrap();
    let words = trip.trail();
    let expected = ["c:response 200", "b:response 200", "b:warned response failed false", "a:response 503$"];
    assert_eq!(words, expected);
}

#[test]
fn a_plugin_whose_request_phase_failed_is_left_out_of_the_later_phases() {
    for policy in [OnFailure::Closed, OnFailure::Open] {
        let failing = Script { policy, ..plugin("b", |phase| if phase == "request" { Act::Fail } else { GO }) };
        let mut trip = trip(vec![quiet("a"), failing, quiet("c")]);
        let requested = trip.request(Body::empty());
        assert_eq!(requested.is_ok(), policy == OnFailure::Open);
        trip.trail();
        trip.response(ResponseSource::Gateway, 503, &[], Body::empty()).unwrap();
        wait(trip.run.upstream_failure(Failure::Connect, false)).unwrap();
        wait(trip.run.log());
        let words = trip.trail.take();
        assert!(!words.iter().any(|word| word.starts_with("b:")), "{words:?}");
        assert!(words.contains(&"a:response 503$".to_owned()), "{words:?}");
        assert_eq!(words.contains(&"c:log".to_owned()), policy == OnFailure::Open, "{words:?}");
    }
}

#[test]
fn a_plugin_without_an_instance_is_waited_for_once_and_not_again_in_every_phase() {
    let mut trip = trip(vec![quiet("a")]);
    trip.places[0].busy.set(true);
    let error = fails(trip.request(Body::empty()));
    assert_eq!((error.kind(), error.detail()), (ErrorKind::Overload, "plugin `a`: busy"));
    trip.response(ResponseSource::Gateway, 503, &[], Body::empty()).unwrap();
    wait(trip.run.log());
    assert_eq!(trip.trail.take(), ["a:checkout", "a:warned busy false"]);
}

/// With policy `open` it would be as if the plugin had let pass what it refused.
#[test]
fn whoever_refuses_with_an_answer_that_cannot_be_sent_has_refused_whatever_the_policy() {
    let told = "plugin `a`: answered with a status outside 200 to 599";
    for policy in [OnFailure::Closed, OnFailure::Open] {
        let strange =
            |phase| Script { policy, ..plugin("a", move |of| if of == phase { Act::Respond(99) } else { GO }) };
        let mut request = trip(vec![strange("request")]);
        assert_eq!(fails(request.request(Body::empty())).detail(), told);
        assert_eq!(request.trail(), ["a:request $", "a:warned answered with a status outside 200 to 599 false"]);
        let mut response = trip(vec![strange("response")]);
        continues(response.request(Body::empty()));
        assert_eq!(fails(response.upstream(chunks(&["unread"]))).detail(), told);
        let mut failure = trip(vec![strange("failure")]);
        continues(failure.request(Body::empty()));
        assert_eq!(fails(wait(failure.run.upstream_failure(Failure::Connect, false))).detail(), told);
    }
}

#[test]
fn whoever_gave_back_more_than_it_may_is_passed_by_under_no_policy() {
    for phase in ["request", "request body", "response", "response body", "failure"] {
        let reads = move |of| if of == phase { Act::TooMuch } else { CHUNKS };
        let mut trip = trip(vec![Script { policy: OnFailure::Open, ..plugin("a", reads) }]);
        let error = match trip.request(chunks(&["unread"])) {
            Err(error) => error,
            Ok(_) if phase == "failure" => fails(wait(trip.run.upstream_failure(Failure::Connect, false))),
            Ok(_) => match trip.upstream(chunks(&["unread"])) {
                Err(error) => error,
                Ok(body) => fails(text(body)),
            },
        };
        assert_eq!(error.kind(), ErrorKind::PluginAnswer, "{phase}");
    }
}

#[test]
fn upstream_failures_are_asked_in_reverse_and_answered_once() {
    let answering = plugin("b", |phase| if phase == "failure" { Act::Respond(297) } else { GO });
    let mut trip = trip(vec![quiet("a"), answering, quiet("c")]);
    continues(trip.request(Body::empty()));
    trip.trail();
    let AfterFailure::Answer(answer) = wait(trip.run.upstream_failure(Failure::Timeout, true)).unwrap() else {
        panic!("no answer");
    };
    assert_eq!(answer.source, ResponseSource::Plugin(1));
    wait(trip.run.response(answer.source, answer.body)).unwrap();
    assert_eq!(trip.trail(), ["c:failure", "b:failure", "a:response 297"]);
}

#[test]
fn a_plugin_that_wants_the_upstream_asked_again_is_heard_where_the_request_can_be_repeated() {
    for can_repeat in [true, false] {
        let asking = plugin("b", |phase| if phase == "failure" { Act::Retry } else { GO });
        let mut trip = trip(vec![quiet("a"), asking]);
        continues(trip.request(Body::empty()));
        trip.trail();
        let after = wait(trip.run.upstream_failure(Failure::Reset, can_repeat)).unwrap();
        assert_eq!(matches!(after, AfterFailure::Retry), can_repeat);
        let expected: &[&str] = if can_repeat { &["b:failure"] } else { &["b:failure", "a:failure"] };
        assert_eq!(trip.trail(), expected, "whoever comes after is not asked before it is known how that ends");
    }
}

#[test]
fn a_plugin_finds_its_own_state_in_every_phase() {
    let keeps = |name| {
        scripted(name, move |phase, exchange, index, _| {
            let state = &mut exchange.scratch_of(index).state;
            match phase {
                "request" => *state = Bytes::from_static(name.as_bytes()).into(),
                _ => assert_eq!(state.expose(), name, "{phase}"),
            }
            CHUNKS
        })
    };
    let mut trip = trip(vec![keeps("a"), keeps("b")]);
    assert_eq!(text(continues(trip.request(chunks(&["up"])))).unwrap(), "up");
    assert_eq!(text(trip.upstream(chunks(&["down"])).unwrap()).unwrap(), "down");
    wait(trip.run.upstream_failure(Failure::Reset, false)).unwrap();
    wait(trip.run.log());
    assert!(trip.trail.take().iter().any(|word| word == "b:log"));
}

/// A chain whose first plugin notes something, and whose second is the scripted one; and what the record then says.
fn noted(second: Script, run: impl FnOnce(&mut Trip)) -> Option<String> {
    let notes = scripted("a", |phase, exchange, _, _| {
        if phase == "request" {
            exchange.log_fields.push(PluginField::new("who".to_owned(), Some("raw".to_owned())));
        }
        GO
    });
    let mut trip = trip(vec![notes, second]);
    run(&mut trip);
    if trip.run.logs() {
        wait(trip.run.log());
    }
    let mut slot = trip.exchange.try_lock().unwrap();
    slot.as_mut().unwrap().log_fields.pop().unwrap().value.map(Sensitive::into_exposed)
}

#[test]
fn what_a_plugin_that_failed_closed_would_have_scrubbed_does_not_reach_the_record() {
    for failing in ["request", "log"] {
        for (policy, expected) in [(OnFailure::Closed, "***"), (OnFailure::Open, "raw")] {
            let script = Script { policy, ..plugin("b", move |phase| if phase == failing { Act::Fail } else { GO }) };
            let value = noted(script, |trip| drop(trip.request(Body::empty())));
            assert_eq!(value.as_deref(), Some(expected), "{failing} {policy:?}");
        }
    }
    assert_eq!(noted(quiet("b"), |trip| drop(trip.request(Body::empty()))).as_deref(), Some("raw"));
}

#[test]
fn fields_are_masked_where_the_scrubber_never_got_an_instance() {
    let script = quiet("b");
    script.busy.set(true);
    assert_eq!(noted(script, |trip| drop(trip.request(Body::empty()))).as_deref(), Some("***"));
    let later = noted(quiet("b"), |trip| {
        continues(trip.request(Body::empty()));
        trip.places[1].busy.set(true);
    });
    assert_eq!(later.as_deref(), Some("***"), "busy in the log phase");
}

#[test]
fn fields_are_masked_where_the_client_left_within_the_scrubbers_request_phase() {
    let script = quiet("b");
    script.stalls.set(true);
    let value = noted(script, |trip| {
        let mut phase = Box::pin(trip.run.request_headers(true));
        assert!(phase.as_mut().now_or_never().is_none(), "it waits for an instance");
    });
    assert_eq!(value.as_deref(), Some("***"));
}

#[test]
fn fields_of_a_plugin_without_a_log_phase_that_fails_stay() {
    let script = Script {
        phases: Phases::of(Phase::RequestHeaders),
        ..plugin("b", |phase| if phase == "request" { Act::Fail } else { GO })
    };
    assert_eq!(noted(script, |trip| drop(trip.request(Body::empty()))).as_deref(), Some("raw"));
}
