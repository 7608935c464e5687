//! What a TCP connection is doing, as far as time limits are concerned, and the one sweep per worker that enforces them.
//!
//! A timer per connection would cost memory for every idle connection and work for every request. Instead a
//! connection notes when it changed its state (a plain cell), and a sweep compares all notes of a worker with the
//! limits ten times a second.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::config::model::ListenerLimits;

/// How often limits are checked; also their precision.
pub const SWEEP: Duration = Duration::from_millis(100);

/// What a connection is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Finish what runs, accept nothing new, then close.
    Drain,
    /// Close now.
    Close,
}

/// The connections of one listener on one worker, which are drained together when a reload removes the listener.
#[derive(Debug, Default)]
pub struct Group {
    draining: Cell<bool>,
}

/// The notes of one connection.
pub struct Activity {
    limits: ListenerLimits,
    group: Rc<Group>,
    /// HTTP/2: bytes between requests (PING, WINDOW_UPDATE) do not begin a request head.
    multiplexed: Cell<bool>,
    in_flight: Cell<u32>,
    /// When the connection became idle (or was accepted).
    idle_since: Cell<Instant>,
    /// When the first byte of a head came that is not complete yet.
    head_since: Cell<Option<Instant>>,
    /// Since when a write makes no progress.
    write_stalled: Cell<Option<Instant>>,
    fresh: Cell<bool>,
    command: Cell<Option<Command>>,
    waker: RefCell<Option<Waker>>,
}

