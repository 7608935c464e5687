//! The open ledger of a gateway, and the policy for records that it can't confirm.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::audit::head::Head;
use ::audit::keys::{InvalidKey, SigningKey};
use ::audit::ledger::{AppendError, Ledger, OpenError, Opened, Settings};
use ::audit::ship::ShipError;
use ::audit::storage::{Disk, Storage};
use ::audit::subjects::{InvalidPseudonymKeys, PseudonymKeys};
use ::audit::vocabulary::Vocabulary;
use ::audit::words::InvalidWord;

use super::shipping::Shipping;
use crate::error::{Error, ErrorKind};
use crate::model::{Audit, AuditFailure, Secret};
use crate::telemetry::metrics::AuditCounts;

/// The audit trail of a gateway, as one configuration has it. Clones, and those that follow another configuration, write to
/// the same ledger.
#[derive(Clone, Debug)]
pub struct Trail {
    open: Arc<Open>,
    pub(super) vocabulary: Vocabulary,
    on_failure: AuditFailure,
}

/// What does not change while the gateway runs.
#[derive(Debug)]
struct Open {
    ledger: Ledger,
    keys: PseudonymKeys,
    shipping: Option<Shipping>,
    /// Exchanges that went on without a record.
    unrecorded: AtomicU64,
    /// The second in which that was logged last.
    told: AtomicU64,
}

