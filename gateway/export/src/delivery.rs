//! One encoded request to the collector, tried until it is taken, refused or given up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::counters::{Counters, DropReason};
use crate::failure::Failure;
use crate::notices::{Notice, Notices};
use crate::stop::Stop;
use crate::transport::{Route, Signal, Transport};

/// The way of one signal to its collector, with what is remembered of the tries so far.
pub(crate) struct Delivery {
    route: Route,
    signal: Signal,
    transport: Transport,
    counters: Arc<Counters>,
    stop: Stop,
    backoff: Backoff,
    notices: Notices,
    /// The end of the pause after the last failure, whichever batch that was of.
    paused_until: Option<Instant>,
}

/// How long something is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// For so long after its first try. A pause that was there before it takes nothing of that.
    AfterFirstTry(Duration),
    /// Until something newer takes its place.
    Until(Instant),
}

impl Patience {
    /// What it is called when it is over.
    fn reason(self) -> DropReason {
        match self {
            Self::AfterFirstTry(_) => DropReason::RetriesExhausted,
            Self::Until(_) => DropReason::Superseded,
        }
    }
}

impl Delivery {
    /// Has to be called on the runtime that sends.
    pub(crate) fn new(route: Route, signal: Signal, counters: Arc<Counters>, stop: Stop) -> Self {
        Self {
            transport: Transport::open(&route, signal),
            backoff: Backoff::new(route.settings().retry),
            route,
            signal,
            counters,
            stop,
            notices: Notices::default(),
            paused_until: None,
        }
    }

    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// How long one batch is tried that is not superseded by anything.
    pub(crate) fn give_up_after(&self) -> Duration {
        self.route.settings().retry.give_up_after
    }

    /// Counts items as dropped that nobody has time for any more.
    pub(crate) fn leave(&self, items: u64) {
        self.counters.add_dropped(DropReason::Shutdown, items);
    }

    /// Says what the end has left unsent.
    pub(crate) fn conclude(&self) {
        let unsent = self.counters.dropped(DropReason::Shutdown);
        if unsent > 0 {
            let endpoint = &self.route.settings().endpoint;
            tracing::warn!(%endpoint, unsent, items = self.signal.items(), "the end came before everything was exported");
        }
    }

    /// Sends a body with so many items, and counts what becomes of them.
    pub(crate) async fn deliver(&mut self, body: Vec<u8>, items: u64, patience: Patience) {
        let body = self.transport.prepare(body);
        let mut until = match patience {
            Patience::AfterFirstTry(_) => None,
            Patience::Until(until) => Some(until),
        };
        let dropped = loop {
            if !self.pause(until).await {
                break if self.stop.deadline().is_some() { DropReason::Shutdown } else { patience.reason() };
            }
            if let (None, Patience::AfterFirstTry(after)) = (until, patience) {
                until = Instant::now().checked_add(after);
            }
            let Some(result) = self.attempt(body.clone()).await else { break DropReason::Shutdown };
            self.counters.add_export(result.is_ok());
            match result {
                Ok(rejected) => return self.taken(items, rejected),
                Err(failure) => {
                    self.failed(&failure);
                    if !failure.is_retryable() {
                        break DropReason::Refused;
                    }
                }
            }
        };
        self.counters.add_dropped(dropped, items);
    }

    /// Waits for the end of the pause after the last failure, and says whether there is time for another try then. Where
    /// there will be none it does not wait. The end of everything cuts a pause short once: the collector may be back by now.
    async fn pause(&mut self, until: Option<Instant>) -> bool {
        if let Some(pause) = self.paused_until {
            match self.stop.deadline() {
                Some(deadline) if pause > deadline => return false,
                Some(_) => tokio::time::sleep_until(pause).await,
                None if until.is_some_and(|until| pause > until) => return false,
                None => tokio::select! {
                    () = tokio::time::sleep_until(pause) => {}
                    _ = self.stop.asked() => {}
                },
            }
            self.paused_until = None;
        }
        match self.stop.deadline() {
            Some(_) => !self.stop.is_over(),
            None => until.is_none_or(|until| Instant::now() < until),
        }
    }

    /// One request. None where the end came first.
    async fn attempt(&mut self, body: Bytes) -> Option<Result<u64, Failure>> {
        let timeout = self.route.settings().timeout;
        let result = tokio::select! {
            result = self.transport.send(body) => Some(result),
            () = tokio::time::sleep(timeout) => Some(Err(Failure::Timeout(timeout))),
            () = self.stop.over() => None,
        };
        if matches!(result, Some(Err(Failure::Timeout(_)))) {
            self.transport.abandon();
        }
        result
    }

    fn taken(&mut self, items: u64, rejected: u64) {
        let rejected = rejected.min(items);
        self.counters.add_sent(items - rejected);
        self.counters.add_dropped(DropReason::Rejected, rejected);
        self.backoff.succeeded();
        let (endpoint, items) = (&self.route.settings().endpoint, self.signal.items());
        match self.notices.succeeded(Instant::now(), &self.counters) {
            None => {}
            Some(notice @ Notice::Dropping { .. }) => tracing::warn!(%endpoint, items, "{notice}"),
            Some(notice) => tracing::info!(%endpoint, items, "{notice}"),
        }
    }

    fn failed(&mut self, failure: &Failure) {
        let now = Instant::now();
        if failure.is_retryable() {
            self.paused_until = Some(now + self.backoff.failed(failure.retry_after(), fastrand::f64()));
        } else {
            // It is there: what it refuses says nothing of what comes next.
            self.backoff.succeeded();
        }
        if let Some(notice) = self.notices.failed(now, &self.counters) {
            let endpoint = &self.route.settings().endpoint;
            tracing::warn!(%endpoint, items = self.signal.items(), reason = %failure, "{notice}");
        }
    }
}
