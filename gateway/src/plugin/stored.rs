//! Responses kept for `respond-stored`: the last good answer of a route, given out while the upstream can't answer.
//!
//! What is kept together with what is decided here, never by the plugin: the key (route entry, authority, target,
//! principal, Vary fields), and what may be kept at all (RFC 9111 section 3, read strictly). Only complete responses to
//! GET are kept; they answer GET and HEAD.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_RANGE, COOKIE, HeaderName, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// Largest body that is kept.
pub(super) const MAX_BODY: usize = 1 << 20;
/// What a response costs besides its bytes.
const OVERHEAD: usize = 512;
/// Fields that tell responses of one key apart; more are not kept.
const MAX_VARY: usize = 8;
/// Responses of one key that differ in their Vary fields: a client that invents values costs no more than these.
const MAX_VARIANTS: usize = 32;

/// Why a response is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Only GET is kept.
    Method,
    /// Not a complete, good response: 200, 203, 204, 300, 301, 308 are.
    Status,
    /// `no-store`, `no-cache` or `private`, of the request or the response.
    CacheControl,
    /// Sets a cookie.
    SetCookie,
    /// `Vary: *`, or too many fields.
    Vary,
    /// A part of a representation.
    Partial,
    /// The request carried credentials, and no principal separates callers (RFC 9111 section 3.5).
    Credentials,
    /// `must-revalidate` and already stale, or no time to live.
    Stale,
}

/// How long a response may be kept, or why it may not. `ttl` is what the plugin asks for; `bound` tells whether the key
/// holds a principal, `shared` whether the operator said that the answers do not depend on one.
pub fn storable(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    (bound, shared): (bool, bool),
    ttl: Duration,
) -> Result<Duration, Refusal> {
    if method != Method::GET {
        return Err(Refusal::Method);
    }
    if !matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308) {
        return Err(Refusal::Status);
    }
    if response.contains_key(CONTENT_RANGE) {
        return Err(Refusal::Partial);
    }
    if response.contains_key(SET_COOKIE) {
        return Err(Refusal::SetCookie);
    }
    if has(request, "no-store") || ["no-store", "no-cache", "private"].iter().any(|name| has(response, name)) {
        return Err(Refusal::CacheControl);
    }
    vary(response).ok_or(Refusal::Vary)?;
    let credentials = request.contains_key(AUTHORIZATION) || request.contains_key(COOKIE);
    let public = has(response, "public") || has(response, "s-maxage");
    if credentials && !bound && !shared && !public {
        return Err(Refusal::Credentials);
    }
    // These forbid what this store is for, giving out stale responses (RFC 9111 sections 5.2.2.2, 5.2.2.8, 5.2.2.10).
    let strict = ["must-revalidate", "proxy-revalidate", "s-maxage"].iter().any(|name| has(response, name));
    let ttl = if strict {
        let fresh = seconds(response, "s-maxage").or_else(|| seconds(response, "max-age")).unwrap_or(0);
        ttl.min(Duration::from_secs(fresh).saturating_sub(age(response)))
    } else {
        ttl
    };
    if ttl.is_zero() { Err(Refusal::Stale) } else { Ok(ttl) }
}

/// Directives of all Cache-Control fields, without their arguments' quotes.
fn directives(headers: &HeaderMap) -> impl Iterator<Item = (&str, Option<&str>)> {
    // A quoted argument may hold commas: its pieces then look like directives, which can only make this stricter.
    headers.get_all(CACHE_CONTROL).iter().flat_map(|value| value.to_str().unwrap_or("no-store").split(',')).map(
        |directive| match directive.split_once('=') {
            Some((name, argument)) => (name.trim(), Some(argument.trim().trim_matches('"'))),
            None => (directive.trim(), None),
        },
    )
}

fn has(headers: &HeaderMap, name: &str) -> bool {
    directives(headers).any(|(directive, _)| directive.eq_ignore_ascii_case(name))
}

fn seconds(headers: &HeaderMap, name: &str) -> Option<u64> {
    directives(headers).find(|(directive, _)| directive.eq_ignore_ascii_case(name))?.1?.parse().ok()
}

