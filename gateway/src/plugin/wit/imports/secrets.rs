//! Interface `secrets`: what the operator granted by name, and nothing else.

use crate::plugin::grants::Need;
use crate::plugin::wit::bindings::edge::gateway::secrets;
use crate::plugin::wit::state::HostState;

impl secrets::Host for HostState {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.charge()?;
        self.heard = true;
        let secret = self.context.secrets.get(&name).map(|secret| secret.expose().to_vec());
        if secret.is_none() {
            self.context.refuse(Need::Secrets, &name);
        }
        Ok(secret)
    }
}
