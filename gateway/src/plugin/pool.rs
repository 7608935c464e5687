//! Instances of one entry on one worker, and what the pools of a worker share.
//!
//! Pools never leave their thread, so there is no lock. What is idle, who waits and what is made is in [`stock`], how
//! pools share a worker's room in [`budget`]; here both meet the plugin's guests.
//!
//! [`stock`]: super::stock
//! [`budget`]: super::budget

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::budget::InstanceBudget;
use super::callers::{Callers, Room};
use super::conduct::Conduct;
use super::engine::slots;
use super::entry::Entry;
use super::error::PluginError;
use super::host::calls::OutboundCall;
use super::host::log_gate::LogGate;
use super::instance::{Guests, Instance};
use super::stock::Stock;
use super::turns::{Line, Turns};
use crate::error::Error;
use crate::sanitize::safe;
use crate::telemetry::metrics::WorkerMetrics;

/// Warnings per second about the failures of one entry on one worker.
const WARNINGS: u32 = 1;

/// What the pools of one worker share.
pub struct WorkerHost {
    calls: UnboundedSender<OutboundCall>,
    /// For all instances of the worker that wait for calls.
    calling: Arc<Room>,
    budget: Rc<InstanceBudget>,
    turns: Rc<Turns>,
    pools: RefCell<Vec<Weak<Pool>>>,
    metrics: WorkerMetrics,
}

impl WorkerHost {
    /// `calls` leads to the task of the worker that makes outbound calls; `instances` is how many the worker may have.
    pub fn new(calls: UnboundedSender<OutboundCall>, instances: u32, metrics: WorkerMetrics) -> Rc<Self> {
        let instances = usize::try_from(instances).unwrap_or(usize::MAX);
        let budget = InstanceBudget::new(instances);
        let (turns, pools) = Default::default();
        Rc::new(Self { calls, calling: Room::of(instances), budget, turns, pools, metrics })
    }

    /// Called again and again: streams that hold an instance of a replaced entry for longer than `limits.retire_after`
    /// lose it, also those on which nothing moves.
    pub fn sweep(&self, now: Instant) {
        self.pools.borrow_mut().retain(|pool| pool.strong_count() > 0);
        let pools: Vec<_> = self.pools.borrow().iter().filter_map(Weak::upgrade).collect();
        pools.iter().filter(|pool| pool.is_overdue(now)).for_each(|pool| pool.stock.reclaim());
    }

    /// The worker ends: nothing is made any more.
    pub fn close(&self) {
        self.budget.close();
    }
}

/// The instances of one entry on one worker.
pub struct Pool {
    stock: Rc<Stock<Guests>>,
}

impl Pool {
    /// An empty pool.
    pub fn new(entry: Arc<Entry>, worker: Rc<WorkerHost>) -> Rc<Self> {
        let metrics = worker.metrics.plugin(&entry.name);
        let costs = worker.metrics.plugin_entry(&entry.name, &entry.route);
        let weight = slots(entry.artifact.code.component());
        let own = Room::of(entry.limits.instances);
        let callers = Callers::new(worker.calls.clone(), own, worker.calling.clone(), weight, metrics.clone());
        let conduct = Conduct::new(entry.limits.cpu, entry.limits.cpu_share, Instant::now());
        let line = Line::new(worker.turns.clone(), Rc::new(RefCell::new(conduct)));
        let guests = Guests {
            metrics,
            costs,
            callers,
            weight,
            line,
            warnings: LogGate::new(WARNINGS),
            lines: LogGate::new(WARNINGS),
            entry,
        };
        let pool = Rc::new(Self { stock: Stock::new(guests, worker.budget.clone()) });
        worker.pools.borrow_mut().push(Rc::downgrade(&pool));
        pool
    }

    /// What its instances are of.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.stock.maker().entry
    }

    /// Instances that exist, idle or not.
    pub fn live(&self) -> usize {
        self.stock.live()
    }

    /// An instance that is idle.
    pub fn idle(&self) -> Option<Instance> {
        self.stock.idle_one().map(Instance::new)
    }

    /// An instance for one phase call, or for the length of a body. Does not suspend when one is idle.
    pub async fn checkout(&self) -> Result<Instance, PluginError> {
        let taken = self.stock.take().await;
        taken.map(Instance::new).inspect_err(|error| self.failed(error.kind()))
    }

    /// Whether a call may have to wait, for the host or for its turn.
    pub(super) fn may_wait(&self) -> bool {
        let Guests { entry, line, .. } = self.stock.maker();
        entry.artifact.code.suspends || line.conduct().borrow().is_watched()
    }

    /// Counts a failure, by a word of [`PLUGIN_FAILURES`](crate::telemetry::metrics::PLUGIN_FAILURES).
    pub(super) fn failed(&self, why: &str) {
        self.stock.maker().metrics.failed(why);
    }

    /// Tells the operator of a failure, unless there was one just now.
    pub(super) fn warn(&self, error: &Error, passed_by: bool) {
        let Guests { entry, warnings, .. } = self.stock.maker();
        let Some(dropped) = warnings.admit_now() else { return };
        let (plugin, route, error) = (&*entry.name, &*entry.route, error.safe_detail());
        tracing::warn!(plugin, route, passed_by, not_shown = dropped, "plugin failed: {}", safe!(*error));
    }

    /// The entry has been replaced: idle instances go now, the others when they come back, but for one that streams go on
    /// with. Whoever holds one for the length of a stream loses it after `limits.retire_after`.
    pub fn retire(&self) {
        self.stock.retire(Instant::now());
    }

    /// Whether streams that still hold an instance have had their `limits.retire_after`.
    fn is_overdue(&self, now: Instant) -> bool {
        let Some(limit) = self.entry().limits.retire_after else { return false };
        self.stock.retired().is_some_and(|since| now.saturating_duration_since(since) >= limit)
    }
}
