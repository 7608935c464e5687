//! A worker's part of the budget of bodies: taken in batches, so that what comes and goes with every piece of a body is
//! counted without touching what workers share.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::budget::Budget;

/// What a worker takes at a time, where the budget is large enough.
const BATCH: usize = 256 << 10;
/// The part of a smaller budget that it takes.
const PART: usize = 64;

/// See the module. What is counted here is held already, or a peer has been allowed to send it: nothing is refused, but
/// [`Credit::is_overdrawn`] tells when nothing more should be begun.
#[derive(Debug)]
pub struct Credit {
    budget: Arc<Budget>,
    /// Taken, and not in use.
    spare: Cell<usize>,
    overdrawn: Cell<bool>,
}

impl Credit {
    /// A worker's credit with a budget.
    pub fn new(budget: Arc<Budget>) -> Rc<Self> {
        Rc::new(Self { budget, spare: Cell::new(0), overdrawn: Cell::new(false) })
    }

    /// The budget itself, for whoever is about to hold much.
    pub const fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Counts bytes.
    pub fn take(&self, bytes: usize) {
        let spare = self.spare.get();
        if let Some(rest) = spare.checked_sub(bytes) {
            return self.spare.set(rest);
        }
        let needed = bytes - spare;
        let batch = needed.max(self.batch());
        self.budget.add(batch);
        self.spare.set(batch - needed);
        self.overdrawn.set(self.budget.is_overdrawn());
    }

    /// Counts them no more.
    pub fn give(&self, bytes: usize) {
        let spare = self.spare.get() + bytes;
        self.spare.set(spare);
        let batch = self.batch();
        if spare > 2 * batch {
            self.spare.set(batch);
            self.budget.give_back(spare - batch);
            self.overdrawn.set(self.overdrawn.get() && self.budget.is_overdrawn());
        }
    }

    fn batch(&self) -> usize {
        BATCH.min(self.budget.limit() / PART)
    }

    /// The budget and its reserve were used up when this worker looked last.
    pub fn is_overdrawn(&self) -> bool {
        self.overdrawn.get()
    }

    /// Called again and again: what is not in use goes back.
    pub fn sweep(&self) {
        match self.spare.take() {
            0 => {}
            spare => self.budget.give_back(spare),
        }
        self.overdrawn.set(self.budget.is_overdrawn());
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.budget.give_back(self.spare.get());
    }
}

/// What one body holds at the moment, as it changes.
#[derive(Debug)]
pub struct Held {
    credit: Rc<Credit>,
    bytes: usize,
}

impl Held {
    /// Nothing yet.
    pub const fn new(credit: Rc<Credit>) -> Self {
        Self { credit, bytes: 0 }
    }

    /// So much, from now on.
    pub fn set(&mut self, bytes: usize) {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.credit.take(more),
            None => self.credit.give(self.bytes - bytes),
        }
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.credit.give(self.bytes);
    }
}

/// How much a peer may send over one connection without any of it having been read: the flow-control windows that it was
/// given.
#[derive(Debug)]
pub struct ReceiveWindow {
    credit: Rc<Credit>,
    stream: usize,
    connection: usize,
    /// Bodies that somebody may have sent and nobody reads.
    unread: Cell<usize>,
}

impl ReceiveWindow {
    /// Windows of a stream and of all streams of the connection.
    pub fn new(credit: Rc<Credit>, stream: usize, connection: usize) -> Rc<Self> {
        Rc::new(Self { credit, stream, connection, unread: Cell::new(0) })
    }

    fn size(&self) -> usize {
        self.unread.get().saturating_mul(self.stream).min(self.connection)
    }
}

/// One body's part of a [`ReceiveWindow`]. While somebody waits for its next piece there is nothing of it here, so an idle
/// stream counts for nothing. Its window counts from when a piece was handed out until more is asked for, and, of a body that
/// has begun, as long as nobody has asked for anything.
#[derive(Debug)]
pub struct Unread {
    of: Rc<ReceiveWindow>,
    counted: bool,
    discarded: bool,
}

impl Unread {
    /// There is nothing of it yet.
    pub const fn new(of: Rc<ReceiveWindow>) -> Self {
        Self { of, counted: false, discarded: false }
    }

