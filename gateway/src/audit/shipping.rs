//! Copies of the ledger on their way to object storage: a thread of their own, for segments are read whole.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ::audit::ledger::Ledger;
use ::audit::ship::{Bucket, Counters, ShipError, Shipper};
use tokio::sync::oneshot;

use crate::model::{Audit, AuditShip};

/// How long the last copies may take when the gateway ends. What is left is shipped by the next start.
const LAST: Duration = Duration::from_secs(5);

/// What ships, until it is stopped or dropped.
#[derive(Debug)]
pub(super) struct Shipping {
    counters: Arc<Counters>,
    running: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

/// How shipping fares. Counts are since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shipped {
    /// Segments whose copy was confirmed.
    pub(super) segments: u64,
    /// Heads whose copy was confirmed.
    pub(super) heads: u64,
    /// Rounds that failed.
    pub(super) failures: u64,
}

impl Shipping {
    /// Begins to ship what a ledger writes. Nothing is asked of the store yet: one that is away delays no start.
    pub(super) fn start(settings: &Audit, ship: &AuditShip, ledger: Ledger) -> Result<Self, ShipError> {
        let key = |secret: &crate::model::Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        let bucket = Bucket {
            name: ship.bucket.clone(),
            region: ship.region.clone(),
            endpoint: ship.endpoint.clone(),
            access_key: key(&ship.access_key),
            secret_key: key(&ship.secret_key),
        };
        let shipper = Shipper::new(bucket.store()?, settings.directory.clone(), settings.gateway.clone(), &ship.prefix);
        let (counters, every) = (shipper.counters(), ship.every);
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = async move {
            // A sender that is dropped stops as well.
            let stopped = async move { drop(stopped.await) };
            shipper.run(ledger, every, stopped, LAST).await;
        };
        let thread = thread::Builder::new().name("audit-ship".to_owned()).spawn(move || runtime.block_on(work))?;
        Ok(Self { counters, running: Mutex::new(Some((stop, thread))) })
    }

    /// What was shipped, and what failed.
    pub(super) fn counts(&self) -> Shipped {
        let Counters { segments, heads, failures } = &*self.counters;
        Shipped { segments: segments.load(Relaxed), heads: heads.load(Relaxed), failures: failures.load(Relaxed) }
    }

    /// Ships the rest, for as long as [`LAST`] says. Blocks. The ledger should be closed.
    pub(super) fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = running {
            drop(stop);
            // It logs what goes wrong.
            let _ = thread.join();
        }
    }
}
