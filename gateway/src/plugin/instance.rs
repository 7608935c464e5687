//! An instance of an entry while it is lent, and how more of them are made.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::{Action, Call};
use super::callers::Callers;
use super::conduct::{SLICE, Way};
use super::entry::Entry;
use super::error::PluginError;
use super::host::log_gate::LogGate;
use super::limits::thread_cpu;
use super::maker::{MakeError, Maker, Reuse};
use super::stock::Taken;
use super::symbols::CodePlace;
use super::turns::Line;
use super::wit::{Guest, Spent};
use crate::exchange::Exchange;
use crate::phase::Phase;
use crate::telemetry::metrics::{EntryMetrics, PluginMetrics};
use crate::trace::{PhaseOutcome, PhaseRecord, Trace};

/// An instance checked out of its pool. Dropping it gives it back, or throws it away after a failure.
pub struct Instance {
    taken: Taken<Guests>,
}

impl Instance {
    pub(super) const fn new(taken: Taken<Guests>) -> Self {
        Self { taken }
    }

    /// It is held between calls from here on, for the length of a body; its pool may take it back when its entry was
    /// replaced longer ago than `limits.retire_after`.
    pub fn pin(&mut self) {
        self.taken.pin();
    }

    /// One phase call; `index` is the plugin's place in the chain. The exchange is back in its place however the call
    /// ends, and its measures have the time that it took.
    pub async fn call(
        &mut self,
        exchange: &mut Option<Box<Exchange>>,
        index: usize,
        call: Call<'_>,
    ) -> Result<Action, PluginError> {
        let (guest, from) = self.taken.hold().ok_or(PluginError::TakenBack)?;
        if !guest.is_usable() || exchange.is_none() {
            return Err(PluginError::Unusable);
        }
        let (phase, bytes, started) = (call.phase(), call.bytes(), Instant::now());
        let way = from.line.conduct().borrow_mut().way(started);
        let result = match from.admit(phase, way, started) {
            Ok(()) => {
                if way == Way::InTurn {
                    from.line.turn().await;
                }
                let (result, spent) = guest.call(exchange, index, call, way, Some(&from.line)).await;
                let took = started.elapsed();
                if let Some(exchange) = exchange {
                    exchange.measures.plugins += took;
                }
                from.metrics.called(phase, took);
                from.account(bytes, &result, &spent, way, took, started + took);
                guest.note_memory();
                note(exchange, index, phase, (started, took), (spent.host_calls, &result));
                result
            }
            Err(error) => {
                let result = Err(error);
                note(exchange, index, phase, (started, Duration::ZERO), (0, &result));
                result
            }
        };
        if let Err(error) = &result {
            from.metrics.failed(error.kind());
        }
        self.taken.release();
        result
    }
}

/// Notes a call for the exchange's trace, where something is kept of that.
fn note(
    exchange: &mut Option<Box<Exchange>>,
    by: usize,
    phase: Phase,
    (began, took): (Instant, Duration),
    (host_calls, result): (u32, &Result<Action, PluginError>),
) {
    let trace = exchange.as_deref_mut().and_then(|exchange| exchange.trace.as_mut());
    if let Some(record) = trace.and_then(Trace::record) {
        let outcome = match result {
            Ok(action) => PhaseOutcome::Did(action.name()),
            Err(error) => PhaseOutcome::Failed(error.kind()),
        };
        record.phase(PhaseRecord { by, phase, began, ended: began + took, busy: took, calls: 1, host_calls, outcome });
    }
}

/// Makes the guests of an entry.
pub(super) struct Guests {
    pub(super) entry: Arc<Entry>,
    pub(super) callers: Callers,
    /// Where calls are counted.
    pub(super) metrics: PluginMetrics,
    /// What they cost.
    pub(super) costs: EntryMetrics,
    pub(super) weight: usize,
    /// How they go, and where those wait that take long.
    pub(super) line: Rc<Line>,
    pub(super) warnings: LogGate,
    /// For the lines of traps.
    pub(super) lines: LogGate,
}

/// Calls of an entry that may wait for their turn before more exchanges are refused.
const MOST_WAITING: usize = 16;

impl Guests {
    /// Whether the call is made. An exchange that the entry has begun with is not given up for what others did.
    fn admit(&self, phase: Phase, way: Way, now: Instant) -> Result<(), PluginError> {
        let conduct = self.line.conduct().borrow();
        if !conduct.is_watched() || self.entry.phases.first() != Some(phase) {
            return Ok(());
        }
        if let Some(left) = conduct.paused(now) {
            return Err(PluginError::Paused(left));
        }
        let waiting = if way == Way::InTurn { self.line.waiting() } else { 0 };
        if waiting >= MOST_WAITING {
            return Err(PluginError::Share { plugin: self.entry.name.clone(), waiting });
        }
        Ok(())
    }

