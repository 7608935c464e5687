//! Interface `kv`, on the entry's namespace.

use std::time::Duration;

use super::check_key;
use crate::plugin::wit::bindings::edge::gateway::kv;
use crate::plugin::wit::state::HostState;
use crate::state::{self, SwapError};

fn entry(entry: state::Entry) -> kv::Entry {
    kv::Entry { value: entry.value.to_vec(), version: entry.version }
}

impl kv::Host for HostState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<kv::Entry>> {
        self.charge()?;
        check_key("kv.get", &key)?;
        Ok(self.context.namespace.get(&key, self.context.state.now()).now()?.map(entry))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> wasmtime::Result<u64> {
        self.charge()?;
        check_key("kv.set", &key)?;
        let ttl = ttl_ms.map(Duration::from_millis);
        Ok(self.context.namespace.set(&key, value.into(), ttl, self.context.state.now()).now()??)
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        self.charge()?;
        check_key("kv.delete", &key)?;
        self.context.namespace.delete(&key, self.context.state.now()).now()?;
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
        check_key("kv.compare-and-swap", &key)?;
        let ttl = ttl_ms.map(Duration::from_millis);
        let now = self.context.state.now();
        match self.context.namespace.compare_and_swap(&key, expect, value.map(Into::into), ttl, now).now()? {
            Ok(version) => Ok(Ok(version)),
            Err(SwapError::Mismatch(found)) => Ok(Err(found.map(entry))),
            Err(error @ SwapError::TooLarge(_)) => Err(error.into()),
        }
    }
}
