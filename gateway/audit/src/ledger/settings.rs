//! How a ledger is kept.

use std::path::PathBuf;
use std::time::Duration;

use crate::keys::SigningKey;
use crate::layout;
use crate::words::Name;

/// What it means that a record was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is on disk. Syncs are at least `pace` apart where records come without a pause, so that each is for many of them:
    /// with 10 ms a disk makes at most 100 a second for each retention class, as a hard disk can. A record that
    /// comes after a pause is synced at once.
    Sync {
        /// From one sync to the next.
        pace: Duration,
    },
    /// It is in memory, and will be on disk after about this time.
    Batch(Duration),
    /// It is in memory. It is handed to the system at once, and is on disk within seconds.
    Async,
}

impl Durability {
    /// On disk, with at most 100 syncs a second.
    pub const SYNC: Self = Self::Sync { pace: Duration::from_millis(10) };
}

/// How a ledger is kept. [`Settings::new`] has the defaults.
#[derive(Debug)]
pub struct Settings {
    /// Below which everything lies, but for the keys.
    pub directory: PathBuf,
    /// Who writes. No two gateways of one directory have the same name.
    pub gateway: Name,
    /// The file with the subjects' keys.
    pub keys: PathBuf,
    /// What it means that a record was taken.
    pub durability: Durability,
    /// What signs heads; without it the ledger is ordered, not tamper-proof.
    pub signing_key: Option<SigningKey>,
    /// How many records may wait, or be under way.
    pub queue: usize,
    /// How long a caller waits: for room in the queue, and with [`Durability::Sync`] for the disk.
    pub patience: Duration,
    /// From how many bytes a segment is followed by another.
    pub segment_bytes: u64,
    /// From which age a segment is followed by another, so that it can be shipped and deleted.
    pub segment_age: Duration,
    /// With less space than this, in bytes, records are refused before the disk is full.
    pub min_free: u64,
    /// Whether segments are deleted only when a copy of them is confirmed.
    pub keep_until_shipped: bool,
    /// How often the ledger looks after itself: space, age, erasures that are asked for.
    pub tick: Duration,
}

impl Settings {
    /// A ledger in this directory, written by the gateway of this name.
    pub fn new(directory: PathBuf, gateway: Name) -> Self {
        Self {
            keys: layout::keys(&directory, &gateway),
            directory,
            gateway,
            durability: Durability::SYNC,
            signing_key: None,
            queue: 4096,
            patience: Duration::from_secs(2),
            segment_bytes: 64 << 20,
            segment_age: Duration::from_secs(24 * 60 * 60),
            min_free: 64 << 20,
            keep_until_shipped: false,
            tick: Duration::from_secs(1),
        }
    }
}
