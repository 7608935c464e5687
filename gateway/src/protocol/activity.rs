//! What a connection is doing, whatever it speaks, as far as time limits and its end are concerned. `connections` has the
//! one sweep per worker that enforces them.

mod silence;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::multiplexed::StreamActivity;
use crate::model::ListenerLimits;

/// How long a connection without a request may stay when the gateway drains: what lies in its socket is read by then.
const LAST_REQUEST: Duration = Duration::from_millis(250);
/// The same for a connection on which nothing was ever asked: its client has just begun.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// How long the end of a connection may take that has nothing left to say.
const CLOSING: Duration = Duration::from_secs(2);
/// The same where only the idle timeout has passed.
const CLOSING_IDLE: Duration = Duration::from_secs(5);

/// How long a connection keeps its buffers when it is idle: clients that send one request after the other find them there.
const UNTIL_REST: Duration = Duration::from_millis(500);

/// Whether a connection has buffers to give back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    /// It has, or may.
    Active,
    /// It is told to.
    Due,
    /// It has none.
    #[default]
    Done,
}

/// What is done about a client of HTTP/2 that says nothing while it waits for responses: it may have vanished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Silence {
    /// Nothing: the connection can't ask.
    #[default]
    Unwatched,
    /// It is waited for.
    Watched,
    /// It is to be asked.
    Due,
    /// It was asked.
    Asked,
}

/// How a connection is to end. Each includes the ones before it; none is taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Not yet.
    #[default]
    None,
    /// After the requests that run or have been sent already.
    Drain,
    /// After the requests that run.
    Finish,
    /// Now.
    Close,
}

/// The connections of one listener on one worker, which are drained together when a reload removes the listener.
#[derive(Debug, Default)]
pub struct Group {
    pub(super) draining: Cell<bool>,
}

/// The notes of one connection.
pub struct Activity {
    limits: ListenerLimits,
    pub(super) group: Rc<Group>,
    /// HTTP/2 and 3: bytes between requests (PING, WINDOW_UPDATE) do not begin a request head.
    multiplexed: Cell<bool>,
    in_flight: Cell<u32>,
    /// Bodies that are taken in although nobody wants them.
    receiving: Cell<u32>,
    /// Something lies in the socket, so that it can't tell of the client's leaving by itself: the sweep has it asked.
    unwatched: Cell<bool>,
    /// The socket is to be asked now.
    ask: Cell<bool>,
    /// An idle connection is to give back what it keeps room for.
    rest: Cell<Rest>,
    /// When the connection became idle (or was accepted), as the sweep has found it: that costs requests no look at a clock.
    idle_since: Cell<Option<Instant>>,
    /// When bytes came from the client while no request ran.
    last_read: Cell<Instant>,
    /// When the first byte of a head came that is not complete yet.
    head_since: Cell<Option<Instant>>,
    /// Since when a write makes no progress.
    write_stalled: Cell<Option<Instant>>,
    /// Bytes have come since the sweep looked last, on a multiplexed connection.
    heard: Cell<bool>,
    silence: Cell<Silence>,
    silent_since: Cell<Instant>,
    fresh: Cell<bool>,
    draining_since: Cell<Option<Instant>>,
    ending: Cell<Ending>,
    waker: RefCell<Option<Waker>>,
    /// The responses that run on a multiplexed connection; each knows its place here.
    streams: RefCell<Vec<Rc<StreamActivity>>>,
}

impl Activity {
    pub(super) fn new(limits: ListenerLimits, group: Rc<Group>, now: Instant) -> Self {
        Self {
            limits,
            group,
            multiplexed: Cell::new(false),
            in_flight: Cell::new(0),
            receiving: Cell::new(0),
            unwatched: Cell::new(false),
            ask: Cell::new(false),
            rest: Cell::default(),
            idle_since: Cell::new(Some(now)),
            last_read: Cell::new(now),
            head_since: Cell::new(None),
            write_stalled: Cell::new(None),
            heard: Cell::new(false),
            silence: Cell::default(),
            silent_since: Cell::new(now),
            fresh: Cell::new(true),
            draining_since: Cell::new(None),
            ending: Cell::default(),
            waker: RefCell::new(None),
            streams: RefCell::default(),
        }
    }

