//! An instance of an entry while it is lent, and how more of them are made.

use std::sync::Arc;
use std::time::Instant;

use super::call::{Action, Call};
use super::callers::Callers;
use super::entry::Entry;
use super::error::PluginError;
use super::host::log_gate::LogGate;
use super::stock::{MakeError, Maker, Reuse, Taken};
use super::wit::Guest;
use crate::exchange::Exchange;
use crate::telemetry::metrics::PluginMetrics;

/// An instance checked out of its pool. Dropping it gives it back, or throws it away after a failure.
pub struct Instance {
    taken: Taken<Guests>,
}

impl Instance {
    pub(super) const fn new(taken: Taken<Guests>) -> Self {
        Self { taken }
    }

    /// It is held between calls from here on, for the length of a body; its pool may take it back when its entry was
    /// replaced longer ago than `limits.retire_after`.
    pub fn pin(&mut self) {
        self.taken.pin();
    }

    /// One phase call; `index` is the plugin's place in the chain. The exchange is back in its place however the call
    /// ends, and its measures have the time that it took.
    pub async fn call(
        &mut self,
        exchange: &mut Option<Box<Exchange>>,
        index: usize,
        call: Call<'_>,
    ) -> Result<Action, PluginError> {
        let (guest, from) = self.taken.hold().ok_or(PluginError::TakenBack)?;
        if !guest.is_usable() || exchange.is_none() {
            return Err(PluginError::Unusable);
        }
        let phase = call.phase();
        let started = Instant::now();
        let result = guest.call(exchange, index, call).await;
        let took = started.elapsed();
        if let Some(exchange) = exchange {
            exchange.measures.plugins += took;
        }
        from.metrics.called(phase, took);
        if let Err(error) = &result {
            from.metrics.failed(error.kind());
        }
        self.taken.release();
        result
    }
}

/// Makes the guests of an entry.
pub(super) struct Guests {
    pub(super) entry: Arc<Entry>,
    pub(super) callers: Callers,
    /// Where calls are counted.
    pub(super) metrics: PluginMetrics,
    pub(super) weight: usize,
    pub(super) warnings: LogGate,
}

impl Maker for Guests {
    type Item = Box<Guest>;

    /// On a thread that may block: `configure` can take long.
    async fn make(&self, first: bool) -> Result<Box<Guest>, MakeError> {
        let (entry, callers) = (self.entry.clone(), self.callers.clone());
        match tokio::task::spawn_blocking(move || entry.instantiate(Some(callers), first).map(Box::new)).await {
            Ok(made) => made,
            Err(error) => Err(MakeError::Failed(PluginError::Instance(error.to_string()))),
        }
    }

    fn reuse(&self, guest: &Box<Guest>) -> Reuse {
        guest.reuse()
    }

    fn limit(&self) -> usize {
        self.entry.limits.instances.max(1)
    }

    fn weight(&self) -> usize {
        self.weight
    }

    fn counted(&self, by: i64) {
        self.metrics.instances().add(by);
    }
}
