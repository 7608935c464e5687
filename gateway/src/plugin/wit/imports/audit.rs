//! Interface `audit`: what a plugin tells the audit trail. It is kept with the exchange, whoever reads it.

use plugin_rules::audit::check;

use crate::plugin::wit::bindings::edge::gateway::audit as contract;
use crate::plugin::wit::bindings::edge::gateway::http::{Exchange as Handle, FieldError};
use crate::plugin::wit::state::HostState;

impl contract::Host for HostState {
    fn note(
        &mut self,
        of: Handle,
        category: String,
        place: String,
        action: String,
        count: u32,
    ) -> wasmtime::Result<Result<(), FieldError>> {
        let (by, phase) = (self.index, self.phase);
        let notes = &mut self.exchange(of)?.audit_notes;
        let noted = check(phase, &category, &place, &action).and_then(|what| notes.add(by, &category, what, count));
        Ok(noted.map_err(Into::into))
    }
}
