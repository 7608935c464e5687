//! How many instances may wait for a call (`calls.send`) at the same time.
//!
//! Whoever waits keeps its instance, and a callee that hangs makes all wait. So that requests which need no call go on
//! meanwhile, a quarter of what there may be is never let into a call: of an entry's instances, and of all that its worker
//! may have. What comes beyond is refused at once, as an error of the call: a queue in front of a callee that does not
//! answer would only fill up too.
//!
//! Of the worker's room a place is kept for each entry of which nobody waits, so that a callee of one that hangs keeps no other
//! one from its own; never more than half of the room, as with instances ([`super::budget`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::UnboundedSender;

use super::host::calls::OutboundCall;
use crate::telemetry::metrics::PluginMetrics;

/// Of so many instances one does not call. At least one always may: where there is but one, nothing is kept.
const KEPT: usize = 4;

/// Room for what waits. One worker alone takes and gives back: atomic only because what holds it is made on another thread.
#[derive(Debug)]
pub(super) struct Room {
    taken: AtomicUsize,
    limit: usize,
    /// What entries of which nobody waits would take with their first call. Entries end on any thread.
    kept: AtomicUsize,
}

impl Room {
    /// For an entry or a worker that may have so many instances.
    pub(super) fn of(instances: usize) -> Arc<Self> {
        let limit = instances.saturating_sub(instances.div_ceil(KEPT)).max(1);
        Arc::new(Self { taken: AtomicUsize::new(0), limit, kept: AtomicUsize::new(0) })
    }

    /// Takes as much, where that leaves `kept` free.
    fn take(&self, weight: usize, kept: usize) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        // The first one always fits, however much it weighs.
        let fits = taken == 0 || taken.saturating_add(weight).saturating_add(kept) <= self.limit;
        if fits {
            self.taken.store(taken.saturating_add(weight), Ordering::Relaxed);
        }
        fits
    }

    fn give_back(&self, weight: usize) {
        let taken = self.taken.load(Ordering::Relaxed);
        self.taken.store(taken.saturating_sub(weight), Ordering::Relaxed);
    }

    fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == 0
    }
}

/// An entry's part in the room of its worker. While nobody of it waits, room for its first call is kept.
struct CallLimits {
    entry: Arc<Room>,
    worker: Arc<Room>,
    /// What one instance takes of the worker's room.
    weight: usize,
}

impl CallLimits {
    fn new(entry: Arc<Room>, worker: Arc<Room>, weight: usize) -> Arc<Self> {
        worker.kept.fetch_add(weight, Ordering::Relaxed);
        Arc::new(Self { entry, worker, weight })
    }

    fn permit(self: &Arc<Self>) -> Option<CallPermit> {
        let is_first = self.entry.is_empty();
        if !self.entry.take(1, 0) {
            return None;
        }
        let kept = self.worker.kept.load(Ordering::Relaxed).min(self.worker.limit / 2);
        if !self.worker.take(self.weight, if is_first { 0 } else { kept }) {
            self.entry.give_back(1);
            return None;
        }
        if is_first {
            self.worker.kept.fetch_sub(self.weight, Ordering::Relaxed);
        }
        Some(CallPermit(self.clone()))
    }
}

impl Drop for CallLimits {
    fn drop(&mut self) {
        // Whoever waits has it, so nobody does.
        self.worker.kept.fetch_sub(self.weight, Ordering::Relaxed);
    }
}

/// Permission to wait for one call; another one may have it when it is dropped.
pub(crate) struct CallPermit(Arc<CallLimits>);

impl Drop for CallPermit {
    fn drop(&mut self) {
        let CallLimits { entry, worker, weight } = &*self.0;
        entry.give_back(1);
        worker.give_back(*weight);
        if entry.is_empty() {
            worker.kept.fetch_add(*weight, Ordering::Relaxed);
        }
    }
}

/// An instance's way to its worker's task for calls, under the bounds of its entry and of its worker.
#[derive(Clone)]
pub(crate) struct Callers {
    calls: UnboundedSender<OutboundCall>,
    limits: Arc<CallLimits>,
    metrics: PluginMetrics,
}

impl Callers {
    pub(super) fn new(
        calls: UnboundedSender<OutboundCall>,
        entry: Arc<Room>,
        worker: Arc<Room>,
        weight: usize,
        metrics: PluginMetrics,
    ) -> Self {
        Self { calls, limits: CallLimits::new(entry, worker, weight), metrics }
    }

    /// Permission to wait for a call; none, and counted, where as many wait as may.
    pub(crate) fn permit(&self) -> Option<CallPermit> {
        let permit = self.limits.permit();
        if permit.is_none() {
            self.metrics.call_refused();
        }
        permit
    }

    /// Where calls go.
    pub(crate) const fn calls(&self) -> &UnboundedSender<OutboundCall> {
        &self.calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(room: &Room, weight: usize) -> usize {
        std::iter::repeat_with(|| room.take(weight, 0)).take_while(|taken| *taken).count()
    }

    #[test]
    fn a_quarter_of_the_instances_is_never_let_into_a_call() {
        for (instances, callers) in [(0, 1), (1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (64, 48), (256, 192)] {
            let room = Room::of(instances);
            assert_eq!(fill(&room, 1), callers, "{instances}");
            room.give_back(callers);
            assert_eq!(fill(&room, 1), callers, "what was given back is free again");
        }
    }

    #[test]
    fn a_heavy_instance_takes_more_and_may_call_where_nobody_else_does() {
        assert_eq!(fill(&Room::of(8), 3), 2);
        assert_eq!(fill(&Room::of(8), 100), 1);
    }

    #[test]
    fn an_entry_whose_callee_hangs_leaves_each_other_one_its_first_call() {
        let worker = Room::of(16);
        let entry = |weight| CallLimits::new(Room::of(64), worker.clone(), weight);
        let (hanging, auth, heavy) = (entry(1), entry(1), entry(2));
        let hung: Vec<_> = std::iter::from_fn(|| hanging.permit()).collect();
        assert_eq!(hung.len(), 9, "twelve, without the places of the two others");
        let fetch = auth.permit().expect("a place is kept");
        assert!(auth.permit().is_none() && hanging.permit().is_none(), "no second one");
        let other = heavy.permit().expect("a place is kept");
        drop(fetch);
        assert!(hanging.permit().is_none(), "it is kept again");
        drop((other, auth, heavy));
        assert_eq!(
            std::iter::from_fn(|| hanging.permit().map(std::mem::forget)).count(),
            3,
            "of entries that are gone none"
        );
    }

    #[test]
    fn no_more_than_half_of_the_room_is_kept_for_entries_that_do_not_call() {
        let worker = Room::of(16);
        let entries: Vec<_> = (0..50).map(|_| CallLimits::new(Room::of(64), worker.clone(), 1)).collect();
        assert_eq!(std::iter::from_fn(|| entries[0].permit().map(std::mem::forget)).count(), 6);
        let others = entries[1..].iter().filter_map(|entry| entry.permit().map(std::mem::forget));
        assert_eq!(others.count(), 6);
    }
}
