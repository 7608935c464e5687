//! Who is let in: how many requests may be in flight to one upstream.
//!
//! Without a number in the configuration an upstream may have half of what other upstreams leave of a worker's requests: one
//! that hangs leaves half to the others, two leave a quarter, and nothing is shared between workers. A configured number holds over all workers, however
//! connections are spread over them. Of a large one workers keep a few free permits of their own (together no more than a
//! 64th), so that they seldom meet at the common count; a small one is exact.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The part of all permits that workers together may keep for themselves.
const KEPT: usize = 64;

/// The free permits of a configured number, over all workers.
#[derive(Debug)]
pub(super) struct Permits {
    all: usize,
    free: AtomicUsize,
}

impl Permits {
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all, free: AtomicUsize::new(all) })
    }

    /// Takes up to `most`; 0 where none is free.
    fn take(&self, most: usize) -> usize {
        let mut taken = 0;
        let _ = self.free.fetch_update(Relaxed, Relaxed, |free| {
            taken = free.min(most);
            (taken > 0).then(|| free - taken)
        });
        taken
    }

    fn give_back(&self, permits: usize) {
        self.free.fetch_add(permits, Relaxed);
    }
}

/// What workers may have, from the configuration in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Requests in flight on one worker, to all upstreams.
    pub(crate) requests: usize,
    /// How many workers there are.
    pub(crate) workers: usize,
}

/// What the upstreams of a worker share.
#[derive(Debug)]
pub(super) struct Load {
    /// What it may have.
    pub(super) capacity: Cell<Capacity>,
    /// Requests in flight to all of them.
    in_flight: Cell<usize>,
}

impl Load {
    /// Nothing in flight yet.
    pub(super) const fn new(capacity: Capacity) -> Self {
        Self { capacity: Cell::new(capacity), in_flight: Cell::new(0) }
    }
}

/// A worker's requests to one upstream.
#[derive(Debug)]
pub(super) struct InFlight {
    permits: Option<Arc<Permits>>,
    count: Cell<usize>,
    /// Permits that were taken, and are free again.
    spare: Cell<usize>,
}

impl InFlight {
    /// None yet. `permits`: of a configured number.
    pub(super) const fn new(permits: Option<Arc<Permits>>) -> Self {
        Self { permits, count: Cell::new(0), spare: Cell::new(0) }
    }

    /// One more request, where the worker has `all` in flight to upstreams; `false`: there is no permit for it.
    pub(super) fn enter(&self, capacity: Capacity, all: usize) -> bool {
        match &self.permits {
            None => {
                let left = capacity.requests.saturating_sub(all - self.count.get());
                if self.count.get() >= (left / 2).max(1) {
                    return false;
                }
            }
            Some(permits) => {
                let free = match self.spare.get() {
                    0 => permits.take(kept(permits, capacity) / 2 + 1),
                    free => free,
                };
                let Some(left) = free.checked_sub(1) else { return false };
                self.spare.set(left);
            }
        }
        self.count.set(self.count.get() + 1);
        true
    }

    /// A request is over.
    pub(super) fn leave(&self, capacity: Capacity) {
        self.count.set(self.count.get() - 1);
        let Some(permits) = &self.permits else { return };
        let (free, kept) = (self.spare.get() + 1, kept(permits, capacity));
        let stay = if free > kept { kept / 2 } else { free };
        self.spare.set(stay);
        if free > stay {
            permits.give_back(free - stay);
        }
    }
}

/// A request's permit among those that are in flight to its upstream.
pub(super) struct Admission {
    in_flight: Rc<InFlight>,
    load: Rc<Load>,
}

impl Admission {
    /// `None`: as many are in flight as may be.
    pub(super) fn request(in_flight: &Rc<InFlight>, load: &Rc<Load>) -> Option<Self> {
        let all = load.in_flight.get();
        if !in_flight.enter(load.capacity.get(), all) {
            return None;
        }
        load.in_flight.set(all + 1);
        Some(Self { in_flight: in_flight.clone(), load: load.clone() })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.load.in_flight.set(self.load.in_flight.get() - 1);
        self.in_flight.leave(self.load.capacity.get());
    }
}

/// Free permits that a worker may keep.
const fn kept(permits: &Permits, capacity: Capacity) -> usize {
    permits.all / KEPT / if capacity.workers == 0 { 1 } else { capacity.workers }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: Capacity = Capacity { requests: 100, workers: 2 };

    fn entered(worker: &InFlight) -> usize {
        (0..100_000).take_while(|_| worker.enter(CAPACITY, worker.count.get())).count()
    }

    #[test]
    fn without_a_number_it_is_half_of_what_a_worker_may_have() {
        let worker = InFlight::new(None);
        assert_eq!(entered(&worker), 50);
        worker.leave(CAPACITY);
        assert_eq!(entered(&worker), 1);
        assert!(InFlight::new(None).enter(Capacity { requests: 1, workers: 1 }, 0), "one is always served");
    }

    #[test]
    fn however_many_upstreams_hang_there_is_room_for_one_more() {
        let mut all = 0;
        for expected in [50, 25, 12, 6] {
            let upstream = InFlight::new(None);
            let entered = (0..100).take_while(|more| upstream.enter(CAPACITY, all + more)).count();
            assert_eq!(entered, expected);
            all += entered;
        }
    }

    #[test]
    fn a_configured_number_holds_over_all_workers_however_requests_are_spread() {
        for all in [1, 2, 100, 127] {
            let permits = Permits::new(all);
            let workers = [0, 1].map(|_| InFlight::new(Some(permits.clone())));
            assert_eq!(entered(&workers[0]), all, "one worker may have all of them");
            assert_eq!(entered(&workers[1]), 0);
            workers[0].leave(CAPACITY);
            assert_eq!(entered(&workers[1]), 1, "what one gives back another one has");
        }
    }

    #[test]
    fn of_a_large_number_workers_keep_a_few() {
        let permits = Permits::new(6400);
        let (busy, idle) = (InFlight::new(Some(permits.clone())), InFlight::new(Some(permits.clone())));
        assert!(idle.enter(CAPACITY, 0));
        idle.leave(CAPACITY);
        assert!((6300..=6400).contains(&entered(&busy)));
        (0..6300).for_each(|_| busy.leave(CAPACITY));
        let free = permits.free.load(Relaxed);
        busy.leave(CAPACITY);
        assert!(busy.enter(CAPACITY, 6000));
        assert_eq!(permits.free.load(Relaxed), free, "what comes and goes touches nothing shared");
    }
}
