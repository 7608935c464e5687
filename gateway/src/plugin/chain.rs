//! A route's plugins in order, and one exchange's way through them.
//!
//! Request-headers phases run in chain order, then the request body passes those that asked for it in the same order;
//! response phases run in reverse order over the plugins whose request-headers phase had run, each at most once. A
//! response made by a plugin passes the plugins before it. Dropping a run or a body at any point is safe.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::Body as _;

use super::encoding;
use super::error::PluginError;
use super::instance::Instance;
use super::phase::{
    BodyMode, ChunkAction, FailureAction, LocalResponse, Phases, RequestAction, ResponseAction, StoredResponse,
};
use super::pool::Pool;
use super::stored::{Draft, Key, StoredResponses, storable};
use super::stream::{Direction, Primed, Progress, Stage, Tee};
use crate::config::model::OnFailure;
use crate::error::{Error, ErrorKind, Failure};
use crate::exchange::{Exchange, ResponseHead, ResponseSource, SharedExchange};
use crate::message::Body;

/// A plugin's place in a chain: [`Pool`], or a script in tests.
#[expect(async_fn_in_trait, reason = "futures of a worker are deliberately not Send")]
pub trait Link: 'static {
    /// What is checked out.
    type Guest: Guest;
    /// The plugin's name.
    fn name(&self) -> &str;
    /// The phases that its manifest names.
    fn phases(&self) -> Phases;
    /// Its failure policy.
    fn on_failure(&self) -> OnFailure;
    /// Whether stored responses do not depend on the principal.
    fn shared(&self) -> bool;
    /// An instance.
    async fn checkout(self: &Rc<Self>) -> Result<Self::Guest, Error>;
}

/// An instance of a plugin. Every call puts the exchange back, also when it is dropped.
#[expect(async_fn_in_trait, missing_docs, reason = "as in `Link`; one function per phase of the contract")]
pub trait Guest: 'static {
    async fn request_headers(&mut self, of: &mut Lent, index: usize, end: bool) -> Result<RequestAction, Error>;
    async fn request_body(&mut self, of: &mut Lent, index: usize, data: Bytes, end: bool)
    -> Result<ChunkAction, Error>;
    async fn response_headers(&mut self, of: &mut Lent, index: usize, end: bool) -> Result<ResponseAction, Error>;
    async fn response_body(
        &mut self,
        of: &mut Lent,
        index: usize,
        data: Bytes,
        end: bool,
    ) -> Result<ChunkAction, Error>;
    async fn upstream_failure(&mut self, of: &mut Lent, index: usize, why: Failure) -> Result<FailureAction, Error>;
    async fn log(&mut self, of: &mut Lent, index: usize) -> Result<(), Error>;
    /// Whether it belongs to a version that was replaced so long ago that a stream has to give it up.
    fn is_overdue(&self) -> bool {
        false
    }
}

/// The exchange behind its lock.
pub type Lent = Option<Box<Exchange>>;

impl Link for Pool {
    type Guest = Instance;

    fn name(&self) -> &str {
        &self.entry().name
    }

    fn phases(&self) -> Phases {
        self.entry().phases
    }

    fn on_failure(&self) -> OnFailure {
        self.entry().on_failure
    }

    fn shared(&self) -> bool {
        self.entry().shared
    }

    async fn checkout(self: &Rc<Self>) -> Result<Instance, Error> {
        Ok(Self::checkout(self).await?)
    }
}

impl Guest for Instance {
    async fn request_headers(&mut self, of: &mut Lent, index: usize, end: bool) -> Result<RequestAction, Error> {
        Self::request_headers(self, of, index, end).await.map_err(PluginError::into)
    }

    async fn request_body(
        &mut self,
        of: &mut Lent,
        index: usize,
        data: Bytes,
        end: bool,
    ) -> Result<ChunkAction, Error> {
        Self::request_body(self, of, index, data, end).await.map_err(PluginError::into)
    }

    async fn response_headers(&mut self, of: &mut Lent, index: usize, end: bool) -> Result<ResponseAction, Error> {
        Self::response_headers(self, of, index, end).await.map_err(PluginError::into)
    }

    async fn response_body(
        &mut self,
        of: &mut Lent,
        index: usize,
        data: Bytes,
        end: bool,
    ) -> Result<ChunkAction, Error> {
        Self::response_body(self, of, index, data, end).await.map_err(PluginError::into)
    }