/// The audit trail can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenTrailError {
    /// Its ledger can't.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// Nothing can be shipped.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// The signing key is none.
    #[error("the signing key {0}")]
    SigningKey(#[from] InvalidKey),
    /// A pseudonym key is none.
    #[error(transparent)]
    PseudonymKeys(#[from] InvalidPseudonymKeys),
    /// A category is none.
    #[error("a category {0}")]
    Category(#[from] InvalidWord),
}

impl Trail {
    /// Opens the ledger, or begins one. Blocks; not for a worker.
    pub fn open(settings: &Audit) -> Result<Self, OpenTrailError> {
        Self::open_on(settings, Arc::new(Disk))
    }

    /// The same on another storage than the system's.
    pub(super) fn open_on(settings: &Audit, storage: Arc<dyn Storage>) -> Result<Self, OpenTrailError> {
        let keys: Vec<&[u8]> = settings.pseudonym_keys.iter().map(Secret::expose).collect();
        let keys = PseudonymKeys::new(&keys)?;
        let vocabulary = vocabulary(settings)?;
        let signing_key = settings.signing_key.as_ref().map(|key| SigningKey::new(&settings.gateway, key.expose()));
        let (ledger, opened) = Ledger::open(
            Settings {
                durability: settings.durability,
                signing_key: signing_key.transpose()?,
                patience: settings.timeout,
                min_free: settings.min_free,
                segment_bytes: settings.segment_bytes,
                segment_age: settings.segment_age,
                keep_until_shipped: settings.ship.is_some(),
                ..Settings::new(settings.directory.clone(), settings.gateway.clone())
            },
            storage,
        )?;
        tell(settings, &opened);
        let ship = settings.ship.as_ref();
        let shipping = ship.map(|ship| Shipping::start(settings, ship, ledger.clone())).transpose()?;
        let open = Arc::new(Open { ledger, keys, shipping, unrecorded: AtomicU64::new(0), told: AtomicU64::new(0) });
        Ok(Self { open, vocabulary, on_failure: settings.on_failure })
    }

    /// The same ledger under what another configuration says of it.
    pub fn follow(&self, settings: &Audit) -> Result<Self, OpenTrailError> {
        Ok(Self { open: self.open.clone(), vocabulary: vocabulary(settings)?, on_failure: settings.on_failure })
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.open.ledger
    }

    pub(super) fn keys(&self) -> &PseudonymKeys {
        &self.open.keys
    }

    /// What follows where a record was not confirmed.
    ///
    /// # Errors
    /// The exchange may not go on.
    pub(super) fn missed(&self, error: AppendError) -> Result<(), Error> {
        if self.on_failure == AuditFailure::Refuse {
            return Err(Error::new(ErrorKind::Audit, explain(error)));
        }
        let count = self.open.unrecorded.fetch_add(1, Relaxed) + 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        // A line per second says it as well as one per request.
        if self.open.told.swap(now, Relaxed) != now {
            tracing::error!(error = explain(error), count, "exchanges go on without a record in the audit trail");
        }
        Ok(())
    }

    /// What is shown of it, whenever it is asked.
    pub fn counts(&self) -> impl Fn() -> AuditCounts + Send + Sync + 'static {
        let (open, refuses) = (self.open.clone(), self.on_failure == AuditFailure::Refuse);
        move || {
            let counters = open.ledger.counters();
            let shipped = open.shipping.as_ref().map(Shipping::counts);
            AuditCounts {
                records: counters.records.load(Relaxed),
                bytes: counters.bytes.load(Relaxed),
                syncs: counters.syncs.load(Relaxed),
                failures: counters.failures.load(Relaxed),
                unconfirmed: counters.unconfirmed.load(Relaxed),
                refused: counters.refused.load(Relaxed),
                queued: counters.queued.load(Relaxed),
                erased: counters.erased.load(Relaxed),
                deleted_segments: counters.deleted_segments.load(Relaxed),
                unrecorded: open.unrecorded.load(Relaxed),
                ships: shipped.is_some(),
                shipped_segments: shipped.unwrap_or_default().segments,
                shipped_heads: shipped.unwrap_or_default().heads,
                ship_failures: shipped.unwrap_or_default().failures,
                failing: counters.failing.load(Relaxed),
                refuses,
                heads: open
                    .ledger
                    .heads()
                    .iter()
                    .map(|head| (head.chain.to_string(), head.seq, head.hash.to_string()))
                    .collect(),
            }
        }
    }

    /// The last record of each chain that is on disk.
    pub fn heads(&self) -> Vec<Head> {
        self.open.ledger.heads()
    }

    /// Writes what was handed over, ends the ledger and ships the rest of it. Blocks: so long for the ledger, and some seconds
    /// for the rest.
    pub fn close(&self, limit: Duration) {
        let ledger = self.open.ledger.clone();
        let (done, closed) = std::sync::mpsc::sync_channel(1);
        let closing = std::thread::Builder::new().name("audit-close".to_owned()).spawn(move || {
            ledger.close();
            // Nobody may be waiting any more.
            let _ = done.send(());
        });
        if closing.is_err() || closed.recv_timeout(limit).is_err() {
            tracing::error!("the audit trail could not be closed in time; what it had not confirmed may be missing");
        }
        if let Some(shipping) = &self.open.shipping {
            shipping.stop();
        }
    }
}

fn vocabulary(settings: &Audit) -> Result<Vocabulary, InvalidWord> {
    Vocabulary::new(settings.categories.iter().map(String::as_str))
}

/// Says what was found.
fn tell(settings: &Audit, opened: &Opened) {
    let directory = settings.directory.display();
    tracing::info!(%directory, gateway = %settings.gateway, signed = settings.signing_key.is_some(), "audit trail opened");
    for (chain, recovery) in &opened.recoveries {
        let (cut, segment, damaged) = (recovery.cut, recovery.segment, recovery.damaged);
        tracing::warn!(%chain, segment, cut, damaged, "the audit trail had not been closed; what was torn is cut and recorded");
    }
    if opened.keys.cut > 0 || opened.keys.damaged > 0 {
        let (cut, damaged) = (opened.keys.cut, opened.keys.damaged);
        tracing::warn!(cut, damaged, "the audit trail's key file was torn or damaged");
    }
}

const fn explain(error: AppendError) -> &'static str {
    match error {
        AppendError::Busy => "the audit trail's queue is full",
        AppendError::TimedOut => "the audit trail's disk did not confirm a record in time",
        AppendError::Failed => "the audit trail can't be written",
        AppendError::Full => "the audit trail's disk is full",
        AppendError::Closed => "the audit trail is closed",
    }
}
