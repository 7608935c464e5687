//! What happened on the way to a response: filled in as it happens, so that it also tells of failures and of requests
//! that were given up.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::body::Flow;
use super::pool::{Lease, Slot};
use super::retry;
use crate::error::{Error, ErrorKind};

/// What happened on the way to a response.
#[derive(Default)]
pub struct Report {
    /// Attempts made: connections tried or requests sent.
    pub attempts: u32,
    /// The endpoint of the last attempt.
    pub endpoint: Option<SocketAddr>,
    /// Whether the last attempt used a pooled connection.
    pub reused: bool,
    awaited: Option<Awaited>,
}

/// An endpoint that has been asked for something and has not answered yet.
struct Awaited {
    slot: Rc<Slot>,
    since: Instant,
    flow: Option<Rc<Flow>>,
}

impl Report {
    /// From now on it is the endpoint that everybody waits for; `flow` tells of the request body, where that takes its
    /// time.
    pub(super) fn awaits(&mut self, lease: &Lease, flow: Option<Rc<Flow>>) {
        self.awaited = Some(Awaited { slot: lease.slot.clone(), since: Instant::now(), flow });
    }

    /// The endpoint has answered or failed: how long that took.
    pub(super) fn settled(&mut self) -> Option<Duration> {
        self.awaited.take().map(|awaited| awaited.since.elapsed())
    }

    /// To be called when the exchange was given up because `limit`, its own time limit, had passed: the endpoint that
    /// is awaited has failed, if that was its doing.
    pub fn timed_out(&mut self, limit: Duration) {
        let Some(Awaited { slot, since, flow }) = self.awaited.take() else { return };
        let moved = flow.map_or(since, |flow| since.max(flow.since().into_std()));
        if retry::is_to_blame(moved.elapsed(), limit) {
            slot.failed(&Error::new(
                ErrorKind::ExchangeTimeout,
                "no response head before the exchange's time was over",
            ));
        }
    }
}
