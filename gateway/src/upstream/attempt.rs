//! One try: an endpoint that was chosen, a connection to it, and the request on that. It leaves a record of its own. What
//! follows when it fails is decided above, in `send`.

use std::sync::Arc;

use super::acquire::{Acquired, ConnectError, Freshness, acquire};
use super::admission::Admission;
use super::client::Client;
use super::connection::{Connection, SendError, Sent, http1, http2};
use super::pool::{EndpointPool, Lease};
use super::report::{Recorder, Report};
use super::request::UpstreamRequest;
use super::response;
use super::retry::AttemptFailure;
use super::service::Upstream;
use crate::error::{Error, Side};
use crate::message::Response;
use crate::timer::Stopwatch;

/// A try, which holds its endpoint.
pub(super) struct Attempt<'a> {
    client: &'a Client,
    upstream: &'a Arc<Upstream>,
    lease: Lease,
    record: Recorder<'a>,
}

/// The head of a response, and what the rest of it comes over.
pub(super) struct Answered {
    sent: Sent,
    stopwatch: Stopwatch,
}

/// A try that brought no response.
pub(super) enum AttemptError {
    /// It is not the upstream's doing: what is to be sent can't be, or the client has failed to send it.
    Request(Error),
    /// There is no connection, so nothing was sent.
    Connect(Error),
    /// The connection failed. `whole`: the request can be sent again.
    Send { error: Error, failure: AttemptFailure, whole: bool },
}

impl<'a> Attempt<'a> {
    /// Begins the record of a try at the lease's endpoint.
    pub(super) fn begin(client: &'a Client, upstream: &'a Arc<Upstream>, lease: Lease, report: &'a Report) -> Self {
        lease.pool.metrics.attempts.add(1);
        lease.pool.metrics.retries.add(u64::from(report.count() > 0));
        let record = report.begin(lease.pool.endpoint.address());
        Self { client, upstream, lease, record }
    }

    /// Sends the request over a connection that is fresh enough, and waits for the response's head. `keep`: the request
    /// may be sent again, where that is possible.
    pub(super) async fn run(
        &self,
        request: &mut UpstreamRequest<'_>,
        freshness: Freshness,
        keep: bool,
    ) -> Result<Answered, AttemptError> {
        let Self { client, upstream, lease, record } = self;
        let pool = &lease.pool;
        let Acquired { connection, reused } = match acquire(client, upstream, pool, freshness, record).await {
            Ok(acquired) => acquired,
            Err(ConnectError { error, waited }) => {
                record.failed(&error);
                if !waited {
                    pool.failed(&error);
                }
                return Err(AttemptError::Connect(error));
            }
        };
        // Only a reused connection can fail in a way that permits a replay, except for HTTP/2's refusals.
        if keep && (reused || matches!(connection, Connection::Http2(_))) {
            request.keep();
        }
        request.tell_trace(record.number());
        let mut stopwatch = Stopwatch::new(client.timers.clone(), upstream.config.timeouts.response);
        stopwatch.restart_from(record.sent().into());
        let result = match connection {
            Connection::Http1(mut connection) => {
                let written = request.http1(upstream, &pool.addressee, connection.outgoing());
                let upload = written.map_err(AttemptError::Request)?;
                record.sending(pool, upload.watch());
                let UpstreamRequest { method, interim, .. } = &*request;
                http1::send(connection, upload, method, interim, reused, &mut stopwatch).await.map(Sent::Http1)
            }
            Connection::Http2(permit) => {
                let formed = request.http2(upstream, &pool.addressee).map_err(AttemptError::Request)?;
                record.sending(pool, formed.body().watch());
                http2::send(permit, formed, &request.interim, reused, &mut stopwatch).await.map(Sent::Http2)
            }
        };
        match result {
            Ok(sent) => {
                pool.answered(record.answered());
                Ok(Answered { sent, stopwatch })
            }
            Err(SendError { client: Some(error), .. }) => {
                record.failed(&error);
                Err(AttemptError::Request(error))
            }
            Err(SendError { error, failure, returned, client: None }) => {
                record.failed(&error);
                Err(AttemptError::Send { error, failure, whole: request.restore(returned) })
            }
        }
    }

    /// The response, if its head is one that may be passed on. The request is in flight until its body has ended.
    pub(super) fn receive(self, answered: Answered, admission: Admission) -> Result<Response, Error> {
        let Self { upstream, mut lease, record, .. } = self;
        let Answered { sent, stopwatch } = answered;
        let pool = lease.pool.clone();
        lease.hold(admission);
        let received = response::receive(sent, lease, stopwatch, upstream.config.timeouts.idle);
        match &received {
            Ok(_) => pool.endpoint.succeeded(),
            Err(error) => {
                record.failed(error);
                if error.kind().side() != Side::Downstream {
                    pool.failed(error);
                }
            }
        }
        received
    }

    /// The pool of its endpoint.
    pub(super) fn pool(&self) -> &EndpointPool {
        &self.lease.pool
    }

    /// It is over: its hold on the endpoint, for another one.
    pub(super) fn into_lease(self) -> Lease {
        self.lease
    }
}
