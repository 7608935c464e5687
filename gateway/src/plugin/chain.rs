//! A route's plugins in order, and one exchange's way through them.
//!
//! Request-headers phases run in chain order, then the request body passes those that asked for it in the same order;
//! response phases run in reverse order over the plugins whose request-headers phase had run, each at most once. A
//! response made by a plugin passes the plugins before it. Log phases run in reverse order as well, so the first plugin of
//! a route has the last word on the record. Dropping a run or a body at any point is safe.

mod answer;
mod link;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use http::Method;
use http_body::Body as _;
use smallvec::SmallVec;
use tokio::sync::MutexGuard;

pub(super) use self::link::named;
pub use self::link::{Guest, Lent, Link};
use super::encoding;
use super::phase::{BodyMode, FailureAction, Phases, RequestAction, ResponseAction};
use super::pool::Pool;
use super::stored::StoredResponses;
use super::stream::{Direction, Primed, Progress, Stage};
use crate::error::{Error, ErrorKind, Failure};
use crate::exchange::{Exchange, ResponseHead, ResponseSource, SharedExchange, lock};
use crate::memory::Budget;
use crate::message::{Body, Detached, content};
use crate::model::OnFailure;

/// The plugins of one route on one worker.
pub struct Chain<L: Link = Pool> {
    links: Vec<Rc<L>>,
    /// Names of the route entries, for the keys of stored responses.
    entries: Vec<String>,
    stored: Arc<StoredResponses>,
    /// Where bodies that are held come from.
    memory: Arc<Budget>,
    /// Largest body that a plugin may have whole.
    max_body: u64,
    /// Phases that at least one of the plugins has: what none has is passed without a look at each.
    phases: Phases,
}

impl<L: Link> Chain<L> {
    /// The chain of the named route. `max_body` bounds bodies that a plugin wants whole.
    pub fn new(
        route: &str,
        links: Vec<Rc<L>>,
        stored: Arc<StoredResponses>,
        memory: Arc<Budget>,
        max_body: u64,
    ) -> Rc<Self> {
        let entry = |at: usize| {
            let nth = links[..at].iter().filter(|link| link.name() == links[at].name()).count();
            format!("{route}\0{}\0{nth}", links[at].name())
        };
        let entries = (0..links.len()).map(entry).collect();
        let phases = links.iter().fold(Phases::empty(), |all, link| all | link.phases());
        Rc::new(Self { links, entries, stored, memory, max_body, phases })
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// One exchange's way through the chain.
    pub fn start(self: &Rc<Self>, exchange: SharedExchange) -> ChainRun<L> {
        let mut slots = SmallVec::new();
        slots.resize_with(self.links.len(), Slot::default);
        ChainRun { chain: self.clone(), exchange, slots, identity: false, hides_length: false }
    }
}

struct Slot<L: Link> {
    request_mode: BodyMode,
    /// Pinned from the request-headers phase to the end of the body.
    guest: Option<L::Guest>,
    /// The request has reached it. Where it has not `ran` as well, its request-headers phase failed or was given up.
    reached: bool,
    /// Its request-headers phase has run, or the request has passed it where it has none. The later phases are only for
    /// those.
    ran: bool,
    /// Its response phases have run.
    answered: bool,
    /// It failed with policy `open`: from there on it is as if it weren't there, but for its log phase. Shared with its
    /// places in bodies, so made only where there is one, or where it fails.
    absent: Option<Rc<Cell<bool>>>,
}

impl<L: Link> Slot<L> {
    fn is_absent(&self) -> bool {
        self.absent.as_ref().is_some_and(|absent| absent.get())
    }

