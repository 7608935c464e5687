//! How many exchanges of a worker still wait for a record: it ends only after them.

use std::cell::Cell;
use std::rc::Rc;

/// Counts the exchanges of a worker whose records are not all written.
#[derive(Debug, Default)]
pub struct Unfinished {
    count: Cell<usize>,
    /// The worker's runtime is about to end: no new tasks.
    stopping: Cell<bool>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted(Rc<Unfinished>);

impl Unfinished {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.get()
    }

    /// From now on nothing is written behind an exchange.
    pub fn stop(&self) {
        self.stopping.set(true);
    }

    /// Whether [`Self::stop`] was called.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Counts one more.
    pub(super) fn begin(self: &Rc<Self>) -> Counted {
        self.count.set(self.count.get() + 1);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
    }
}
