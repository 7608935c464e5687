//! The thread that writes. It alone touches the file, so a slow disk or a full pipe holds up nobody else.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender};

use crate::config::model::LogTarget;

/// What the writer is asked.
#[derive(Debug)]
pub(super) enum Message {
    /// Write these lines, and give the buffer back.
    Lines { bytes: Vec<u8>, lines: u64, give_back: SyncSender<Vec<u8>> },
    /// Open the file again.
    Reopen,
    /// Write elsewhere from now on.
    Retarget(LogTarget),
    /// Tell when everything before this is written.
    Flush(SyncSender<()>),
}

#[derive(Debug)]
enum Sink {
    Stdout,
    File(File),
    Off,
}

/// The writer's state.
#[derive(Debug)]
pub(super) struct Writer {
    target: LogTarget,
    sink: Sink,
    dropped: Arc<AtomicU64>,
    /// Whether the last write failed: the error log hears of the first failure only.
    failing: bool,
}

impl Writer {
    pub(super) fn open(target: &LogTarget, dropped: Arc<AtomicU64>) -> io::Result<Self> {
        Ok(Self { target: target.clone(), sink: open(target)?, dropped, failing: false })
    }

    /// Runs until every sender is gone.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Lines { mut bytes, lines, give_back } => {
                    self.write(&bytes, lines);
                    bytes.clear();
                    // Where enough spare buffers lie already, this one is freed.
                    let _ = give_back.try_send(bytes);
                }
                Message::Reopen => self.switch(self.target.clone()),
                Message::Retarget(target) if target == self.target => {}
                Message::Retarget(target) => self.switch(target),
                Message::Flush(done) => {
                    let _ = done.try_send(());
                }
            }
        }
    }

    fn switch(&mut self, target: LogTarget) {
        match open(&target) {
            Ok(sink) => (self.sink, self.target) = (sink, target),
            Err(error) => tracing::error!(%error, ?target, "the access log can't be opened; the old one is kept"),
        }
    }

    fn write(&mut self, bytes: &[u8], lines: u64) {
        let written = match &mut self.sink {
            Sink::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            Sink::File(file) => file.write_all(bytes),
            Sink::Off => Ok(()),
        };
        match written {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.dropped.fetch_add(lines, Relaxed);
                if !self.failing {
                    tracing::error!(%error, "the access log can't be written; lines are dropped");
                }
                self.failing = true;
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
