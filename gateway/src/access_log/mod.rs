//! One JSON line per request.
//!
//! A worker encodes into a buffer of its own and hands full buffers to one writer thread over a bounded queue. It never
//! waits: when the writer is behind, lines are dropped and counted. Personal data is left out or masked unless the
//! configuration names it: see [`crate::model::AccessLog`].

mod encode;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::exchange::Exchange;
use crate::model::{AccessLog as Config, LogTarget};
use crate::sensitive::no_content;
use encode::Encoder;
pub use writer::Opened;
use writer::{Message, Writer};

/// A buffer is handed over when it holds this much.
const FULL: usize = 32 << 10;
/// Or when the next line comes and its first one is this old. What no line follows goes with the worker's sweep, which calls
/// [`WorkerLog::flush`] more often than this.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);
/// Buffers that may wait for the writer, over all workers.
const QUEUE: usize = 256;
/// How long a stopping gateway waits for a writer that does not keep up.
const PATIENCE: Duration = Duration::from_secs(2);

/// The running access log. Clones belong to the same writer thread.
#[derive(Clone, Debug)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl AccessLog {
    /// Starts the writer thread. `dropped` counts lines that could not be written.
    pub fn start(dropped: Arc<AtomicU64>) -> io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let writer = Writer::new(Arc::clone(&dropped));
        thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run(&messages))?;
        Ok(Self { queue, dropped })
    }

    /// The log of one worker. `target` is the one that `config` names.
    pub fn worker(&self, config: &Config, target: Arc<Opened>) -> WorkerLog {
        let (give_back, spare) = sync_channel(4);
        WorkerLog {
            encoder: Encoder::new(config),
            enabled: config.target != LogTarget::Off,
            target,
            buffer: Vec::with_capacity(FULL + 4096),
            lines: 0,
            since: None,
            log: self.clone(),
            give_back,
            spare,
        }
    }

    /// Has the file opened again, after it was moved away (SIGHUP). Returns at once.
    pub fn reopen(&self, target: &Arc<Opened>) {
        // A full queue means that the writer is stuck; the next signal will do.
        let _ = self.queue.try_send(Message::Reopen(target.clone()));
    }

    /// Waits until everything that was handed over is written, for at most two seconds. It blocks: not for a worker.
    /// Returns whether it was.
    pub fn finish(&self) -> bool {
        let (done, finished) = sync_channel(1);
        self.send_patiently(Message::Flush(done)).is_ok() && finished.recv_timeout(PATIENCE).is_ok()
    }

    /// Sends also when the queue is full now. Only for a worker that has nothing left to serve.
    fn send_patiently(&self, mut message: Message) -> Result<(), Message> {
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
}

/// The access log of one worker. Dropping it hands over what is left, so no line is lost on shutdown.
pub struct WorkerLog {
    encoder: Encoder,
    enabled: bool,
    target: Arc<Opened>,
    buffer: Vec<u8>,
    /// Lines in the buffer.
    lines: u64,
    /// When the first of them came.
    since: Option<Instant>,
    log: AccessLog,
    /// Written buffers come back here, so that none has to be allocated.
    give_back: SyncSender<Vec<u8>>,
    spare: Receiver<Vec<u8>>,
}

no_content!(WorkerLog);

impl WorkerLog {
    /// Follows a new configuration and its target. What is in the buffer still goes to the old one.
    pub fn reconfigure(&mut self, config: &Config, target: &Arc<Opened>) {
        self.flush();
        self.encoder = Encoder::new(config);
        self.target.clone_from(target);
        self.enabled = config.target != LogTarget::Off;
    }

    /// Notes a finished exchange. Never waits.
    pub fn record(&mut self, exchange: &Exchange) {
        if !self.enabled {
            return;
        }
        let now = SystemTime::now();
        let started = now.checked_sub(exchange.started.elapsed()).unwrap_or(now);
        self.encoder.encode(exchange, started, &mut self.buffer);
        self.lines += 1;
        let now = exchange.started + exchange.measures.total;
        let since = *self.since.get_or_insert(now);
        if self.buffer.len() >= FULL || now.saturating_duration_since(since) >= FLUSH_INTERVAL {
            self.flush();
        }
    }

    /// Hands over what is there. Never waits; a worker calls it with every sweep.
    pub fn flush(&mut self) {
        if let Some(message) = self.take()
            && let Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) =
                self.log.queue.try_send(message)
        {
            self.give_up(message);
        }
    }

    fn take(&mut self) -> Option<Message> {
        if self.lines == 0 {
            return None;
        }
        self.since = None;
        let spare = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(FULL + 4096));
        let bytes = std::mem::replace(&mut self.buffer, spare);
        let lines = std::mem::take(&mut self.lines);
        Some(Message::Lines { bytes, lines, target: self.target.clone(), give_back: self.give_back.clone() })
    }

    fn give_up(&mut self, message: Message) {
        if let Message::Lines { mut bytes, lines, .. } = message {
            self.log.dropped.fetch_add(lines, Relaxed);
            bytes.clear();
            self.buffer = bytes;
        }
    }
}

impl Drop for WorkerLog {
    fn drop(&mut self) {
        if let Some(message) = self.take()
            && let Err(message) = self.log.send_patiently(message)
        {
            self.give_up(message);
        }
    }
}

#[cfg(test)]
mod tests;
