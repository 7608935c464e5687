//! How many instances may wait for a call (`calls.send`) at the same time.
//!
//! Whoever waits keeps its instance, and a callee that hangs makes all wait. So that requests which need no call go on
//! meanwhile, a quarter of what there may be is never let into a call: of an entry's instances, and of all that its worker
//! may have. What comes beyond is refused at once, as an error of the call: a queue in front of a callee that does not
//! answer would only fill up too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::UnboundedSender;

use super::host::calls::OutboundCall;
use crate::telemetry::metrics::PluginMetrics;

/// Of so many instances one does not call. At least one always may: where there is but one, nothing is kept.
const KEPT: usize = 4;

/// Room for what waits. One worker alone changes it: atomic only because what holds it is made on another thread.
#[derive(Debug)]
pub(super) struct Room {
    taken: AtomicUsize,
    limit: usize,
}

impl Room {
    /// For an entry or a worker that may have so many instances.
    pub(super) fn of(instances: usize) -> Arc<Self> {
        let limit = instances.saturating_sub(instances.div_ceil(KEPT)).max(1);
        Arc::new(Self { taken: AtomicUsize::new(0), limit })
    }

    fn take(self: &Arc<Self>, weight: usize) -> Option<Taken> {
        let taken = self.taken.load(Ordering::Relaxed);
        // The first one always fits, however much it weighs.
        if taken > 0 && taken.saturating_add(weight) > self.limit {
            return None;
        }
        self.taken.store(taken + weight, Ordering::Relaxed);
        Some(Taken { room: self.clone(), weight })
    }
}

/// Room that was taken; free again when dropped.
struct Taken {
    room: Arc<Room>,
    weight: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let taken = self.room.taken.load(Ordering::Relaxed);
        self.room.taken.store(taken.saturating_sub(self.weight), Ordering::Relaxed);
    }
}

/// An instance's way to its worker's task for calls, under the bounds of its entry and of its worker.
#[derive(Clone)]
pub(crate) struct Callers {
    calls: UnboundedSender<OutboundCall>,
    entry: Arc<Room>,
    worker: Arc<Room>,
    /// What one instance takes of the worker's room.
    weight: usize,
    metrics: PluginMetrics,
}

/// Leave to wait for one call.
pub(crate) struct Leave {
    _entry: Taken,
    _worker: Taken,
}

impl Callers {
    pub(super) const fn new(
        calls: UnboundedSender<OutboundCall>,
        entry: Arc<Room>,
        worker: Arc<Room>,
        weight: usize,
        metrics: PluginMetrics,
    ) -> Self {
        Self { calls, entry, worker, weight, metrics }
    }

    /// Leave to wait for a call; none, and counted, where as many wait as may.
    pub(crate) fn leave(&self) -> Option<Leave> {
        let leave = self.entry.take(1).and_then(|entry| {
            let worker = self.worker.take(self.weight)?;
            Some(Leave { _entry: entry, _worker: worker })
        });
        if leave.is_none() {
            self.metrics.call_refused();
        }
        leave
    }

    /// Where calls go.
    pub(crate) const fn calls(&self) -> &UnboundedSender<OutboundCall> {
        &self.calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(room: &Arc<Room>, weight: usize) -> Vec<Taken> {
        std::iter::from_fn(|| room.take(weight)).collect()
    }

    #[test]
    fn a_quarter_of_the_instances_is_never_let_into_a_call() {
        for (instances, callers) in [(0, 1), (1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (64, 48), (256, 192)] {
            let room = Room::of(instances);
            let waiting = fill(&room, 1);
            assert_eq!(waiting.len(), callers, "{instances}");
            drop(waiting);
            assert_eq!(fill(&room, 1).len(), callers, "what was taken is free again");
        }
    }

    #[test]
    fn a_heavy_instance_takes_more_and_may_call_where_nobody_else_does() {
        let room = Room::of(8);
        assert_eq!(fill(&room, 3).len(), 2);
        assert_eq!(fill(&room, 100).len(), 1);
    }
}
