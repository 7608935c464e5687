//! A route's plugins in order, and one exchange's way through them.
//!
//! Request-headers phases run in chain order, then the request body passes those that asked for it in the same order; only
//! then what a later plugin answered to the head counts. Response phases run in reverse order over the plugins whose
//! request-headers phase had run, each at most once. A response made by a plugin passes the plugins before it. Log phases run in reverse order as well, so the first plugin of
//! a route has the last word on the record. Dropping a run or a body at any point is safe.

mod answer;
mod link;
mod request;
mod response;
mod stage;
mod tee;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugin_rules::codings::{Accepted, Bounds, Coding, Content};
use smallvec::SmallVec;

pub use self::link::{Guest, Lent, Link};
use self::link::{named, passes, ready};
use self::stage::{Progress, Stage};
use super::call::{Action, BodyMode, Call};
use super::encoding::Reader;
use super::pool::Pool;
use super::stored::StoredResponses;
use crate::error::{Error, ErrorKind};
use crate::exchange::{ResponseHead, ResponseSource, SharedExchange};
use crate::memory::Budget;
use crate::message::Body;
use crate::message::headers::Direction;
use crate::model::{OnFailure, RouteLimits};
use crate::phase::{Phase, Phases};
use crate::trace::{PhaseOutcome, PhaseRecord, Trace};

/// The plugins of one route on one worker.
pub struct Chain<L: Link = Pool> {
    links: Vec<Rc<L>>,
    /// Names of the route entries, for the keys of stored responses.
    entries: Vec<String>,
    stored: Arc<StoredResponses>,
    /// Where bodies that are held come from.
    memory: Arc<Budget>,
    /// Among them the largest body that a plugin may have whole, and what an encoded one may become.
    limits: RouteLimits,
    /// Phases that at least one of the plugins has: what none has is passed without a look at each.
    phases: Phases,
}

impl<L: Link> Chain<L> {
    /// The chain of the named route. Its limits bound bodies that a plugin wants whole, and those that are decoded.
    pub fn new(
        route: &str,
        links: Vec<Rc<L>>,
        stored: Arc<StoredResponses>,
        memory: Arc<Budget>,
        limits: RouteLimits,
    ) -> Rc<Self> {
        let entry = |at: usize| {
            let nth = links[..at].iter().filter(|link| link.name() == links[at].name()).count();
            format!("{route}\0{}\0{nth}", links[at].name())
        };
        let entries = (0..links.len()).map(entry).collect();
        let phases = links.iter().fold(Phases::default(), |all, link| all | link.phases());
        Rc::new(Self { links, entries, stored, memory, limits, phases })
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// One exchange's way through the chain.
    pub fn start(self: &Rc<Self>, exchange: SharedExchange) -> ChainRun<L> {
        let mut slots = SmallVec::new();
        slots.resize_with(self.links.len(), LinkState::default);
        ChainRun {
            chain: self.clone(),
            exchange,
            slots,
            withheld: None,
            identity: false,
            accepted: Accepted::default(),
            content: None,
            decoded: None,
            hides_length: false,
        }
    }
}

impl Chain {
    /// Name and version of the plugin at this place.
    pub fn plugin(&self, index: usize) -> Option<(&Arc<str>, &str)> {
        self.links.get(index).map(|pool| (&pool.entry().name, pool.entry().version.as_str()))
    }
}

/// Notes for the exchange's trace that there was no instance for a phase.
fn note_missing(lent: &mut Lent, by: usize, phase: Phase, error: &Error) {
    let trace = lent.as_deref_mut().and_then(|exchange| exchange.trace.as_mut());
    if let Some(record) = trace.and_then(Trace::record) {
        let (now, outcome) = (Instant::now(), PhaseOutcome::Failed(error.kind().name()));
        let (began, ended, busy) = (now, now, Duration::ZERO);
        record.phase(PhaseRecord { by, phase, began, ended, busy, calls: 1, host_calls: 0, outcome });
    }
}

struct LinkState<L: Link> {
    request_mode: BodyMode,
    /// Pinned from the request-headers phase to the end of the body, where the plugin needs that.
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

impl<L: Link> LinkState<L> {
    fn is_absent(&self) -> bool {
        self.absent.as_ref().is_some_and(|absent| absent.get())
    }

