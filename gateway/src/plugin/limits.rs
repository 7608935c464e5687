//! Bounds of a call and of an instance: CPU time, host calls, memory and tables.
//!
//! An epoch is wall time, and a loaded machine steals it; so when a deadline fires, the thread's own CPU clock decides.
//! No clock is read before the first deadline, because most calls end long before it; but for those of an entry whose
//! calls have taken long.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use wasmtime::{ResourceLimiter, UpdateDeadline};

use super::error::Overrun;
use super::ticker::Ticker;
use crate::memory::{Budget, Hold};

/// Epochs until a call is looked at for the first time: up to one of wall time.
pub(crate) const FIRST_DEADLINE: u64 = 1;

/// CPU time of the current thread.
pub(super) fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Since when a thread's time counts, in nanoseconds of its CPU clock; 0 = not yet. Shared with the future that yields in
/// the middle of a call, which has to take up the count when the call goes on.
#[derive(Clone, Debug, Default)]
struct Mark(Arc<AtomicU64>);

impl Mark {
    fn set(&self, at: Option<Duration>) {
        let at = at.map_or(0, |at| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX).max(1));
        self.0.store(at, Ordering::Relaxed);
    }

    fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            at => Some(Duration::from_nanos(at)),
        }
    }
}

/// The CPU account of one call.
#[derive(Debug)]
pub(crate) struct CpuClock {
    budget: Duration,
    spent: Duration,
    mark: Mark,
    /// Whether the call has a stack of its own, so that it can give way to others.
    yields: bool,
    /// Moves the epochs for as long as there are calls.
    ticker: Arc<Ticker>,
}

impl CpuClock {
    pub(crate) fn new(ticker: Arc<Ticker>) -> Self {
        Self { budget: Duration::MAX, spent: Duration::ZERO, mark: Mark::default(), yields: false, ticker }
    }

    /// Starts a call. `measured`: its CPU time is known from its beginning on, which costs a look at the thread's clock.
    pub(crate) fn start(&mut self, budget: Duration, yields: bool, measured: bool) {
        self.budget = budget;
        self.yields = yields;
        self.spent = Duration::ZERO;
        self.mark.set(measured.then(thread_cpu));
        if measured { self.ticker.keep_short() } else { self.ticker.keep() }
    }

    /// Counts what was used since the mark. What was used before the first one is not known and counts as nothing, so that
    /// no call is stopped before it has spent its budget.
    fn settle(&mut self) -> Duration {
        let now = thread_cpu();
        self.spent += self.mark.get().map_or(Duration::ZERO, |mark| now.saturating_sub(mark));
        self.mark.set(Some(now));
        self.spent
    }

    /// The call is over: what is known of its CPU time, and that is all of it where it was measured. `None`: nothing, because
    /// it did not last until the first deadline.
    pub(crate) fn finish(&mut self) -> Option<Duration> {
        self.mark.get().is_some().then(|| self.settle())
    }

    /// The guest waits for the host: other calls use the thread now.
    pub(crate) fn pause(&mut self) {
        if self.mark.get().is_some() {
            self.settle();
        }
    }

    /// The guest goes on.
    pub(crate) fn resume(&self) {
        self.ticker.keep();
        self.mark.set(Some(thread_cpu()));
    }

    /// A deadline has fired.
    pub(crate) fn deadline(&mut self) -> wasmtime::Result<UpdateDeadline> {
        if self.settle() >= self.budget {
            return Err(Overrun::Cpu(self.budget).into());
        }
        if !self.yields {
            self.ticker.keep();
            return Ok(UpdateDeadline::Continue(1));
        }
        self.ticker.keep_short();
        let (mark, ticker) = (self.mark.clone(), self.ticker.clone());
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move {
                give_way().await;
                ticker.keep_short();
                mark.set(Some(thread_cpu()));
            }),
        ))
    }
}

