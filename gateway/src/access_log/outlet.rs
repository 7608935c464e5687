//! From a worker to one log: lines in a buffer of the worker's own, or records for a collector.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use telemetry_export::Sink;
use telemetry_export::model::LogRecord;

use super::line::Line;
use super::record::Recorder;
use super::target::{Target, WriterTarget};
use super::writer::Message;
use crate::exchange::Exchange;
use crate::model::AccessLog as Config;
use crate::sensitive::no_content;
use crate::telemetry::export::LogExport;

/// A buffer is handed over when it holds this much.
const FULL: usize = 32 << 10;
/// Records that are handed over at once.
const FULL_RECORDS: usize = 64;
/// Or when the next line comes and its first one is this old. What no line follows goes with the worker's sweep, which calls
/// [`Outlet::flush`] more often than this.
pub(super) const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// The way to one log.
#[derive(Debug)]
pub(super) enum Outlet {
    Lines(Lines),
    Records(Records),
}

impl Outlet {
    pub(super) fn new(log: &Config, target: &Target) -> Self {
        match target {
            Target::Writer(target) => Self::Lines(Lines::new(log, target.clone())),
            Target::Collector(export) => Self::Records(Records::new(log, export)),
        }
    }

    pub(super) fn record(&mut self, exchange: &Exchange, started: SystemTime) {
        match self {
            Self::Lines(lines) => lines.record(exchange, started),
            Self::Records(records) => records.record(exchange, started),
        }
    }

    /// Hands over what is there. Never waits.
    pub(super) fn flush(&mut self) {
        match self {
            Self::Lines(lines) => lines.flush(),
            Self::Records(records) => records.flush(),
        }
    }

    #[cfg(test)]
    pub(super) fn holds_nothing(&self) -> bool {
        match self {
            Self::Lines(lines) => lines.buffer.is_empty(),
            Self::Records(records) => records.waiting.is_empty(),
        }
    }
}

/// Records for a collector. Dropping them hands over what is left.
pub(super) struct Records {
    recorder: Recorder,
    /// None where the export is over.
    sink: Option<Sink<LogRecord>>,
    waiting: Vec<LogRecord>,
    /// When the first of them came.
    since: Option<Instant>,
}

no_content!(Records, Lines);

impl Records {
    fn new(log: &Config, export: &LogExport) -> Self {
        Self { recorder: Recorder::new(&log.include), sink: export.sink(), waiting: Vec::new(), since: None }
    }

    fn record(&mut self, exchange: &Exchange, started: SystemTime) {
        self.waiting.push(self.recorder.record(exchange, started));
        let now = exchange.started + exchange.measures.total;
        let since = *self.since.get_or_insert(now);
        if self.waiting.len() >= FULL_RECORDS || now.saturating_duration_since(since) >= FLUSH_INTERVAL {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.since = None;
        let waiting = std::mem::take(&mut self.waiting);
        if let (Some(sink), false) = (&self.sink, waiting.is_empty()) {
            // What there is no room for is dropped there, and counted.
            sink.send(waiting);
        }
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Lines for a writer. Dropping them hands over what is left, so no line is lost on shutdown.
pub(super) struct Lines {
    line: Line,
    target: Arc<WriterTarget>,
    buffer: Vec<u8>,
    /// Lines in the buffer.
    lines: u64,
    /// When the first of them came.
    since: Option<Instant>,
    /// Written buffers come back here, so that none has to be allocated.
    give_back: SyncSender<Vec<u8>>,
    spare: Receiver<Vec<u8>>,
}

impl Lines {
    fn new(log: &Config, target: Arc<WriterTarget>) -> Self {
        let (give_back, spare) = sync_channel(4);
        Self {
            line: Line::new(log),
            target,
            buffer: Vec::with_capacity(FULL + 4096),
            lines: 0,
            since: None,
            give_back,
            spare,
        }
    }

    fn record(&mut self, exchange: &Exchange, started: SystemTime) {
        self.line.encode(exchange, started, &mut self.buffer);
        self.lines += 1;
        let now = exchange.started + exchange.measures.total;
        let since = *self.since.get_or_insert(now);
        if self.buffer.len() >= FULL || now.saturating_duration_since(since) >= FLUSH_INTERVAL {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let Some(message) = self.take()
            && let Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) =
                self.target.queue.try_send(message)
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
        Some(Message::Lines { bytes, lines, give_back: self.give_back.clone() })
    }

    fn give_up(&mut self, message: Message) {
        if let Message::Lines { mut bytes, lines, .. } = message {
            self.target.dropped.fetch_add(lines, Relaxed);
            bytes.clear();
            self.buffer = bytes;
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some(message) = self.take()
            && let Err(message) = self.target.send_patiently(message)
        {
            self.give_up(message);
        }
    }
}
