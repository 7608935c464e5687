//! The end: readiness fails, listeners close, requests finish, and what is left at the limit is cut.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::control::Control;
use super::exports;
use super::signals::{Signal, Signals};
use super::workers::POLL;
use crate::worker::WorkerCommand;

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request was finished.
    Clean,
    /// The limit passed, or a second signal came: what still ran was cut.
    Cut,
}

/// How long the workers may take to close what a drain has left over.
const CUTTING: Duration = Duration::from_millis(300);

impl Control {
    /// Readiness fails; after the delay listeners close and requests finish; what is left at the limit is cut, or when it
    /// is asked for again.
    pub(super) async fn drain(mut self, mut signals: Option<Signals>, delay: Duration) -> Drained {
        self.admin.ready.store(false, Ordering::Relaxed);
        let forced = !delay.is_zero() && self.delayed(&mut signals, delay).await;
        // What has nothing left to do ends by itself also then.
        let limit = if forced { CUTTING } else { self.snapshot.config.drain.timeout };
        tracing::info!(?limit, "draining");
        self.workers.tell(|| WorkerCommand::Drain);
        let why = tokio::select! {
            ended = self.ended_within(limit) => match (ended, forced) {
                (true, _) => None,
                (false, true) => Some("another signal came"),
                (false, false) => Some("the drain limit passed"),
            },
            () = self.signalled(&mut signals) => Some("another signal came"),
        };
        match why {
            None => tracing::info!("drained"),
            Some(why) => {
                self.workers.tell(|| WorkerCommand::Cut);
                // For the records of what was cut.
                self.ended_within(CUTTING).await;
                tracing::warn!(?limit, "{why}; what still ran was cut");
            }
        }
        self.close_audit().await;
        let _ = self.admin_shutdown.send(true);
        self.registry.remove_status_files(|_| true);
        self.access_log.finish();
        tokio::join!(self.push.finish(), exports::finish(&self.snapshot, limit));
        if why.is_none() { Drained::Clean } else { Drained::Cut }
    }

    /// Goes on accepting for so long, though no longer ready: balancers look only every few seconds, and what they send
    /// meanwhile would be refused. True where another signal ended it.
    async fn delayed(&self, signals: &mut Option<Signals>, delay: Duration) -> bool {
        tracing::info!(?delay, "no longer ready; draining begins after the delay");
        tokio::select! {
            () = tokio::time::sleep(delay) => false,
            () = self.signalled(signals) => true,
        }
    }

    /// Ends with the next signal that asks for the end. Logs may be moved also during a drain.
    async fn signalled(&self, signals: &mut Option<Signals>) {
        while Signals::next(signals).await == Signal::Reload {
            self.access_log.reopen();
        }
    }

    /// Waits for the workers' threads, at most so long.
    async fn ended_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.workers.are_finished();
            if ended || Instant::now() >= deadline {
                return ended;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
