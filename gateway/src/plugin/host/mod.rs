//! What the host offers to guests: one file per interface of the contract, and the data of a store.
//!
//! Every host function begins with [`HostState::charge`]; what a guest hands over is validated before anything is
//! changed. A mistake that a good plugin can make is an error value, a breach of bounds is a trap.

pub mod calls;
mod counters;
pub mod crypto;
pub(crate) mod fields;
pub(crate) mod flights;
pub mod http;
mod kv;
pub mod metrics;
mod names;
mod secrets;
pub mod sys;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::ResourceTable;

use self::names::Names;
use super::callers::Callers;
use super::entry::Shared;
use super::error::{Overrun, sanitise};
use super::grants::{self, Need};
use super::limits::{CpuClock, InstanceLimits};
use super::phase::{Phase, bindings};
use crate::exchange::Exchange;

/// The data of one store, that is of one instance of a plugin.
pub struct HostState {
    /// The exchange of the running call.
    pub(crate) exchange: Option<Box<Exchange>>,
    /// What the guest calls it: a number that is another one in each call.
    pub(crate) handle: u32,
    /// Place of the plugin in the chain.
    pub(crate) index: usize,
    /// The running call.
    pub(crate) phase: Phase,
    /// Host calls that it has left, and that it had.
    pub(crate) host_calls: u32,
    pub(crate) allowed_host_calls: u32,
    pub(crate) clock: CpuClock,
    pub(crate) limits: InstanceLimits,
    /// What all instances of the entry share.
    pub(crate) shared: Arc<Shared>,
    /// To the task of the worker that makes outbound calls; `None` off the workers.
    pub(crate) callers: Option<Callers>,
    /// Whether the gateway itself refused its last call.
    call_refused: bool,
    /// Names of header fields that it uses.
    names: Names,
    table: ResourceTable,
}

/// What an entry was refused so far.
#[derive(Debug, Default)]
pub(crate) struct Refused(Mutex<BTreeSet<(Need, String)>>);

impl Refused {
    /// Names that are remembered, and said, of one entry.
    const MOST: usize = 16;

    fn is_new(&self, need: Need, name: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.len() < Self::MOST && known.insert((need, sanitise(name, 64)))
    }
}

/// Keys that a guest may hold at a time.
const MAX_RESOURCES: usize = 1024;

impl HostState {
    pub(crate) fn new(shared: Arc<Shared>, callers: Option<Callers>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Self {
            exchange: None,
            handle: 0,
            index: 0,
            phase: Phase::Configure,
            host_calls: 0,
            allowed_host_calls: 0,
            clock: CpuClock::new(),
            limits: InstanceLimits::new(shared.limits.memory, shared.memory.clone()),
            shared,
            callers,
            call_refused: false,
            names: Names::default(),
            table,
        }
    }

    /// Resources of the guest.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// The secrets that the operator granted to this plugin, by name.
    pub fn secrets(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.shared.secrets
    }

    /// The words for a plugin that asks for something by a name that it is not granted. The log has them too, once for each
    /// name: a plugin may keep the refusal to itself.
    fn refuse(&self, need: Need, name: &str) -> String {
        let message = grants::refusal(&self.shared.plugin, need, name);
        if self.shared.refused.is_new(need, name) {
            tracing::warn!(target: "plugin", plugin = %self.shared.plugin, route = %self.shared.route, "{message}");
        }
        message
    }

    /// Takes one host call off the budget.
    pub fn charge(&mut self) -> wasmtime::Result<()> {
        match self.host_calls.checked_sub(1) {
            Some(left) => {
                self.host_calls = left;
                Ok(())
            }
            None => Err(Overrun::HostCalls(self.allowed_host_calls).into()),
        }
    }
}

/// Longest key of `kv` and name of `counters`.
const MAX_KEY: usize = 1 << 10;

/// Refuses keys that would make the state store's memory a guest's to fill.
fn check_key(function: &str, key: &str) -> wasmtime::Result<()> {
    if key.len() > MAX_KEY {
        return Err(wasmtime::Error::msg(format!("{function}: a key of at most {MAX_KEY} bytes")));
    }
    Ok(())
}

impl bindings::edge::gateway::types::Host for HostState {}
