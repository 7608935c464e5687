//! Responses kept for `respond-stored`: the last good answer of a route, given out while the upstream can't answer.
//!
//! What is kept together with what is decided here, never by the plugin: the key (route entry, authority, target, the
//! caller, Vary fields), and what may be kept at all (`plugin_rules::stored`). Only complete responses to GET are kept; they
//! answer GET and HEAD.

mod request;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, HeaderName};
use http::{HeaderValue, Method, StatusCode};
use plugin_rules::stored as rules;

pub use self::request::{caller, storable};
pub use plugin_rules::stored::{Key, MAX_BODY, Readers, Refusal};

pub(super) use self::request::Values;
use crate::exchange::ResponseHead;
use crate::memory::{Budget, Hold};
use crate::message::{AsFieldValue, FieldMap, FieldValue};
use crate::sensitive::no_content;

/// What a response costs besides its bytes.
const OVERHEAD: usize = 512;
/// Responses of one key that differ in their Vary fields: a client that invents values costs no more than these.
const MAX_VARIANTS: usize = 32;

fn same_fields(stored: &[(HeaderName, Vec<HeaderValue>)], request: &FieldMap) -> bool {
    stored.iter().all(|(name, values)| request.get_all(name).eq(values.iter().map(AsFieldValue::value)))
}

/// A response that is being kept: filled while its body passes, dropped without effect when it doesn't end.
pub(crate) struct Draft {
    key: Box<str>,
    vary: Vec<(HeaderName, Vec<HeaderValue>)>,
    status: StatusCode,
    headers: FieldMap,
    ttl: Duration,
    length: Option<usize>,
    body: Vec<u8>,
    reserved: Reservation,
}

no_content!(Draft);

impl Draft {
    /// Takes a piece of the body; `false` = it has become too long, or all drafts together have: drop the draft.
    pub(crate) fn push(&mut self, data: &[u8]) -> bool {
        let needed = self.body.len() + data.len();
        if needed > MAX_BODY {
            return false;
        }
        if needed > self.body.capacity() {
            // Grown here, so that what is reserved is what is allocated.
            let most = self.length.unwrap_or(MAX_BODY);
            let capacity = (self.body.capacity() * 2).min(most).max(needed);
            if !self.reserved.add(capacity - self.body.capacity()) {
                return false;
            }
            self.body.reserve_exact(capacity - self.body.len());
        }
        self.body.extend_from_slice(data);
        true
    }
}

/// Bytes of the store's memory that a draft may use.
#[derive(Debug)]
struct Reservation {
    store: Arc<StoredResponses>,
    bytes: usize,
    held: Option<Hold>,
}

