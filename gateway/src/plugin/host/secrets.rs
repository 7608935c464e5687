//! Interface `secrets`: what the operator granted by name, and nothing else.

use super::HostState;
use crate::plugin::grants::Need;
use crate::plugin::phase::bindings::edge::gateway::secrets;

impl secrets::Host for HostState {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.charge()?;
        let secret = self.secrets().get(&name).cloned();
        if secret.is_none() {
            self.refuse(Need::Secrets, &name);
        }
        Ok(secret)
    }
}
