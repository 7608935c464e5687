//! A worker's side: records go into buffers of its own, and full buffers to the writers' threads. It never waits.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use super::filter;
use super::line::Line;
use super::target::Target;
use super::writer::Message;
use crate::exchange::Exchange;
use crate::model::{AccessLog as Config, LogSelection, RouteLog};
use crate::sensitive::no_content;

/// A buffer is handed over when it holds this much.
const FULL: usize = 32 << 10;
/// Or when the next line comes and its first one is this old. What no line follows goes with the worker's sweep, which calls
/// [`WorkerLog::flush`] more often than this.
pub(super) const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// The access logs of one worker. Dropping them hands over what is left, so no line is lost on shutdown.
#[derive(Debug)]
pub struct WorkerLog {
    pub(super) outlets: Vec<Outlet>,
}

/// One log.
pub(super) struct Outlet {
    selection: LogSelection,
    line: Line,
    target: Arc<Target>,
    pub(super) buffer: Vec<u8>,
    /// Lines in the buffer.
    lines: u64,
    /// When the first of them came.
    since: Option<Instant>,
    /// Written buffers come back here, so that none has to be allocated.
    give_back: SyncSender<Vec<u8>>,
    spare: Receiver<Vec<u8>>,
}

no_content!(Outlet);

impl WorkerLog {
    /// The logs of a configuration, with their targets in the same order.
    pub fn new(logs: &[Config], targets: &[Arc<Target>]) -> Self {
        Self { outlets: outlets(logs, targets) }
    }

    /// Follows a new configuration and its targets. What is in the buffers still goes to the old ones.
    pub fn reconfigure(&mut self, logs: &[Config], targets: &[Arc<Target>]) {
        self.flush();
        self.outlets = outlets(logs, targets);
    }

    /// Notes a finished exchange, of a route that says this of logs. Never waits.
    pub fn record(&mut self, exchange: &Exchange, route: Option<&RouteLog>) {
        let mut started = None;
        for outlet in &mut self.outlets {
            if filter::has(&outlet.selection, route, exchange) {
                let started = *started.get_or_insert_with(|| {
                    let now = SystemTime::now();
                    now.checked_sub(exchange.started.elapsed()).unwrap_or(now)
                });
                outlet.record(exchange, started);
            }
        }
    }

    /// Hands over what is there. Never waits; a worker calls it with every sweep.
    pub fn flush(&mut self) {
        self.outlets.iter_mut().for_each(Outlet::flush);
    }
}

fn outlets(logs: &[Config], targets: &[Arc<Target>]) -> Vec<Outlet> {
    logs.iter().zip(targets).map(|(log, target)| Outlet::new(log, target.clone())).collect()
}

impl Outlet {
    fn new(log: &Config, target: Arc<Target>) -> Self {
        let (give_back, spare) = sync_channel(4);
        Self {
            selection: log.selection.clone(),
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

impl Drop for Outlet {
    fn drop(&mut self) {
        if let Some(message) = self.take()
            && let Err(message) = self.target.send_patiently(message)
        {
            self.give_up(message);
        }
    }
}
