//! What may be kept, who gets it, and how much memory it takes.

use proptest::prelude::*;

use http::header::COOKIE;

use super::*;
use crate::exchange::{Edits, RequestHead};
use crate::message::FieldMap;
use crate::model::Storing;

const TTL: Duration = Duration::from_secs(60);
/// Says nothing of freshness, so that what else keeps a response out is seen.
const UNMARKED: Storing = Storing { shared: false, unmarked: true, credentials: Vec::new() };
const T0: Duration = Duration::from_secs(10);

fn map(fields: &[(&'static str, &str)]) -> FieldMap {
    fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

fn asked(method: Method, fields: &[(&'static str, &str)]) -> RequestHead {
    RequestHead {
        method: method.into(),
        scheme: "https",
        authority: "a.example".to_owned().into(),
        path_and_query: http::uri::PathAndQuery::from_static("/t").into(),
        headers: map(fields),
        trailers: None,
        sent: true,
        edits: Edits::default(),
    }
}

fn answer(status: u16, fields: &[(&'static str, &str)]) -> ResponseHead {
    ResponseHead::new(StatusCode::from_u16(status).unwrap(), map(fields))
}

fn decide(
    request: &[(&'static str, &str)],
    response: &[(&'static str, &str)],
    bound: bool,
) -> Result<Duration, Refusal> {
    storable(&asked(Method::GET, request), &answer(200, response), readers(bound.then_some("alice")), &UNMARKED, TTL)
}

fn readers(principal: Option<&str>) -> Readers<'_> {
    principal.map_or(Readers::Unnamed, Readers::Principal)
}

fn key<'a>(principal: Option<&'a str>, plugin: &'a str) -> Key<'a> {
    let readers = readers(principal);
    Key { entry: "e", scheme: "https", authority: "a.example", target: "/t", readers, caller: None, plugin }
}

fn store(bytes: usize) -> Arc<StoredResponses> {
    Arc::new(StoredResponses::new(bytes))
}

fn draft(
    store: &Arc<StoredResponses>,
    key: &Key<'_>,
    request: &[(&'static str, &str)],
    response: &[(&'static str, &str)],
) -> Option<Draft> {
    store.draft(key, &map(request), &answer(200, response), TTL, false)
}

fn put(
    store: &Arc<StoredResponses>,
    key: &Key<'_>,
    request: &[(&'static str, &str)],
    response: &[(&'static str, &str)],
    body: &[u8],
) {
    let mut draft = draft(store, key, request, response).unwrap();
    assert!(draft.push(body));
    store.put(draft, T0);
}

#[test]
fn only_a_get_that_was_sent_as_one_is_kept() {
    assert_eq!(decide(&[], &[], false), Ok(TTL));
    for (method, status) in [(Method::POST, 200), (Method::HEAD, 200), (Method::GET, 206), (Method::GET, 500)] {
        assert!(storable(&asked(method, &[]), &answer(status, &[]), Readers::All, &UNMARKED, TTL).is_err());
    }
}

#[test]
fn credentials_need_a_principal_or_the_upstreams_word() {
    for field in ["authorization", "cookie"] {
        assert_eq!(decide(&[(field, "x")], &[], false), Err(Refusal::Credentials));
        assert_eq!(decide(&[(field, "x")], &[], true), Ok(TTL));
        assert_eq!(decide(&[(field, "x")], &[("cache-control", "public")], false), Ok(TTL));
    }
}

#[test]
fn credentials_that_a_plugin_took_off_are_credentials_still() {
    let mut request = asked(Method::GET, &[]);
    request.headers.insert(COOKIE, HeaderValue::from_static("a=b"));
    request.edited(&COOKIE, 0);
    request.headers.remove(COOKIE);
    let decide = |bound: bool| storable(&request, &answer(200, &[]), readers(bound.then_some("alice")), &UNMARKED, TTL);
    assert_eq!(decide(false), Err(Refusal::Credentials));
    assert_eq!(decide(true), Ok(TTL));
}

#[test]
fn a_method_that_a_plugin_changed_is_not_stored_as_what_it_became() {
    for (from, to) in [(Method::POST, Method::GET), (Method::GET, Method::POST)] {
        let mut request = asked(from, &[]);
        request.retarget(Some(to), None, None);
        assert_eq!(storable(&request, &answer(200, &[]), Readers::All, &UNMARKED, TTL), Err(Refusal::Method));
    }
}

#[test]
fn a_vary_field_that_a_plugin_changed_keeps_the_response_out() {
    let mut request = asked(Method::GET, &[("accept-language", "no")]);
    let varies = answer(200, &[("vary", "Accept-Language")]);
    assert_eq!(storable(&request, &varies, Readers::All, &UNMARKED, TTL), Ok(TTL));
    request.edited(&http::header::ACCEPT_LANGUAGE, 0);
    assert_eq!(storable(&request, &varies, Readers::All, &UNMARKED, TTL), Err(Refusal::Vary));
}

#[test]
fn a_field_that_the_operator_names_is_a_credential() {
    let storing = Storing { credentials: vec![HeaderName::from_static("x-lane")], ..UNMARKED };
    let request = asked(Method::GET, &[("x-lane", "alice")]);
    let decide = |storing: &Storing, readers| storable(&request, &answer(200, &[]), readers, storing, TTL);
    assert_eq!(decide(&storing, Readers::Unnamed), Err(Refusal::Credentials));
    assert_eq!(decide(&UNMARKED, Readers::Unnamed), Ok(TTL));
    let other = asked(Method::GET, &[("x-lane", "bob")]);
    let of = |request: &RequestHead| caller(request, Readers::Principal("service"), &storing);
    assert!(of(&request).is_some() && of(&request) != of(&other));
}

#[test]
fn one_principals_callers_are_kept_apart_by_the_credentials_that_the_principal_does_not_stand_for() {
    let of = |fields: &[(&'static str, &str)], taken_by: usize| {
        let mut request = asked(Method::GET, fields);
        request.edits.principal_by = Some(0);
        request.edited(&http::header::AUTHORIZATION, taken_by);
        request.headers.remove("authorization");
        caller(&request, Readers::Principal("service"), &UNMARKED)
    };
    assert_eq!(of(&[("authorization", "a")], 0), of(&[("authorization", "b")], 0), "a token that was renewed");
    assert_ne!(of(&[("authorization", "a")], 1), of(&[("authorization", "b")], 1), "another plugin took it off");
    assert_ne!(of(&[("cookie", "a")], 0), of(&[("cookie", "b")], 0));
    assert_ne!(of(&[("cookie", "a")], 0), of(&[], 0));
}

#[test]
fn what_a_plugin_takes_off_keeps_callers_without_a_name_apart() {
    let of = |value: Option<&str>| {
        let mut request = asked(Method::GET, &[]);
        if let Some(value) = value {
            request.headers.insert("x-lane", HeaderValue::from_str(value).unwrap());
        }
        request.edited(&HeaderName::from_static("x-lane"), 0);
        request.headers.clear();
        caller(&request, Readers::Unnamed, &UNMARKED)
    };
    assert_eq!(of(None), None);
    assert!(of(Some("alice")).is_some() && of(Some("alice")) != of(Some("bob")));
}

#[test]
fn drafts_are_bounded_together_and_give_their_memory_back() {
    let store = store(1 << 20);
    let mut drafts: Vec<_> = std::iter::from_fn(|| {
        let mut draft = draft(&store, &key(None, "k"), &[], &[])?;
        draft.push(&[0; 10_000]).then_some(draft)
    })
    .take(1000)
    .collect();
    assert!((20..=26).contains(&drafts.len()), "a quarter of the store: {}", drafts.len());
    let mut last = drafts.pop().unwrap();
    assert!(!last.push(&[0; 100_000]), "no more for one that grows");
    drop(drafts);
    assert!(last.push(&[0; 100_000]));
    drop(last);
    assert_eq!(store.drafts.load(Ordering::Relaxed), 0);
}

#[test]
fn one_principal_never_gets_anothers_response() {
    let store = store(1 << 20);
    put(&store, &key(Some("alice"), "k"), &[], &[], b"alice's");
    let find = |principal, plugin| store.find(&key(principal, plugin), &Method::GET, &map(&[]), T0);
    assert_eq!(find(Some("alice"), "k").unwrap().body, "alice's");
    for (principal, plugin) in [(Some("bob"), "k"), (None, "k"), (Some("alice"), "l"), (None, "5:alice;k")] {
        assert!(find(principal, plugin).is_none(), "{principal:?} {plugin}");
    }
}

#[test]
fn a_hit_tells_its_age_and_a_head_the_length_of_the_body() {
    let store = store(1 << 20);
    put(&store, &key(None, "k"), &[], &[("age", "5"), ("content-length", "4")], b"body");
    let later = T0 + Duration::from_secs(7);
    let hit = store.find(&key(None, "k"), &Method::HEAD, &map(&[]), later).unwrap();
    assert_eq!((hit.headers.text("age"), hit.body.len()), ("12", 4));
    let status = |hit: Hit, forwarded| hit.with_cache_status(forwarded).headers.text("cache-status").to_owned();
    assert_eq!(status(hit.clone(), None), "gateway; hit; ttl=53");
    assert_eq!(status(hit.clone(), Some(None)), "gateway; fwd=stale");
    let failed = Some(Some(StatusCode::BAD_GATEWAY));
    assert_eq!(status(hit, failed), "gateway; fwd=stale; fwd-status=502", "a request that went on is no hit");
    assert!(store.find(&key(None, "k"), &Method::POST, &map(&[]), later).is_none());
    assert!(store.find(&key(None, "k"), &Method::GET, &map(&[]), T0 + TTL).is_none());
}

/// A panic within the lock would leave its books wrong, and `put` would look for the oldest for ever.
#[test]
fn an_age_beyond_all_measure_counts_as_the_greatest_one() {
    let store = store(1 << 20);
    for age in ["18446744073709551615", "99999999999999999999999999", "2147483648"] {
        put(&store, &key(None, age), &[], &[("age", age)], b"old");
        let hit = store.find(&key(None, age), &Method::GET, &map(&[]), T0 + Duration::from_secs(2)).unwrap();
        assert_eq!(hit.headers.text("age"), ((1_u64 << 31) + 2).to_string());
    }
    let strict = |age| decide(&[], &[("cache-control", "must-revalidate, max-age=30"), ("age", age)], false);
    assert_eq!(strict("99999999999999999999999999"), Err(Refusal::Stale));
    let forever = decide(&[], &[("cache-control", "must-revalidate, max-age=99999999999999999999999")], false);
    assert_eq!(forever, Ok(TTL), "more than can be held is a long time, not none");
}

#[test]
fn room_is_made_also_where_the_books_name_what_is_gone() {
    let store = store(16 << 10);
    for name in ["a", "b", "c"] {
        put(&store, &key(None, name), &[], &[], &[0; 3000]);
    }
    {
        let mut inner = store.lock();
        inner.touch(&"gone".into());
        inner.order.retain(|_, key| **key == *"gone");
    }
    put(&store, &key(None, "d"), &[], &[], &[0; 3000]);
    assert!(store.find(&key(None, "d"), &Method::GET, &map(&[]), T0).is_none(), "it comes to an end");
}

#[test]
fn what_was_kept_for_all_is_not_given_out_when_that_is_taken_back() {
    let store = store(1 << 20);
    let shared = Key { readers: Readers::All, ..key(None, "k") };
    put(&store, &shared, &[], &[], b"for all");
    assert!(store.find(&shared, &Method::GET, &map(&[]), T0).is_some());
    for principal in [None, Some("alice"), Some("*")] {
        assert!(store.find(&key(principal, "k"), &Method::GET, &map(&[]), T0).is_none(), "{principal:?}");
    }
}

#[test]
fn vary_fields_tell_responses_apart() {
    let store = store(1 << 20);
    for language in ["no", "en"] {
        let fields = [("accept-language", language)];
        put(&store, &key(None, "k"), &fields, &[("vary", "Accept-Language")], language.as_bytes());
    }
    let find = |fields: &[_]| store.find(&key(None, "k"), &Method::GET, &map(fields), T0).map(|hit| hit.body);
    assert_eq!(find(&[("accept-language", "no")]).unwrap(), "no");
    assert_eq!(find(&[("accept-language", "en")]).unwrap(), "en");
    assert_eq!(find(&[]), None);
}

#[test]
fn a_body_shorter_than_its_length_is_not_kept() {
    let store = store(1 << 20);
    put(&store, &key(None, "k"), &[], &[("content-length", "9")], b"short");
    assert!(store.find(&key(None, "k"), &Method::GET, &map(&[]), T0).is_none());
}

proptest! {
    /// Whatever is put and found: the bound holds, and the books are right.
    #[test]
    fn memory_is_bounded(steps in prop::collection::vec((0usize..20, 0usize..3000, any::<bool>()), 1..120)) {
        let store = store(16 << 10);
        for (n, size, find) in steps {
            let name = n.to_string();
            if find {
                store.find(&key(None, &name), &Method::GET, &map(&[]), T0);
            } else {
                put(&store, &key(None, &name), &[], &[], &vec![0; size]);
                prop_assert!(store.find(&key(None, &name), &Method::GET, &map(&[]), T0).is_some());
            }
            let inner = store.lock();
            let all: Vec<_> = inner.responses.values().flatten().collect();
            prop_assert!(inner.bytes <= 16 << 10);
            prop_assert_eq!(inner.bytes, all.iter().map(|stored| stored.weight).sum::<usize>());
            prop_assert_eq!(inner.order.len(), all.len());
        }
    }
}