impl Reservation {
    /// Takes some more; `false` = the drafts together have no more.
    fn add(&mut self, more: usize) -> bool {
        let held = match &self.store.memory {
            Some(memory) => match memory.try_take(more) {
                Some(held) => Some(held),
                None => return false,
            },
            None => None,
        };
        let most = self.store.draft_bytes;
        let fits = |used: usize| used.checked_add(more).filter(|used| *used <= most);
        let added = self.store.drafts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if added {
            self.bytes += more;
            match (&mut self.held, held) {
                (Some(all), Some(held)) => all.merge(held),
                (all, held) => *all = held,
            }
        }
        added
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.store.drafts.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What header fields cost.
fn size_of(headers: &FieldMap) -> usize {
    headers.bytes() + 64 * headers.len()
}

/// A response as given out.
#[derive(Clone)]
pub struct Hit {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, with `Age` (RFC 9111 section 5.1).
    pub headers: FieldMap,
    /// Its body, also for HEAD, where it tells the length.
    pub body: Bytes,
    /// How long it may still be used.
    left: Duration,
}

no_content!(Hit);

impl Hit {
    /// Adds `Cache-Status`. `forwarded`: the upstream was asked first, and answered with this status or not at all.
    pub(crate) fn with_cache_status(mut self, forwarded: Option<Option<StatusCode>>) -> Self {
        let text = rules::cache_status(forwarded.map(|status| status.map(|status| status.as_u16())), self.left);
        if let Ok(value) = HeaderValue::try_from(text) {
            self.headers.append(HeaderName::from_static("cache-status"), value);
        }
        self
    }
}

struct Stored {
    vary: Vec<(HeaderName, Vec<HeaderValue>)>,
    status: StatusCode,
    headers: FieldMap,
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
    /// Bytes reserved by drafts now, and at most.
    drafts: AtomicUsize,
    draft_bytes: usize,
    /// What drafts count against as well.
    memory: Option<Arc<Budget>>,
    started: std::time::Instant,
}

impl StoredResponses {
    /// An empty store that holds at most `max_bytes`, of which a quarter is for responses on their way in.
    pub fn new(max_bytes: usize) -> Self {
        let draft_bytes = max_bytes / 4;
        Self {
            inner: Mutex::default(),
            max_bytes: max_bytes - draft_bytes,
            drafts: AtomicUsize::new(0),
            draft_bytes,
            memory: None,
            started: std::time::Instant::now(),
        }
    }

    /// The same; responses on their way in count against a budget as well, and are not kept where it has nothing left.
    #[must_use]
    pub fn counted(self, memory: Arc<Budget>) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// Begins to keep a response. `request` holds the client's fields; `identity`: the upstream was asked for `identity`,
    /// so Accept-Encoding tells no responses apart.
    pub(crate) fn draft(
        self: &Arc<Self>,
        key: &Key<'_>,
        request: &FieldMap,
        response: &ResponseHead,
        ttl: Duration,
        identity: bool,
    ) -> Option<Draft> {
        let fields = Values(&response.headers);
        let vary = rules::vary(&fields)?
            .into_iter()
            .filter(|name| rules::tells_apart(name, identity))
            .map(|name| {
                let name = HeaderName::try_from(name).ok()?;
                let values = request.get_all(&name).map(FieldValue::to_header_value).collect();
                Some((name, values))
            })
            .collect::<Option<_>>()?;
        let length = rules::length(&fields);
        let mut reserved = Reservation { store: self.clone(), bytes: 0, held: None };
        let head = OVERHEAD + size_of(&response.headers);
        if length.is_some_and(|length| length > MAX_BODY) || !reserved.add(head) {
            return None;
        }
        let (key, status, headers) = (key.join(), response.status, response.headers.to_kept());
        Some(Draft { key, vary, status, headers, ttl, length, body: Vec::new(), reserved })
    }

    /// The clock of this store.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Keeps a response whose body has come to its proper end.
    pub(crate) fn put(&self, mut draft: Draft, now: Duration) {
        if draft.length.is_some_and(|length| length != draft.body.len()) {
            return;
        }
        let vary = draft.vary.iter().flat_map(|(_, values)| values).map(|value| value.len() + 64).sum::<usize>();
        let weight = draft.key.len() * 2 + size_of(&draft.headers) + vary + draft.body.len() + OVERHEAD;
        if weight > self.max_bytes {
            return;
        }
        draft.body.shrink_to_fit();
        let key: Arc<str> = draft.key.into();
        let mut inner = self.lock();
        inner.remove(&key, |stored| stored.vary == draft.vary);
        let used = inner.touch(&key);
        let age = rules::age(&Values(&draft.headers));
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
        // Each turn makes the order shorter, so this ends whatever the books say.
        while inner.bytes > self.max_bytes {
            let Some((oldest, key)) = inner.order.pop_first() else { break };
            inner.remove(&key, |stored| stored.used == oldest);
        }
    }

    /// The response stored for this key and these request fields. Conditional requests get the whole response.
    pub(crate) fn find(&self, key: &Key<'_>, method: &Method, request: &FieldMap, now: Duration) -> Option<Hit> {
        if !rules::answers(method.as_str()) {
            return None;
        }
        let key = key.join();
        let mut inner = self.lock();
        inner.remove(&key, |stored| now.saturating_sub(stored.at) >= stored.ttl);
        let (key, _) = inner.responses.get_key_value(&*key).map(|(key, all)| (key.clone(), all.len()))?;
        let position = inner.responses.get(&key)?.iter().rposition(|stored| same_fields(&stored.vary, request))?;
        let stored = inner.responses.get(&key)?.get(position)?;
        let (status, mut headers, body, before) =
            (stored.status, stored.headers.clone(), stored.body.clone(), stored.used);
        let resident = now.saturating_sub(stored.at);
        let (age, left) = (stored.age.saturating_add(resident), stored.ttl.saturating_sub(resident));
        let fresh = inner.touch(&key);
        inner.responses.get_mut(&key)?.get_mut(position)?.used = fresh;
        inner.order.remove(&before);
        drop(inner);

        headers.insert(AGE, HeaderValue::from(age.as_secs()));
        Some(Hit { status, headers, body, left })
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
mod tests;
