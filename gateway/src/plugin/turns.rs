//! Turns of calls that take long: one slice of one call between two looks of its worker at its sockets.
//!
//! A call on a stack of its own is interrupted with every epoch. Were all that are interrupted to go on at once, each of them
//! would keep every other request of the worker waiting for a slice; so one goes on at a time, and only after whatever else
//! had become ready has run. Entries take turns, whatever the number of calls of each, and so do the calls of an entry.
//! A turn is offered, not held: who is not there to take it (a body that nobody reads just now) keeps nobody waiting.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::conduct::Conduct;
use super::limits::gave_way;

/// The turns of one worker.
#[derive(Default)]
pub(super) struct Turns {
    /// Those of whom somebody waits, who is next in front.
    lines: RefCell<VecDeque<Rc<Line>>>,
    /// Counts turns, from 1.
    turn: Cell<u64>,
    /// The task that gives turns out is there.
    given_out: Cell<bool>,
    /// Somebody has come.
    came: Notify,
}

/// An entry's calls that wait for their turn.
pub(super) struct Line {
    turns: Rc<Turns>,
    conduct: Rc<RefCell<Conduct>>,
    waiting: RefCell<VecDeque<Weak<Ticket>>>,
}

struct Ticket {
    waker: RefCell<Waker>,
    /// Its turn; 0 while it waits.
    turn: Cell<u64>,
}

/// What there is to do next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Somebody has the turn.
    Given,
    /// Whoever waits has no time left before then.
    At(Instant),
    /// Nobody waits.
    Nobody,
}

impl Turns {
    fn next(&self, now: Instant) -> Next {
        let mut earliest: Option<Instant> = None;
        let lines = self.lines.borrow().len();
        for _ in 0..lines {
            let Some(line) = self.lines.borrow_mut().pop_front() else { break };
            let Some(first) = line.first() else { continue };
            let later = line.conduct.borrow_mut().next_slice(now);
            if let Some(at) = later {
                earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
                line.waiting.borrow_mut().push_front(Rc::downgrade(&first));
                self.lines.borrow_mut().push_back(line);
                continue;
            }
            if !line.waiting.borrow().is_empty() {
                self.lines.borrow_mut().push_back(line);
            }
            self.turn.set(self.turn.get() + 1);
            first.turn.set(self.turn.get());
            first.waker.borrow().wake_by_ref();
            return Next::Given;
        }
        earliest.map_or(Next::Nobody, Next::At)
    }

    /// Gives turns out for as long as somebody waits.
    async fn give_out(self: Rc<Self>) {
        loop {
            // Back when the runtime has looked at its sockets, behind all that became ready.
            tokio::task::yield_now().await;
            match self.next(Instant::now()) {
                Next::Given => {}
                Next::At(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at.into()) => {}
                        () = self.came.notified() => {}
                    }
                }
                Next::Nobody => break,
            }
        }
        self.given_out.set(false);
    }
}

impl Line {
    /// Of an entry.
    pub(super) fn new(turns: Rc<Turns>, conduct: Rc<RefCell<Conduct>>) -> Rc<Self> {
        Rc::new(Self { turns, conduct, waiting: RefCell::default() })
    }

    /// How its calls go.
    pub(super) const fn conduct(&self) -> &Rc<RefCell<Conduct>> {
        &self.conduct
    }