    fn absence(&mut self) -> Rc<Cell<bool>> {
        self.absent.get_or_insert_default().clone()
    }
}

impl<L: Link> Default for LinkState<L> {
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

/// What comes after plugins were told that the upstream failed.
pub enum AfterFailure {
    /// What would have come without them.
    GoOn,
    /// One of them answered.
    Answer(Answer),
    /// The upstream is asked once more.
    Retry,
}

/// A plugin's answer. Its head is in the exchange, with the source; its body goes to [`ChainRun::response`].
pub struct Answer {
    /// The plugin, and whether the response was a stored one.
    pub source: ResponseSource,
    /// The body.
    pub body: Body,
}

/// An answer that nobody sees yet.
struct Withheld {
    head: Option<ResponseHead>,
    answer: Answer,
}

/// The state of one exchange in its chain.
pub struct ChainRun<L: Link = Pool> {
    chain: Rc<Chain<L>>,
    exchange: SharedExchange,
    slots: SmallVec<[LinkState<L>; 2]>,
    /// What a plugin answered to the head of a request whose body plugins before it read.
    withheld: Option<Box<Withheld>>,
    /// The upstream was asked for an unencoded response.
    identity: bool,
    /// What the client accepts, where the upstream was asked for something else.
    accepted: Accepted,
    /// The codings of the body that plugins are about to read.
    content: Option<Box<Content>>,
    /// The coding that was taken off the response.
    decoded: Option<Coding>,
    /// See [`ChainRun::hides_length`].
    hides_length: bool,
}

impl<L: Link> ChainRun<L> {
    /// One phase call of the plugin at this place, under its failure policy. `None`: it failed with policy `open`.
    async fn call(
        &mut self,
        index: usize,
        guest: Result<L::Guest, Error>,
        lent: &mut Lent,
        call: Call<'_>,
    ) -> Result<Option<(L::Guest, Action)>, Error> {
        let result = match guest {
            Ok(mut guest) => guest.call(lent, index, call).await.map(|action| (guest, action)),
            Err(error) => {
                note_missing(lent, index, call.phase(), &error);
                Err(error)
            }
        };
        self.policy(index, result)
    }

    /// Whether [`ChainRun::log`] has something to do: the request had reached a plugin with a log phase.
    pub fn logs(&self) -> bool {
        self.chain.phases.contains(Phase::Log) && self.loggers().next().is_some()
    }

    /// Whether a plugin may still look at the exchange after its request-headers phase. Where none does, header fields
    /// can move on instead of being copied.
    pub fn reads_later(&self) -> bool {
        self.ran().any(|(_, link)| link.phases() != Phases::of(Phase::RequestHeaders))
    }

    /// `on-log` for every plugin whose request-headers phase had run, in reverse order, after the end or when the exchange
    /// was given up. Where one with policy `closed` can't, the values of the log fields go: it may be the one that takes
    /// personal data out of them.
    pub async fn log(self) {
        let mut lent = self.exchange.lock().await;
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
                Ok(mut guest) => guest.call(&mut lent, index, Call::Log).await,
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
        let logs = |link: &Rc<L>| link.phases().contains(Phase::Log);
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
        if !passes(self.chain.links[index].on_failure(), &error) {
            return Err(self.failed(index, &error));
        }
        self.chain.links[index].warn(&error, true);
        self.slots[index].absence().set(true);
        Ok(None)
    }

    /// What the plugin answered. It has decided that the exchange does not go on, so where that can't be sent, no policy lets
    /// it go on.
    fn usable(&self, index: usize, answer: Result<Answer, Error>) -> Result<Answer, Error> {
        answer.map_err(|error| self.failed(index, &error))
    }

    /// It wants to read a body and has no phase for it. No policy lets the message go on unread.
    fn asks_in_vain(&self, index: usize, what: &'static str) -> Error {
        self.chain.links[index].answered_nonsense();
        self.failed(index, &Error::new(ErrorKind::Plugin, what))
    }

    /// A failure that ends the request, whatever the policy.
    fn failed(&self, index: usize, error: &Error) -> Error {
        let link = &self.chain.links[index];
        link.warn(error, false);
        named(link.name(), error)
    }

    /// The plugin that is the first to read a body, and what that may become.
    fn reader(&self, index: usize, direction: Direction) -> Reader {
        let RouteLimits { max_body, decoded_ratio, .. } = self.chain.limits;
        let size = (direction == Direction::Request).then_some(max_body);
        Reader {
            plugin: self.chain.links[index].name().into(),
            direction,
            bounds: Bounds { size, ratio: decoded_ratio },
            memory: self.chain.memory.clone(),
        }
    }

    fn stage(
        &mut self,
        index: usize,
        direction: Direction,
        mode: BodyMode,
        guest: Option<L::Guest>,
        body: Body,
    ) -> Stage<L> {
        let absent = self.slots[index].absence();
        let (link, exchange) = (self.chain.links[index].clone(), self.exchange.clone());
        let (memory, limit, progress) = (self.chain.memory.clone(), self.chain.limits.max_body, Progress::default());
        let head_goes_first = false;
        Stage { body, link, guest, exchange, index, direction, mode, head_goes_first, memory, limit, absent, progress }
    }
}
