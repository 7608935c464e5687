//! The adapter to the contract in `plugin-sdk/wit/plugin.wit`: the only place that knows its types.
//!
//! Inwards it offers a [`Plugin`], a component that is linked, of which it makes a [`Guest`], an instance that takes a
//! [`Call`](super::call::Call) and answers with an [`Action`](super::call::Action). What guests call back is in `imports`.
//! Another ABI is a folder beside this one that offers the same.

mod bindings;
mod convert;
mod guest;
mod handler;
mod imports;
mod names;
mod state;

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre};

pub(super) use self::guest::{Guest, Spent, block_on, describe};
use self::handler::Functions;
pub(super) use self::handler::HANDLER;
use self::imports::{fast, waiting};
use self::state::HostState;
use super::error::{LoadError, one_line};

/// What the host gives to guests, ready to be linked.
pub(super) struct Linker(wasmtime::component::Linker<HostState>);

impl Linker {
    /// With everything that the contract has. `waits`: state may have to be waited for.
    pub(super) fn new(engine: &Engine, waits: bool) -> wasmtime::Result<Self> {
        let mut linker = wasmtime::component::Linker::new(engine);
        bindings::Host_::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
        fast::add_to_linker(&mut linker)?;
        if waits {
            waiting::add_to_linker(&mut linker)?;
        }
        Ok(Self(linker))
    }
}

/// A component that is linked, ready to be instantiated.
pub(super) struct Plugin {
    pre: InstancePre<HostState>,
    functions: Functions,
    /// Whether it may wait for the host, so that it needs a stack of its own.
    pub(super) suspends: bool,
}

impl Plugin {
    /// Links a component, whose exports must be those of the contract.
    pub(super) fn link(linker: &Linker, component: &Component, suspends: bool) -> Result<Self, LoadError> {
        let functions = Functions::find(component)?;
        let pre = linker
            .0
            .instantiate_pre(component)
            .map_err(|error| LoadError::Import(one_line(&format!("{error:#}"), 600)))?;
        Ok(Self { pre, functions, suspends })
    }

    /// The component.
    pub(super) fn component(&self) -> &Component {
        self.pre.component()
    }
}
