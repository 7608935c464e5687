//! One instance: a store, the functions of its `handler`, and how it is made and called.
//!
//! A plugin that can't suspend is called without a stack of its own and never yields, unless its calls have taken long. The
//! exchange moves into the store for the length of a call; a guard puts it back however the call ends.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use plugin_rules::limits::shares;
use wasmtime::component::Instance;
use wasmtime::{Engine, Store};

use super::Plugin;
use super::handler::HandlerExports;
use super::state::HostState;
use crate::exchange::Exchange;
use crate::model::PluginLimits;
use crate::phase::Phase;
use crate::plugin::call::{Action, Call, Description, PluginConfigError};
use crate::plugin::callers::Callers;
use crate::plugin::conduct::Way;
use crate::plugin::context::EntryContext;
use crate::plugin::error::{LoadError, Overrun, PluginError};
use crate::plugin::limits::{FIRST_DEADLINE, MOST_INSTANCES, MOST_MEMORIES, MOST_TABLES, thread_cpu};
use crate::plugin::maker::{MakeError, Reuse};
use crate::plugin::turns::Line;
use crate::telemetry::metrics::EntryMetrics;

/// CPU time of `describe` and `configure`, which compile expressions and parse keys.
const LOAD_BUDGET: Duration = Duration::from_secs(2);
/// Calls after which an instance is replaced, so that what a guest leaks stays bounded. It serves on until the other one
/// is there, but not for as many calls again.
const MAX_CALLS: u32 = 10_000;

/// See the module. May cross threads until it is first used.
pub(in crate::plugin) struct Guest {
    store: Store<HostState>,
    handler: HandlerExports,
    suspends: bool,
    calls: u32,
    /// CPU time that it took to make.
    made_in: Duration,
    memory: Option<MemoryAccount>,
    /// Set while a call runs and for ever after one that failed: a store is not used again after a trap, nor after a
    /// call that was dropped half-way.
    broken: bool,
    /// A call failed, and the guest is to blame.
    failed: bool,
}

fn new_store(engine: &Engine, context: Arc<EntryContext>, callers: Option<Callers>) -> Store<HostState> {
    // What one host call may be given: whatever the instance holds, so that the size of a body can't end a plugin that has it
    // checked or kept. What a call gives back is bounded by `limits.output` when it is there.
    let handed_over = context.limits.output.max(context.limits.memory).max(64 << 10);
    let mut store = Store::new(engine, HostState::new(context, callers));
    store.limiter(|state| &mut state.limits);
    store.set_hostcall_fuel(handed_over);
    // Only an engine that counts instructions has any.
    let _ = store.set_fuel(u64::MAX);
    store.set_max_component_handles(4096);
    store.epoch_deadline_callback(|mut context| context.data_mut().clock.deadline());
    store
}

/// What a call may spend.
struct Allowance {
    cpu: Duration,
    host_calls: u32,
    /// It has a stack of its own, and gives way to others in the middle of its work.
    yields: bool,
    /// Its CPU time counts from the beginning, not from the first look at it.
    measured: bool,
}

/// What a call cost, as far as that is known.
pub(in crate::plugin) struct Spent {
    /// How long it had the thread, by the clock; `None` where that is all of the call.
    pub(in crate::plugin) thread: Option<Duration>,
    /// Its CPU time: all of it where it was measured, otherwise since it was looked at first.
    pub(in crate::plugin) cpu: Option<Duration>,
    /// Host calls that it made.
    pub(in crate::plugin) host_calls: u32,
}

impl Allowance {
    /// For `describe` and `configure`.
    fn to_load(limits: &PluginLimits, suspends: bool) -> Self {
        Self { cpu: LOAD_BUDGET, host_calls: limits.host_calls, yields: suspends, measured: false }
    }

    /// For a phase, which may be given a piece of a body.
    fn to_serve(limits: &PluginLimits, bytes: usize, suspends: bool, way: Way) -> Self {
        let shares = shares(bytes);
        Self {
            cpu: limits.cpu.saturating_mul(shares),
            host_calls: limits.host_calls.saturating_mul(shares),
            yields: suspends || shares > 1 || way != Way::Plain,
            measured: way != Way::Plain,
        }
    }
}

fn arm(store: &mut Store<HostState>, phase: Phase, allowed: &Allowance) {
    store.set_epoch_deadline(FIRST_DEADLINE);
    let state = store.data_mut();
    state.phase = phase;
    state.heard = matches!(phase, Phase::RequestBody | Phase::ResponseBody);
    state.host_calls = allowed.host_calls;
    state.allowed_host_calls = allowed.host_calls;
    state.limits.begin();
    state.clock.start(allowed.cpu, allowed.yields, allowed.measured);
}