    fn absence(&mut self) -> Rc<Cell<bool>> {
        self.absent.get_or_insert_default().clone()
    }
}

impl<L: Link> Default for Slot<L> {
    fn default() -> Self {
        Self { request_mode: BodyMode::Skip, guest: None, reached: false, ran: false, answered: false, absent: None }
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
    slots: SmallVec<[Slot<L>; 2]>,
    /// The upstream was asked for an unencoded response.
    identity: bool,
    /// See [`ChainRun::hides_length`].
    hides_length: bool,
}

/// An instance, with the exchange. The lock is given up where an instance has to be waited for: a streaming body may hold
/// the last one, and needs the lock to give it back.
async fn ready<'a, L: Link>(
    link: &Rc<L>,
    shared: &'a SharedExchange,
    lent: MutexGuard<'a, Lent>,
) -> (Result<L::Guest, Error>, MutexGuard<'a, Lent>) {
    if let Some(guest) = link.idle() {
        return (Ok(guest), lent);
    }
    drop(lent);
    let guest = link.checkout().await;
    (guest, lock(shared).await)
}

impl<L: Link> ChainRun<L> {
    /// All request-headers phases in chain order. `end`: the request has no body.
    pub async fn request_headers(&mut self, end: bool) -> Result<Flow<()>, Error> {
        let (chain, shared) = (self.chain.clone(), self.exchange.clone());
        let mut lent = lock(&shared).await;
        for (index, link) in chain.links.iter().enumerate() {
            self.slots[index].reached = true;
            if !link.phases().contains(Phases::REQUEST_HEADERS) {
                self.slots[index].ran = true;
                continue;
            }
            let guest;
            (guest, lent) = ready(link, &shared, lent).await;
            let result = match guest {
                Ok(mut guest) => guest.request_headers(&mut lent, index, end).await.map(|action| (guest, action)),
                Err(error) => Err(error),
            };
            let Some((mut guest, action)) = self.policy(index, result)? else { continue };
            let answer = match action {
                RequestAction::Continue(mode) => {
                    let slot = &mut self.slots[index];
                    slot.ran = true;
                    if !end && link.phases().contains(Phases::REQUEST_BODY) {
                        slot.request_mode = mode;
                        if mode == BodyMode::Chunks {
                            guest.pin();
                            slot.guest = Some(guest);
                        }
                    }
                    continue;
                }
                RequestAction::Respond(response) => self.answer(&mut lent, index, response),
                RequestAction::RespondStored(stored) => match self.answer_stored(&mut lent, index, stored) {
                    Some(answer) => answer,
                    None => {
                        self.slots[index].ran = true;
                        continue;
                    }
                },
            };
            if let Some(answer) = self.policy(index, answer)? {
                self.slots[index].ran = true;
                self.slots.iter_mut().for_each(|slot| slot.guest = None);
                return Ok(Flow::Respond(answer));
            }
        }
        if let Some(exchange) = lent.as_deref_mut() {
            let reader = self.slots.iter().position(|slot| slot.request_mode != BodyMode::Skip);
            if let Some(reader) = reader {
                if encoding::is_encoded(&exchange.request.headers) {
                    let error = Error::new(ErrorKind::UnsupportedEncoding, "reads the body, and it is encoded");
                    return Err(named(chain.links[reader].name(), &error));
                }
                encoding::body_may_change(&mut exchange.request.headers);
            }
            if chain.phases.contains(Phases::RESPONSE_BODY) {
                encoding::ask_for_identity(&mut exchange.request.headers);
                self.identity = true;
            }
        }
        Ok(Flow::Continue(()))
    }

    /// Whether [`ChainRun::request_body`] has something to do.
    pub fn reads_request(&self) -> bool {
        self.slots.iter().any(|slot| slot.request_mode != BodyMode::Skip)
    }

    /// The request body through those that asked for it, up to the first bytes that they let go.
    pub async fn request_body(&mut self, mut body: Body) -> Result<Flow<Body>, Error> {
        let mut suspends = false;
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if slot.request_mode == BodyMode::Skip {
                continue;
            }
            let (whole, guest) = (slot.request_mode == BodyMode::Whole, slot.guest.take());
            suspends |= self.chain.links[index].suspends();
            match self.stage(index, Direction::Request, whole, guest, body).prime().await? {
                Primed::Body(primed) => body = primed,
                Primed::Respond(response) => {
                    self.slots.iter_mut().for_each(|slot| slot.guest = None);
                    let shared = self.exchange.clone();
                    let mut lent = lock(&shared).await;
                    let answer = self.answer(&mut lent, index, response);
                    return answer.map(Flow::Respond).map_err(|error| self.failed(index, &error));
                }
            }
        }
        // A guest that waits keeps the exchange meanwhile. Whoever sends the body may be waiting for that and not look at
        // the body any more: an upstream may answer before it has all of it.
        Ok(Flow::Continue(if suspends { Detached::body(body) } else { body }))
    }

