//! One instance of a plugin: a store, the functions of its `handler`, and how a phase is called.
//!
//! A plugin that can't suspend is called without a stack of its own and never yields. The exchange moves into the store
//! for the length of a call; a guard puts it back however the call ends.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Func, InstancePre, Lift, Lower, TypedFunc,
};
use wasmtime::{Engine, Store};

use super::callers::Callers;
use super::engine::Host;
use super::entry::{Entry, Shared};
use super::error::{LoadError, NAMELESS, Overrun, PluginError, one_line};
use super::host::HostState;
use super::limits::{FIRST_DEADLINE, MOST_INSTANCES, MOST_MEMORIES, MOST_TABLES, shares};
use super::phase::bindings::edge::gateway::http::Exchange as Handle;
use super::phase::{
    ChunkAction, ConfigError, Failure, FailureAction, HANDLER, LocalResponse, Manifest, Phase, RequestAction,
    ResponseAction, StoredResponse,
};
use super::pool::Guests;
use super::stock::{MakeError, Taken, Wear};
use crate::exchange::Exchange;
use crate::model::PluginLimits;

/// CPU time of `describe` and `configure`, which compile expressions and parse keys.
const LOAD_BUDGET: Duration = Duration::from_secs(2);
/// Calls after which an instance is replaced, so that what a guest leaks stays bounded. It serves on until the other one
/// is there, but not for as many calls again.
const MAX_CALLS: u32 = 10_000;

/// Where the functions of `handler` are in a component; found once per artifact.
#[derive(Clone, Debug)]
pub(crate) struct Functions {
    describe: ComponentExportIndex,
    configure: ComponentExportIndex,
    request_headers: ComponentExportIndex,
    request_body: ComponentExportIndex,
    response_headers: ComponentExportIndex,
    response_body: ComponentExportIndex,
    upstream_failure: ComponentExportIndex,
    log: ComponentExportIndex,
}

impl Functions {
    pub(crate) fn find(component: &Component) -> Result<Self, LoadError> {
        let handler = component
            .get_export_index(None, HANDLER)
            .ok_or_else(|| LoadError::Export(format!("does not export `{HANDLER}`")))?;
        let find = |name: &str| {
            component
                .get_export_index(Some(&handler), name)
                .ok_or_else(|| LoadError::Export(format!("`{HANDLER}` lacks the function `{name}`")))
        };
        Ok(Self {
            describe: find("describe")?,
            configure: find("configure")?,
            request_headers: find("on-request-headers")?,
            request_body: find("on-request-body")?,
            response_headers: find("on-response-headers")?,
            response_body: find("on-response-body")?,
            upstream_failure: find("on-upstream-failure")?,
            log: find("on-log")?,
        })
    }
}

/// The functions of one instance, types checked.
struct Handler {
    request_headers: TypedFunc<(Handle, bool), (RequestAction,)>,
    response_headers: TypedFunc<(Handle, bool), (ResponseAction,)>,
    upstream_failure: TypedFunc<(Handle, Failure), (FailureAction,)>,
    log: TypedFunc<(Handle,), ()>,
    /// Typed at each call, because their parameter borrows the chunk; a chunk costs more than the check.
    request_body: Func,
    response_body: Func,
}

/// An instance without its pool; may cross threads until it is first used.
pub(crate) struct Guest {
    store: Store<HostState>,
    handler: Handler,
    suspends: bool,
    calls: u32,
    /// Set while a call runs and for ever after one that failed: a store is not used again after a trap, nor after a
    /// call that was dropped half-way.
    broken: bool,
}

