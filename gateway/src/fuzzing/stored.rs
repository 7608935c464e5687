//! Any request and response: nothing is kept that RFC 9111 forbids, and nobody gets what was made for another.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Method, StatusCode, header};

use super::{fields, lines, list};
use crate::exchange::{RequestHead, ResponseHead};
use crate::message::FieldMap;
use crate::model::Storing;
use crate::plugin::stored::{Key, Readers, StoredResponses, storable};

const TTL: Duration = Duration::from_secs(3600);

/// Input: the request's fields, an empty line, the response's fields, an empty line, another request's fields.
///
/// # Panics
/// Where a response is kept, or given out, that must not be.
pub fn run(data: &[u8]) {
    let mut lines = lines(data);
    let (request, response, other) = (fields(&mut lines), fields(&mut lines), fields(&mut lines));
    let asked = RequestHead::new(Method::GET, "https", "a.example".to_owned(), PathAndQuery::from_static("/"), request);
    let answer = ResponseHead::new(StatusCode::OK, response);
    for bound in [false, true] {
        let readers = if bound { Readers::Principal("alice") } else { Readers::Unnamed };
        let Ok(ttl) = storable(&asked, &answer, readers, &Storing::default(), TTL) else { continue };
        assert!(!ttl.is_zero() && ttl <= TTL, "{ttl:?}");
        permitted(&asked.headers, &answer.headers, bound);
        keep(&asked.headers, &answer, ttl, &other);
    }
}

/// RFC 9111 section 3, in other words than the store's.
fn permitted(request: &FieldMap, response: &FieldMap, bound: bool) {
    let directives = |headers| {
        let members = list(headers, "cache-control").into_iter();
        let names = members.map(|member| member.split(|byte| *byte == b'=').next().unwrap_or(member).trim_ascii());
        names.map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect::<Vec<_>>()
    };
    let (asked, answered) = (directives(request), directives(response));
    let has = |all: &[String], name: &str| all.iter().any(|directive| directive == name);
    assert!(!has(&asked, "no-store"), "the client forbids it");
    assert!(!["no-store", "no-cache", "private"].iter().any(|name| has(&answered, name)), "the upstream forbids it");
    assert!(!response.contains_key(header::SET_COOKIE) && !response.contains_key(header::CONTENT_RANGE));
    assert!(!list(response, "vary").contains(&&b"*"[..]), "it varies with everything");
    let credentials =
        ["authorization", "cookie", "x-api-key", "x-auth-token"].iter().any(|name| request.contains_key(*name));
    let public = has(&answered, "public") || has(&answered, "s-maxage");
    assert!(!credentials || bound || public, "one caller's response for all");
    assert!(
        public || has(&answered, "max-age") || response.contains_key(header::EXPIRES),
        "nothing says that it may be kept"
    );
}

/// Keeps it, and asks for it again: as the same request, and as another one.
fn keep(request: &FieldMap, answer: &ResponseHead, ttl: Duration, other: &FieldMap) {
    let store = Arc::new(StoredResponses::new(1 << 20));
    let readers = Readers::Principal("alice");
    let key =
        Key { entry: "e", scheme: "https", authority: "a.example", target: "/", readers, caller: None, plugin: "" };
    let mut headers = answer.headers.clone();
    headers.remove(header::CONTENT_LENGTH);
    let answer = ResponseHead::new(answer.status, headers);
    let now = Duration::from_secs(10);
    let Some(mut draft) = store.draft(&key, request, &answer, ttl, false) else { return };
    if !draft.push(b"body") {
        return;
    }
    store.put(draft, now);
    let find = |key: &Key<'_>, request: &FieldMap, now| store.find(key, &Method::GET, request, now);
    if let Some(hit) = find(&key, request, now) {
        assert_eq!((hit.status, &hit.body[..]), (answer.status, &b"body"[..]));
        let age = hit.headers.get_all(&header::AGE).collect::<Vec<_>>();
        let one = age.len() == 1 && age[0].expose_str().is_ok_and(|age| age.parse::<u64>().is_ok());
        assert!(one, "{age:?} instead of one age");
    }
    assert!(find(&key, request, now + ttl).is_none(), "stale");
    for readers in [Readers::Principal("bob"), Readers::Unnamed, Readers::All] {
        assert!(find(&Key { readers, ..key }, request, now).is_none(), "another caller's");
    }
    if find(&key, other, now).is_some() {
        for name in list(&answer.headers, "vary") {
            let Ok(name) = std::str::from_utf8(name) else { continue };
            let same = request.get_all(name).eq(other.get_all(name));
            assert!(same, "given to a request that differs in {name}");
        }
    }
}
