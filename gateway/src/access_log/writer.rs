//! The thread that writes. It alone touches the file, so a slow disk or a full pipe holds up nobody else.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::LogTarget;
use crate::sensitive::no_content;

/// What the writer is asked.
pub(super) enum Message {
    /// Write these lines, and give the buffer back. They say themselves where to: what was encoded by one configuration
    /// goes nowhere but to that one's target, whenever each worker takes up another.
    Lines { bytes: Vec<u8>, lines: u64, target: Arc<Opened>, give_back: SyncSender<Vec<u8>> },
    /// Open the file of this target again.
    Reopen(Arc<Opened>),
    /// Tell when everything before this is written.
    Flush(SyncSender<()>),
}

no_content!(Message);

#[derive(Debug)]
enum Sink {
    Stdout,
    File(File),
    Off,
}

/// A target that is open, so that writing to it can begin without a failure.
#[derive(Debug)]
pub struct Opened {
    target: LogTarget,
    /// Nobody but the writer locks it.
    sink: Mutex<Sink>,
}

impl Opened {
    /// Opens a target; a file is made where there is none. May block: not for a worker.
    pub fn open(target: &LogTarget) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { target: target.clone(), sink: Mutex::new(open(target)?) }))
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer's state.
#[derive(Debug)]
pub(super) struct Writer {
    dropped: Arc<AtomicU64>,
    /// Lines that were lost since writes began to fail: the error log hears of the first failure, and of the end.
    lost: u64,
}

impl Writer {
    pub(super) const fn new(dropped: Arc<AtomicU64>) -> Self {
        Self { dropped, lost: 0 }
    }

    /// Runs until every sender is gone.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Lines { mut bytes, lines, target, give_back } => {
                    self.write(&target, &bytes, lines);
                    bytes.clear();
                    // Where enough spare buffers lie already, this one is freed.
                    let _ = give_back.try_send(bytes);
                }
                Message::Reopen(opened) => match open(&opened.target) {
                    Ok(sink) => *opened.sink() = sink,
                    Err(error) => {
                        let target = &opened.target;
                        tracing::error!(%error, ?target, "the access log can't be opened again; the old file is kept");
                    }
                },
                Message::Flush(done) => {
                    let _ = done.try_send(());
                }
            }
        }
    }

    fn write(&mut self, target: &Opened, bytes: &[u8], lines: u64) {
        let written = match &mut *target.sink() {
            Sink::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            Sink::File(file) => file.write_all(bytes),
            Sink::Off => Ok(()),
        };
        match written {
            Ok(()) => {
                if self.lost > 0 {
                    tracing::info!(target = ?target.target, lost = self.lost, "the access log is written again");
                }
                self.lost = 0;
            }
            Err(error) => {
                self.dropped.fetch_add(lines, Relaxed);
                if self.lost == 0 {
                    tracing::error!(%error, target = ?target.target, "the access log can't be written; lines are dropped");
                }
                self.lost += lines;
            }
        }
    }
}

fn open(target: &LogTarget) -> io::Result<Sink> {
    match target {
        LogTarget::Stdout => Ok(Sink::Stdout),
        LogTarget::File(path) => open_file(path).map(Sink::File),
        LogTarget::Off => Ok(Sink::Off),
    }
}

/// Others than the owner and its group have no business in who asked for what.
fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}
