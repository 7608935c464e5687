//! One try: an endpoint that was chosen, a connection to it, and the request on that. It leaves a record of its own. What
//! follows when it fails is decided above, in `send`.

use std::sync::Arc;

use http::Response;

use super::acquire::{Acquired, ConnectError, Freshness, acquire};
use super::admission::Admission;
use super::client::Client;
use super::connection::{Connection, Sent};
use super::pool::Lease;
use super::report::{Recorder, Report};
use super::request::UpstreamRequest;
use super::response;
use super::retry::Failure;
use super::service::Upstream;
use crate::error::{Error, Side};
use crate::message::Body;
use crate::timer::Stopwatch;

/// A try, which holds its endpoint.
pub(super) struct Attempt<'a> {
    client: &'a Client,
    upstream: &'a Arc<Upstream>,
    lease: Lease,
    record: Recorder<'a>,
}

/// A try that brought the head of a response.
pub(super) struct Answered<'a> {
    upstream: &'a Arc<Upstream>,
    lease: Lease,
    record: Recorder<'a>,
    sent: Sent,
    stopwatch: Stopwatch,
}

/// A try that brought none.
pub(super) enum AttemptError {
    /// It is not the upstream's doing: what is to be sent can't be, or the client has failed to send it.
    Request(Error),
    /// There is no connection, so nothing was sent.
    Connect(Lease, Error),
    /// The connection failed. `whole`: the request can be sent again.
    Send { lease: Lease, error: Error, failure: Failure, whole: bool },
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
        self,
        request: &mut UpstreamRequest<'_>,
        freshness: Freshness,
        keep: bool,
    ) -> Result<Answered<'a>, AttemptError> {
        let Self { client, upstream, lease, record } = self;
        let Acquired { connection, reused } = match acquire(client, upstream, &lease.pool, freshness, &record).await {
            Ok(acquired) => acquired,
            Err(ConnectError { error, waited }) => {
                record.failed(&error);
                if !waited {
                    lease.pool.failed(&error);
                }
                return Err(AttemptError::Connect(lease, error));
            }
        };
        // Only a reused connection can fail in a way that permits a replay, except for HTTP/2's refusals.
        if keep && (reused || matches!(connection, Connection::Http2(_))) {
            request.keep(|| client.fields());
        }
        let formed = match &connection {
            Connection::Http1(_) => request.http1(upstream, &lease.pool.addressee),
            Connection::Http2(_) => request.http2(upstream, &lease.pool.addressee),
        };
        let formed = formed.map_err(AttemptError::Request)?;
        record.sending(&lease.pool, formed.body().watch());
        let mut stopwatch = Stopwatch::new(client.timers.clone(), upstream.config.timeouts.response);
        match connection.send(formed, reused, &mut stopwatch).await {
            Ok(sent) => {
                lease.pool.answered(record.answered());
                Ok(Answered { upstream, lease, record, sent, stopwatch })
            }
            Err(failed) => {
                record.failed(failed.client.as_ref().unwrap_or(&failed.error));
                if let Some(error) = failed.client {
                    return Err(AttemptError::Request(error));
                }
                let whole = request.restore(failed.returned);
                Err(AttemptError::Send { lease, error: failed.error, failure: failed.failure, whole })
            }
        }
    }
}

impl Answered<'_> {
    /// The response, if its head is one that may be passed on. The request is in flight until its body has ended.
    pub(super) fn receive(self, admission: Admission) -> Result<Response<Body>, Error> {
        let Self { upstream, mut lease, record, sent, stopwatch } = self;
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
}