    /// The connection turned out to speak HTTP/2 or 3.
    pub fn set_multiplexed(&self) {
        self.multiplexed.set(true);
        self.head_since.set(None);
    }

    /// A request has begun: over TCP its head is complete.
    pub(super) fn request_started(&self) {
        self.rest.set(Rest::Active);
        self.fresh.set(false);
        self.head_since.set(None);
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// The request that has begun has a stream of its own, which can be cut when the client does not take the response.
    pub(super) fn stream_started(&self) -> Rc<StreamActivity> {
        let mut streams = self.streams.borrow_mut();
        let stream = Rc::new(StreamActivity::new(streams.len()));
        streams.push(stream.clone());
        stream
    }

    /// A response has been given to the connection in full, or was given up.
    pub(super) fn request_ended(&self, stream: Option<&StreamActivity>) {
        if let Some(stream) = stream {
            let mut streams = self.streams.borrow_mut();
            let place = stream.place.get();
            streams.swap_remove(place);
            if let Some(moved) = streams.get(place) {
                moved.place.set(place);
            }
        }
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        self.note_idle();
    }

    /// Nothing runs from now on, if nothing does.
    pub(super) fn note_idle(&self) {
        if self.is_busy() {
            return;
        }
        self.idle_since.set(None);
        // Whoever ends the connection may have waited for this.
        if self.ending.get() != Ending::None {
            self.wake();
        }
    }

    /// A body is taken in that nobody wants. The connection is not idle meanwhile, although no request runs.
    pub(super) fn receive(activity: &Rc<Self>) -> Receiving {
        activity.receiving.set(activity.receiving.get() + 1);
        Receiving(activity.clone())
    }

    /// Notes whether the socket would tell by itself of a client that leaves. True where it has to be asked now: when that
    /// begins, and when the sweep says so.
    pub(super) fn note_watched(&self, watched: bool) -> bool {
        let before = self.unwatched.replace(!watched);
        !watched && (self.ask.replace(false) || !before)
    }

    /// The socket tells somebody else than the connection, or nobody: the sweep has it asked.
    pub(super) fn unwatch(&self) {
        self.unwatched.set(true);
    }

    /// Whether a client waits for something to be written.
    pub(super) fn has_request(&self) -> bool {
        !self.multiplexed.get() && self.in_flight.get() > 0
    }

    /// Bytes came from the client.
    pub(super) fn note_read(&self) {
        if self.multiplexed.get() {
            self.heard.set(true);
        } else if !self.is_busy() {
            let now = Instant::now();
            self.last_read.set(now);
            if !self.is_reading() {
                self.head_since.set(Some(now));
            }
        }
    }

    /// When bytes came last while no request ran: the end of the head of the one that runs.
    pub(super) const fn last_read(&self) -> Instant {
        self.last_read.get()
    }

    fn idle_since(&self, now: Instant) -> Instant {
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        since
    }

    /// Bytes went to the client, or could not.
    pub(super) fn note_write(&self, progress: bool) {
        match (progress, self.write_stalled.get()) {
            (true, Some(_)) => self.write_stalled.set(None),
            (false, None) => self.write_stalled.set(Some(Instant::now())),
            (true, None) | (false, Some(_)) => {}
        }
    }

    /// How the connection is to end. Whoever asks is woken when that changes.
    pub fn poll_ending(&self, cx: &Context<'_>) -> Ending {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.ending.get()
    }

    /// The same for those who can't know.
    pub fn ending(&self) -> Ending {
        self.ending.get()
    }

    /// Whether a request runs, or is still being received.
    pub fn is_busy(&self) -> bool {
        self.in_flight.get() > 0 || self.receiving.get() > 0
    }

    /// Whether a head has begun that is not complete.
    pub fn is_reading(&self) -> bool {
        self.head_since.get().is_some()
    }

    /// Waits until the connection has to close at once.
    pub async fn closed(&self) {
        self.ended(Ending::Close).await;
    }

    /// Waits until it is to end in this way, or a faster one.
    pub(super) async fn ended(&self, how: Ending) {
        std::future::poll_fn(|cx| if self.poll_ending(cx) >= how { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Whether nothing was asked on it yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh.get()
    }

    pub(super) fn end(&self, ending: Ending) {
        if ending > self.ending.get() {
            self.ending.set(ending);
            self.wake();
        }
    }

    /// Has a connection give back what it keeps room for, once it has been idle for a while.
    pub(super) fn let_rest(&self, now: Instant) {
        let idle = !self.is_busy() && !self.is_reading() && self.write_stalled.get().is_none();
        let long = idle && now.saturating_duration_since(self.idle_since(now)) > UNTIL_REST;
        if long && self.rest.get() == Rest::Active && !self.multiplexed.get() {
            self.rest.set(Rest::Due);
            self.wake();
        }
    }

    /// Whether it is to do so now.
    pub(super) fn take_rest(&self) -> bool {
        let due = self.rest.get() == Rest::Due;
        if due {
            self.rest.set(Rest::Done);
        }
        due
    }

    /// Has the connection look at what has changed.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Has a socket asked that does not tell by itself.
    pub(super) fn ask(&self) {
        if self.unwatched.get() && self.has_request() {
            self.ask.set(true);
            self.wake();
        }
    }

    pub(super) fn drain(&self, now: Instant) {
        self.draining_since.set(Some(now));
        self.end(Ending::Drain);
    }

    pub(super) fn close(&self) {
        self.end(Ending::Close);
        self.streams.borrow().iter().for_each(|stream| stream.cut());
    }

    /// Cuts the responses that the client does not take.
    pub(super) fn cut_stalled_streams(&self, now: Instant) {
        for stream in self.streams.borrow().iter() {
            if stream
                .untaken_since()
                .is_some_and(|since| now.saturating_duration_since(since) > self.limits.body_timeout)
            {
                stream.cut();
            }
        }
    }

    /// What the limits say at `now`.
    pub(super) fn verdict(&self, now: Instant) -> Ending {
        let over = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        let by = |since: Instant, limit: Duration, closing: Duration| {
            if over(since, limit + closing) {
                Ending::Close
            } else if over(since, limit) {
                Ending::Finish
            } else {
                Ending::None
            }
        };
        // The end of a response may still wait for the client when the request has ended.
        if let Some(since) = self.write_stalled.get() {
            return if over(since, self.limits.body_timeout) { Ending::Close } else { Ending::None };
        }
        if self.is_busy() {
            return Ending::None;
        }
        // A head that has begun is waited for, however long the connection was idle before.
        if let Some(since) = self.head_since.get() {
            return if over(since, self.limits.header_timeout) { Ending::Close } else { Ending::None };
        }
        let (fresh, idle) = (self.fresh.get(), self.idle_since(now));
        // A connection that never sent anything is worth less than one that may send its next request.
        let idle_limit =
            if fresh { self.limits.header_timeout.min(self.limits.idle_timeout) } else { self.limits.idle_timeout };
        let drained = self.draining_since.get().map_or(Ending::None, |since| {
            by(since.max(idle), if fresh { FIRST_REQUEST } else { LAST_REQUEST }, CLOSING)
        });
        by(idle, idle_limit, CLOSING_IDLE).max(drained)
    }
}

/// Held while a body is taken in that nobody wants.
pub(super) struct Receiving(Rc<Activity>);

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.receiving.set(self.0.receiving.get() - 1);
        self.0.note_idle();
    }
}

#[cfg(test)]
mod tests;
