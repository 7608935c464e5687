//! The thread that writes. It alone touches the file or the receiver, so a slow disk, a full pipe or a network that hangs
//! holds up nobody else, and no other log.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use super::append::{Appender, Lost};
use super::file::LogFile;
use super::syslog::Sender;
use crate::model::LogTarget;
use crate::sensitive::no_content;

/// What the writer is asked.
pub(super) enum Message {
    /// Write these lines, and give the buffer back.
    Lines { bytes: Vec<u8>, lines: u64, give_back: SyncSender<Vec<u8>> },
    /// Open the file again.
    Reopen,
    /// Tell when everything before this is written.
    Flush(SyncSender<()>),
}

no_content!(Message);

/// Where the lines go.
#[derive(Debug)]
pub(super) enum Sink {
    Stdout(Appender<File>),
    File(LogFile),
    Syslog(Sender),
}

impl Sink {
    /// Opens a target, so that writing to it can begin without a failure. `closing` is set when nobody logs there any more.
    pub(super) fn open(target: &LogTarget, closing: Arc<AtomicBool>) -> io::Result<Self> {
        match target {
            // Its own descriptor: the standard library's has a buffer, of which nobody knows how much was written.
            LogTarget::Stdout => {
                Ok(Self::Stdout(Appender::new(File::from(io::stdout().as_fd().try_clone_to_owned()?))))
            }
            LogTarget::File(path) => LogFile::open(path).map(Self::File),
            LogTarget::Syslog(syslog) => Ok(Self::Syslog(Sender::new(syslog, closing))),
        }
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
        match self {
            Self::Stdout(stdout) => stdout.append(lines),
            Self::File(file) => file.write(lines, Instant::now()),
            Self::Syslog(sender) => sender.write(lines),
        }
    }
}

/// The writer's state.
#[derive(Debug)]
pub(super) struct Writer {
    target: LogTarget,
    sink: Sink,
    dropped: Arc<AtomicU64>,
    /// Lines that were lost since writes began to fail: the error log hears of the first failure, and of the end.
    lost: u64,
}

impl Writer {
    pub(super) const fn new(target: LogTarget, sink: Sink, dropped: Arc<AtomicU64>) -> Self {
        Self { target, sink, dropped, lost: 0 }
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
                Message::Reopen => self.reopen(),
                Message::Flush(done) => {
                    let _ = done.try_send(());
                }
            }
        }
    }

    fn reopen(&mut self) {
        if let Sink::File(file) = &mut self.sink
            && let Err(error) = file.reopen()
        {
            tracing::error!(%error, target = %self.target, "the access log can't be opened again; the old file is kept");
        }
    }

    fn write(&mut self, bytes: &[u8], lines: u64) {
        let target = &self.target;
        match self.sink.write(bytes) {
            Ok(()) => {
                if self.lost > 0 {
                    tracing::info!(%target, lost = self.lost, "the access log is written again");
                }
                self.lost = 0;
            }
            Err(Lost { lines: lost, error }) => {
                debug_assert!(lost <= lines + 1, "{lost} of {lines}");
                self.dropped.fetch_add(lost, Relaxed);
                if self.lost == 0 {
                    tracing::error!(%error, %target, "the access log can't be written; lines are dropped");
                }
                self.lost += lost;
            }
        }
    }
}
