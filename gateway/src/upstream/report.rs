//! What happened on the way to a response, try by try: written as it happens, so that it also tells of failures and of
//! requests that were given up.

use std::cell::{Cell, Ref, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::connection::BodyWatch;
use super::pool::EndpointPool;
use super::retry;
use crate::error::{Error, ErrorKind};
use crate::trace::{TryOutcome, TryRecord};

/// What happened on the way to a response. It is right at every moment, also when what fills it is dropped.
pub struct Report {
    started: Instant,
    /// When the head of a response had come.
    answered: Cell<Option<Instant>>,
    /// Most requests need one, which is no allocation.
    attempts: RefCell<SmallVec<[AttemptRecord; 1]>>,
}

/// One try: a connection tried, or a request sent.
pub struct AttemptRecord {
    /// Where it went.
    pub endpoint: SocketAddr,
    /// When the endpoint had been chosen.
    pub started: Instant,
    /// How long it took until there was a connection; `None` where there was none.
    pub connected: Option<Duration>,
    /// Whether that connection had been there before.
    pub reused: bool,
    /// How long it took until there was a connection of TCP, where one was made.
    pub tcp: Option<Duration>,
    /// What it came to.
    pub outcome: AttemptOutcome,
    /// How long it took until it failed, where it did.
    pub failed_after: Option<Duration>,
    awaited: Option<Awaited>,
}

/// What a try came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It is under way, or was given up together with its request.
    Unfinished,
    /// The head of a response came so long after the request was sent.
    Answered(Duration),
    /// It failed, for this reason.
    Failed(ErrorKind),
}

impl AttemptRecord {
    /// As the record of an exchange has it.
    pub fn to_trace(&self) -> TryRecord {
        let outcome = match self.outcome {
            AttemptOutcome::Unfinished => TryOutcome::Unfinished,
            AttemptOutcome::Answered(took) => TryOutcome::Answered(self.connected.unwrap_or_default() + took),
            AttemptOutcome::Failed(kind) => TryOutcome::Failed(kind, self.failed_after.unwrap_or_default()),
        };
        TryRecord {
            endpoint: self.endpoint,
            began: self.started,
            tcp: self.tcp,
            connected: self.connected,
            reused: self.reused,
            outcome,
            status: None,
        }
    }
}

/// An endpoint that has been asked for something and has not answered yet.
struct Awaited {
    pool: Rc<EndpointPool>,
    since: Instant,
    watch: Option<Rc<BodyWatch>>,
}

impl Report {
    /// Of nothing yet, from this moment on.
    pub fn new(started: Instant) -> Self {
        Self { started, answered: Cell::default(), attempts: RefCell::default() }
    }

    /// When the head of a response had come; now where none has.
    pub fn ended(&self) -> Instant {
        self.answered.get().unwrap_or_else(Instant::now)
    }

    /// How many tries there were: connections tried or requests sent.
    pub fn count(&self) -> u32 {
        u32::try_from(self.attempts.borrow().len()).unwrap_or(u32::MAX)
    }

    /// The endpoint of the last try.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.attempts.borrow().last().map(|attempt| attempt.endpoint)
    }

    /// All tries, in the order in which they began.
    pub fn attempts(&self) -> Ref<'_, [AttemptRecord]> {
        Ref::map(self.attempts.borrow(), SmallVec::as_slice)
    }

    /// To be called when the exchange was given up because `limit`, its own time limit, had passed: endpoints that are
    /// awaited have failed, if that was their doing.
    pub fn timed_out(&self, limit: Duration) {
        for attempt in self.attempts.borrow_mut().iter_mut() {
            let Some(Awaited { pool, since, watch }) = attempt.awaited.take() else { continue };
            let moved = watch.map_or(since, |watch| since.max(watch.since().into_std()));
            if retry::is_to_blame(moved.elapsed(), limit) {
                attempt.outcome = AttemptOutcome::Failed(ErrorKind::ExchangeTimeout);
                attempt.failed_after = Some(attempt.started.elapsed());
                pool.failed(&Error::new(
                    ErrorKind::ExchangeTimeout,
                    "no response head before the exchange's time was over",
                ));
            }
        }
    }

    /// A try begins.
    pub(super) fn begin(&self, endpoint: SocketAddr) -> Recorder<'_> {
        let mut attempts = self.attempts.borrow_mut();
        // The first one begins with the whole.
        let started = if attempts.is_empty() { self.started } else { Instant::now() };
        let outcome = AttemptOutcome::Unfinished;
        attempts.push(AttemptRecord {
            endpoint,
            started,
            connected: None,
            reused: false,
            tcp: None,
            outcome,
            failed_after: None,
            awaited: None,
        });
        Recorder { report: self, index: attempts.len() - 1, started }
    }
}

/// Writes the record of one try.
pub(super) struct Recorder<'a> {
    report: &'a Report,
    index: usize,
    started: Instant,
}

impl Recorder<'_> {
    /// From now on it is the endpoint that everybody waits for, to take a connection.
    pub(super) fn connecting(&self, pool: &Rc<EndpointPool>) {
        self.write(|record| record.awaited = Some(Awaited { pool: pool.clone(), since: Instant::now(), watch: None }));
    }

    /// Which try it is, counted from 0.
    pub(super) fn number(&self) -> u32 {
        u32::try_from(self.index).unwrap_or(u32::MAX)
    }

    /// There is a connection of TCP; what else is to be spoken on it comes next.
    pub(super) fn tcp_connected(&self) {
        let took = self.started.elapsed();
        self.write(|record| record.tcp = Some(took));
    }

    /// There is a connection. `waited`: it was not there at once, so that time has passed.
    pub(super) fn connected(&self, reused: bool, waited: bool) {
        let took = if waited { self.started.elapsed() } else { Duration::ZERO };
        self.write(|record| (record.connected, record.reused, record.awaited) = (Some(took), reused, None));
    }

    /// From now on it is the endpoint that everybody waits for, to answer; `watch` tells of the request's body, where that
    /// takes its time.
    pub(super) fn sending(&self, pool: &Rc<EndpointPool>, watch: Option<Rc<BodyWatch>>) {
        self.write(|record| {
            let since = record.started + record.connected.unwrap_or_default();
            record.awaited = Some(Awaited { pool: pool.clone(), since, watch });
        });
    }

    /// When the request began to be sent.
    pub(super) fn sent(&self) -> Instant {
        self.write(|record| record.started + record.connected.unwrap_or_default())
    }

    /// The head of a response has come. Gives how long that took.
    pub(super) fn answered(&self) -> Duration {
        let now = Instant::now();
        self.report.answered.set(Some(now));
        self.write(|record| {
            let took =
                record.awaited.take().map_or(Duration::ZERO, |awaited| now.saturating_duration_since(awaited.since));
            record.outcome = AttemptOutcome::Answered(took);
            took
        })
    }

    /// It has failed.
    pub(super) fn failed(&self, error: &Error) {
        let took = self.started.elapsed();
        self.write(|record| {
            (record.awaited, record.outcome) = (None, AttemptOutcome::Failed(error.kind()));
            record.failed_after = Some(took);
        });
    }

    fn write<T>(&self, change: impl FnOnce(&mut AttemptRecord) -> T) -> T {
        change(&mut self.report.attempts.borrow_mut()[self.index])
    }
}
