//! Which responses are kept where plugins change the request, and who gets them.

use super::*;

/// Gives out what is stored when it is asked to, and asks to keep every response.
fn keeper(gives: bool) -> Script {
    scripted("keeper", move |phase, exchange, index, _| match phase {
        "request" if gives => Act::RespondStored,
        "response" => {
            let store = StoreRequest { key: "k".to_owned().into(), ttl: Duration::from_secs(60) };
            exchange.scratch_of(index).store = Some(store);
            GO
        }
        _ => GO,
    })
}

/// Does this to the request.
fn editor(edit: impl Fn(&mut Exchange) + 'static) -> Script {
    scripted("editor", move |phase, exchange, _, _| {
        if phase == "request" {
            edit(exchange);
        }
        GO
    })
}

fn principal(name: &'static str) -> Script {
    editor(move |exchange| exchange.set_attribute("principal", name.to_owned()))
}

type Fields = &'static [(&'static str, &'static str)];

/// Sends a request through plugins that keep the upstream's answer.
fn store(stored: &Arc<StoredResponses>, plugins: Vec<Script>, method: Method, request: Fields, response: Fields) {
    let mut trip = trip_with(plugins, method, stored);
    trip.request_fields(request);
    continues(trip.request(Body::empty()));
    let body = trip.response(ResponseSource::Upstream, 200, response, chunks(&["secret"])).unwrap();
    text(body).unwrap();
}

/// What is given out for a request.
fn ask(stored: &Arc<StoredResponses>, plugins: Vec<Script>, request: Fields) -> Option<String> {
    let mut trip = trip_with(plugins, Method::GET, stored);
    trip.request_fields(request);
    let answer = answers(trip.request(Body::empty()));
    matches!(answer.source, ResponseSource::Stored(_)).then(|| text(answer.body).unwrap())
}

fn fresh() -> Arc<StoredResponses> {
    Arc::new(StoredResponses::new(1 << 20))
}

#[test]
fn a_stored_response_is_given_out_again() {
    let stored = fresh();
    store(&stored, vec![keeper(false)], Method::GET, &[], &[]);
    assert_eq!(ask(&stored, vec![keeper(true)], &[]).as_deref(), Some("secret"));
}

#[test]
fn what_a_plugin_rewrites_does_not_change_the_key() {
    let stored = fresh();
    let rewriter = || {
        editor(|exchange| {
            exchange.request.retarget(
                None,
                Some("inner".to_owned()),
                Some(http::uri::PathAndQuery::from_static("/other")),
            )
        })
    };
    store(&stored, vec![keeper(false), rewriter()], Method::GET, &[], &[]);
    assert_eq!(ask(&stored, vec![keeper(true), rewriter()], &[]).as_deref(), Some("secret"));
}

#[test]
fn one_principals_response_reaches_no_other() {
    let stored = fresh();
    store(&stored, vec![principal("alice"), keeper(false)], Method::GET, &[], &[]);
    assert!(ask(&stored, vec![principal("alice"), keeper(true)], &[]).is_some());
    assert!(ask(&stored, vec![principal("bob"), keeper(true)], &[]).is_none());
    assert!(ask(&stored, vec![keeper(true)], &[]).is_none());
}

#[test]
fn a_response_to_one_key_answers_no_request_without_it_nor_with_another() {
    let stored = fresh();
    store(&stored, vec![keeper(false)], Method::GET, &[("x-api-key", "alice")], &[("cache-control", "max-age=60")]);
    assert!(ask(&stored, vec![keeper(true)], &[]).is_none());
    assert!(ask(&stored, vec![keeper(true)], &[("x-api-key", "bob")]).is_none());
}

#[test]
fn an_empty_name_is_nobodys() {
    let stored = fresh();
    store(&stored, vec![principal(""), keeper(false)], Method::GET, &[("cookie", "a=alice")], &[]);
    assert!(ask(&stored, vec![principal(""), keeper(true)], &[("cookie", "a=bob")]).is_none());
}

#[test]
fn a_response_to_credentials_that_a_later_plugin_took_off_is_given_to_nobody() {
    let stored = fresh();
    let session = || {
        editor(|exchange| {
            exchange.request.edited(&http::header::COOKIE, 1);
            exchange.request.headers.remove("cookie");
        })
    };
    store(&stored, vec![keeper(false), session()], Method::GET, &[("cookie", "session=alice")], &[]);
    assert!(ask(&stored, vec![keeper(true), session()], &[("cookie", "session=bob")]).is_none());
    assert!(ask(&stored, vec![keeper(true), session()], &[]).is_none());
    store(&stored, vec![keeper(false), session()], Method::GET, &[], &[]);
    assert!(ask(&stored, vec![keeper(true), session()], &[]).is_some(), "without credentials it is kept");
}

#[test]
fn the_answer_to_a_post_that_became_a_get_is_not_kept() {
    let stored = fresh();
    let rewriter = editor(|exchange| exchange.request.retarget(Some(Method::GET), None, None));
    store(&stored, vec![keeper(false), rewriter], Method::POST, &[], &[]);
    assert!(ask(&stored, vec![keeper(true)], &[]).is_none());
}

#[test]
fn a_response_that_varies_with_a_field_that_a_plugin_set_is_not_kept() {
    let stored = fresh();
    let setter = editor(|exchange| {
        exchange.request.edited(&http::header::ACCEPT_LANGUAGE, 1);
        exchange.request.headers.insert("accept-language", HeaderValue::from_static("no"));
    });
    store(&stored, vec![keeper(false), setter], Method::GET, &[], &[("vary", "accept-language")]);
    assert!(ask(&stored, vec![keeper(true)], &[("accept-language", "no")]).is_none());
}

#[test]
fn only_what_the_upstream_answered_in_full_is_kept() {
    let stored = fresh();
    let mut trip = trip_with(vec![keeper(false)], Method::GET, &stored);
    continues(trip.request(Body::empty()));
    drop(trip.upstream(chunks(&["se", "cret"])).unwrap());
    assert!(ask(&trip.stored, vec![keeper(true)], &[]).is_none(), "its body was not read to the end");
    let mut trip = trip_with(vec![keeper(false)], Method::GET, &stored);
    continues(trip.request(Body::empty()));
    text(trip.response(ResponseSource::Route, 200, &[], chunks(&["fixed"])).unwrap()).unwrap();
    assert!(ask(&stored, vec![keeper(true)], &[]).is_none(), "the route answered");
}

#[test]
fn without_an_answer_of_the_plugins_own_the_exchange_goes_on_where_nothing_is_stored() {
    let asker = || scripted("asker", |_, _, _, _| Act::RespondStoredOrGo);
    let mut trip = trip_with(vec![asker(), keeper(false)], Method::GET, &fresh());
    continues(trip.request(Body::empty()));
    let body = trip.upstream(chunks(&["the upstream's"])).unwrap();
    assert_eq!(text(body).unwrap(), "the upstream's");
    assert_eq!(trip.trail(), ["asker:request $", "keeper:request $", "keeper:response 200", "asker:response 200"]);
    let mut trip = trip_with(vec![asker()], Method::GET, &fresh());
    continues(trip.request(Body::empty()));
    let answer = wait(trip.run.upstream_failure(Failure::Timeout, false)).unwrap();
    assert!(matches!(answer, AfterFailure::GoOn), "the gateway's own error stands");
}