    /// A call is over: what it cost, and what follows from that.
    fn account(
        &self,
        bytes: usize,
        result: &Result<Action, PluginError>,
        spent: &Spent,
        way: Way,
        took: Duration,
        now: Instant,
    ) {
        let thread = spent.thread.unwrap_or(took);
        let measured = way != Way::Plain;
        let cpu = match spent.cpu {
            Some(cpu) if measured => cpu,
            // Short enough that nothing else can have had much of it.
            _ if thread <= SLICE => thread,
            known => known.unwrap_or_default().max(SLICE),
        };
        let given = result.as_ref().map_or(0, Action::bytes);
        self.costs.called(cpu, spent.host_calls, bytes, given);
        let mut conduct = self.line.conduct().borrow_mut();
        if spent.thread.is_none() {
            conduct.used(now, cpu);
        }
        if thread > SLICE && (cpu > SLICE || !measured) {
            conduct.took_long(now, cpu > SLICE);
        }
        match result {
            Ok(_) => conduct.good(),
            Err(error) if error.is_the_guests() => {
                if let PluginError::Trap { at, .. } = error {
                    self.trapped(*at);
                }
                if let Some(pause) = conduct.failed(now, cpu) {
                    self.warn_of(pause, "its calls used much CPU time and failed, again and again: it is not called");
                }
            }
            Err(_) => {}
        }
    }

    fn trapped(&self, at: Option<CodePlace>) {
        self.costs.trapped();
        let Some(at) = at.filter(|_| self.lines.admit_now().is_some()) else { return };
        let entry = self.entry.clone();
        // Nobody waits for it.
        drop(tokio::task::spawn_blocking(move || {
            if let Some(line) = entry.line(at) {
                tracing::warn!(plugin = &*entry.name, route = &*entry.route, line, "plugin trapped at this line");
            }
        }));
    }

    /// An instance is lost that took so long to make, or could not be made in that time.
    fn lost(&self, made_in: Duration) {
        let pause = self.line.conduct().borrow_mut().lost(Instant::now(), made_in);
        if let Some(pause) = pause {
            self.warn_of(pause, "instances that take much CPU time to make failed, again and again: none is made");
        }
    }

    /// Pauses double, so these are few.
    fn warn_of(&self, pause: Duration, what: &str) {
        self.costs.paused();
        let (plugin, route, pause_ms) = (&*self.entry.name, &*self.entry.route, pause.as_millis());
        tracing::warn!(plugin, route, pause_ms, "{what} meanwhile, and `on_failure` answers");
    }
}

impl Maker for Guests {
    type Item = Box<Guest>;

    /// On a thread that may block: `configure` can take long.
    async fn make(&self, first: bool) -> Result<Box<Guest>, MakeError> {
        let (entry, callers) = (self.entry.clone(), self.callers.clone());
        let make = move || {
            let began = thread_cpu();
            let made = entry.instantiate(Some(callers), first).map(Box::new);
            (made, thread_cpu().saturating_sub(began))
        };
        let (made, took) = match tokio::task::spawn_blocking(make).await {
            Ok(made) => made,
            Err(error) => return Err(MakeError::Failed(PluginError::Instance(error.to_string()))),
        };
        match made {
            Ok(mut guest) => {
                guest.account_memory(self.costs.clone());
                Ok(guest)
            }
            Err(error) => {
                // What the system refuses is not the guest's doing.
                if matches!(&error, MakeError::Failed(error) if !matches!(error, PluginError::Instance(_))) {
                    self.lost(took);
                }
                Err(error)
            }
        }
    }

    fn may_make(&self) -> Result<(), PluginError> {
        let paused = self.line.conduct().borrow().makes_paused(Instant::now());
        paused.map_or(Ok(()), |left| Err(PluginError::NotMade(left)))
    }

    fn discarded(&self, guest: &Box<Guest>) {
        if let Some(made_in) = guest.lost() {
            self.lost(made_in);
        }
    }

    fn reuse(&self, guest: &Box<Guest>) -> Reuse {
        guest.reuse()
    }

    fn limit(&self) -> usize {
        self.entry.limits.instances.max(1)
    }

    fn weight(&self) -> usize {
        self.weight
    }

    fn counted(&self, by: i64) {
        self.metrics.instances().add(by);
    }
}
