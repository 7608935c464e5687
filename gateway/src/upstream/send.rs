//! Sends a request: the policy over tries. What one try does is in `attempt`, what may follow it in `retry`.

use std::rc::Rc;
use std::sync::Arc;

use super::acquire::Freshness;
use super::attempt::{Attempt, AttemptError};
use super::client::Client;
use super::report::Report;
use super::request::{Outbound, UpstreamRequest};
use super::retry::Tries;
use super::service::Upstream;
use crate::error::Error;
use crate::message::Response;

impl Client {
    /// Sends a request and gives the head of the response; its body streams, and ends in an error when it was cut
    /// short. A dead pooled connection is replaced once, where the request can be sent again; an endpoint that can't
    /// be reached is replaced by another. Dropping the future or the body cancels the request upstream.
    ///
    /// `report` has each try as it happens; it is right at every moment at which this future may be dropped.
    pub async fn send(
        self: &Rc<Self>,
        upstream: &Arc<Upstream>,
        outbound: Outbound<'_>,
        report: &Report,
    ) -> Result<Response, Error> {
        let key = outbound.key;
        let mut request = UpstreamRequest::new(outbound);
        let local = self.local(upstream);
        let admission = local.admit()?;
        let mut tries = Tries::default();
        // Set for a replay: at the endpoint that was chosen already, over a connection that is new. If that one can't
        // be made, nothing has been sent again, and the other endpoints are as good as for a first try.
        let mut replay = None;
        loop {
            let (lease, freshness) = match replay.take() {
                Some(replay) => replay,
                None => (self.choose(&local, upstream, tries.excluded(), key)?, Freshness::Any),
            };
            let attempt = Attempt::begin(self, upstream, lease, report);
            match attempt.run(&mut request, freshness, tries.may_replay()).await {
                Ok(answered) => return attempt.receive(answered, admission),
                Err(AttemptError::Request(error)) => return Err(error),
                Err(AttemptError::Connect(error)) => {
                    if !tries.unreachable(attempt.pool().endpoint.id, error.kind(), local.endpoints()) {
                        return Err(error);
                    }
                }
                Err(AttemptError::Send { error, failure, whole }) => {
                    if !tries.failed(&request.method, whole, failure) {
                        attempt.pool().failed(&error);
                        return Err(error);
                    }
                    // Who refuses a request is alive. When a connection died of old age, others of its age may have, too.
                    let after = if failure.refused { 0 } else { attempt.pool().made() };
                    replay = Some((attempt.into_lease(), Freshness::MadeAfter(after)));
                }
            }
        }
    }
}