/// What the guest calls the next call's exchange. A handle that it has kept from an earlier call is no good in this one; the
/// lowest bit says whether something of the exchange is recorded, so that a guest need not ask.
const fn next_handle(before: u32, recorded: bool) -> u32 {
    (before | 1).wrapping_add(1) | recorded as u32
}

/// Runs a future on a thread that may block.
pub(in crate::plugin) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = TaskContext::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

async fn instantiate(store: &mut Store<HostState>, plugin: &Plugin) -> wasmtime::Result<Instance> {
    if plugin.suspends { plugin.pre.instantiate_async(store).await } else { plugin.pre.instantiate(store) }
}

/// Asks a plugin what it is, in an instance that is thrown away, under the limits of `context`. Blocks.
pub(in crate::plugin) fn describe(plugin: &Plugin, context: Arc<EntryContext>) -> Result<Description, LoadError> {
    let allowed = Allowance::to_load(&context.limits, plugin.suspends);
    let mut store = new_store(plugin.pre.engine(), context, None);
    store.data_mut().limits.favour();
    arm(&mut store, Phase::Describe, &allowed);
    let result: wasmtime::Result<_> = block_on(async {
        let instance = instantiate(&mut store, plugin).await?;
        // All types are checked here, so that an instance made later can't fail on them.
        HandlerExports::find(&mut store, &instance, &plugin.functions)?;
        plugin.functions.describe(&mut store, &instance, allowed.yields).await
    });
    // The process that tries it has room for as much as a plugin may have: where that is not enough, it never is.
    result.map(Description::from).map_err(|error| match error.is::<wasmtime::PoolConcurrencyLimitError>() {
        true => LoadError::Call(format!(
            "needs more than a plugin may have: {MOST_INSTANCES} core instances, {MOST_TABLES} tables, {MOST_MEMORIES} \
             memories"
        )),
        false => LoadError::Call(failed(&mut store, Phase::Describe, &error).to_string()),
    })
}

/// What a call's error means.
fn failed(store: &mut Store<HostState>, phase: Phase, error: &wasmtime::Error) -> PluginError {
    let state = store.data_mut();
    PluginError::from_call(
        &state.context.plugin.clone(),
        phase,
        error,
        state.limits.take_refused(),
        state.context.limits.output,
    )
}

impl Guest {
    /// Instantiates and configures. Blocks: it is called off the workers. `first`: of its pool, which is never without one
    /// because others have much memory.
    pub(in crate::plugin) fn make(
        plugin: &Plugin,
        context: Arc<EntryContext>,
        config: &str,
        callers: Option<Callers>,
        first: bool,
    ) -> Result<Self, MakeError> {
        let suspends = plugin.suspends;
        let allowed = Allowance::to_load(&context.limits, suspends);
        let mut store = new_store(plugin.pre.engine(), context, callers);
        if first {
            store.data_mut().limits.favour();
        }
        arm(&mut store, Phase::Configure, &allowed);
        let (mut is_there, began) = (false, thread_cpu());
        let made: wasmtime::Result<_> = block_on(async {
            let instance = instantiate(&mut store, plugin).await?;
            is_there = true;
            let handler = HandlerExports::find(&mut store, &instance, &plugin.functions)?;
            let configured = plugin.functions.configure(&mut store, &instance, allowed.yields, config).await?;
            Ok((handler, configured))
        });
        match made {
            Ok((handler, Ok(()))) => {
                store.data_mut().limits.configured();
                let made_in = thread_cpu().saturating_sub(began);
                Ok(Self { store, handler, suspends, calls: 0, made_in, memory: None, broken: false, failed: false })
            }
            Ok((_, Err(errors))) => {
                let context = store.data().context.clone();
                let error = |error: PluginConfigError| PluginConfigError {
                    message: context.without_secrets(error.message),
                    pointer: context.without_secrets(error.pointer),
                };
                let errors = errors.into_iter().map(|found| error(found.into())).collect();
                Err(MakeError::Failed(PluginError::Configure(errors)))
            }
            Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => Err(MakeError::Exhausted),
            Err(error) => Err(match failed(&mut store, Phase::Configure, &error) {
                PluginError::Overrun { overrun: Overrun::PluginMemory(_), .. } => MakeError::Exhausted,
                // What the system refuses while it is made (memory, above all) is not the guest's doing.
                PluginError::Trap { message, .. } if !is_there && !error.is::<wasmtime::Trap>() => {
                    MakeError::Failed(PluginError::Instance(message))
                }
                error => MakeError::Failed(error),
            }),
        }
    }

    /// Whether it can be called: not after a call that failed or was dropped.
    pub(in crate::plugin) const fn is_usable(&self) -> bool {
        !self.broken
    }

    /// What CPU time it took to make, where it was lost by a call that failed. One that was dropped in the middle is nothing to
    /// hold against it: whoever asked has left.
    pub(in crate::plugin) fn lost(&self) -> Option<Duration> {
        self.failed.then_some(self.made_in)
    }