fn new_store(engine: &Engine, shared: Arc<Shared>, callers: Option<Callers>) -> Store<HostState> {
    let output = shared.limits.output;
    let mut store = Store::new(engine, HostState::new(shared, callers));
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
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

async fn call<P, R>(
    store: &mut Store<HostState>,
    yields: bool,
    function: &TypedFunc<P, R>,
    params: P,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift + 'static,
{
    if yields { function.call_async(store, params).await } else { function.call(store, params) }
}

/// Asks an artifact what it is, in an instance that is thrown away, under the limits that it will have.
pub(crate) fn describe(
    host: &Arc<Host>,
    pre: &InstancePre<HostState>,
    functions: &Functions,
    suspends: bool,
    limits: &PluginLimits,
) -> Result<Manifest, LoadError> {
    let shared = Shared {
        plugin: NAMELESS.into(),
        route: "?".into(),
        limits: limits.clone(),
        upstreams: Vec::new(),
        secrets: Default::default(),
        state: host.state().clone(),
        namespace: crate::state::State::default().namespace(""),
        metrics: host.options.metrics.clone(),
        flights: host.flights.clone(),
        memory: host.options.memory.clone(),
        log: Default::default(),
        hidden: Default::default(),
        refused: Default::default(),
    };
    let mut store = new_store(pre.engine(), Arc::new(shared), None);
    store.data_mut().limits.favour();
    arm(&mut store, Phase::Describe, &Allowance::to_load(limits, suspends));
    let result: wasmtime::Result<_> = block_on(async {
        let instance = if suspends { pre.instantiate_async(&mut store).await? } else { pre.instantiate(&mut store)? };
        // All types are checked here, so that an instance made later can't fail on them.
        handler(&mut store, &instance, functions)?;
        let describe = instance.get_typed_func::<(), (Manifest,)>(&mut store, functions.describe)?;
        let (manifest,) = call(&mut store, suspends, &describe, ()).await?;
        wasmtime::Result::Ok(manifest)
    });
    // The process that tries it has room for as much as a plugin may have: where that is not enough, it never is.
    result.map_err(|error| match error.is::<wasmtime::PoolConcurrencyLimitError>() {
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
        &state.shared.plugin.clone(),
        phase,
        error,
        state.limits.take_refused(),
        state.shared.limits.output,
    )
}

fn handler(
    store: &mut Store<HostState>,
    instance: &wasmtime::component::Instance,
    functions: &Functions,
) -> wasmtime::Result<Handler> {
    let function = |store: &mut Store<HostState>, index: ComponentExportIndex| {
        instance.get_func(store, index).ok_or_else(|| wasmtime::Error::msg("a function of `handler` is missing"))
    };
    let request_body = function(store, functions.request_body)?;
    request_body.typed::<(Handle, &[u8], bool), (ChunkAction,)>(&*store)?;
    let response_body = function(store, functions.response_body)?;
    response_body.typed::<(Handle, &[u8], bool), (ChunkAction,)>(&*store)?;
    Ok(Handler {
        request_headers: instance.get_typed_func(&mut *store, functions.request_headers)?,
        response_headers: instance.get_typed_func(&mut *store, functions.response_headers)?,
        upstream_failure: instance.get_typed_func(&mut *store, functions.upstream_failure)?,
        log: instance.get_typed_func(&mut *store, functions.log)?,
        request_body,
        response_body,
    })
}

impl Guest {
    /// Instantiates and configures. Blocks: it is called off the workers. `first`: of its pool, which is never without one
    /// because others have much memory.
    pub(crate) fn make(entry: &Entry, callers: Option<Callers>, first: bool) -> Result<Self, MakeError> {
        let artifact = &entry.artifact;
        let suspends = artifact.suspends;
        let mut store = new_store(artifact.pre.engine(), entry.context.clone(), callers);
        if first {
            store.data_mut().limits.favour();
        }
        arm(&mut store, Phase::Configure, &Allowance::to_load(&entry.limits, suspends));
        let mut is_there = false;
        let made: wasmtime::Result<_> = block_on(async {
            let instance = if suspends {
                artifact.pre.instantiate_async(&mut store).await?
            } else {
                artifact.pre.instantiate(&mut store)?
            };
            is_there = true;
            let handler = handler(&mut store, &instance, &artifact.functions)?;
            let configure = instance
                .get_typed_func::<(&str,), (Result<(), Vec<ConfigError>>,)>(&mut store, artifact.functions.configure)?;
            let (configured,) = call(&mut store, suspends, &configure, (entry.config.as_str(),)).await?;
            Ok((handler, configured))
        });
        match made {
            Ok((handler, Ok(()))) => {
                store.data_mut().limits.configured();
                Ok(Self { store, handler, suspends, calls: 0, broken: false })
            }
            Ok((_, Err(mut errors))) => {
                for error in &mut errors {
                    error.message = entry.context.hidden.redact(&error.message);
                }
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

    /// What it is good for, between calls.
    pub(super) fn wear(&self) -> Wear {
        if self.broken || self.calls >= 2 * MAX_CALLS || self.store.data().limits.bloated() {
            return Wear::Spent;
        }
        if self.calls >= MAX_CALLS { Wear::Worn } else { Wear::Sound }
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

/// An instance checked out of its pool. Dropping it gives it back, or throws it away after a failure.
///
/// Each call adds its time to the exchange's measures.
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

    /// `on-request-headers`; `index` is the plugin's place in the chain.
    pub async fn request_headers(
        &mut self,
        exchange: &mut Option<Box<Exchange>>,
        index: usize,
        end: bool,
    ) -> Result<RequestAction, PluginError> {
        let (action,) = self
            .invoke(
                exchange,
                index,
                Phase::RequestHeaders,
                0,
                |guest| Ok(guest.handler.request_headers),
                |of| (of, end),
            )
            .await?;
        match &action {
            RequestAction::Continue(_) => {}
            RequestAction::Respond(response)
            | RequestAction::RespondStored(StoredResponse { otherwise: Some(response), .. }) => {
                self.bound(Phase::RequestHeaders, size(response))?
            }
            RequestAction::RespondStored(_) => {}
        }
        Ok(action)
    }

    /// `on-request-body`.
    pub async fn request_body(
        &mut self,
        exchange: &mut Option<Box<Exchange>>,
        index: usize,
        data: Bytes,
        end: bool,
    ) -> Result<ChunkAction, PluginError> {
        self.body(exchange, index, Phase::RequestBody, &data, end).await
    }

    /// `on-response-headers`.
    pub async fn response_headers(
        &mut self,
        exchange: &mut Option<Box<Exchange>>,
        index: usize,
        end: bool,
    ) -> Result<ResponseAction, PluginError> {
        let (action,) = self
            .invoke(
                exchange,
                index,
                Phase::ResponseHeaders,
                0,
                |guest| Ok(guest.handler.response_headers),
                |of| (of, end),
            )
            .await?;
        match &action {
            ResponseAction::Continue(_) => {}
            ResponseAction::Respond(response)
            | ResponseAction::RespondStored(StoredResponse { otherwise: Some(response), .. }) => {
                self.bound(Phase::ResponseHeaders, size(response))?
            }
            ResponseAction::RespondStored(_) => {}
        }
        Ok(action)
    }

    /// `on-response-body`.
    pub async fn response_body(
        &mut self,
        exchange: &mut Option<Box<Exchange>>,
        index: usize,
        data: Bytes,
        end: bool,
    ) -> Result<ChunkAction, PluginError> {
        self.body(exchange, index, Phase::ResponseBody, &data, end).await
    }

    /// `on-upstream-failure`.
    pub async fn upstream_failure(
        &mut self,
        exchange: &mut Option<Box<Exchange>>,
        index: usize,
        failed: crate::error::Failure,
    ) -> Result<FailureAction, PluginError> {
        let failed = Failure::from(failed);
        let (action,) = self
            .invoke(
                exchange,
                index,
                Phase::UpstreamFailure,
                0,
                |guest| Ok(guest.handler.upstream_failure),
                |of| (of, failed),
            )
            .await?;
        match &action {
            FailureAction::Continue | FailureAction::Retry => {}
            FailureAction::Respond(response)
            | FailureAction::RespondStored(StoredResponse { otherwise: Some(response), .. }) => {
                self.bound(Phase::UpstreamFailure, size(response))?
            }
            FailureAction::RespondStored(_) => {}
        }
        Ok(action)
    }

    /// `on-log`.
    pub async fn log(&mut self, exchange: &mut Option<Box<Exchange>>, index: usize) -> Result<(), PluginError> {
        self.invoke(exchange, index, Phase::Log, 0, |guest| Ok(guest.handler.log), |of| (of,)).await
    }

    async fn body(
        &mut self,
        exchange: &mut Option<Box<Exchange>>,
        index: usize,
        phase: Phase,
        data: &[u8],
        end: bool,
    ) -> Result<ChunkAction, PluginError> {
        let (action,) = self
            .invoke(
                exchange,
                index,
                phase,
                data.len(),
                |guest| {
                    let body = &guest.handler;
                    let function = if phase == Phase::RequestBody { body.request_body } else { body.response_body };
                    function.typed::<(Handle, &[u8], bool), (ChunkAction,)>(&guest.store)
                },
                |of| (of, data, end),
            )
            .await?;
        match &action {
            ChunkAction::Pass | ChunkAction::Abort => {}
            ChunkAction::Replace(bytes) => self.bound(phase, bytes.len())?,
            ChunkAction::Respond(response) => self.bound(phase, size(response))?,
        }
        Ok(action)
    }

    /// Refuses an answer above the limit.
    fn bound(&mut self, phase: Phase, size: usize) -> Result<(), PluginError> {
        let limit = self.taken.maker().entry().limits.output;
        if size <= limit {
            return Ok(());
        }
        let plugin = self.taken.maker().entry().name.clone();
        let error = PluginError::Overrun { plugin, phase, overrun: Overrun::Output(limit) };
        self.taken.maker().metrics().failed(error.kind());
        if let Some((guest, _)) = self.taken.hold() {
            guest.broken = true;
        }
        Err(error)
    }

    async fn invoke<P, R>(
        &mut self,
        exchange: &mut Option<Box<Exchange>>,
        index: usize,
        phase: Phase,
        bytes: usize,
        function: impl FnOnce(&Guest) -> wasmtime::Result<TypedFunc<P, R>>,
        params: impl FnOnce(Handle) -> P,
    ) -> Result<R, PluginError>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let (guest, from) = self.taken.hold().ok_or(PluginError::TakenBack)?;
        if guest.broken || exchange.is_none() {
            return Err(PluginError::Unusable);
        }
        let function = function(guest).map_err(|error| PluginError::Instance(one_line(&format!("{error:#}"), 300)))?;
        let allowed = Allowance::to_serve(&from.entry().limits, bytes, guest.suspends);
        guest.broken = true;
        guest.calls += 1;
        arm(&mut guest.store, phase, &allowed);
        let state = guest.store.data_mut();
        state.index = index;
        state.exchange = exchange.take();
        // A handle that a guest has kept from an earlier call is no good in this one.
        state.handle = state.handle.wrapping_add(1);
        let params = params(state.handle);
        let loan = Loan { guest, slot: exchange };
        let started = Instant::now();
        let result = call(&mut loan.guest.store, allowed.yields, &function, params).await;
        let took = started.elapsed();
        let result = match result {
            Ok(value) => {
                loan.guest.broken = false;
                Ok(value)
            }
            Err(error) => Err(failed(&mut loan.guest.store, phase, &error)),
        };
        drop(loan);
        if let Some(exchange) = exchange {
            exchange.measures.plugins += took;
        }
        from.metrics().called(phase, took);
        if let Err(error) = &result {
            from.metrics().failed(error.kind());
        }
        self.taken.release();
        result
    }
}

/// Bytes of a response that a guest made.
fn size(response: &LocalResponse) -> usize {
    response.headers.iter().map(|header| header.name.len() + header.value.len()).sum::<usize>() + response.body.len()
}