fn age(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(AGE).and_then(|value| value.to_str().ok()).and_then(|value| value.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

/// The names in Vary; `None` where it is `*` or unusable.
fn vary(response: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for value in response.get_all(VARY) {
        for name in value.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let name = if name == "*" { return None } else { HeaderName::try_from(name).ok()? };
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    (names.len() <= MAX_VARY).then_some(names)
}

fn same_fields(stored: &[(HeaderName, Vec<HeaderValue>)], request: &HeaderMap) -> bool {
    stored.iter().all(|(name, values)| request.get_all(name).iter().eq(values.iter()))
}

/// What separates one stored response from another, besides Vary.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The route entry: its namespace, unique over plugins and routes.
    pub entry: &'a str,
    /// Scheme, host and port as the client asked.
    pub authority: &'a str,
    /// Path and query as the client asked.
    pub target: &'a str,
    /// The caller; `None` where none is known or the entry is `shared`.
    pub principal: Option<&'a str>,
    /// The plugin's own part.
    pub plugin: &'a str,
}

impl Key<'_> {
    fn join(&self) -> Box<str> {
        // Lengths in front: no part can pose as the end of another.
        let principal = self.principal.map_or_else(|| "-".to_owned(), |name| format!("{}:{name}", name.len()));
        let Self { entry, authority, target, plugin, .. } = self;
        format!("{}:{entry}{}:{authority}{}:{target}{principal};{plugin}", entry.len(), authority.len(), target.len())
            .into()
    }
}

/// A response that is being kept: filled while its body passes, dropped without effect when it doesn't end.
#[derive(Debug)]
pub(super) struct Draft {
    key: Box<str>,
    vary: Vec<(HeaderName, Vec<HeaderValue>)>,
    status: StatusCode,
    headers: HeaderMap,
    ttl: Duration,
    length: Option<usize>,
    body: Vec<u8>,
}

impl Draft {
    /// `identity`: the upstream was asked for `identity`, so Accept-Encoding tells no responses apart.
    pub(super) fn new(
        key: &Key<'_>,
        request: &HeaderMap,
        status: StatusCode,
        headers: HeaderMap,
        ttl: Duration,
        identity: bool,
    ) -> Option<Self> {
        let vary = vary(&headers)?
            .into_iter()
            .filter(|name| !(identity && name == ACCEPT_ENCODING))
            .map(|name| {
                let values = request.get_all(&name).iter().cloned().collect();
                (name, values)
            })
            .collect();
        let length = headers
            .get(http::header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok());
        if length.is_some_and(|length| length > MAX_BODY) {
            return None;
        }
        Some(Self { key: key.join(), vary, status, headers, ttl, length, body: Vec::new() })
    }

    /// Takes a piece of the body; `false` = it has become too long, drop the draft.
    pub(super) fn push(&mut self, data: &[u8]) -> bool {
        let fits = self.body.len() + data.len() <= MAX_BODY;
        if fits {
            self.body.extend_from_slice(data);
        }
        fits
    }
}

/// A response as given out.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, with `Age` (RFC 9111 section 5.1).
    pub headers: HeaderMap,
    /// Its body; empty for HEAD.
    pub body: Bytes,
    /// How long it may still be used.
    left: Duration,
}

impl Hit {
    /// Adds `Cache-Status` (RFC 9211). `forwarded`: the upstream was asked first, and answered with this status or not at
    /// all. Section 2.1: a response is a hit only where the request "was not forwarded".
    pub(super) fn with_cache_status(mut self, forwarded: Option<Option<StatusCode>>) -> Self {
        let text = match forwarded {
            None => format!("gateway; hit; ttl={}", self.left.as_secs()),
            Some(None) => "gateway; fwd=stale".to_owned(),
            Some(Some(status)) => format!("gateway; fwd=stale; fwd-status={}", status.as_u16()),
        };
        if let Ok(value) = HeaderValue::try_from(text) {
            self.headers.append(HeaderName::from_static("cache-status"), value);
        }
        self
    }
}

struct Stored {
    vary: Vec<(HeaderName, Vec<HeaderValue>)>,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    at: Duration,
    age: Duration,
    ttl: Duration,
    used: u64,
    weight: usize,
}

#[derive(Default)]
struct Inner {
    responses: HashMap<Arc<str>, Vec<Stored>>,
    /// From the longest unused on; the numbers are unique.
    order: BTreeMap<u64, Arc<str>>,
    next: u64,
    bytes: usize,
}

/// The stored responses of the process. One lock: it is taken for a copy of pointers, and only where a plugin stores or
/// gives out.
pub struct StoredResponses {
    inner: Mutex<Inner>,
    max_bytes: usize,
    started: std::time::Instant,
}

