//! The ledger of a gateway, as those see it who write records: [`Ledger`]. One thread writes ([`writer`]), and everything
//! that is linked, synced or looked up happens there; workers encode a record, hand it over and wait as long as the
//! durability says.

mod books;
mod chain;
mod counters;
mod entry;
mod recovery;
mod settings;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

pub use self::counters::Counters;
pub use self::entry::Entry;
pub use self::settings::{Durability, Settings};
use self::writer::{Message, Writer};
use crate::head::{ChainName, Head, SignedHead};
use crate::layout;
use crate::record::Recovery;
use crate::storage::Storage;
use crate::subjects::Caller;
use crate::subjects::store::KeyFile;
use crate::words::Retention;

/// A record was not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The queue stayed full for as long as the caller may wait.
    #[error("the audit trail's queue is full")]
    Busy,
    /// The disk did not confirm it for as long as the caller may wait. It may be written all the same.
    #[error("the audit trail's disk did not confirm a record in time")]
    TimedOut,
    /// It could not be written, or not be confirmed, on a second segment either.
    #[error("the audit trail can't be written")]
    Failed,
    /// There is too little space.
    #[error("the audit trail's disk is full")]
    Full,
    /// The ledger is closed.
    #[error("the audit trail is closed")]
    Closed,
}

/// A subject was not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The key may still be in the key file.
    #[error("the key could not be deleted: {0}")]
    Keys(io::Error),
    /// The key is deleted, but the record that says so could not be written.
    #[error("the key is deleted, but that could not be recorded: {0}")]
    Unrecorded(io::Error),
    /// The ledger is closed.
    #[error("the audit trail is closed")]
    Closed,
}

/// A ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another process writes the audit trail of this gateway; each gateway needs a name of its own")]
    InUse,
    /// Something of it can't be read or written.
    #[error("the audit trail can't be opened: {0}")]
    Io(#[from] io::Error),
}

/// What was found when a ledger was opened.
#[derive(Debug, Default)]
pub struct Opened {
    /// Torn ends that were cut, and damage. Each is recorded in its chain.
    pub recoveries: Vec<(ChainName, Recovery)>,
    /// The state of the key file.
    pub keys: KeyFile,
}

/// The ledger of a gateway. Clones are of the same one; it ends when the last is dropped.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    messages: Sender<Message>,
    shared: Arc<Shared>,
    /// Whether callers wait for the disk.
    waits: bool,
    patience: Duration,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer and everybody else see.
#[derive(Debug)]
struct Shared {
    /// Room in the queue: a permit for each record that may wait or be under way.
    room: Semaphore,
    counters: Counters,
    heads: Mutex<BTreeMap<Retention, SignedHead>>,
}

impl Ledger {
    /// Opens the ledger of a gateway, or begins one, and starts the thread that writes. Blocks; not for a worker.
    pub fn open(settings: Settings, storage: Arc<dyn Storage>) -> Result<(Self, Opened), OpenError> {
        let lock = lock(&settings, &*storage)?;
        let shared = Arc::new(Shared {
            room: Semaphore::new(settings.queue.clamp(1, Semaphore::MAX_PERMITS)),
            counters: Counters::default(),
            heads: Mutex::default(),
        });
        let (messages, queue) = channel();
        let waits = matches!(settings.durability, Durability::Sync { .. });
        let patience = settings.patience;
        let (writer, opened) = Writer::open(settings, storage, shared.clone(), lock)?;
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&queue))?;
        let thread = Mutex::new(Some(thread));
        Ok((Self(Arc::new(Handle { messages, shared, waits, patience, thread })), opened))
    }

    /// Writes a record. With [`Durability::Sync`] it is on disk when this returns. Whoever gives the future up does not know
    /// whether it will be.
    ///
    /// # Errors
    ///
    /// Says why the record is not known to be kept; what follows from that is the caller's policy.
    pub async fn append(&self, entry: Entry) -> Result<(), AppendError> {
        let refused = |error| {
            Counters::add(&self.0.shared.counters.refused, 1);
            Err(error)
        };
        let (sender, confirmed) = if self.0.waits { Some(oneshot::channel()) } else { None }.unzip();
        let mut taken = false;
        let written = async {
            let permit = self.0.shared.room.acquire().await.map_err(|_| AppendError::Closed)?;
            self.0.shared.counters.queued.fetch_add(1, Relaxed);
            permit.forget();
            taken = true;
            self.0.messages.send(Message::Append(entry, sender)).map_err(|_| AppendError::Closed)?;
            match confirmed {
                Some(confirmed) => confirmed.await.unwrap_or(Err(AppendError::Closed)),
                None => Ok(()),
            }
        };
        match tokio::time::timeout(self.0.patience, written).await {
            Ok(result) => result.or_else(refused),
            Err(_) => refused(if taken { AppendError::TimedOut } else { AppendError::Busy }),
        }
    }

    /// Deletes a subject's key and records that. `false` where there is no such subject.
    ///
    /// # Errors
    ///
    /// Says what was not done.
    pub async fn erase(&self, caller: Caller) -> Result<bool, EraseError> {
        let (sender, erased) = oneshot::channel();
        self.0.messages.send(Message::Erase(caller, sender)).map_err(|_| EraseError::Closed)?;
        erased.await.unwrap_or(Err(EraseError::Closed))
    }

    /// What is counted.
    pub fn counters(&self) -> &Counters {
        &self.0.shared.counters
    }

    /// The last record of each chain that is on disk: what somebody else should keep.
    pub fn heads(&self) -> Vec<Head> {
        self.signed_heads().into_iter().map(|signed| signed.head).collect()
    }

    /// [`Self::heads`] with their signed notes.
    pub fn signed_heads(&self) -> Vec<SignedHead> {
        self.0.shared.heads.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Writes what was handed over, and ends the thread. Blocks.
    pub fn close(&self) {
        // One that has ended already has nothing to write.
        let _ = self.0.messages.send(Message::Close);
        if let Some(thread) = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

/// Two writers would make two chains out of one. The lock goes with the process, however it ends.
fn lock(settings: &Settings, storage: &dyn Storage) -> Result<File, OpenError> {
    let directory = layout::gateway(&settings.directory, &settings.gateway);
    storage.make_directory(&directory)?;
    let path = layout::lock(&settings.directory, &settings.gateway);
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