    /// A body that may be coming while nobody has asked for it.
    pub fn begun(of: Rc<ReceiveWindow>) -> Self {
        let mut unread = Self::new(of);
        unread.count();
        unread
    }

    fn count(&mut self) {
        if !self.counted && !self.discarded {
            self.counted = true;
            let before = self.of.size();
            self.of.unread.set(self.of.unread.get() + 1);
            self.of.credit.take(self.of.size() - before);
        }
    }

    /// A piece was handed out, and more may come before it is asked for. `false`: the budget is used up.
    pub fn handed_out(&mut self) -> bool {
        self.count();
        self.discarded || !self.of.credit.is_overdrawn()
    }

    /// What comes from now on is thrown away at once: it holds nothing, so nothing of it counts or is refused.
    pub fn discard(&mut self) {
        self.awaited();
        self.discarded = true;
    }

    /// Somebody waits for more, or nothing more comes.
    pub fn awaited(&mut self) {
        if self.counted {
            self.counted = false;
            let before = self.of.size();
            self.of.unread.set(self.of.unread.get() - 1);
            self.of.credit.give(before - self.of.size());
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.awaited();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_and_gives_back_in_batches() {
        let budget = Budget::new(1 << 30);
        let credit = Credit::new(budget.clone());
        credit.take(1);
        assert_eq!(budget.held(), BATCH);
        for _ in 0..100 {
            credit.take(1000);
            credit.give(1000);
        }
        assert_eq!(budget.held(), BATCH, "what comes and goes touches nothing shared");
        credit.take(4 * BATCH);
        credit.give(4 * BATCH);
        assert_eq!(budget.held(), BATCH + 1);
        credit.give(1);
        credit.sweep();
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn beyond_the_reserve_it_says_so_until_something_came_back() {
        let budget = Budget::new(800);
        let credit = Credit::new(budget.clone());
        credit.take(900);
        assert!(!credit.is_overdrawn());
        credit.take(1);
        assert!(credit.is_overdrawn());
        assert_eq!(budget.held(), 912, "batches are small where the budget is");
        credit.give(500);
        credit.sweep();
        assert!(!credit.is_overdrawn());
        credit.give(401);
    }

    #[test]
    fn a_body_that_comes_while_nobody_asks_for_it_counts_and_one_that_is_thrown_away_does_not() {
        let budget = Budget::new(800);
        let credit = Credit::new(budget.clone());
        let window = ReceiveWindow::new(credit.clone(), 1000, 1000);
        let mut body = Unread::begun(window);
        credit.sweep();
        assert_eq!(budget.held(), 1000);
        assert!(!body.handed_out(), "the budget is used up");
        body.discard();
        credit.sweep();
        assert_eq!(budget.held(), 0);
        credit.take(1000);
        assert!(body.handed_out(), "whatever others hold");
        credit.give(1000);
    }

    #[test]
    fn little_is_kept_of_a_small_budget() {
        let budget = Budget::new(64_000);
        let credit = Credit::new(budget.clone());
        credit.take(50_000);
        credit.give(50_000);
        assert!(budget.held() <= 2_000, "{}", budget.held());
    }

    #[test]
    fn only_what_nobody_asks_for_counts_and_no_more_than_the_connections_window() {
        let budget = Budget::new(usize::MAX / 2);
        let credit = Credit::new(budget.clone());
        let window = ReceiveWindow::new(credit.clone(), 100, 250);
        let mut bodies: Vec<Unread> = (0..10).map(|_| Unread::new(window.clone())).collect();
        let held = || {
            credit.sweep();
            budget.held()
        };
        assert_eq!(held(), 0);
        assert!(bodies[0].handed_out() && bodies[0].handed_out());
        assert_eq!(held(), 100);
        bodies[1..].iter_mut().for_each(|body| assert!(body.handed_out()));
        assert_eq!(held(), 250);
        bodies.truncate(2);
        assert_eq!(held(), 200);
        bodies[0].awaited();
        bodies[0].awaited();
        assert_eq!(held(), 100);
        drop(bodies);
        assert_eq!(held(), 0);
    }
}
