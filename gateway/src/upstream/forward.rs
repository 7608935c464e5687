//! Sends a request: choose an endpoint, take or make a connection, send, and hand the response back as it streams.
//! The one loop of attempts is here; whether there may be another is decided in `retry`.

use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response};
use smallvec::SmallVec;
use tokio::time::timeout;

use super::body::RequestBody;
use super::connect::Connected;
use super::http1::Http1;
use super::http2::Http2;
use super::pool::{Client, Connecting, Lease, Pooled, Slot};
use super::request::{Draft, Outbound};
use super::retry::{self, Attempt};
use super::stream::WatchedStream;
use super::{Report, Upstream, http1, http2};
use crate::error::{Error, ErrorKind, Side};
use crate::message::Body;
use crate::model::UpstreamProtocol;
use crate::timer::Stopwatch;

/// More than this many lists for copies are not kept.
const KEPT: usize = 256;

/// A request that brought no response head.
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) attempt: Attempt,
    /// The request, when nothing of it was sent.
    pub(super) returned: Option<Request<RequestBody>>,
    /// Set when it was the client's body that failed: nothing to blame the upstream for.
    pub(super) client: Option<Error>,
}

impl Client {
    /// Sends a request and gives the head of the response; its body streams, and ends in an error when it was cut
    /// short. A dead pooled connection is replaced once, where the request can be sent again; an endpoint that can't
    /// be reached is replaced by another. Dropping the future or the body cancels the request upstream.
    ///
    /// `report` is filled in as things happen; it is right at every moment at which this future may be dropped.
    pub async fn send(
        self: &Rc<Self>,
        upstream: &Arc<Upstream>,
        request: Outbound<'_>,
        report: &mut Report,
    ) -> Result<Response<Body>, Error> {
        let mut draft = Draft::new(request)?;
        let admission = self.admit(upstream)?;
        let timeouts = &upstream.config.timeouts;
        let mut stopwatch = Stopwatch::new(self.timers.clone(), timeouts.response);
        let mut tried: SmallVec<[u64; retry::MAX_ENDPOINTS]> = SmallVec::new();
        let mut replayed = false;
        // Set for a replay: at the endpoint that was chosen already, over a connection that is new. If that one can't
        // be made, nothing has been sent again, and the other endpoints are as good as for a first attempt.
        let mut again: Option<(Lease, usize, Newer)> = None;
        loop {
            let (mut lease, endpoints, newer) = match again.take() {
                Some((lease, endpoints, newer)) => (lease, endpoints, Some(newer)),
                None => {
                    let (lease, endpoints) = self.choose(upstream, &admission, &tried)?;
                    (lease, endpoints, None)
                }
            };
            let slot = lease.slot.clone();
            slot.metrics.attempts.add(1);
            slot.metrics.retries.add(u64::from(report.attempts > 0));
            report.attempts += 1;
            report.endpoint = Some(slot.endpoint.address());
            let (connection, reused) = match self.acquire(upstream, &lease, newer, report).await {
                Ok(acquired) => acquired,
                Err(Missed { error, ours }) => {
                    report.settled();
                    if ours {
                        slot.failed(&error);
                    }
                    tried.push(slot.endpoint.id);
                    if retry::may_try_another_endpoint(error.kind(), tried.len(), endpoints) {
                        continue;
                    }
                    return Err(error);
                }
            };
            report.reused = reused;
            stopwatch.restart();

            // Only a reused connection can fail in a way that permits a replay, except for HTTP/2's refusals.
            let mut copy = None;
            if !replayed && (reused || matches!(connection, Pooled::Http2(_))) {
                copy = draft.copy(|| self.copies.borrow_mut().pop().unwrap_or_default());
            }
            let result = match connection {
                Pooled::Http1(connection) => {
                    let request = draft.http1(upstream, &slot.addressee)?;
                    report.awaits(&lease, request.body().flow());
                    http1::send(connection, request, reused, &mut stopwatch).await.map(Sent::Http1)
                }
                Pooled::Http2(place) => {
                    let request = draft.http2(upstream, &slot.addressee)?;
                    report.awaits(&lease, request.body().flow());
                    let sent = http2::send(&place, request, reused, &mut stopwatch).await;
                    sent.map(|(response, flow)| Sent::Http2(response, place, flow))
                }
            };
            let took = report.settled();
            let failed = match result {
                Ok(sent) => {
                    self.put_back(copy);
                    if let Some(took) = took {
                        slot.metrics.answered(took);
                    }
                    lease.admission = Some(admission);
                    return answer(sent, lease, stopwatch, upstream);
                }
                Err(failed) => failed,
            };
            if let Some(error) = failed.client {
                return Err(error);
            }
            let whole = match (failed.returned, &mut copy) {
                (Some(request), _) => {
                    draft.take_back(request);
                    true
                }
                (None, Some(copy)) => {
                    draft.restore(copy);
                    true
                }
                (None, None) => false,
            };
            self.put_back(copy);
            if whole && !replayed && retry::may_replay(&draft.method, failed.attempt) {
                replayed = true;
                // Who refuses a request is alive. When a connection died of old age, others of its age may have, too.
                let newer = Newer(if failed.attempt.refused { 0 } else { slot.made() });
                again = Some((lease, endpoints, newer));
                continue;
            }
            slot.failed(&failed.error);
            return Err(failed.error);
        }
    }

