//! The targets of a process' access logs, each with its thread and its queue.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::writer::{Message, Sink, Writer};
use crate::model::LogTarget;

/// Buffers that may wait for a writer, over all workers.
const QUEUE: usize = 256;
/// How long a stopping gateway waits for writers that do not keep up.
const PATIENCE: Duration = Duration::from_secs(2);

/// All targets of the process. Clones are the same.
#[derive(Clone, Debug)]
pub struct AccessLog {
    dropped: Arc<AtomicU64>,
    /// With their threads, which outlive them until all is written.
    targets: Arc<Mutex<Vec<(Weak<Target>, JoinHandle<()>)>>>,
}

/// A target that is open. Whoever has it can log there; its thread ends when nobody does and all is written.
#[derive(Debug)]
pub struct Target {
    pub(super) queue: SyncSender<Message>,
    /// Counts lines that could not be written.
    pub(super) dropped: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
}

impl AccessLog {
    /// Without any target yet. `dropped` counts lines that could not be written.
    pub fn new(dropped: Arc<AtomicU64>) -> Self {
        Self { dropped, targets: Arc::default() }
    }

    /// Opens a target; a file is made where there is none. May block: not for a worker.
    pub fn open(&self, target: &LogTarget) -> io::Result<Arc<Target>> {
        let closing = Arc::<AtomicBool>::default();
        let writer = Writer::new(target.clone(), Sink::open(target, closing.clone())?, self.dropped.clone());
        let (queue, messages) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run(&messages))?;
        let opened = Arc::new(Target { queue, dropped: self.dropped.clone(), closing });
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|(_, thread)| !thread.is_finished());
        targets.push((Arc::downgrade(&opened), thread));
        Ok(opened)
    }

    /// Has files opened again, after they were moved away (SIGHUP). Returns at once.
    pub fn reopen(&self) {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        for target in targets.iter().filter_map(|(target, _)| target.upgrade()) {
            // A full queue means that the writer is stuck; the next signal will do.
            let _ = target.queue.try_send(Message::Reopen);
        }
    }

    /// Waits until everything that was handed over is written, for at most two seconds. It blocks: not for a worker.
    /// Returns whether it was.
    pub fn finish(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting: Vec<_> = targets
            .iter()
            .filter_map(|(target, _)| {
                let (done, finished) = sync_channel(1);
                Some((target.upgrade()?.send_patiently(Message::Flush(done)).is_ok(), finished))
            })
            .collect();
        let left = || deadline.saturating_duration_since(Instant::now());
        let written = waiting.iter().all(|(asked, finished)| *asked && finished.recv_timeout(left()).is_ok());
        // Those that a reload has left have nothing to do but to write what they have.
        targets.retain(|(target, thread)| {
            while target.strong_count() == 0 && !thread.is_finished() && !left().is_zero() {
                thread::sleep(Duration::from_millis(2));
            }
            !thread.is_finished()
        });
        written && targets.iter().all(|(target, _)| target.strong_count() > 0)
    }
}

impl Target {
    /// Sends also when the queue is full now. Only for a worker that has nothing left to serve.
    pub(super) fn send_patiently(&self, mut message: Message) -> Result<(), Message> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            message = match self.queue.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(message)) if Instant::now() < deadline => message,
                Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => return Err(message),
            };
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// One whose messages go to this queue.
    #[cfg(test)]
    pub(super) fn of(queue: SyncSender<Message>) -> Arc<Self> {
        Arc::new(Self { queue, dropped: Arc::default(), closing: Arc::default() })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.closing.store(true, Relaxed);
    }
}