    async fn upstream_failure(&mut self, of: &mut Lent, index: usize, why: Failure) -> Result<FailureAction, Error> {
        Self::upstream_failure(self, of, index, why).await.map_err(PluginError::into)
    }

    async fn log(&mut self, of: &mut Lent, index: usize) -> Result<(), Error> {
        Self::log(self, of, index).await.map_err(PluginError::into)
    }

    fn is_overdue(&self) -> bool {
        Self::is_overdue(self)
    }
}

/// The plugins of one route on one worker.
pub struct Chain<L: Link = Pool> {
    links: Vec<Rc<L>>,
    /// Names of the route entries, for the keys of stored responses.
    entries: Vec<String>,
    stored: Arc<StoredResponses>,
    /// Largest body that a plugin may have whole.
    max_body: u64,
}

impl<L: Link> Chain<L> {
    /// The chain of the named route. `max_body` bounds bodies that a plugin wants whole.
    pub fn new(route: &str, links: Vec<Rc<L>>, stored: Arc<StoredResponses>, max_body: u64) -> Rc<Self> {
        let entry = |at: usize| {
            let nth = links[..at].iter().filter(|link| link.name() == links[at].name()).count();
            format!("{route}\0{}\0{nth}", links[at].name())
        };
        let entries = (0..links.len()).map(entry).collect();
        Rc::new(Self { links, entries, stored, max_body })
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// One exchange's way through the chain.
    pub fn start(self: &Rc<Self>, exchange: SharedExchange) -> ChainRun<L> {
        let slots = self.links.iter().map(|_| Slot::default()).collect();
        ChainRun { chain: self.clone(), exchange, slots, reached: 0, client: None, identity: false }
    }
}

struct Slot<L: Link> {
    request_mode: BodyMode,
    /// Pinned from the request-headers phase to the end of the body.
    guest: Option<L::Guest>,
    /// Its response phases have run.
    answered: bool,
    /// It failed with policy `open`: from there on it is as if it weren't there.
    absent: bool,
}

impl<L: Link> Default for Slot<L> {
    fn default() -> Self {
        Self { request_mode: BodyMode::Skip, guest: None, answered: false, absent: false }
    }
}

/// What comes after a request phase.
pub enum Flow<T> {
    /// Go on.
    Continue(T),
    /// A plugin answered.
    Respond(Answer),
}

/// A plugin's answer. Its head is in the exchange, with the source; its body goes to [`ChainRun::response`].
pub struct Answer {
    /// The plugin, and whether the response was a stored one.
    pub source: ResponseSource,
    /// The body.
    pub body: Body,
}

/// The state of one exchange in its chain.
pub struct ChainRun<L: Link = Pool> {
    chain: Rc<Chain<L>>,
    exchange: SharedExchange,
    slots: Vec<Slot<L>>,
    /// Links whose request-headers phase had run, from the first.
    reached: usize,
    /// Scheme with authority, and target, as the client asked: what plugins rewrite must not change the key of a stored response.
    client: Option<(String, String)>,
    /// The upstream was asked for an unencoded response.
    identity: bool,
}

/// Calls a guest, counts the time, and keeps the instance where asked.
macro_rules! call {
    ($guest:expr, $lent:expr, $method:ident ( $($argument:expr),* )) => {{
        let started = Instant::now();
        let result = $guest.$method($lent, $($argument),*).await;
        if let Some(exchange) = $lent.as_deref_mut() {
            exchange.measures.plugins += started.elapsed();
        }
        result
    }};
}

impl<L: Link> ChainRun<L> {
    /// All request-headers phases in chain order. `end`: the request has no body.
    pub async fn request_headers(&mut self, end: bool) -> Result<Flow<()>, Error> {
        let (chain, shared) = (self.chain.clone(), self.exchange.clone());
        let mut lent = shared.lock().await;
        if let Some(exchange) = lent.as_deref_mut() {
            exchange.scratch.resize_with(chain.links.len(), Default::default);
            self.client = Some((
                format!("{}://{}", exchange.request.scheme, exchange.request.authority),
                exchange.request.path_and_query.clone(),
            ));
        }
        // The lock is held for one call, never across a checkout: a streaming body may hold the last instance, and
        // needs the lock to give it back.
        drop(lent);
        for (index, link) in chain.links.iter().enumerate() {
            self.reached = index + 1;
            if !link.phases().contains(Phases::REQUEST_HEADERS) {
                continue;
            }
            let guest = link.checkout().await;
            let mut lent = shared.lock().await;
            let result = match guest {
                Ok(mut guest) => call!(guest, &mut *lent, request_headers(index, end)).map(|action| (guest, action)),
                Err(error) => Err(error),
            };
            let Some((guest, action)) = self.policy(index, result)? else { continue };
            let answer = match action {
                RequestAction::Continue(mode) => {
                    if !end && link.phases().contains(Phases::REQUEST_BODY) {
                        self.slots[index].request_mode = mode;
                        self.slots[index].guest = (mode == BodyMode::Chunks).then_some(guest);
                    }
                    continue;
                }
                RequestAction::Respond(response) => self.answer(&mut lent, index, response),
                RequestAction::RespondStored(stored) => self.answer_stored(&mut lent, index, stored),
            };
            match self.policy(index, answer)? {
                Some(answer) => {
                    self.slots.iter_mut().for_each(|slot| slot.guest = None);
                    return Ok(Flow::Respond(answer));
                }
                None => continue,
            }
        }
        let mut lent = shared.lock().await;
        let reads_response = |link: &Rc<L>| link.phases().contains(Phases::RESPONSE_BODY);
        if let Some(exchange) = lent.as_deref_mut() {
            if self.slots.iter().any(|slot| slot.request_mode != BodyMode::Skip) {
                if encoding::is_encoded(&exchange.request.headers) {
                    return Err(Error::new(
                        ErrorKind::UnsupportedEncoding,
                        "a plugin reads the body, and it is encoded",
                    ));
                }
                encoding::body_may_change(&mut exchange.request.headers);
            }
            if chain.links.iter().any(reads_response) {
                encoding::ask_for_identity(&mut exchange.request.headers);
                self.identity = true;
            }
        }
        Ok(Flow::Continue(()))
    }

