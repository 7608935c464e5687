//! Instances of one entry on one worker, and what the pools of a worker share.
//!
//! Pools never leave their thread, so there is no lock. Instances are made when they are needed, on a thread that may
//! block; making room comes before refusing: idle instances of other pools go first.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::entry::Entry;
use super::error::PluginError;
use super::host::calls::OutboundCall;
use super::instance::{Guest, Instance, MakeError};
use crate::telemetry::metrics::{PluginMetrics, WorkerMetrics};

/// How long a request waits for an instance before it is refused.
const WAIT: Duration = Duration::from_secs(1);

/// What the pools of one worker share.
pub struct WorkerHost {
    calls: UnboundedSender<OutboundCall>,
    pools: RefCell<Vec<Weak<Pool>>>,
    metrics: WorkerMetrics,
}

impl WorkerHost {
    /// `calls` leads to the task of the worker that makes outbound calls.
    pub fn new(calls: UnboundedSender<OutboundCall>, metrics: WorkerMetrics) -> Rc<Self> {
        Rc::new(Self { calls, pools: RefCell::default(), metrics })
    }

    /// Drops idle instances of all pools but one, which needs the room.
    fn make_room(&self, needy: &Pool) {
        let pools: Vec<_> = {
            let mut pools = self.pools.borrow_mut();
            pools.retain(|pool| pool.strong_count() > 0);
            pools.iter().filter_map(Weak::upgrade).collect()
        };
        for pool in pools {
            if !std::ptr::eq(&*pool, needy) {
                pool.evict_idle();
            }
        }
    }
}

/// The instances of one entry on one worker.
pub struct Pool {
    entry: Arc<Entry>,
    worker: Rc<WorkerHost>,
    #[expect(clippy::vec_box, reason = "a guest is large and moves from hand to hand")]
    idle: RefCell<Vec<Box<Guest>>>,
    /// Idle, checked out, or being made.
    live: Cell<usize>,
    /// When the entry was replaced.
    retired: Cell<Option<Instant>>,
    returned: Notify,
    metrics: PluginMetrics,
}

/// Counts an instance that is being made, also when whoever waits for it is dropped.
struct Making<'a>(&'a Pool);

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.forget_one();
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(entry: Arc<Entry>, worker: Rc<WorkerHost>) -> Rc<Self> {
        let metrics = worker.metrics.plugin(&entry.name);
        let pool = Rc::new(Self {
            entry,
            worker,
            idle: RefCell::default(),
            live: Cell::new(0),
            retired: Cell::new(None),
            returned: Notify::new(),
            metrics,
        });
        pool.worker.pools.borrow_mut().push(Rc::downgrade(&pool));
        pool
    }

    /// What its instances are of.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Instances that exist, idle or not.
    pub fn live(&self) -> usize {
        self.live.get()
    }

    /// An instance for one phase call, or for the length of a body. Does not suspend when one is idle.
    pub async fn checkout(self: &Rc<Self>) -> Result<Instance, PluginError> {
        if let Some(guest) = self.take_idle() {
            return Ok(Instance::new(guest, self.clone()));
        }
        let result = match tokio::time::timeout(WAIT, self.wait()).await {
            Ok(result) => result,
            Err(_) => Err(PluginError::Busy(self.entry.limits.instances)),
        };
        if let Err(error) = &result {
            self.metrics.failed(error.kind());
        }
        result
    }

    /// Where its calls are counted.
    pub(crate) fn metrics(&self) -> &PluginMetrics {
        &self.metrics
    }

    async fn wait(self: &Rc<Self>) -> Result<Instance, PluginError> {
        loop {
            if let Some(guest) = self.take_idle() {
                return Ok(Instance::new(guest, self.clone()));
            }
            if self.live.get() < self.entry.limits.instances.max(1) {
                match self.make().await {
                    Ok(guest) => return Ok(Instance::new(guest, self.clone())),
                    Err(MakeError::Failed(error)) => return Err(error),
                    Err(MakeError::Exhausted) => self.worker.make_room(self),
                }
                match self.make().await {
                    Ok(guest) => return Ok(Instance::new(guest, self.clone())),
                    Err(MakeError::Failed(error)) => return Err(error),
                    Err(MakeError::Exhausted) if self.live.get() == 0 => {
                        return Err(PluginError::Busy(self.entry.limits.instances));
                    }
                    Err(MakeError::Exhausted) => {}
                }
            }
            self.returned.notified().await;
        }
    }

    fn take_idle(&self) -> Option<Box<Guest>> {
        self.idle.borrow_mut().pop()
    }

    /// Makes an instance on a thread that may block: `configure` can take long.
    async fn make(&self) -> Result<Box<Guest>, MakeError> {
        self.live.set(self.live.get() + 1);
        self.metrics.instances().add(1);
        let making = Making(self);
        let (entry, calls) = (self.entry.clone(), self.worker.calls.clone());
        let made = tokio::task::spawn_blocking(move || Guest::make(&entry, Some(calls)).map(Box::new)).await;
        match made {
            Ok(Ok(guest)) => {
                std::mem::forget(making);
                Ok(guest)
            }
            Ok(Err(error)) => Err(error),
            Err(error) => Err(MakeError::Failed(PluginError::Instance(error.to_string()))),
        }
    }

    fn forget_one(&self) {
        self.live.set(self.live.get().saturating_sub(1));
        self.metrics.instances().add(-1);
        self.returned.notify_one();
    }

    pub(crate) fn give_back(&self, guest: Box<Guest>) {
        if self.is_retired() || !guest.reusable() {
            drop(guest);
            self.forget_one();
            return;
        }
        self.idle.borrow_mut().push(guest);
        self.returned.notify_one();
    }

    fn evict_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.borrow_mut());
        for guest in idle {
            drop(guest);
            self.forget_one();
        }
    }

    /// The entry has been replaced: idle instances go now, the others when they come back. Whoever holds one for the
    /// length of a stream gives it up after `limits.retire_after`.
    pub fn retire(&self) {
        if !self.is_retired() {
            self.retired.set(Some(Instant::now()));
        }
        self.evict_idle();
    }

    /// Whether [`Pool::retire`] was called.
    pub fn is_retired(&self) -> bool {
        self.retired.get().is_some()
    }

    /// Whether streams that still hold an instance have had their `limits.retire_after`.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.retired.get().is_some_and(|since| now.saturating_duration_since(since) >= self.entry.limits.retire_after)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // What is still idle goes with it.
        self.metrics.instances().add(-i64::try_from(self.live.get()).unwrap_or(0));
    }
}
