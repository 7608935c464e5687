//! Records as messages of syslog (RFC 5424).
//!
//! What is the same in every message is made at load; a worker writes the rest, so that a line in its buffer is a whole
//! message. Here, in the writer's thread, messages get their frame and go out. A receiver that is away is waited for, for a
//! while: what comes meanwhile waits in the log's queue. Then what comes is lost, and counted, until it is there again.

mod connection;
mod header;
mod outage;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use self::connection::{Connection, Unsent};
pub(super) use self::header::Header;
use self::outage::{Next, Outage};
use super::append::{Lost, count};
use crate::model::Syslog;

/// Sends to one receiver.
#[derive(Debug)]
pub(super) struct Sender {
    to: Syslog,
    connection: Option<Connection>,
    outage: Outage,
    /// Set when nobody can log here any more: then nothing is waited for.
    closing: Arc<AtomicBool>,
}

/// How long the thread sleeps at a time while it waits for a receiver.
const NAP: Duration = Duration::from_millis(20);

impl Sender {
    /// Of a log that is no longer wanted once `closing` is set. Connects with the first message: a receiver may come later
    /// than this gateway.
    pub(super) fn new(to: &Syslog, closing: Arc<AtomicBool>) -> Self {
        Self { to: to.clone(), connection: None, outage: Outage::default(), closing }
    }

    /// Sends messages, each with a line break at its end that is not a part of it.
    pub(super) fn write(&mut self, messages: &[u8]) -> Result<(), Lost> {
        let mut lost: Option<Lost> = None;
        let mut rest = messages;
        while !rest.is_empty() {
            let sent = match self.connected() {
                Ok(connection) => connection.send(rest),
                Err(error) => {
                    let earlier = lost.map_or(0, |lost| lost.lines);
                    return Err(Lost { lines: count(rest) + earlier, error });
                }
            };
            match sent {
                Ok(()) => {
                    self.outage = Outage::default();
                    rest = &[];
                }
                Err(Unsent { sent, impossible: true, error }) => {
                    let skipped = memchr::memchr(b'\n', &rest[sent..]).map_or(rest.len(), |at| sent + at + 1);
                    rest = &rest[skipped..];
                    lost = Some(Lost { lines: lost.map_or(1, |lost| lost.lines + 1), error });
                }
                Err(Unsent { sent, impossible: false, error }) => {
                    rest = &rest[sent..];
                    self.connection = None;
                    self.outage.failed(Instant::now(), error);
                }
            }
        }
        lost.map_or(Ok(()), Err)
    }

    /// The connection; one is made where there is none, as soon as it is time for that. The error is the last one, where it
    /// is not worth waiting for.
    fn connected(&mut self) -> io::Result<&mut Connection> {
        if self.connection.as_ref().is_some_and(|connection| connection.is_over(Instant::now())) {
            self.connection = None;
        }
        while self.connection.is_none() {
            match self.outage.next(Instant::now(), self.closing.load(Relaxed)) {
                Next::Try => match Connection::new(&self.to) {
                    Ok(connection) => self.connection = Some(connection),
                    Err(error) => self.outage.failed(Instant::now(), error),
                },
                Next::Wait(time) => thread::sleep(time.min(NAP)),
                Next::GiveUp => return Err(self.outage.error()),
            }
        }
        self.connection.as_mut().ok_or_else(|| self.outage.error())
    }
}

#[cfg(test)]
mod tests;
