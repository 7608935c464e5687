//! The way of a request to its upstream and of the response's head back.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use http::uri::PathAndQuery;
use http_body::Body as _;

use super::deadline::{explain, within};
use super::interim;
use crate::error::{Error, ErrorKind, Side};
use crate::exchange::{self, Exchange, ResponseHead, ResponseSource, SharedExchange};
use crate::message::{BarredTrailers, Body, FieldMap, Response, headers, known};
use crate::model::{PathMatch, UpstreamHost};
use crate::plugin::chain::AfterFailure;
use crate::route;
use crate::serving::{Completion, RouteHandle, Services, WorkerSnapshot, note};
use crate::trace::{Onward, Trace};
use crate::upstream::{AttemptRecord, Outbound, Report, Upstream};

/// Asks the route's upstream. Where that fails for a reason of the upstream's, plugins may answer in its place, or have it
/// asked once more.
pub(super) async fn forward(
    services: &Services,
    snapshot: &WorkerSnapshot,
    exchange: &SharedExchange,
    completion: &mut Completion,
    route: &RouteHandle,
    deadline: Option<Instant>,
    body: Body,
) -> Result<(ResponseSource, Body), Error> {
    if let Some(records) = &mut completion.audit {
        Box::pin(records.open()).await?;
    }
    let (mut can_repeat, mut before, started) = (body.is_end_stream(), 0, Instant::now());
    let mut begun = started;
    let mut body = Some(body);
    loop {
        let mut forwarding = ForwardReport { exchange, report: Report::new(begun), before, started };
        let forwarded = {
            let body = body.take().unwrap_or_else(Body::empty);
            let sent = pin!(send(services, snapshot, &mut forwarding, completion, route, body));
            within(services, deadline, sent).await
        };
        let failed = match forwarded {
            Ok(body) => return Ok((ResponseSource::Upstream, body)),
            Err(error) => explain(completion, error),
        };
        if let (ErrorKind::ExchangeTimeout, Some(limit)) = (failed.kind(), route.config.limits.request_timeout) {
            forwarding.report.timed_out(limit);
        }
        // RFC 9110 section 9.2.2: a proxy repeats no request that is not idempotent.
        let is_idempotent = exchange
            .access(|exchange| {
                forwarding.note(exchange);
                note(exchange, &failed);
                exchange.request.method.expose().is_idempotent()
            })
            .await;
        before += forwarding.report.count();
        drop(forwarding);
        can_repeat &= is_idempotent;
        let Some(run) = completion.run.as_mut().filter(|_| failed.kind().side() == Side::Upstream) else {
            return Err(failed);
        };
        // Apart, so that requests which are answered don't carry the room that asking takes.
        let mut asked = Box::pin(run.upstream_failure(failed.kind().failure(), can_repeat));
        match within(services, deadline, asked.as_mut()).await? {
            AfterFailure::Answer(answer) => return Ok((answer.source, answer.body)),
            AfterFailure::GoOn => return Err(failed),
            AfterFailure::Retry => {
                (can_repeat, begun) = (false, Instant::now());
                exchange
                    .access(|exchange| {
                        (exchange.failure, exchange.error) = (None, None);
                        exchange.measures.upstream = Duration::ZERO;
                    })
                    .await;
            }
        }
    }
}

/// Sends the request upstream and takes the response's head into the exchange.
async fn send(
    services: &Services,
    snapshot: &WorkerSnapshot,
    forwarding: &mut ForwardReport<'_>,
    completion: &Completion,
    route: &RouteHandle,
    body: Body,
) -> Result<Body, Error> {
    let exchange = forwarding.exchange;
    let keeps_headers = completion.run.as_ref().is_some_and(|run| run.reads_later());
    let before = forwarding.before;
    let (upstream, head, barred, trace) = exchange
        .access(|exchange| {
            let upstream = upstream_of(snapshot, route, exchange)?;
            let barred = exchange.request.barred().cloned().collect();
            let head = outgoing_head(snapshot, upstream, route, keeps_headers, exchange)?;
            let trace = exchange.trace.as_ref().map(|trace| Onward::new(trace, before));
            Ok::<_, Error>((upstream, head, barred, trace))
        })
        .await?;
    let body = BarredTrailers::wrap(body, barred, &route.config);
    let outbound = Outbound {
        method: head.method,
        authority: head.authority.as_deref(),
        path_and_query: head.path_and_query,
        headers: head.headers,
        body,
        key: None,
        interim: interim::way(completion, exchange),
        trace,
    };
    let sent = services.client.send(upstream, outbound, &forwarding.report).await;
    exchange
        .access(|exchange| {
            forwarding.note(exchange);
            let Response { status, mut fields, body } = sent?;
            if let Some(record) = exchange.trace.as_mut().and_then(Trace::record) {
                record.answered(status.as_u16());
            }
            let listed = headers::strip_hop_by_hop(&mut fields);
            // RFC 7838 section 2.1: an alternative for its own origin, which is not the one that the client talks to.
            fields.remove(known::ALT_SVC);
            // RFC 9110 section 10.1.4: a request's alone.
            fields.remove(known::TE);
            exchange.source = ResponseSource::Upstream;
            exchange.response = Some(ResponseHead { barred: listed.into(), ..ResponseHead::new(status, fields) });
            Ok(body)
        })
        .await
}

