//! Sends a request: choose an endpoint, take or make a connection, send, and hand the response back as it streams.
//! The one loop of attempts is here; whether there may be another is decided in `retry`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response};
use smallvec::SmallVec;
use tokio::time::timeout;

use super::body::RequestBody;
use super::http1::Http1;
use super::http2::Http2;
use super::pool::{Client, Connecting, Lease, Pooled, Slot};
use super::request::{Draft, Outbound};
use super::retry::{self, Attempt};
use super::timer::Stopwatch;
use super::{Report, Upstream, connect, http1, http2};
use crate::config::model::UpstreamProtocol;
use crate::error::{Error, ErrorKind, Side};
use crate::message::Body;

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
        report.started.get_or_insert_with(Instant::now);
        let timeouts = &upstream.config.timeouts;
        let mut stopwatch = Stopwatch::new(self.timers.clone(), timeouts.response);
        let mut tried: SmallVec<[u64; retry::MAX_ENDPOINTS]> = SmallVec::new();
        let mut replayed = false;
        // Set for a replay: at the endpoint that was chosen already, over a connection that is new. If that one can't
        // be made, nothing has been sent again, and the other endpoints are as good as for a first attempt.
        let mut again: Option<(Lease, usize)> = None;
        loop {
            let fresh = again.is_some();
            let (lease, endpoints) = match again.take() {
                Some(again) => again,
                None => self.choose(upstream, &tried)?,
            };
            report.attempts += 1;
            report.endpoint = Some(lease.slot.endpoint.address());
            let (connection, reused) = match self.acquire(upstream, &lease, fresh).await {
                Ok(acquired) => acquired,
                Err(error) => {
                    lease.slot.endpoint.failed();
                    tried.push(lease.slot.endpoint.id);
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
                    let request = draft.http1(upstream, &lease.slot.endpoint)?;
                    http1::send(connection, request, reused, &mut stopwatch).await.map(Sent::Http1)
                }
                Pooled::Http2(place) => {
                    let request = draft.http2(upstream, &lease.slot.endpoint)?;
                    let sent = http2::send(&place, request, reused, &mut stopwatch).await;
                    sent.map(|(response, flow)| Sent::Http2(response, place, flow))
                }
            };
            let failed = match result {
                Ok(sent) => {
                    self.put_back(copy);
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
                again = Some((lease, endpoints));
                continue;
            }
            lease.slot.endpoint.failed();
            return Err(failed.error);
        }
    }

    fn put_back(&self, copy: Option<super::request::Copy>) {
        if let Some(copy) = copy {
            self.copies.borrow_mut().push(copy.into_fields());
        }
    }

    /// A connection to the endpoint, and whether it has been used before.
    async fn acquire(&self, upstream: &Upstream, lease: &Lease, fresh: bool) -> Result<(Pooled, bool), Error> {
        let slot = &lease.slot;
        if !fresh && let Some(pooled) = slot.checkout() {
            return Ok((pooled, true));
        }
        let shares = upstream.config.protocol == UpstreamProtocol::Http2 || slot.shares.get();
        if !shares {
            return Ok((self.connect(upstream, lease).await?, false));
        }
        loop {
            // A replay, too, takes what others have just made.
            if let Some(place) = slot.place() {
                return Ok((Pooled::Http2(place), true));
            }
            let Some(connecting) = slot.connecting.borrow().clone() else { break };
            connecting.done.notified().await;
            if let Some(error) = connecting.error.borrow().clone() {
                return Err(error);
            }
        }
        let turn = Turn::new(slot);
        let result = self.connect(upstream, lease).await;
        if let Err(error) = &result {
            *turn.connecting.error.borrow_mut() = Some(error.clone());
        }
        Ok((result?, false))
    }

    async fn connect(&self, upstream: &Upstream, lease: &Lease) -> Result<Pooled, Error> {
        let endpoint = &lease.slot.endpoint;
        let limit = upstream.config.timeouts.connect;
        let made = async {
            let connected = connect::connect(upstream, endpoint).await?;
            if connected.http2 {
                let connection = Http2::new(&self.http2, connected).await?;
                connection.used.set(lease.sweep());
                let place = connection.reserve();
                lease.slot.share(connection);
                place
                    .map(Pooled::Http2)
                    .ok_or_else(|| Error::new(ErrorKind::Connect, "the connection was closed at once"))
            } else {
                Http1::new(&self.http1, connected).await.map(Pooled::Http1)
            }
        };
        timeout(limit, made).await.unwrap_or_else(|_| {
            let detail = format!("no connection to {} within {limit:?}", endpoint.address());
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
        Sent::Http2(response, place, flow) => Ok(http2::finish(response, place, flow, lease, stopwatch, idle)),
    };
    match &result {
        Ok(_) => slot.endpoint.succeeded(),
        Err(error) if error.kind().side() == Side::Downstream => {}
        Err(_) => slot.endpoint.failed(),
    }
    result
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