    /// The request body through those that asked for it, up to the first bytes that they let go.
    pub async fn request_body(&mut self, mut body: Body) -> Result<Flow<Body>, Error> {
        for index in 0..self.reached {
            let slot = &mut self.slots[index];
            if slot.request_mode == BodyMode::Skip {
                continue;
            }
            let (whole, guest) = (slot.request_mode == BodyMode::Whole, slot.guest.take());
            match self.stage(index, Direction::Request, whole, guest, body).prime().await? {
                Primed::Body(primed) => body = primed,
                Primed::Respond(response) => {
                    self.slots.iter_mut().for_each(|slot| slot.guest = None);
                    let shared = self.exchange.clone();
                    let mut lent = shared.lock().await;
                    return Ok(Flow::Respond(self.answer(&mut lent, index, response)?));
                }
            }
        }
        Ok(Flow::Continue(body))
    }

    /// There is no response from the upstream: asks plugins in reverse order. `retry` is not offered yet and counts as
    /// `continue`.
    pub async fn upstream_failure(&mut self, failure: Failure) -> Result<Option<Answer>, Error> {
        let (chain, shared) = (self.chain.clone(), self.exchange.clone());
        let mut lent = shared.lock().await;
        if let Some(exchange) = lent.as_deref_mut() {
            exchange.failure.get_or_insert(failure);
        }
        drop(lent);
        for (index, link) in chain.links.iter().enumerate().take(self.reached).rev() {
            if self.slots[index].absent || !link.phases().contains(Phases::UPSTREAM_FAILURE) {
                continue;
            }
            let guest = link.checkout().await;
            let mut lent = shared.lock().await;
            let result = match guest {
                Ok(mut guest) => call!(guest, &mut *lent, upstream_failure(index, failure)),
                Err(error) => Err(error),
            };
            let answer = match self.policy(index, result)? {
                None | Some(FailureAction::Continue | FailureAction::Retry) => continue,
                Some(FailureAction::Respond(response)) => self.answer(&mut lent, index, response),
                Some(FailureAction::RespondStored(stored)) => self.answer_stored(&mut lent, index, stored),
            };
            if let Some(answer) = self.policy(index, answer)? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// The response phases, in reverse order over the plugins that the request had reached: all of them, or those
    /// before the plugin that `source` names. The head is in the exchange before and after; call it again after an
    /// error with the gateway's own response, and the plugins that have not answered yet see that.
    pub async fn response(&mut self, source: ResponseSource, mut body: Body) -> Result<Body, Error> {
        let (chain, shared) = (self.chain.clone(), self.exchange.clone());
        let before = match source {
            ResponseSource::Plugin(index) | ResponseSource::Stored(index) => index.min(self.reached),
            _ => self.reached,
        };
        // What the request side still holds after an error is of no more use, and may be the last instance of its plugin.
        self.slots.iter_mut().for_each(|slot| slot.guest = None);
        let mut source = source;
        for (index, link) in chain.links.iter().enumerate().take(before).rev() {
            let slot = &mut self.slots[index];
            if std::mem::replace(&mut slot.answered, true) || slot.absent {
                continue;
            }
            if !link.phases().contains(Phases::RESPONSE_HEADERS) {
                continue;
            }
            let guest = link.checkout().await;
            let mut lent = shared.lock().await;
            let end = lent.as_deref().is_none_or(has_no_body) || body.is_end_stream();
            let result = match guest {
                Ok(mut guest) => call!(guest, &mut *lent, response_headers(index, end)).map(|action| (guest, action)),
                Err(error) => Err(error),
            };
            let Some((guest, action)) = self.policy(index, result)? else { continue };
            let answer = match action {
                ResponseAction::Respond(response) => Some(self.answer(&mut lent, index, response)),
                ResponseAction::RespondStored(stored) => Some(self.answer_stored(&mut lent, index, stored)),
                ResponseAction::Continue(mode) => {
                    let reads = !end && mode != BodyMode::Skip && link.phases().contains(Phases::RESPONSE_BODY);
                    if reads {
                        if let Some(response) = lent.as_deref_mut().and_then(|exchange| exchange.response.as_mut()) {
                            if encoding::is_encoded(&response.headers) {
                                return Err(Error::new(ErrorKind::EncodedResponse, "a plugin reads it"));
                            }
                            encoding::body_may_change(&mut response.headers);
                        }
                        drop(lent);
                        let whole = mode == BodyMode::Whole;
                        let pinned = (!whole).then_some(guest);
                        let stage = self.stage(index, Direction::Response, whole, pinned, body);
                        let primed = stage.prime().await?;
                        lent = shared.lock().await;
                        match primed {
                            Primed::Body(primed) => {
                                body = primed;
                                None
                            }
                            Primed::Respond(response) => {
                                // The upstream's body is gone: no policy can let it pass any more.
                                body = Body::empty();
                                Some(Ok(self.answer(&mut lent, index, response)?))
                            }
                        }
                    } else {
                        None
                    }
                }
            };
            if let Some(answer) = answer {
                if let Some(answer) = self.policy(index, answer)? {
                    (source, body) = (answer.source, answer.body);
                }
                continue;
            }
            body = self.keep(&mut lent, index, source, body);
        }
        Ok(body)
    }

    /// Whether some plugin that the request had reached wants to hear of its end.
    pub fn logs(&self) -> bool {
        self.chain.links.iter().take(self.reached).any(|link| link.phases().contains(Phases::LOG))
    }

    /// Whether a plugin may still look at the exchange after its request-headers phase. Where none does, header fields
    /// can move on instead of being copied.
    pub fn reads_later(&self) -> bool {
        self.chain.links.iter().take(self.reached).any(|link| link.phases() != Phases::REQUEST_HEADERS)
    }

    /// `on-log` for every plugin that the request had reached, after the end or when the exchange was given up.
    pub async fn log(self) {
        for (index, link) in self.chain.links.iter().enumerate().take(self.reached) {
            if !link.phases().contains(Phases::LOG) {
                continue;
            }
            let guest = link.checkout().await;
            let mut lent = self.exchange.lock().await;
            let result = match guest {
                Ok(mut guest) => call!(guest, &mut *lent, log(index)),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                tracing::warn!(plugin = link.name(), %error, "plugin failed in its log phase");
            }
        }
    }

    /// A failure under the plugin's policy: an error, or `None` and the plugin counts as absent.
    fn policy<T>(&mut self, index: usize, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match (result, self.chain.links[index].on_failure()) {
            (Ok(value), _) => Ok(Some(value)),
            (Err(error), OnFailure::Closed) => Err(error),
            (Err(error), OnFailure::Open) => {
                tracing::warn!(plugin = self.chain.links[index].name(), %error, "plugin failed and is passed by");
                self.slots[index].absent = true;
                Ok(None)
            }
        }
    }

    fn stage(&self, index: usize, direction: Direction, whole: bool, guest: Option<L::Guest>, body: Body) -> Stage<L> {
        let (link, exchange) = (self.chain.links[index].clone(), self.exchange.clone());
        let (limit, progress) = (self.chain.max_body, Progress::default());
        Stage { body, link, guest, exchange, index, direction, whole, limit, progress }
    }

    /// Puts a plugin's response into the exchange.
    fn answer(&self, lent: &mut Lent, index: usize, response: LocalResponse) -> Result<Answer, Error> {
        let invalid = |what| Error::new(ErrorKind::Plugin, what);
        let status = StatusCode::from_u16(response.status)
            .ok()
            .filter(|status| (200..600).contains(&status.as_u16()))
            .ok_or_else(|| invalid("answered with a status outside 200 to 599"))?;
        let mut headers = HeaderMap::with_capacity(response.headers.len());
        for field in response.headers {
            let name = HeaderName::try_from(field.name).map_err(|_| invalid("answered with an invalid field name"))?;
            let value = HeaderValue::try_from(field.value).map_err(|_| invalid("answered with an invalid value"))?;
            // Framing is the gateway's.
            if ![CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
                headers.append(name, value);
            }
        }
        let source = ResponseSource::Plugin(index);
        Ok(Self::place(lent, source, status, headers, Body::full(response.body)))
    }

    fn place(lent: &mut Lent, source: ResponseSource, status: StatusCode, headers: HeaderMap, body: Body) -> Answer {
        let mut body = body;
        if let Some(exchange) = lent.as_deref_mut() {
            exchange.response = Some(ResponseHead { status, headers, trailers: None, sent: false });
            exchange.source = source;
            if has_no_body(exchange) {
                body = Body::empty();
            }
        }
        Answer { source, body }
    }

    fn answer_stored(&self, lent: &mut Lent, index: usize, stored: StoredResponse) -> Result<Answer, Error> {
        let hit = lent.as_deref().and_then(|exchange| {
            let key = self.key(exchange, index, &stored.key)?;
            let store = &self.chain.stored;
            let hit = store.find(&key, &exchange.request.method, &exchange.request.headers, store.now())?;
            let upstream = exchange.response.as_ref().filter(|_| exchange.source == ResponseSource::Upstream);
            let forwarded = exchange.request.sent.then(|| upstream.map(|response| response.status));
            Some(hit.with_cache_status(forwarded))
        });
        match hit {
            Some(hit) => {
                Ok(Self::place(lent, ResponseSource::Stored(index), hit.status, hit.headers, Body::full(hit.body)))
            }
            None => self.answer(lent, index, stored.otherwise),
        }
    }

    /// Begins to keep the response where the plugin asked for it and the rules allow it.
    fn keep(&self, lent: &mut Lent, index: usize, source: ResponseSource, body: Body) -> Body {
        let Some(exchange) = lent.as_deref_mut() else { return body };
        let Some(asked) = exchange.scratch.get_mut(index).and_then(|scratch| scratch.store.take()) else {
            return body;
        };
        let (Some(response), Some(key)) = (&exchange.response, self.key(exchange, index, &asked.key)) else {
            return body;
        };
        if source != ResponseSource::Upstream {
            return body;
        }
        let request = &exchange.request;
        let apart = (key.principal.is_some(), self.chain.links[index].shared());
        let allowed = storable(&request.method, &request.headers, response.status, &response.headers, apart, asked.ttl);
        let draft = allowed.ok().and_then(|ttl| {
            let headers = response.headers.clone();
            Draft::new(&key, &request.headers, response.status, headers, ttl, self.identity)
        });
        match draft {
            Some(draft) if body.is_end_stream() => {
                self.chain.stored.put(draft, self.chain.stored.now());
                body
            }
            Some(draft) => Body::boxed(Tee { body, draft: Some(draft), stored: self.chain.stored.clone() }),
            None => body,
        }
    }

    fn key<'a>(&'a self, exchange: &'a Exchange, index: usize, plugin: &'a str) -> Option<Key<'a>> {
        let (authority, target) = self.client.as_ref()?;
        let shared = self.chain.links[index].shared();
        let principal = if shared { None } else { exchange.principal() };
        Some(Key { entry: &self.chain.entries[index], authority, target, principal, plugin })
    }
}

/// RFC 9110 section 6.4.1.
fn has_no_body(exchange: &Exchange) -> bool {
    exchange.request.method == Method::HEAD
        || exchange.response.as_ref().is_some_and(|response| matches!(response.status.as_u16(), 204 | 304))
}