    /// There is no response from the upstream: asks plugins in reverse order. `retry` is not offered yet and counts as
    /// `continue`.
    pub async fn upstream_failure(&mut self, failure: Failure) -> Result<Option<Answer>, Error> {
        let (chain, shared) = (self.chain.clone(), self.exchange.clone());
        let mut lent = lock(&shared).await;
        if let Some(exchange) = lent.as_deref_mut() {
            exchange.failure.get_or_insert(failure);
        }
        for (index, link) in chain.links.iter().enumerate().rev() {
            let slot = &self.slots[index];
            if !slot.ran || slot.is_absent() || !link.phases().contains(Phases::UPSTREAM_FAILURE) {
                continue;
            }
            let guest;
            (guest, lent) = ready(link, &shared, lent).await;
            let result = match guest {
                Ok(mut guest) => guest.upstream_failure(&mut lent, index, failure).await,
                Err(error) => Err(error),
            };
            let answer = match self.policy(index, result)? {
                None | Some(FailureAction::Continue | FailureAction::Retry) => continue,
                Some(FailureAction::Respond(response)) => self.answer(&mut lent, index, response),
                Some(FailureAction::RespondStored(stored)) => match self.answer_stored(&mut lent, index, stored) {
                    Some(answer) => answer,
                    None => continue,
                },
            };
            if let Some(answer) = self.policy(index, answer)? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// Whether [`ChainRun::response`] has something to do.
    pub fn sees_response(&self) -> bool {
        self.chain.phases.contains(Phases::RESPONSE_HEADERS) || self.slots.iter().any(|slot| slot.guest.is_some())
    }

    /// The response phases, in reverse order over the plugins whose request-headers phase had run: all of them, or those
    /// before the plugin that `source` names. The head is in the exchange before and after; call it again after an
    /// error with the gateway's own response, and the plugins that have not answered yet see that.
    pub async fn response(&mut self, source: ResponseSource, mut body: Body) -> Result<Body, Error> {
        let (chain, shared) = (self.chain.clone(), self.exchange.clone());
        let before = match source {
            ResponseSource::Plugin(index) | ResponseSource::Stored(index) => index,
            _ => chain.links.len(),
        };
        // What the request side still holds after an error is of no more use, and may be the last instance of its plugin.
        self.slots.iter_mut().for_each(|slot| slot.guest = None);
        self.hides_length = false;
        let mut source = source;
        let mut lent = lock(&shared).await;
        for (index, link) in chain.links.iter().enumerate().take(before).rev() {
            let slot = &mut self.slots[index];
            if !slot.ran || std::mem::replace(&mut slot.answered, true) || slot.is_absent() {
                continue;
            }
            if !link.phases().contains(Phases::RESPONSE_HEADERS) {
                continue;
            }
            let guest;
            (guest, lent) = ready(link, &shared, lent).await;
            let end = lent.as_deref().is_none_or(has_no_body) || body.is_end_stream();
            let result = match guest {
                Ok(mut guest) => guest.response_headers(&mut lent, index, end).await.map(|action| (guest, action)),
                Err(error) => Err(error),
            };
            let Some((mut guest, action)) = self.policy(index, result)? else { continue };
            let answer = match action {
                ResponseAction::Respond(response) => Some(self.answer(&mut lent, index, response)),
                ResponseAction::RespondStored(stored) => self.answer_stored(&mut lent, index, stored),
                ResponseAction::Continue(mode) => {
                    let reads = mode != BodyMode::Skip && link.phases().contains(Phases::RESPONSE_BODY);
                    if reads && let Some(response) = lent.as_deref_mut().and_then(|lent| lent.response.as_mut()) {
                        if !end && encoding::is_encoded(&response.headers) {
                            let error = Error::new(ErrorKind::EncodedResponse, "reads the body, and it is encoded");
                            return Err(named(link.name(), &error));
                        }
                        // Also where there is none: an answer to HEAD tells nothing that one to GET would not.
                        encoding::body_may_change(&mut response.headers);
                    }
                    if end && link.phases().contains(Phases::RESPONSE_BODY) {
                        // What it would have made of the body in answer to GET is not known, whatever it says now.
                        self.hides_length = true;
                        if let Some(response) = lent.as_deref_mut().filter(|of| has_no_body(of)).and_then(response_of) {
                            encoding::length_is_unknown(&mut response.headers);
                        }
                    }
                    if reads && !end {
                        drop(lent);
                        let whole = mode == BodyMode::Whole;
                        if !whole {
                            guest.pin();
                        }
                        let stage = self.stage(index, Direction::Response, whole, (!whole).then_some(guest), body);
                        let primed = stage.prime().await?;
                        lent = lock(&shared).await;
                        match primed {
                            Primed::Body(primed) => {
                                body = primed;
                                None
                            }
                            Primed::Respond(response) => {
                                // The upstream's body is gone: no policy can let it pass any more.
                                body = Body::empty();
                                let answer = self.answer(&mut lent, index, response);
                                Some(Ok(answer.map_err(|error| self.failed(index, &error))?))
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
                    self.hides_length = false;
                }
                continue;
            }
            body = self.keep(&mut lent, index, source, body);
        }
        Ok(body)
    }

    /// Whether the answer to HEAD has passed a plugin that reads bodies in answers to GET, so that nobody knows the length.
    pub const fn hides_length(&self) -> bool {
        self.hides_length
    }

    /// Whether [`ChainRun::log`] has something to do: the request had reached a plugin with a log phase.
    pub fn logs(&self) -> bool {
        self.chain.phases.contains(Phases::LOG) && self.loggers().next().is_some()
    }

    /// Whether a plugin may still look at the exchange after its request-headers phase. Where none does, header fields
    /// can move on instead of being copied.
    pub fn reads_later(&self) -> bool {
        self.ran().any(|(_, link)| link.phases() != Phases::REQUEST_HEADERS)
    }

    /// `on-log` for every plugin whose request-headers phase had run, in reverse order, after the end or when the exchange
    /// was given up. Where one with policy `closed` can't, the values of the log fields go: it may be the one that takes
    /// personal data out of them.
    pub async fn log(self) {
        let mut lent = lock(&self.exchange).await;
        let mut unread = false;
        for (index, link) in self.loggers().rev() {
            let closed = link.on_failure() == OnFailure::Closed;
            if !self.slots[index].ran {
                unread |= closed;
                continue;
            }
            let guest;
            (guest, lent) = ready(link, &self.exchange, lent).await;
            let result = match guest {
                Ok(mut guest) => guest.log(&mut lent, index).await,
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                link.warn(&error, !closed);
                unread |= closed;
            }
        }
        if unread && let Some(exchange) = lent.as_deref_mut() {
            exchange.mask_log_fields();
        }
    }

    /// The plugins with a log phase that the request had reached.
    fn loggers(&self) -> impl DoubleEndedIterator<Item = (usize, &Rc<L>)> {
        let logs = |link: &Rc<L>| link.phases().contains(Phases::LOG);
        self.chain.links.iter().enumerate().filter(move |(index, link)| self.slots[*index].reached && logs(link))
    }

    fn ran(&self) -> impl Iterator<Item = (usize, &Rc<L>)> {
        self.chain.links.iter().enumerate().filter(|(index, _)| self.slots[*index].ran)
    }

    /// A failure under the plugin's policy: an error that names it, or `None` and the plugin counts as absent.
    fn policy<T>(&mut self, index: usize, result: Result<T, Error>) -> Result<Option<T>, Error> {
        let error = match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error,
        };
        if self.chain.links[index].on_failure() == OnFailure::Closed {
            return Err(self.failed(index, &error));
        }
        self.chain.links[index].warn(&error, true);
        self.slots[index].absence().set(true);
        Ok(None)
    }

    /// A failure that ends the request, whatever the policy.
    fn failed(&self, index: usize, error: &Error) -> Error {
        let link = &self.chain.links[index];
        link.warn(error, false);
        named(link.name(), error)
    }

    fn stage(
        &mut self,
        index: usize,
        direction: Direction,
        whole: bool,
        guest: Option<L::Guest>,
        body: Body,
    ) -> Stage<L> {
        let absent = self.slots[index].absence();
        let (link, exchange) = (self.chain.links[index].clone(), self.exchange.clone());
        let (memory, limit, progress) = (self.chain.memory.clone(), self.chain.max_body, Progress::default());
        Stage { body, link, guest, exchange, index, direction, whole, memory, limit, absent, progress }
    }
}

fn response_of(exchange: &mut Exchange) -> Option<&mut ResponseHead> {
    exchange.response.as_mut()
}

/// RFC 9110 section 6.4.1.
fn has_no_body(exchange: &Exchange) -> bool {
    exchange.request.asked_method() == Method::HEAD
        || exchange.response.as_ref().is_some_and(|response| !content::is_allowed(response.status))
}
