//! `http.get` and `http.set` without copies of their parameters: nearly every plugin calls them for every request.
//!
//! The functions that `bindgen!` registers take a `String` and a `Vec` of their own. Those of this file take their
//! place in the linker and read names and values where they are, in the guest's memory; what they do is the same.

use http::header::HeaderName;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmList, WasmStr};

use crate::plugin::host::fields::{field_value, get, parsed_name, set};
use crate::plugin::wit::bindings::edge::gateway::http::{Exchange as Handle, FieldError, Part};
use crate::plugin::wit::state::HostState;

/// The interface, with the version of the contract that this host speaks.
const HTTP: &str = "edge:gateway/http@0.1.0";

type Store<'a> = StoreContextMut<'a, HostState>;

/// Puts them in the place of the generated ones.
pub(in crate::plugin::wit) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut http = linker.instance(HTTP)?;
    http.func_wrap("get", |mut store: Store<'_>, (of, part, name): (Handle, Part, WasmStr)| {
        store.data_mut().exchange(of)?;
        let (state, name) = (store.data(), name.to_str(&store)?);
        let value = |name: &HeaderName| state.exchange.as_deref().and_then(|exchange| get(exchange, part.into(), name));
        if let Some(name) = state.names.find(&name) {
            return Ok((value(name),));
        }
        let Ok(name) = parsed_name(&name) else { return Ok((None,)) };
        let value = value(&name);
        store.data_mut().names.keep(name);
        Ok((value,))
    })?;
    type Set = (Handle, Part, WasmStr, WasmList<u8>);
    http.func_wrap("set", |mut store: Store<'_>, (of, part, name, value): Set| {
        let name = name.to_str(&store)?;
        let known = store.data().names.find(&name).cloned();
        let name = match known {
            Some(name) => Ok(name),
            None => parsed_name(&name).inspect(|name| store.data_mut().names.keep(name.clone())),
        };
        let value = field_value(value.as_le_slice(&store));
        let index = store.data().index;
        let changed = set(store.data_mut().exchange(of)?, index, part.into(), name, value);
        Ok((changed.map_err(FieldError::from),))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}
