//! Interface `kv`, on the entry's namespace.

use std::time::Duration;

use plugin_rules::kv::kept_by;

use crate::plugin::wit::bindings::edge::gateway::kv;
use crate::plugin::wit::state::HostState;
use crate::state::{self, SwapError, TooLarge};

fn entry(entry: state::Entry) -> kv::Entry {
    kv::Entry { value: entry.value.to_vec(), version: entry.version }
}

impl kv::Host for HostState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<kv::Entry>> {
        self.charge()?;
        Ok(self.context.namespace.get(&kept_by(&key), self.context.state.now()).now()?.map(entry))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> wasmtime::Result<u64> {
        self.charge()?;
        Ok(self.set_entry(&key, value, ttl_ms)??)
    }

    fn put(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> wasmtime::Result<Option<u64>> {
        self.charge()?;
        Ok(self.set_entry(&key, value, ttl_ms)?.ok())
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        self.charge()?;
        self.context.namespace.delete(&kept_by(&key), self.context.state.now()).now()?;
        Ok(())
    }

    fn compare_and_swap(
        &mut self,
        key: String,
        expect: Option<u64>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<u64, Option<kv::Entry>>> {
        self.charge()?;
        match self.swap_entry(&key, expect, value, ttl_ms)? {
            Ok(version) => Ok(Ok(version)),
            Err(SwapError::Mismatch(found)) => Ok(Err(found.map(entry))),
            Err(error @ SwapError::TooLarge(_)) => Err(error.into()),
        }
    }

    fn swap(
        &mut self,
        key: String,
        expect: Option<u64>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<Option<u64>, Option<kv::Entry>>> {
        self.charge()?;
        Ok(match self.swap_entry(&key, expect, value, ttl_ms)? {
            Ok(version) => Ok(Some(version)),
            Err(SwapError::Mismatch(found)) => Err(found.map(entry)),
            Err(SwapError::TooLarge(_)) => Ok(None),
        })
    }
}

impl HostState {
    fn set_entry(&self, key: &str, value: Vec<u8>, ttl_ms: Option<u64>) -> wasmtime::Result<Result<u64, TooLarge>> {
        let ttl = ttl_ms.map(Duration::from_millis);
        Ok(self.context.namespace.set(&kept_by(key), value.into(), ttl, self.context.state.now()).now()?)
    }

    fn swap_entry(
        &self,
        key: &str,
        expect: Option<u64>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<u64, SwapError>> {
        let (value, ttl) = (value.map(Into::into), ttl_ms.map(Duration::from_millis));
        let now = self.context.state.now();
        Ok(self.context.namespace.compare_and_swap(&kept_by(key), expect, value, ttl, now).now()?)
    }
}