thread_local! {
    /// A call of this thread gave way, rather than that it waits for the host. What a call holds of this has to be `Send`,
    /// and what polls it knows nothing of its store.
    static GAVE_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Whether the call that was polled last gave way. Forgets it.
pub(super) fn gave_way() -> bool {
    GAVE_WAY.take()
}

/// Goes on when it is polled for the second time. Whoever polls decides when that is: a worker when it is the call's turn, a
/// thread that has nothing else to do at once.
async fn give_way() {
    let mut given = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        GAVE_WAY.set(true);
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Memory and tables of one instance.
#[derive(Debug)]
pub(crate) struct InstanceLimits {
    memory: usize,
    /// What all instances of the process have together.
    all: Arc<Budget>,
    /// Its part of that.
    held: Hold,
    /// It gets what it asks for, whatever the others have.
    favoured: bool,
    /// Bytes in use now.
    used: usize,
    /// Bytes in use once it was configured.
    configured: usize,
    /// Set when a growth was refused.
    refused: Option<Overrun>,
}

/// Elements of one table; the largest real guests have a few thousand.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;
/// Core instances, tables and memories of one instance of a plugin.
pub(crate) const MOST_INSTANCES: u32 = 16;
pub(crate) const MOST_TABLES: u32 = 16;
pub(crate) const MOST_MEMORIES: u32 = 2;

impl InstanceLimits {
    pub(crate) fn new(memory: usize, all: Arc<Budget>) -> Self {
        let held = all.take_anyway(0);
        Self { memory, all, held, favoured: false, used: 0, configured: 0, refused: None }
    }

    /// What it is made with is not refused because of the others: the first instance of a pool, and one that a file is
    /// tried in.
    pub(crate) fn favour(&mut self) {
        self.favoured = true;
    }

    /// The limit, when the guest has been refused more; forgets it.
    pub(crate) fn take_refused(&mut self) -> Option<Overrun> {
        self.refused.take()
    }

    /// A call begins: what an earlier one was refused explains nothing any more.
    pub(crate) fn begin(&mut self) {
        self.refused = None;
    }

    /// The instance is ready: a fresh one would be as large as this.
    pub(crate) fn configured(&mut self) {
        self.configured = self.used;
        self.favoured = false;
    }

    /// Bytes in use, of all its memories together.
    pub(crate) const fn used(&self) -> usize {
        self.held.bytes()
    }

    /// Whether the instance has grown so far that a fresh one is better: memory never shrinks, and what a large body leaves
    /// free in it may be in pieces that are too small for a larger one.
    pub(crate) fn bloated(&self) -> bool {
        let grown = self.used.saturating_sub(self.configured);
        grown > self.memory / 4 || (grown > 0 && self.all.is_tight())
    }
}

impl ResourceLimiter for InstanceLimits {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.memory {
            self.refused = Some(Overrun::Memory(self.memory));
            return Ok(false);
        }
        let more = desired.saturating_sub(current);
        let held = if self.favoured { Some(self.all.take_anyway(more)) } else { self.all.try_take(more) };
        let Some(held) = held else {
            self.all.refuse();
            self.refused = Some(Overrun::PluginMemory(self.all.limit()));
            return Ok(false);
        };
        self.held.merge(held);
        self.used = desired;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        MOST_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MOST_TABLES as usize
    }

    fn memories(&self) -> usize {
        MOST_MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::ticker::TICK;
    use super::*;

    fn alone(memory: usize) -> InstanceLimits {
        InstanceLimits::new(memory, Budget::new(usize::MAX / 2))
    }

    #[test]
    fn what_all_instances_have_together_is_bounded_and_comes_back() {
        const PAGE: usize = 64 << 10;
        let all = Budget::new(16 * PAGE);
        let mut first = InstanceLimits::new(12 * PAGE, all.clone());
        assert!(first.memory_growing(0, 8 * PAGE, None).unwrap());
        first.configured();
        assert!(!first.bloated());
        let mut second = InstanceLimits::new(12 * PAGE, all.clone());
        assert!(second.memory_growing(0, 7 * PAGE, None).unwrap());
        assert!(!second.memory_growing(7 * PAGE, 9 * PAGE, None).unwrap());
        assert_eq!(second.take_refused(), Some(Overrun::PluginMemory(16 * PAGE)));
        assert!(first.memory_growing(8 * PAGE, 9 * PAGE, None).unwrap());
        assert!(first.bloated(), "what is kept only to be faster goes");
        second.favour();
        assert!(second.memory_growing(7 * PAGE, 12 * PAGE, None).unwrap(), "the first of a pool");
        drop((first, second));
        assert_eq!(all.held(), 0);
    }

    #[test]
    fn memory_beyond_the_limit_is_refused_and_remembered_once() {
        let mut limits = alone(1 << 20);
        assert!(limits.memory_growing(0, 1 << 20, None).unwrap());
        assert!(limits.bloated());
        limits.configured();
        assert!(!limits.bloated(), "a fresh one would be no smaller");
        limits.configured = (1 << 20) - (1 << 18);
        assert!(!limits.bloated(), "a fresh one would soon be as large");
        limits.configured -= 1;
        assert!(limits.bloated(), "three quarters are left of what a fresh one has");
        limits.configured();
        assert!(!limits.memory_growing(1 << 20, (1 << 20) + 1, None).unwrap());
        assert_eq!(limits.take_refused(), Some(Overrun::Memory(1 << 20)));
        assert_eq!(limits.take_refused(), None);
    }

    #[test]
    fn a_growth_refused_in_one_call_does_not_explain_the_failure_of_the_next() {
        let mut limits = alone(1 << 20);
        assert!(!limits.memory_growing(0, 2 << 20, None).unwrap());
        limits.begin();
        assert_eq!(limits.take_refused(), None);
    }

    #[test]
    fn a_call_that_slept_has_not_spent_its_budget() {
        let mut clock = CpuClock::new(Arc::default());
        clock.start(TICK * 5, false, false);
        // Many deadlines in no CPU time: as on a machine that gives the thread no turn.
        for _ in 0..20 {
            assert!(matches!(clock.deadline(), Ok(UpdateDeadline::Continue(1))));
        }
    }

    #[test]
    fn a_measured_call_is_stopped_by_what_it_used_before_the_first_deadline_too() {
        let mut clock = CpuClock::new(Arc::default());
        clock.start(TICK, true, true);
        let began = thread_cpu();
        while thread_cpu() - began < TICK {}
        assert!(clock.deadline().is_err());
        assert!(clock.finish().is_some_and(|spent| spent >= TICK));
        clock.start(TICK, true, false);
        assert_eq!(clock.finish(), None, "a short call reads no clock");
    }

    #[test]
    fn a_spinning_call_is_stopped() {
        let mut clock = CpuClock::new(Arc::default());
        clock.start(TICK * 3, false, false);
        let mut turns = 0_u64;
        while clock.deadline().is_ok() {
            turns += 1;
        }
        assert!(turns > 0);
        clock.start(TICK * 3, false, false);
        assert!(clock.deadline().is_ok(), "a new call has a new budget");
    }
}