impl StoredResponses {
    /// An empty store that holds at most `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self { inner: Mutex::default(), max_bytes, started: std::time::Instant::now() }
    }

    /// The clock of this store.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Keeps a response whose body has come to its proper end.
    pub(super) fn put(&self, draft: Draft, now: Duration) {
        if draft.length.is_some_and(|length| length != draft.body.len()) {
            return;
        }
        let fields: usize = draft.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
        let weight = draft.key.len() * 2 + fields + draft.body.len() + OVERHEAD;
        if weight > self.max_bytes {
            return;
        }
        let key: Arc<str> = draft.key.into();
        let mut inner = self.lock();
        inner.remove(&key, |stored| stored.vary == draft.vary);
        let used = inner.touch(&key);
        let age = age(&draft.headers);
        inner.responses.entry(key.clone()).or_default().push(Stored {
            vary: draft.vary,
            status: draft.status,
            headers: draft.headers,
            body: draft.body.into(),
            at: now,
            age,
            ttl: draft.ttl,
            used,
            weight,
        });
        inner.bytes += weight;
        inner.cap_variants(&key);
        while inner.bytes > self.max_bytes {
            let Some((oldest, key)) = inner.order.iter().next().map(|(used, key)| (*used, key.clone())) else { break };
            inner.remove(&key, |stored| stored.used == oldest);
        }
    }

    /// The response stored for this key and these request fields. Conditional requests get the whole response.
    pub(super) fn find(&self, key: &Key<'_>, method: &Method, request: &HeaderMap, now: Duration) -> Option<Hit> {
        if method != Method::GET && method != Method::HEAD {
            return None;
        }
        let key = key.join();
        let mut inner = self.lock();
        inner.remove(&key, |stored| now.saturating_sub(stored.at) >= stored.ttl);
        let (key, _) = inner.responses.get_key_value(&*key).map(|(key, all)| (key.clone(), all.len()))?;
        let position = inner.responses.get(&key)?.iter().rposition(|stored| same_fields(&stored.vary, request))?;
        let fresh = inner.touch(&key);
        let stored = inner.responses.get_mut(&key)?.get_mut(position)?;
        let before = std::mem::replace(&mut stored.used, fresh);
        let (status, mut headers, body) = (stored.status, stored.headers.clone(), stored.body.clone());
        let resident = now.saturating_sub(stored.at);
        let (age, left) = (stored.age + resident, stored.ttl.saturating_sub(resident));
        inner.order.remove(&before);
        drop(inner);

        headers.insert(AGE, HeaderValue::from(age.as_secs()));
        Some(Hit { status, headers, body: if method == Method::HEAD { Bytes::new() } else { body }, left })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for StoredResponses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredResponses").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

impl Inner {
    fn touch(&mut self, key: &Arc<str>) -> u64 {
        self.next += 1;
        self.order.insert(self.next, key.clone());
        self.next
    }

    fn cap_variants(&mut self, key: &str) {
        let Some(all) = self.responses.get(key).filter(|all| all.len() > MAX_VARIANTS) else { return };
        if let Some(oldest) = all.iter().map(|stored| stored.used).min() {
            self.remove(key, |stored| stored.used == oldest);
        }
    }

    fn remove(&mut self, key: &str, which: impl Fn(&Stored) -> bool) {
        let Some(all) = self.responses.get_mut(key) else { return };
        for gone in all.extract_if(.., |stored| which(stored)) {
            self.bytes -= gone.weight;
            self.order.remove(&gone.used);
        }
        if all.is_empty() {
            self.responses.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TTL: Duration = Duration::from_secs(60);
    const T0: Duration = Duration::from_secs(10);

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn decide(
        request: &[(&'static str, &str)],
        response: &[(&'static str, &str)],
        bound: bool,
    ) -> Result<Duration, Refusal> {
        storable(&Method::GET, &map(request), StatusCode::OK, &map(response), (bound, false), TTL)
    }

    fn key<'a>(principal: Option<&'a str>, plugin: &'a str) -> Key<'a> {
        Key { entry: "e", authority: "a.example", target: "/t", principal, plugin }
    }

    fn put(
        store: &StoredResponses,
        key: &Key<'_>,
        request: &[(&'static str, &str)],
        response: &[(&'static str, &str)],
        body: &[u8],
    ) {
        let mut draft = Draft::new(key, &map(request), StatusCode::OK, map(response), TTL, false).unwrap();
        assert!(draft.push(body));
        store.put(draft, T0);
    }

    #[test]
    fn what_rfc_9111_section_3_forbids_is_refused() {
        assert_eq!(decide(&[], &[], false), Ok(TTL));
        for (field, value, refusal) in [
            ("set-cookie", "a=b", Refusal::SetCookie),
            ("cache-control", "max-age=9, Private", Refusal::CacheControl),
            ("cache-control", "private=\"x\"", Refusal::CacheControl),
            ("cache-control", "no-store", Refusal::CacheControl),
            ("cache-control", "no-cache", Refusal::CacheControl),
            ("vary", "accept, *", Refusal::Vary),
            ("content-range", "bytes 0-1/9", Refusal::Partial),
            ("cache-control", "must-revalidate", Refusal::Stale),
        ] {
            assert_eq!(decide(&[], &[(field, value)], true), Err(refusal), "{field}: {value}");
        }
        assert_eq!(decide(&[("cache-control", "no-store")], &[], false), Err(Refusal::CacheControl));
        let fresh = decide(&[], &[("cache-control", "must-revalidate, max-age=30"), ("age", "10")], false);
        assert_eq!(fresh, Ok(Duration::from_secs(20)));
        for (method, status) in [(Method::POST, 200), (Method::HEAD, 200), (Method::GET, 206), (Method::GET, 500)] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(storable(&method, &map(&[]), status, &map(&[]), (true, true), TTL).is_err());
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
    fn one_principal_never_gets_anothers_response() {
        let store = StoredResponses::new(1 << 20);
        put(&store, &key(Some("alice"), "k"), &[], &[], b"alice's");
        let find = |principal, plugin| store.find(&key(principal, plugin), &Method::GET, &map(&[]), T0);
        assert_eq!(find(Some("alice"), "k").unwrap().body, "alice's");
        for (principal, plugin) in [(Some("bob"), "k"), (None, "k"), (Some("alice"), "l"), (None, "5:alice;k")] {
            assert!(find(principal, plugin).is_none(), "{principal:?} {plugin}");
        }
    }

    #[test]
    fn a_hit_tells_its_age_and_a_head_gets_no_body() {
        let store = StoredResponses::new(1 << 20);
        put(&store, &key(None, "k"), &[], &[("age", "5"), ("content-length", "4")], b"body");
        let later = T0 + Duration::from_secs(7);
        let hit = store.find(&key(None, "k"), &Method::HEAD, &map(&[]), later).unwrap();
        assert_eq!((hit.headers["age"].to_str().unwrap(), hit.body.len()), ("12", 0));
        let status = |hit: Hit, forwarded| hit.with_cache_status(forwarded).headers["cache-status"].clone();
        assert_eq!(status(hit.clone(), None), "gateway; hit; ttl=53");
        assert_eq!(status(hit.clone(), Some(None)), "gateway; fwd=stale");
        let failed = Some(Some(StatusCode::BAD_GATEWAY));
        assert_eq!(status(hit, failed), "gateway; fwd=stale; fwd-status=502", "a request that went on is no hit");
        assert!(store.find(&key(None, "k"), &Method::POST, &map(&[]), later).is_none());
        assert!(store.find(&key(None, "k"), &Method::GET, &map(&[]), T0 + TTL).is_none());
    }

    #[test]
    fn vary_fields_tell_responses_apart() {
        let store = StoredResponses::new(1 << 20);
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
        let store = StoredResponses::new(1 << 20);
        put(&store, &key(None, "k"), &[], &[("content-length", "9")], b"short");
        assert!(store.find(&key(None, "k"), &Method::GET, &map(&[]), T0).is_none());
    }

    proptest! {
        /// Whatever is put and found: the bound holds, and the books are right.
        #[test]
        fn memory_is_bounded(steps in prop::collection::vec((0usize..20, 0usize..3000, any::<bool>()), 1..120)) {
            let store = StoredResponses::new(16 << 10);
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

        /// No combination of fields gets a Set-Cookie, private or no-store response in.
        #[test]
        fn never_stores_what_is_personal(
            control in "(public|max-age=5|, | |PRIVATE|no-store|s-maxage=9){0,5}", cookie in any::<bool>(), bound in any::<bool>(),
        ) {
            let mut fields = vec![("cache-control", control.as_str())];
            if cookie { fields.push(("set-cookie", "a=b")); }
            let forbidden = cookie || control.split(',').map(str::trim).any(|d| d == "PRIVATE" || d == "no-store");
            prop_assert!(!(forbidden && decide(&[], &fields, bound).is_ok()));
        }
    }
}
