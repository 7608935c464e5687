//! All connections of a worker, whatever they speak: the sweep that enforces their time limits, and their end.
//!
//! A timer per connection would cost memory for every idle connection and work for every request. Instead a
//! connection notes when it changed its state (a plain cell, see `activity`), and a sweep compares all notes of a worker
//! with the limits ten times a second.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::activity::{Activity, Ending, Group};
use crate::model::ListenerLimits;

/// How often limits are checked; also their precision.
pub const SWEEP: Duration = Duration::from_millis(100);
/// How many sweeps there are from one look at sockets that don't tell of their client's leaving to the next: a second.
const SWEEPS_PER_ASKING: u32 = 10;

/// All connections of one worker, also those whose handshake is under way.
#[derive(Default)]
pub struct Connections {
    all: RefCell<Vec<Weak<Activity>>>,
    draining: Cell<bool>,
    cut: Cell<bool>,
    stopping: Cell<bool>,
    sweeps: Cell<u32>,
}

impl Connections {
    /// Adds a connection that was accepted now.
    pub fn add(&self, limits: &ListenerLimits, group: &Rc<Group>) -> Rc<Activity> {
        let now = Instant::now();
        let activity = Rc::new(Activity::new(limits.clone(), group.clone(), now));
        if self.draining.get() || group.draining.get() {
            activity.drain(now);
        }
        if self.cut.get() {
            activity.close();
        }
        self.all.borrow_mut().push(Rc::downgrade(&activity));
        activity
    }

    /// Checks every connection; forgets those that are gone.
    pub fn sweep(&self, now: Instant) {
        let sweeps = self.sweeps.get().wrapping_add(1);
        self.sweeps.set(sweeps);
        let asks = sweeps.is_multiple_of(SWEEPS_PER_ASKING);
        self.all.borrow_mut().retain(|connection| {
            let Some(activity) = connection.upgrade() else { return false };
            match activity.verdict(now) {
                Ending::Close => activity.close(),
                ending => activity.end(ending),
            }
            activity.cut_stalled_streams(now);
            activity.let_rest(now);
            activity.break_silence(now);
            if asks {
                activity.ask();
            }
            true
        });
    }

    /// Tells every connection, also later ones, to finish.
    pub fn drain(&self, now: Instant) {
        self.draining.set(true);
        self.each(|activity| activity.drain(now));
    }

    /// Closes every connection, whatever runs on it.
    pub fn cut(&self) {
        self.cut.set(true);
        self.each(Activity::close);
    }

    /// Whether every connection was closed like that.
    pub(super) fn are_cut(&self) -> bool {
        self.cut.get()
    }

    fn each(&self, tell: impl Fn(&Activity)) {
        for activity in self.all.borrow().iter().filter_map(Weak::upgrade) {
            tell(&activity);
        }
    }

    /// Tells the connections of one listener, also later ones, to finish.
    pub fn drain_group(&self, group: &Rc<Group>, now: Instant) {
        group.draining.set(true);
        self.each(|activity| {
            if Rc::ptr_eq(&activity.group, group) {
                activity.drain(now);
            }
        });
    }

    /// The runtime is about to end: no new tasks.
    pub fn stop(&self) {
        self.stopping.set(true);
    }

    /// Whether no task may begin any more.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Open connections.
    pub fn count(&self) -> usize {
        self.all.borrow().iter().filter(|connection| connection.strong_count() > 0).count()
    }
}

#[cfg(test)]
mod tests;
