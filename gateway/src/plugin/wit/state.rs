//! The data of a store: the exchange of the running call, what the call may still spend, and what its entry shares.

use std::sync::Arc;

use plugin_rules::key::MAX_KEYS;
use wasmtime::component::ResourceTable;

use super::names::NameCache;
use crate::exchange::Exchange;
use crate::phase::Phase;
use crate::plugin::call::BodyMode;
use crate::plugin::callers::Callers;
use crate::plugin::context::EntryContext;
use crate::plugin::error::Overrun;
use crate::plugin::host::own_words::KnownTexts;
use crate::plugin::limits::{CpuClock, InstanceLimits};

/// What a guest calls the exchange of a call.
pub(super) type ExchangeHandle = u32;

/// The data of one store, that is of one instance of a plugin.
pub(super) struct HostState {
    /// The exchange of the running call.
    pub(super) exchange: Option<Box<Exchange>>,
    /// What the guest calls it: a number that is another one in each call.
    pub(super) handle: u32,
    /// Place of the plugin in the chain.
    pub(super) index: usize,
    /// The running call.
    pub(super) phase: Phase,
    /// How it reads the body that it is for.
    pub(super) reads: BodyMode,
    /// Host calls that it has left, and that it had.
    pub(super) host_calls: u32,
    pub(super) allowed_host_calls: u32,
    pub(super) clock: CpuClock,
    pub(super) limits: InstanceLimits,
    /// What all instances of the entry share.
    pub(super) context: Arc<EntryContext>,
    /// To the task of the worker that makes outbound calls; `None` off the workers.
    pub(super) callers: Option<Callers>,
    /// Whether the gateway itself refused its last call.
    pub(super) call_refused: bool,
    /// It has been given what nobody can look through any more, when it says something: a piece of a body, the answer to a
    /// call, a secret.
    pub(super) heard: bool,
    /// What of its notes has been found to be its own.
    pub(super) own: KnownTexts,
    /// Names of header fields that it uses.
    pub(super) names: NameCache,
    table: ResourceTable,
}

impl HostState {
    pub(super) fn new(context: Arc<EntryContext>, callers: Option<Callers>) -> Self {
        let mut table = ResourceTable::new();
        // Its only resources are keys.
        table.set_max_capacity(MAX_KEYS);
        Self {
            exchange: None,
            handle: 0,
            index: 0,
            phase: Phase::Configure,
            reads: BodyMode::Skip,
            host_calls: 0,
            allowed_host_calls: 0,
            clock: CpuClock::new(context.ticker.clone()),
            limits: InstanceLimits::new(context.limits.memory, context.memory.clone()),
            context,
            callers,
            call_refused: false,
            heard: false,
            own: KnownTexts::default(),
            names: NameCache::default(),
            table,
        }
    }

    /// Resources of the guest.
    pub(super) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Takes one host call off the budget.
    pub(super) fn charge(&mut self) -> wasmtime::Result<()> {
        match self.host_calls.checked_sub(1) {
            Some(left) => {
                self.host_calls = left;
                Ok(())
            }
            None => Err(Overrun::HostCalls(self.allowed_host_calls).into()),
        }
    }

    /// The exchange of the running call, for one host call.
    pub(super) fn exchange(&mut self, of: ExchangeHandle) -> wasmtime::Result<&mut Exchange> {
        self.charge()?;
        match &mut self.exchange {
            Some(exchange) if of == self.handle => Ok(exchange),
            Some(_) => Err(wasmtime::Error::msg("the handle is not that of this call's exchange")),
            None => Err(wasmtime::Error::msg("there is no exchange in this call")),
        }
    }
}