    fn put_back(&self, copy: Option<super::request::Copy>) {
        let mut copies = self.copies.borrow_mut();
        if let Some(copy) = copy
            && copies.len() < KEPT
        {
            copies.push(copy.into_fields());
        }
    }

    /// A connection to the endpoint, and whether it has been used before.
    async fn acquire(
        &self,
        upstream: &Upstream,
        lease: &Lease,
        newer: Option<Newer>,
        report: &mut Report,
    ) -> Result<(Pooled, bool), Missed> {
        let slot = &lease.slot;
        if newer.is_none()
            && let Some(pooled) = slot.checkout(self.sweeps.get())
        {
            return Ok((pooled, true));
        }
        let shares = upstream.config.protocol == UpstreamProtocol::Http2 || slot.shares.get();
        if !shares {
            report.awaits(lease, None);
            let made = self.connect(upstream, lease).await;
            return made.map(|made| (made, false)).map_err(|error| Missed { error, ours: true });
        }
        loop {
            // A replay, too, takes what others have just made.
            if let Some(place) = slot.place(newer.map_or(0, |Newer(number)| number), self.sweeps.get()) {
                return Ok((Pooled::Http2(place), true));
            }
            let Some(connecting) = slot.connecting.borrow().clone() else { break };
            connecting.done.notified().await;
            if let Some(error) = connecting.error.borrow().clone() {
                return Err(Missed { error, ours: false });
            }
        }
        let turn = Turn::new(slot);
        report.awaits(lease, None);
        let made = self.connect(upstream, lease).await;
        if let Err(error) = &made {
            *turn.connecting.error.borrow_mut() = Some(error.clone());
        }
        made.map(|made| (made, false)).map_err(|error| Missed { error, ours: true })
    }

    async fn connect(&self, upstream: &Upstream, lease: &Lease) -> Result<Pooled, Error> {
        let slot = &lease.slot;
        let limit = upstream.config.timeouts.connect;
        let made = async {
            let Connected { transport, http2 } = upstream.connector.connect(&slot.endpoint).await?;
            let stream = WatchedStream::new(transport, slot.metrics.clone());
            slot.shares.set(http2);
            if http2 {
                let connection = Http2::new(&self.http2, stream, &self.memory).await?;
                let place = connection.reserve(self.sweeps.get());
                slot.share(connection);
                place
                    .map(Pooled::Http2)
                    .ok_or_else(|| Error::new(ErrorKind::Connect, "the connection was closed at once"))
            } else {
                Http1::new(&self.http1, stream).await.map(Pooled::Http1)
            }
        };
        timeout(limit, made).await.unwrap_or_else(|_| {
            let detail = format!("no connection to {} within {limit:?}", slot.endpoint.address());
            Err(Error::new(ErrorKind::ConnectTimeout, detail))
        })
    }
}

/// A response head, and what carries the rest.
enum Sent {
    Http1(http1::Sent),
    Http2(Response<hyper::body::Incoming>, http2::Place, Option<Rc<super::body::Flow>>),
}

fn answer(sent: Sent, lease: Lease, stopwatch: Stopwatch, upstream: &Upstream) -> Result<Response<Body>, Error> {
    let slot = lease.slot.clone();
    let idle = upstream.config.timeouts.idle;
    let result = match sent {
        Sent::Http1(sent) => http1::finish(sent, lease, stopwatch, idle),
        Sent::Http2(response, place, flow) => http2::finish(response, place, flow, lease, stopwatch, idle),
    };
    match &result {
        Ok(_) => slot.endpoint.succeeded(),
        Err(error) if error.kind().side() == Side::Downstream => {}
        Err(error) => slot.failed(error),
    }
    result
}

/// Which connections may carry a replay: new ones, and HTTP/2 ones that were made after this many.
#[derive(Clone, Copy)]
struct Newer(u64);

/// No connection.
struct Missed {
    error: Error,
    /// Whether it was this request that tried to make one; the others only waited, and there is nothing to count.
    ours: bool,
}

/// The right to make the connection that others wait for; given up also when the request is cancelled.
struct Turn<'a> {
    slot: &'a Slot,
    connecting: Rc<Connecting>,
}

impl<'a> Turn<'a> {
    fn new(slot: &'a Slot) -> Self {
        let connecting = Rc::new(Connecting::default());
        *slot.connecting.borrow_mut() = Some(connecting.clone());
        Self { slot, connecting }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.slot.connecting.borrow_mut() = None;
        self.connecting.done.notify_waiters();
    }
}
