//! One instance: a store, the functions of its `handler`, and how it is made and called.
//!
//! A plugin that can't suspend is called without a stack of its own and never yields. The exchange moves into the store
//! for the length of a call; a guard puts it back however the call ends.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

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
use crate::plugin::context::EntryContext;
use crate::plugin::error::{LoadError, Overrun, PluginError};
use crate::plugin::limits::{FIRST_DEADLINE, MOST_INSTANCES, MOST_MEMORIES, MOST_TABLES, shares};
use crate::plugin::stock::{MakeError, Reuse};

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
    /// Set while a call runs and for ever after one that failed: a store is not used again after a trap, nor after a
    /// call that was dropped half-way.
    broken: bool,
}

fn new_store(engine: &Engine, context: Arc<EntryContext>, callers: Option<Callers>) -> Store<HostState> {
    let output = context.limits.output;
    let mut store = Store::new(engine, HostState::new(context, callers));
    store.limiter(|state| &mut state.limits);
    store.set_hostcall_fuel(output.max(64 << 10));
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
}

impl Allowance {
    /// For `describe` and `configure`.
    fn to_load(limits: &PluginLimits, suspends: bool) -> Self {
        Self { cpu: LOAD_BUDGET, host_calls: limits.host_calls, yields: suspends }
    }

    /// For a phase, which may be given a piece of a body.
    fn to_serve(limits: &PluginLimits, bytes: usize, suspends: bool) -> Self {
        let shares = shares(bytes);
        Self {
            cpu: limits.cpu.saturating_mul(shares),
            host_calls: limits.host_calls.saturating_mul(shares),
            yields: suspends || shares > 1,
        }
    }
}

fn arm(store: &mut Store<HostState>, phase: Phase, allowed: &Allowance) {
    store.set_epoch_deadline(FIRST_DEADLINE);
    let state = store.data_mut();
    state.phase = phase;
    state.host_calls = allowed.host_calls;
    state.allowed_host_calls = allowed.host_calls;
    state.limits.begin();
    state.clock.start(allowed.cpu, allowed.yields);
}

/// Runs a future on a thread that may block.
fn block_on<F: Future>(future: F) -> F::Output {
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
        let mut is_there = false;
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
                Ok(Self { store, handler, suspends, calls: 0, broken: false })
            }
            Ok((_, Err(errors))) => {
                let hidden = &store.data().context.hidden;
                let error =
                    |error: PluginConfigError| PluginConfigError { message: hidden.redact(&error.message), ..error };
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

    /// One phase call over the exchange in the slot; `index` is the plugin's place in the chain. An answer above the limit
    /// is a failure.
    pub(in crate::plugin) async fn call(
        &mut self,
        slot: &mut Option<Box<Exchange>>,
        index: usize,
        call: Call<'_>,
    ) -> Result<Action, PluginError> {
        let phase = call.phase();
        let allowed = Allowance::to_serve(&self.store.data().context.limits, call.bytes(), self.suspends);
        self.broken = true;
        self.calls += 1;
        arm(&mut self.store, phase, &allowed);
        let state = self.store.data_mut();
        state.index = index;
        state.reads = call.mode();
        state.exchange = slot.take();
        // A handle that a guest has kept from an earlier call is no good in this one.
        state.handle = state.handle.wrapping_add(1);
        let of = state.handle;
        let loan = Loan { guest: self, slot };
        let result = loan.guest.handler.call(&mut loan.guest.store, allowed.yields, of, call).await;
        let context = &loan.guest.store.data().context;
        let output = context.limits.output;
        match result {
            Ok(action) if action.bytes() <= output => {
                loan.guest.broken = false;
                Ok(action)
            }
            Ok(_) => {
                Err(PluginError::Overrun { plugin: context.plugin.clone(), phase, overrun: Overrun::Output(output) })
            }
            Err(error) => Err(failed(&mut loan.guest.store, phase, &error)),
        }
    }

    /// What it is good for, between calls.
    pub(in crate::plugin) fn reuse(&self) -> Reuse {
        if self.broken || self.calls >= 2 * MAX_CALLS || self.store.data().limits.bloated() {
            return Reuse::Never;
        }
        if self.calls >= MAX_CALLS { Reuse::UntilReplaced } else { Reuse::Freely }
    }
}

/// Puts the exchange back into its slot when the call ends: returned, trapped or dropped.
struct Loan<'a> {
    guest: &'a mut Guest,
    slot: &'a mut Option<Box<Exchange>>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        *self.slot = self.guest.store.data_mut().exchange.take();
    }
}