    /// How many of its calls wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.borrow().iter().filter(|ticket| ticket.strong_count() > 0).count()
    }

    /// The one that is next and still there.
    fn first(&self) -> Option<Rc<Ticket>> {
        let mut waiting = self.waiting.borrow_mut();
        std::iter::from_fn(|| waiting.pop_front()).find_map(|ticket| ticket.upgrade())
    }

    fn join(self: &Rc<Self>, ticket: &Rc<Ticket>) {
        ticket.turn.set(0);
        let was_empty = {
            let mut waiting = self.waiting.borrow_mut();
            // Those that have left, so that a line that is held up stays short.
            waiting.retain(|ticket| ticket.strong_count() > 0);
            waiting.push_back(Rc::downgrade(ticket));
            waiting.len() == 1
        };
        let turns = &self.turns;
        if was_empty && !turns.lines.borrow().iter().any(|line| Rc::ptr_eq(line, self)) {
            turns.lines.borrow_mut().push_back(self.clone());
        }
        if turns.given_out.replace(true) {
            turns.came.notify_one();
        } else {
            tokio::task::spawn_local(turns.clone().give_out());
        }
    }

    /// Whether it is the turn of this one, which takes it; else it will be woken.
    fn poll_turn(self: &Rc<Self>, slot: &mut Option<Rc<Ticket>>, context: &Context<'_>) -> Poll<()> {
        let Some(ticket) = slot else {
            let ticket = Rc::new(Ticket { waker: RefCell::new(context.waker().clone()), turn: Cell::new(0) });
            self.join(&ticket);
            *slot = Some(ticket);
            return Poll::Pending;
        };
        match ticket.turn.get() {
            0 => ticket.waker.borrow_mut().clone_from(context.waker()),
            turn if turn + 1 >= self.turns.turn.get() => {
                *slot = None;
                return Poll::Ready(());
            }
            // It was somewhere else when it had its turn, and others have theirs now.
            _ => {
                ticket.waker.borrow_mut().clone_from(context.waker());
                self.join(ticket);
            }
        }
        Poll::Pending
    }

    /// Waits for a turn.
    pub(super) async fn turn(self: &Rc<Self>) {
        let mut ticket = None;
        poll_fn(|context| self.poll_turn(&mut ticket, context)).await;
    }

    /// Runs a call: at once, and when it was interrupted on its turn; `always`: also when it has waited for the host. Tells
    /// how long it had the thread.
    pub(super) async fn run<F: Future>(self: &Rc<Self>, always: bool, mut call: Pin<&mut F>) -> (F::Output, Duration) {
        let (mut ticket, mut waits, mut ran) = (None, false, Duration::ZERO);
        poll_fn(|context| {
            if waits && self.poll_turn(&mut ticket, context).is_pending() {
                return Poll::Pending;
            }
            let began = Instant::now();
            let polled = call.as_mut().poll(context);
            let now = Instant::now();
            ran += now - began;
            self.conduct.borrow_mut().used(now, now - began);
            waits = gave_way() || always;
            polled.map(|output| (output, ran))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn line(turns: &Rc<Turns>, percent: u32) -> Rc<Line> {
        let conduct = Conduct::new(10 * MS, percent, Instant::now());
        Line::new(turns.clone(), Rc::new(RefCell::new(conduct)))
    }

    /// A call of so many slices, which notes each.
    async fn call(line: Rc<Line>, name: &'static str, slices: usize, seen: Rc<RefCell<Vec<&'static str>>>) {
        let call = std::pin::pin!(async {
            for left in (0..slices).rev() {
                seen.borrow_mut().push(name);
                if left > 0 {
                    yield_now().await;
                }
            }
        });
        line.turn().await;
        line.run(true, call).await;
    }

    async fn local<T>(test: impl Future<Output = T>) -> T {
        LocalSet::new().run_until(test).await
    }

    #[tokio::test]
    async fn entries_take_turns_however_many_calls_each_has() {
        let seen = local(async {
            let (turns, seen) = (Rc::<Turns>::default(), Rc::<RefCell<Vec<_>>>::default());
            let (many, one) = (line(&turns, 100), line(&turns, 100));
            let mut calls: Vec<_> =
                ["a", "b", "c"].map(|name| spawn_local(call(many.clone(), name, 3, seen.clone()))).into();
            calls.push(spawn_local(call(one, "x", 3, seen.clone())));
            for call in calls {
                call.await.unwrap();
            }
            seen.take()
        })
        .await;
        assert_eq!(seen, ["a", "x", "b", "x", "c", "x", "a", "b", "c", "a", "b", "c"]);
    }

    #[tokio::test]
    async fn whatever_is_ready_runs_between_two_slices() {
        let seen = local(async {
            let (turns, seen) = (Rc::<Turns>::default(), Rc::<RefCell<Vec<_>>>::default());
            let line = line(&turns, 100);
            let calls = ["a", "b"].map(|name| spawn_local(call(line.clone(), name, 2, seen.clone())));
            let (other, to) = (Rc::new(Notify::new()), seen.clone());
            let waits = other.clone();
            let between = spawn_local(async move {
                for _ in 0..20 {
                    to.borrow_mut().push("-");
                    yield_now().await;
                }
                waits.notify_one();
            });
            for call in calls {
                call.await.unwrap();
            }
            between.await.unwrap();
            seen.take()
        })
        .await;
        let slices: Vec<_> = seen.iter().enumerate().filter(|(_, name)| **name != "-").map(|(at, _)| at).collect();
        assert_eq!(slices.len(), 4);
        assert!(slices.windows(2).all(|two| two[1] > two[0] + 1), "{seen:?}");
    }

    #[tokio::test]
    async fn a_body_that_nobody_reads_keeps_no_other_call_from_its_turn() {
        local(async {
            let turns = Rc::<Turns>::default();
            let (held, other) = (line(&turns, 100), line(&turns, 100));
            let mut unread = Box::pin(held.turn());
            let polled = poll_fn(|context| Poll::Ready(unread.as_mut().poll(context).is_pending())).await;
            assert!(polled);
            for _ in 0..5 {
                other.turn().await;
                held.turn().await;
            }
            // Its turn has passed: it gets another one.
            unread.await;
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_used_its_share_waits_and_holds_nobody_up() {
        local(async {
            let turns = Rc::<Turns>::default();
            let (spent, other) = (line(&turns, 1), line(&turns, 100));
            spent.conduct.borrow_mut().used(Instant::now(), Duration::from_secs(3600));
            let mut waits = Box::pin(spent.turn());
            assert!(poll_fn(|context| Poll::Ready(waits.as_mut().poll(context).is_pending())).await);
            other.turn().await;
            assert_eq!(spent.waiting(), 1);
            drop(waits);
            other.turn().await;
            assert_eq!((other.waiting(), spent.waiting()), (0, 0), "who left is not waited for");
        })
        .await;
    }
}