    /// From here on its memory counts among what the entry costs.
    pub(in crate::plugin) fn account_memory(&mut self, of: EntryMetrics) {
        self.memory = Some(MemoryAccount { of, noted: 0 });
        self.note_memory();
    }

    /// Its memory may have grown.
    pub(in crate::plugin) fn note_memory(&mut self) {
        let used = self.store.data().limits.used();
        if let Some(memory) = &mut self.memory
            && memory.noted != used
        {
            memory.note(used);
        }
    }

    /// One phase call over the exchange in the slot; `index` is the plugin's place in the chain. An answer above the limit
    /// is a failure. Where it has a stack of its own it gives way to others, and goes on when it is its turn in `line`: at once
    /// where there is none.
    pub(in crate::plugin) async fn call(
        &mut self,
        slot: &mut Option<Box<Exchange>>,
        index: usize,
        call: Call<'_>,
        way: Way,
        line: Option<&Rc<Line>>,
    ) -> (Result<Action, PluginError>, Spent) {
        let phase = call.phase();
        let allowed = Allowance::to_serve(&self.store.data().context.limits, call.bytes(), self.suspends, way);
        self.broken = true;
        self.calls += 1;
        arm(&mut self.store, phase, &allowed);
        let state = self.store.data_mut();
        state.index = index;
        state.reads = call.mode();
        state.exchange = slot.take();
        let trace = state.exchange.as_ref().and_then(|exchange| exchange.trace.as_ref());
        state.handle = next_handle(state.handle, trace.is_some_and(|trace| trace.notes.is_some()));
        let of = state.handle;
        let loan = Loan { guest: self, slot };
        let (result, thread) = if allowed.yields {
            let calling = pin!(loan.guest.handler.call(&mut loan.guest.store, true, of, call));
            match line {
                Some(line) => {
                    let (result, thread) = line.run(way == Way::InTurn, calling).await;
                    (result, Some(thread))
                }
                None => (calling.await, None),
            }
        } else {
            (loan.guest.handler.call(&mut loan.guest.store, false, of, call).await, None)
        };
        let state = loan.guest.store.data_mut();
        let cpu = state.clock.finish();
        let spent = Spent { thread, cpu, host_calls: state.allowed_host_calls - state.host_calls };
        let output = state.context.limits.output;
        let result = match result {
            Ok(action) if action.bytes() <= output => {
                loan.guest.broken = false;
                Ok(action)
            }
            Ok(_) => Err(PluginError::Overrun {
                plugin: state.context.plugin.clone(),
                phase,
                overrun: Overrun::Output(output),
            }),
            Err(error) => Err(failed(&mut loan.guest.store, phase, &error)),
        };
        loan.guest.failed = result.as_ref().is_err_and(|error| error.is_the_guests());
        (result, spent)
    }

    /// How many instructions it may still take, where the engine counts them.
    pub(in crate::plugin) fn fuel(&self) -> u64 {
        self.store.get_fuel().unwrap_or(0)
    }

    /// What it is good for, between calls.
    pub(in crate::plugin) fn reuse(&self) -> Reuse {
        if self.broken || self.calls >= 2 * MAX_CALLS || self.store.data().limits.bloated() {
            return Reuse::Never;
        }
        if self.calls >= MAX_CALLS { Reuse::UntilReplaced } else { Reuse::Freely }
    }
}

/// What an instance's memory is counted in, by the worker that it belongs to.
struct MemoryAccount {
    of: EntryMetrics,
    noted: usize,
}

impl MemoryAccount {
    fn note(&mut self, used: usize) {
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.of.memory().add(signed(used) - signed(self.noted));
        self.noted = used;
    }
}

impl Drop for MemoryAccount {
    fn drop(&mut self) {
        self.note(0);
    }
}

/// Puts the exchange back into its slot when the call ends: returned, trapped or dropped.
struct Loan<'a> {
    guest: &'a mut Guest,
    slot: &'a mut Option<Box<Exchange>>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut exchange = self.guest.store.data_mut().exchange.take();
        // What the call has begun in the exchange's trace ends with it, however it ends.
        if let Some(notes) = exchange.as_mut().and_then(|exchange| exchange.trace.as_mut()?.notes.as_mut()) {
            notes.end_open(Instant::now);
        }
        *self.slot = exchange;
    }
}

#[cfg(test)]
mod tests {
    use super::next_handle;

    #[test]
    fn a_handle_is_another_one_in_each_call_and_tells_what_is_recorded() {
        for before in [0, 1, 2, 7, u32::MAX - 1, u32::MAX] {
            for recorded in [false, true] {
                let next = next_handle(before, recorded);
                assert_ne!(next, before);
                assert_eq!(next & 1 == 1, recorded);
            }
        }
    }
}
