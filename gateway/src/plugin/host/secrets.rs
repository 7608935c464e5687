//! Interface `secrets`: what the operator granted by name, and nothing else.

use super::HostState;
use crate::plugin::phase::bindings::edge::gateway::secrets;

impl secrets::Host for HostState {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.charge()?;
        Ok(self.secrets().get(&name).cloned())
    }
}