impl Activity {
    fn new(limits: ListenerLimits, group: Rc<Group>, now: Instant) -> Self {
        Self {
            limits,
            group,
            multiplexed: Cell::new(false),
            in_flight: Cell::new(0),
            idle_since: Cell::new(now),
            head_since: Cell::new(None),
            write_stalled: Cell::new(None),
            fresh: Cell::new(true),
            command: Cell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// The connection turned out to speak HTTP/2.
    pub fn set_multiplexed(&self) {
        self.multiplexed.set(true);
        self.head_since.set(None);
    }

    /// A request's head is complete.
    pub fn request_started(&self) {
        self.fresh.set(false);
        self.head_since.set(None);
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// A response has been given to the connection in full, or was given up.
    pub fn request_ended(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        if self.in_flight.get() == 0 {
            self.idle_since.set(Instant::now());
        }
    }

    /// Takes what the sweep or a drain left for the connection, and remembers whom to wake for the next one.
    pub fn take_command(&self, cx: &Context<'_>) -> Option<Command> {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.command.take()
    }

    fn send(&self, command: Command) {
        self.command.set(Some(command));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// What the limits say at `now`.
    fn verdict(&self, now: Instant) -> Option<Command> {
        let over = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        if self.write_stalled.get().is_some_and(|since| over(since, self.limits.body_timeout)) {
            return Some(Command::Close);
        }
        if self.in_flight.get() > 0 {
            return None;
        }
        if self.head_since.get().is_some_and(|since| over(since, self.limits.header_timeout)) {
            return Some(Command::Close);
        }
        // A connection that never sent anything is worth less than one that may send its next request.
        let idle_limit = if self.fresh.get() {
            self.limits.header_timeout.min(self.limits.idle_timeout)
        } else {
            self.limits.idle_timeout
        };
        let idle = self.idle_since.get();
        if over(idle, idle_limit + Duration::from_secs(5)) {
            return Some(Command::Close);
        }
        over(idle, idle_limit).then_some(Command::Drain)
    }
}

/// All TCP connections of one worker.
#[derive(Default)]
pub struct Connections {
    all: RefCell<Vec<Weak<Activity>>>,
    draining: Cell<bool>,
}

impl Connections {
    /// Adds a connection that was accepted now.
    pub fn add(&self, limits: &ListenerLimits, group: &Rc<Group>) -> Rc<Activity> {
        let activity = Rc::new(Activity::new(limits.clone(), group.clone(), Instant::now()));
        if self.draining.get() || group.draining.get() {
            activity.command.set(Some(Command::Drain));
        }
        self.all.borrow_mut().push(Rc::downgrade(&activity));
        activity
    }

    /// Checks every connection; forgets those that are gone.
    pub fn sweep(&self, now: Instant) {
        self.all.borrow_mut().retain(|connection| {
            let Some(activity) = connection.upgrade() else { return false };
            if let Some(command) = activity.verdict(now) {
                activity.send(command);
            }
            true
        });
    }

    /// Tells every connection, also later ones, to finish.
    pub fn drain(&self) {
        self.draining.set(true);
        for activity in self.all.borrow().iter().filter_map(Weak::upgrade) {
            activity.send(Command::Drain);
        }
    }

    /// Tells the connections of one listener, also later ones, to finish.
    pub fn drain_group(&self, group: &Rc<Group>) {
        group.draining.set(true);
        let all = self.all.borrow();
        let members = all.iter().filter_map(Weak::upgrade).filter(|activity| Rc::ptr_eq(&activity.group, group));
        members.for_each(|activity| activity.send(Command::Drain));
    }

    /// Open connections.
    pub fn count(&self) -> usize {
        self.all.borrow().iter().filter(|connection| connection.strong_count() > 0).count()
    }
}

/// A stream that notes its progress, and replays bytes that were read to recognise the protocol.
pub struct Tracked<S> {
    stream: S,
    activity: Rc<Activity>,
    replay: Option<(Box<[u8]>, usize)>,
}

impl<S> Tracked<S> {
    /// Wraps a stream.
    pub const fn new(stream: S, activity: Rc<Activity>) -> Self {
        Self { stream, activity, replay: None }
    }

    /// Gives `bytes` to the reader before anything else.
    #[must_use]
    pub fn replaying(mut self, bytes: &[u8]) -> Self {
        if !bytes.is_empty() {
            self.replay = Some((bytes.into(), 0));
        }
        self
    }

    fn note_read(&self) {
        let activity = &self.activity;
        if activity.in_flight.get() == 0 && activity.head_since.get().is_none() && !activity.multiplexed.get() {
            activity.head_since.set(Some(Instant::now()));
        }
    }

    fn note_write(&self, progress: bool) {
        let stalled = &self.activity.write_stalled;
        match (progress, stalled.get()) {
            (true, Some(_)) => stalled.set(None),
            (false, None) => stalled.set(Some(Instant::now())),
            (true, None) | (false, Some(_)) => {}
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tracked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some((bytes, taken)) = &mut self.replay {
            let count = buffer.remaining().min(bytes.len() - *taken);
            buffer.put_slice(&bytes[*taken..*taken + count]);
            *taken += count;
            if *taken == bytes.len() {
                self.replay = None;
            }
            self.note_read();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.note_read();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tracked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_write(result.is_ready());
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note_write(result.is_ready());
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ListenerLimits {
        ListenerLimits {
            connections: 10,
            header_bytes: 65536,
            header_count: 100,
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            streams: 128,
        }
    }

    #[test]
    fn a_silent_new_connection_is_closed_after_the_header_timeout() {
        let start = Instant::now();
        let activity = Activity::new(limits(), Rc::default(), start);
        assert_eq!(activity.verdict(start + Duration::from_secs(14)), None);
        assert_eq!(activity.verdict(start + Duration::from_secs(16)), Some(Command::Drain));
        assert_eq!(activity.verdict(start + Duration::from_secs(21)), Some(Command::Close));
    }

    #[test]
    fn an_unfinished_head_is_cut_at_the_header_timeout_and_an_idle_connection_at_the_idle_timeout() {
        let activity = Activity::new(limits(), Rc::default(), Instant::now());
        activity.request_started();
        assert_eq!(activity.verdict(Instant::now() + Duration::from_secs(1000)), None, "a request runs");
        activity.request_ended();
        let idle = Instant::now();
        assert_eq!(activity.verdict(idle + Duration::from_secs(70)), None);
        assert_eq!(activity.verdict(idle + Duration::from_secs(76)), Some(Command::Drain));
        activity.head_since.set(Some(idle));
        assert_eq!(activity.verdict(idle + Duration::from_secs(16)), Some(Command::Close));
    }

    #[test]
    fn a_client_that_stops_reading_is_cut_even_while_a_request_runs() {
        let activity = Activity::new(limits(), Rc::default(), Instant::now());
        activity.request_started();
        let stalled = Instant::now();
        activity.write_stalled.set(Some(stalled));
        assert_eq!(activity.verdict(stalled + Duration::from_secs(59)), None);
        assert_eq!(activity.verdict(stalled + Duration::from_secs(61)), Some(Command::Close));
    }

    #[test]
    fn connections_that_are_gone_are_forgotten() {
        let connections = Connections::default();
        let first = connections.add(&limits(), &Rc::default());
        let second = connections.add(&limits(), &Rc::default());
        drop(first);
        connections.sweep(Instant::now());
        assert_eq!(connections.count(), 1);
        connections.drain();
        assert_eq!(second.command.take(), Some(Command::Drain));
    }

    #[test]
    fn draining_one_listener_leaves_the_others_alone() {
        let connections = Connections::default();
        let (gone, stays) = (Rc::new(Group::default()), Rc::new(Group::default()));
        let (one, other) = (connections.add(&limits(), &gone), connections.add(&limits(), &stays));
        connections.drain_group(&gone);
        assert_eq!((one.command.take(), other.command.take()), (Some(Command::Drain), None));
        let late = connections.add(&limits(), &gone);
        assert_eq!(late.command.take(), Some(Command::Drain), "it was in the queue of the socket");
    }
}
