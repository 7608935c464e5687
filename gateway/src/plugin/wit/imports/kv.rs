//! Interface `kv`, on the entry's namespace. Each function is in two halves: what is asked of the namespace, and what becomes
//! of the answer; `waiting` has a wait between them.

use std::time::Duration;

use plugin_rules::kv::kept_by;

use crate::plugin::wit::bindings::edge::gateway::kv;
use crate::plugin::wit::state::HostState;
use crate::state::{self, Answer, SwapError, TooLarge};

/// What compare-and-swap gives: the new version, or what is there instead.
pub(super) type Swapped = Result<u64, Option<kv::Entry>>;

pub(super) fn entry(entry: state::Entry) -> kv::Entry {
    kv::Entry { value: entry.value.to_vec(), version: entry.version }
}

pub(super) fn swapped(result: Result<u64, SwapError>) -> wasmtime::Result<Swapped> {
    match result {
        Ok(version) => Ok(Ok(version)),
        Err(SwapError::Mismatch(found)) => Ok(Err(found.map(entry))),
        Err(error @ SwapError::TooLarge(_)) => Err(error.into()),
    }
}

/// The same, with none for a value that is too large.
pub(super) type SwappedOrTooLarge = Result<Option<u64>, Option<kv::Entry>>;

pub(super) fn swapped_or_too_large(result: Result<u64, SwapError>) -> SwappedOrTooLarge {
    match result {
        Ok(version) => Ok(Some(version)),
        Err(SwapError::Mismatch(found)) => Err(found.map(entry)),
        Err(SwapError::TooLarge(_)) => Ok(None),
    }
}

impl HostState {
    pub(super) fn ask_get(&mut self, key: &str) -> wasmtime::Result<Answer<Option<state::Entry>>> {
        self.charge()?;
        Ok(self.context.namespace.get(&kept_by(key), self.context.state.now()))
    }

    pub(super) fn ask_set(
        &mut self,
        key: &str,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Answer<Result<u64, TooLarge>>> {
        self.charge()?;
        let ttl = ttl_ms.map(Duration::from_millis);
        Ok(self.context.namespace.set(&kept_by(key), value.into(), ttl, self.context.state.now()))
    }

    pub(super) fn ask_delete(&mut self, key: &str) -> wasmtime::Result<Answer<()>> {
        self.charge()?;
        Ok(self.context.namespace.delete(&kept_by(key), self.context.state.now()))
    }

    pub(super) fn ask_swap(
        &mut self,
        key: &str,
        expect: Option<u64>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Answer<Result<u64, SwapError>>> {
        self.charge()?;
        let ttl = ttl_ms.map(Duration::from_millis);
        let now = self.context.state.now();
        Ok(self.context.namespace.compare_and_swap(&kept_by(key), expect, value.map(Into::into), ttl, now))
    }
}

impl kv::Host for HostState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<kv::Entry>> {
        Ok(self.ask_get(&key)?.now()?.map(entry))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> wasmtime::Result<u64> {
        Ok(self.ask_set(&key, value, ttl_ms)?.now()??)
    }

    fn put(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> wasmtime::Result<Option<u64>> {
        Ok(self.ask_set(&key, value, ttl_ms)?.now()?.ok())
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        Ok(self.ask_delete(&key)?.now()?)
    }

    fn compare_and_swap(
        &mut self,
        key: String,
        expect: Option<u64>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Swapped> {
        swapped(self.ask_swap(&key, expect, value, ttl_ms)?.now()?)
    }

    fn swap(
        &mut self,
        key: String,
        expect: Option<u64>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<SwappedOrTooLarge> {
        Ok(swapped_or_too_large(self.ask_swap(&key, expect, value, ttl_ms)?.now()?))
    }
}
