//! `exchange.get` and `exchange.set` without copies of their parameters: nearly every plugin calls them for every request.
//!
//! The functions that `bindgen!` registers take a `String` and a `Vec` of their own. Those of this file take their place
//! in the linker and read names and values where they are, in the guest's memory; what they do is the same.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, WasmList, WasmStr};

use super::HostState;
use super::http::{ExchangeHandle, field, get, set};
use crate::plugin::phase::bindings::edge::gateway::http::Part;

/// The interface, with the version of the contract that this host speaks.
const HTTP: &str = "edge:gateway/http@0.1.0";

type Store<'a> = StoreContextMut<'a, HostState>;
type Handle = Resource<ExchangeHandle>;

/// Puts them in the place of the generated ones.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut http = linker.instance(HTTP)?;
    http.func_wrap("[method]exchange.get", |mut store: Store<'_>, (_, of, name): (Handle, Part, WasmStr)| {
        store.data_mut().exchange()?;
        let name = name.to_str(&store)?;
        let exchange = store.data().exchange.as_deref();
        Ok((exchange.and_then(|exchange| get(exchange, of, &name)),))
    })?;
    type Set = (Handle, Part, WasmStr, WasmList<u8>);
    http.func_wrap("[method]exchange.set", |mut store: Store<'_>, (_, of, name, value): Set| {
        let field = field(&name.to_str(&store)?, value.as_le_slice(&store), of);
        Ok((set(store.data_mut().exchange()?, of, field),))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}