/// What is known of the attempts upstream. It reaches the log also when they are given up in the middle of one.
struct ForwardReport<'a> {
    exchange: &'a SharedExchange,
    report: Report,
    /// Attempts before those: of a request that a plugin has had repeated.
    before: u32,
    started: Instant,
}

impl ForwardReport<'_> {
    fn note(&self, exchange: &mut Exchange) {
        if exchange.measures.upstream.is_zero() {
            exchange.measures.upstream = self.report.ended().saturating_duration_since(self.started);
        }
        exchange.measures.attempts = self.before + self.report.count();
        exchange.endpoint = self.report.endpoint();
        if let Some(record) = exchange.trace.as_mut().and_then(Trace::record) {
            record.tries(self.before, self.report.attempts().iter().map(AttemptRecord::to_trace));
        }
    }
}

impl Drop for ForwardReport<'_> {
    fn drop(&mut self) {
        if let Some(mut slot) = self.exchange.try_lock()
            && let Some(exchange) = slot.as_deref_mut()
        {
            self.note(exchange);
        }
    }
}

/// The route's upstream, or the one that a plugin chose.
fn upstream_of<'a>(
    snapshot: &'a WorkerSnapshot,
    route: &'a RouteHandle,
    exchange: &Exchange,
) -> Result<&'a Arc<Upstream>, Error> {
    match (&exchange.upstream, &route.upstream) {
        (Some(name), Some(upstream)) if upstream.config().name == *name => Ok(upstream),
        (Some(name), _) => snapshot
            .shared
            .upstreams
            .get(name)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a plugin chose an upstream that does not exist")),
        (None, _) => Err(Error::new(ErrorKind::Internal, "the route has no upstream")),
    }
}

/// The request as it goes upstream.
struct OutgoingHead {
    method: Method,
    authority: Option<String>,
    path_and_query: PathAndQuery,
    headers: FieldMap,
}

/// Takes from the exchange what goes upstream. Header fields move unless a plugin or the log may still read them.
fn outgoing_head(
    snapshot: &WorkerSnapshot,
    upstream: &Upstream,
    route: &RouteHandle,
    keeps_headers: bool,
    exchange: &mut Exchange,
) -> Result<OutgoingHead, Error> {
    let mut fields = if keeps_headers || snapshot.logs_request_headers {
        exchange.request.headers.clone()
    } else {
        std::mem::take(&mut exchange.request.headers)
    };
    exchange.request.sent = true;
    let (request, edits) = (&exchange.request, &route.config.request_headers);
    exchange::header_edits::edit(&mut fields, edits, exchange);
    if request.edits.odd_names {
        let changed = request.field_edits().iter().map(|edit| edit.name.expose());
        headers::strip_lookalikes(&mut fields, changed.chain(edits.names()));
    }
    fields.insert(known::CDN_LOOP, exchange.hops.next());
    // What else tells of the trace is written for each try.
    if let Some(trace) = &exchange.trace {
        trace.write_state(&mut fields);
    }
    let path_and_query = match (&route.config.rewrite_prefix, &route.config.matches.path) {
        (Some(replacement), PathMatch::Prefix(prefix)) => {
            let rewritten = route::rewrite(request.path_and_query.expose().as_str(), prefix, replacement);
            PathAndQuery::try_from(rewritten)
                .map_err(|_| Error::new(ErrorKind::Internal, "the path is not a request target"))?
        }
        _ => request.path_and_query.expose().clone(),
    };
    // A request of HTTP/1.0 may name no host; the service has a name all the same.
    let asked = Some(request.authority.expose()).filter(|authority| !authority.is_empty());
    Ok(OutgoingHead {
        method: request.method.expose().clone(),
        authority: asked.filter(|_| upstream.config().host == UpstreamHost::Preserve).cloned(),
        path_and_query,
        headers: fields,
    })
}
