//! Records as log records of OpenTelemetry, sent to a collector.
//!
//! A worker makes them ([`record`]) and hands them over in batches, as it does with lines. The exporter has a thread of its
//! own beside the log's: what it can't send in time is dropped and counted as lines are.

mod collector;
mod record;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use telemetry_export::model::LogRecord;
use telemetry_export::{Export, QueueSettings, Sink};
use tokio::sync::oneshot;

use super::writer::Message;
use crate::model::{Collector, Secret};
pub(super) use record::record;

/// How often what the exporter dropped is added to what all logs dropped.
const COUNT: Duration = Duration::from_secs(1);
/// How long the end may take.
const FLUSHING: Duration = Duration::from_secs(2);

/// An exporter, with the thread that it runs on.
#[derive(Debug)]
pub(super) struct Exporter {
    export: Export<LogRecord>,
    /// Takes the export, to end it.
    ending: oneshot::Sender<Export<LogRecord>>,
    thread: JoinHandle<()>,
    dropped: Arc<AtomicU64>,
    /// What of its drops is counted already.
    counted: u64,
}

impl Exporter {
    /// Of a log whose drops are counted there. Reads the file of authorities; nothing is connected before there is a record.
    pub(super) fn new(
        collector: &Collector,
        secrets: &BTreeMap<String, Secret>,
        dropped: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let collector = collector::open(collector, secrets).map_err(io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let export = collector.logs(collector::source(), QueueSettings::default(), runtime.handle());
        let (ending, ended) = oneshot::channel::<Export<LogRecord>>();
        // On its own thread also where there is no export: whoever opens logs may be on a runtime himself, where none can end.
        let thread = thread::Builder::new().name("log-export".to_owned()).spawn(move || {
            runtime.block_on(async {
                if let Ok(export) = ended.await {
                    export.finish(FLUSHING).await;
                }
            });
        })?;
        Ok(Self { export: export.map_err(io::Error::other)?, ending, thread, dropped, counted: 0 })
    }

    /// Where workers hand records over.
    pub(super) fn sink(&self) -> Sink<LogRecord> {
        self.export.sink()
    }

    /// Runs until nobody logs there any more, or the end comes, and sends what is left.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(COUNT) {
                Ok(Message::Lines { .. } | Message::Reopen) => {}
                Err(RecvTimeoutError::Timeout) => self.count(),
                // Asked for at the end alone.
                Ok(Message::Flush(done)) => {
                    self.finish();
                    let _ = done.try_send(());
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
        }
    }

    fn count(&mut self) {
        let dropped = self.export.counters().dropped_in_all();
        self.dropped.fetch_add(dropped - self.counted, Relaxed);
        self.counted = dropped;
    }

    fn finish(self) {
        let Self { export, ending, thread, dropped, counted } = self;
        let counters = export.counters().clone();
        if ending.send(export).is_ok() {
            let _ = thread.join();
        }
        dropped.fetch_add(counters.dropped_in_all() - counted, Relaxed);
    }
}
