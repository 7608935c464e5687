//! Erasures: a subject's key is deleted, and then every chain says so.

use std::io;

use super::{Books, now};
use crate::ledger::chain::Unlinked;
use crate::ledger::{Counters, EraseError};
use crate::line;
use crate::record::{Body, Erasure, Pseudonym};
use crate::subjects::Caller;
use crate::subjects::erase::{self, Request};
use crate::words::Retention;

impl Books {
    /// Erases a subject by a request, so that nothing of it is left out after a crash.
    pub(in crate::ledger) fn erase(&mut self, caller: &Caller) -> Result<bool, EraseError> {
        if self.keys.known(caller).is_none() {
            return Ok(false);
        }
        erase::request(&self.common.directory, &self.gateway, caller, &*self.common.storage)
            .map_err(EraseError::Keys)?;
        self.carry_out_requests().map(|()| true)
    }

    /// Carries out every request there is, up to the first that can't be at present.
    pub(in crate::ledger) fn carry_out_requests(&mut self) -> Result<(), EraseError> {
        let requests = erase::requests(&self.common.directory, &self.gateway).map_err(EraseError::Keys)?;
        requests.into_iter().try_for_each(|request| self.carry_out(request))
    }

    /// Deletes a subject's key, then says so in every chain that may have records of it.
    fn carry_out(&mut self, mut request: Request) -> Result<(), EraseError> {
        let storage = self.common.storage.clone();
        if request.pseudonym.is_none()
            && let Some(pseudonym) = self.keys.known(&request.caller)
        {
            request.begin(pseudonym, &*storage).map_err(EraseError::Keys)?;
        }
        if let Some(pseudonym) = request.pseudonym {
            if self.keys.erase(&request.caller, pseudonym).map_err(EraseError::Keys)? {
                Counters::add(&self.shared.counters.erased, 1);
            }
            self.record_erasure(pseudonym).map_err(EraseError::Unrecorded)?;
        }
        request.end(&*storage).map_err(EraseError::Unrecorded)
    }

    fn record_erasure(&mut self, pseudonym: Pseudonym) -> io::Result<()> {
        let body = line::body(&Body::Erasure(Erasure {}))?;
        let classes: Vec<Retention> = self.chains.keys().copied().collect();
        for retention in classes {
            let record = [Unlinked { body: &body, caller: Some(pseudonym), time: now() }];
            let written = self.write_twice(retention, &record);
            self.note_health(&written);
            written?;
        }
        // Where records need not be on disk at once, this one has to all the same.
        self.chains.values_mut().try_for_each(|chain| chain.sync().map(drop))
    }
}
