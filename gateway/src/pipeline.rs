//! THE request path: what happens to a request, from its head to the end of its response, as plain async code.
//!
//! Read [`handle`] and [`answer`] from top to bottom. What they call lives in `route/`, `plugin/`, `upstream/` and
//! `message/`; those do not know each other. Every way out passes [`Completion`], which writes the log record.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::{ALT_SVC, CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, request};
use http_body::Body as _;
use smallvec::SmallVec;
use tokio::sync::Mutex;

use crate::completion::{Completion, note};
use crate::error::{Error, ErrorKind};
use crate::exchange::{
    ConnectionInfo, Edits, Exchange, Measures, Protocol, RequestHead, ResponseHead, ResponseSource, SharedExchange,
};
use crate::memory::Exhausted;
use crate::message::headers::{self, Arrival};
use crate::message::{BarredTrailers, Body, RequestBody, content, normalize};
use crate::model::{PathMatch, RouteAction};
use crate::plugin::chain::Flow;
use crate::protocol::http::Running;
use crate::upstream::{Outbound, Report, Upstream};
use crate::worker::{RouteHandle, Worker, WorkerSnapshot};
use crate::{exchange, response, route, timer};

/// Serves one request. Never fails: every error becomes a response. The returned body ends with an error when the
/// response was cut short; the protocol's job is then to reset the stream, never to end it well.
pub async fn handle(
    worker: Rc<Worker>,
    connection: Arc<ConnectionInfo>,
    request: http::Request<Body>,
    running: Option<Running>,
) -> http::Response<Body> {
    let snapshot = worker.snapshot();
    let (parts, body) = request.into_parts();
    let is_head = parts.method == Method::HEAD;
    let is_grpc = headers::is_grpc(&parts.headers);
    let multiplexed = connection.protocol != Protocol::Http1;

    let (exchange, accepted) = receive(&worker, &snapshot, connection, parts);
    let started = exchange.started;
    let exchange: SharedExchange = Rc::new(Mutex::new(Some(Box::new(exchange))));
    let mut completion = Completion::new(worker.clone(), exchange.clone(), running, multiplexed);

    // From here on, dropping this future is safe at any await: the completion notes that the client left.
    let answered = match accepted {
        Ok(()) => answer(&worker, &snapshot, &exchange, &mut completion, body).await,
        Err(error) => Err(error),
    };
    let fail = async |error: Error| {
        access(&exchange, |exchange| {
            note(exchange, &error);
            let synthetic = response::problem(error.kind(), is_grpc, snapshot.rules.via_name(), &exchange.id);
            put_response(exchange, ResponseSource::Gateway, synthetic)
        })
        .await
    };
    let (source, mut body) = match answered {
        Ok(answered) => answered,
        Err(error) => (ResponseSource::Gateway, fail(error).await),
    };
    // A plugin that fails here makes the gateway answer, which then passes the plugins that have not answered yet: each
    // does so at most once, so this ends.
    if let Some(run) = completion.run.as_mut().filter(|run| run.sees_response()) {
        let deadline =
            completion.route.as_ref().and_then(|route| route.config.request_timeout).map(|limit| started + limit);
        let mut source = source;
        body = loop {
            // A statement of its own: what was given up must have let go of the exchange before anybody else wants it.
            let passed = within(&worker, deadline, pin!(run.response(source, body))).await;
            match passed {
                Ok(body) => break body,
                Err(error) => (source, body) = (ResponseSource::Gateway, fail(error).await),
            }
        };
    }
    finish(&snapshot, &exchange, completion, is_head, body).await
}

/// Makes the exchange of a request: canonical target, end-to-end header fields only, the client's address. A request
/// that is refused still gets an exchange, for its log record.
fn receive(
    worker: &Worker,
    snapshot: &WorkerSnapshot,
    connection: Arc<ConnectionInfo>,
    mut parts: request::Parts,
) -> (Exchange, Result<(), Error>) {
    let streamed = parts.version >= Version::HTTP_2;
    if streamed {
        headers::join_cookies(&mut parts.headers);
    }
    let checked = headers::check_framing(parts.version, &parts.headers)
        .and_then(|()| headers::check_upgrade(parts.version, &parts.headers))
        .and_then(|()| normalize::target(&parts.method, &parts.uri, &parts.headers, parts.version));
    let (authority, path_and_query, mut accepted) = match checked {
        Ok(target) => (target.authority, target.path_and_query, Ok(())),
        Err(error) => (String::new(), "/".to_owned(), Err(error)),
    };
    if accepted.is_ok() && worker.in_flight.get() >= snapshot.requests_limit {
        accepted = Err(Error::new(ErrorKind::Overload, "too many requests in flight on this worker"));
    }
    if accepted.is_ok() && worker.memory.is_overdrawn() {
        accepted = Err(Exhausted.into());
    }
    if accepted.is_ok() && parts.headers.len() > connection.max_fields {
        accepted = Err(Error::new(ErrorKind::HeadersTooLarge, "more header fields than the listener allows"));
    }
    if accepted.is_ok() && streamed && headers::size(&parts) > connection.max_head {
        accepted = Err(Error::new(ErrorKind::HeadersTooLarge, "a larger head than the listener allows"));
    }
    let arrival =
        Arrival { version: parts.version, peer: connection.peer.ip(), tls: connection.tls, authority: &authority };
    let received = snapshot.rules.receive(&mut parts.headers, &arrival);
    if accepted.is_ok() && snapshot.rules.is_loop(&received.hops) {
        accepted =
            Err(Error::new(ErrorKind::Loop, "the request has passed this gateway too often (forwarding.max_hops)"));
    }
    // 100 Continue is sent by the protocol layer when the body is first read.
    parts.headers.remove(EXPECT);
    let exchange = Exchange {
        id: received.id,
        started: Instant::now(),
        started_at: SystemTime::now(),
        client: received.client,
        request: RequestHead {
            method: parts.method,
            scheme: received.scheme,
            authority,
            path_and_query,
            headers: parts.headers,
            trailers: None,
            sent: false,
            edits: Edits::of(received.listed, received.odd_names),
        },
        connection,
        response: None,
        source: ResponseSource::None,
        route: None,
        upstream: None,
        endpoint: None,
        failure: None,
        error: None,
        attributes: Vec::new(),
        log_fields: Vec::new(),
        scratch: Vec::new(),
        measures: Measures::default(),
        hops: received.hops,
    };
    (exchange, accepted)
}

/// Finds out what answers the request, and lets it answer. On success the head is in `exchange.response`.
async fn answer(
    worker: &Rc<Worker>,
    snapshot: &WorkerSnapshot,
    exchange: &SharedExchange,
    completion: &mut Completion,
    body: Body,
) -> Result<(ResponseSource, Body), Error> {
    // Route.
    let (found, declared, started, patience) = access(exchange, |exchange| {
        let patience = exchange.connection.body_timeout;
        (find_route(snapshot, exchange), declared_length(exchange), exchange.started, patience)
    })
    .await;
    let (route, last_hop) = found?;
    completion.route = Some(route.clone());

    // The body: refused at once where its declared length is too large, counted where it is not declared.
    let limit = route.config.max_body;
    if declared.is_some_and(|length| length > limit) {
        return Err(ErrorKind::BodyTooLarge.into());
    }
    let ended = body.is_end_stream();
    let patience = timer::Stopwatch::new(worker.client.timers.clone(), patience);
    let mut body = RequestBody::wrap(body, limit, patience, completion.request.clone());
    let timeout = route.config.request_timeout;
    let deadline = timeout.map(|timeout| started + timeout);

    // Plugins: all request-headers phases, then the body through those that asked for it.
    if !route.chain.is_empty() {
        let run = completion.run.insert(route.chain.start(exchange.clone()));
        match within(worker, deadline, pin!(run.request_headers(ended))).await? {
            Flow::Continue(()) => {}
            Flow::Respond(answer) => return Ok((answer.source, answer.body)),
        }
        if run.reads_request() {
            let passed = within(worker, deadline, pin!(run.request_body(body))).await;
            match passed.map_err(|error| explain(completion, error))? {
                Flow::Continue(filtered) => body = filtered,
                Flow::Respond(answer) => return Ok((answer.source, answer.body)),
            }
        }
    }

    // The action.
    match &route.config.action {
        RouteAction::Redirect(redirect) => {
            access(exchange, |exchange| {
                let answer = response::redirect(redirect, &exchange.request)?;
                Ok((ResponseSource::Route, put_response(exchange, ResponseSource::Route, answer)))
            })
            .await
        }
        RouteAction::Respond(fixed) => Ok(access(exchange, |exchange| {
            (ResponseSource::Route, put_response(exchange, ResponseSource::Route, response::fixed(fixed)))
        })
        .await),
        RouteAction::Upstream(_) if last_hop => Ok(access(exchange, |exchange| {
            let answer = response::options(&route.config.matches.methods);
            (ResponseSource::Route, put_response(exchange, ResponseSource::Route, answer))
        })
        .await),
        RouteAction::Upstream(_) => {
            let mut attempt = Attempt { exchange, report: Report::default(), started: Instant::now() };
            let forwarded = {
                let forwarded = pin!(forward(worker, snapshot, &mut attempt, completion, &route, body));
                within(worker, deadline, forwarded).await
            };
            let failed = match forwarded {
                Ok(body) => return Ok((ResponseSource::Upstream, body)),
                Err(error) => explain(completion, error),
            };
            if let (ErrorKind::ExchangeTimeout, Some(limit)) = (failed.kind(), timeout) {
                attempt.report.timed_out(limit);
            }
            access(exchange, |exchange| {
                attempt.note(exchange);
                note(exchange, &failed);
            })
            .await;
            drop(attempt);
            if let Some(run) = &mut completion.run
                && failed.kind().side() == crate::error::Side::Upstream
            {
                let asked = pin!(run.upstream_failure(failed.kind().failure()));
                if let Some(answer) = within(worker, deadline, asked).await? {
                    return Ok((answer.source, answer.body));
                }
            }
            Err(failed)
        }
    }
}

/// The request's route, and whether the request may go no further than here.
fn find_route(snapshot: &WorkerSnapshot, exchange: &mut Exchange) -> Result<(Rc<RouteHandle>, bool), Error> {
    let options = exchange.request.method == Method::OPTIONS;
    let last_hop = options && headers::count_down_max_forwards(&mut exchange.request.headers)?;
    let request = &exchange.request;
    let query = route::Query {
        scheme: request.scheme,
        hostname: normalize::hostname(&request.authority),
        path: request.path(),
        query: request.query(),
        method: &request.method,
        headers: &request.headers,
    };
    let found = snapshot.shared.router.find(&query).ok_or(ErrorKind::NoRoute)?;
    let route = snapshot.routes[*found].clone();
    exchange.route = Some(route.config.name.clone());
    if let RouteAction::Upstream(name) = &route.config.action {
        exchange.upstream = Some(name.clone());
    }
    Ok((route, last_hop))
}

/// Sends the request upstream and takes the response's head into the exchange.
async fn forward(
    worker: &Rc<Worker>,
    snapshot: &WorkerSnapshot,
    attempt: &mut Attempt<'_>,
    completion: &Completion,
    route: &RouteHandle,
    body: Body,
) -> Result<Body, Error> {
    let exchange = attempt.exchange;
    let keeps_headers = completion.run.as_ref().is_some_and(|run| run.reads_later());
    let (upstream, draft, barred) = access(exchange, |exchange| {
        let upstream = upstream_of(snapshot, route, exchange)?;
        let barred = exchange.request.barred().cloned().collect();
        Ok::<_, Error>((upstream, draft(snapshot, route, keeps_headers, exchange), barred))
    })
    .await?;
    let body = BarredTrailers::wrap(body, barred, &route.config);
    let outbound = Outbound {
        method: draft.method,
        // A request of HTTP/1.0 may name no host; the service has a name all the same.
        authority: Some(&*draft.authority).filter(|authority| !authority.is_empty()),
        path_and_query: &draft.path_and_query,
        headers: draft.headers,
        body,
        key: None,
    };
    let sent = worker.client.send(upstream, outbound, &attempt.report).await;
    access(exchange, |exchange| {
        attempt.note(exchange);
        let (mut parts, body) = sent?.into_parts();
        let listed = headers::strip_hop_by_hop(&mut parts.headers);
        // RFC 7838 section 2.1: an alternative for its own origin, which is not the one that the client talks to.
        parts.headers.remove(ALT_SVC);
        exchange.source = ResponseSource::Upstream;
        exchange.response =
            Some(ResponseHead { barred: listed.into(), ..ResponseHead::new(parts.status, parts.headers) });
        Ok(body)
    })
    .await
}

/// What is known of the attempts upstream. It reaches the log also when they are given up in the middle of one.
struct Attempt<'a> {
    exchange: &'a SharedExchange,
    report: Report,
    started: Instant,
}

impl Attempt<'_> {
    fn note(&self, exchange: &mut Exchange) {
        if exchange.measures.upstream.is_zero() {
            exchange.measures.upstream = self.started.elapsed();
        }
        exchange.measures.attempts = self.report.count();
        exchange.endpoint = self.report.endpoint();
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Ok(mut slot) = self.exchange.try_lock()
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
struct Draft {
    method: Method,
    authority: String,
    path_and_query: String,
    headers: HeaderMap,
}

/// Takes from the exchange what goes upstream. Header fields move unless a plugin or the log may still read them.
fn draft(snapshot: &WorkerSnapshot, route: &RouteHandle, keeps_headers: bool, exchange: &mut Exchange) -> Draft {
    let mut fields = if keeps_headers || snapshot.logs_request_headers {
        exchange.request.headers.clone()
    } else {
        std::mem::take(&mut exchange.request.headers)
    };
    exchange.request.sent = true;
    let (request, edits) = (&exchange.request, &route.config.request_headers);
    headers::edit(&mut fields, edits, exchange);
    if request.edits.odd_names {
        let changed = request.field_edits().iter().map(|edit| &edit.name);
        headers::strip_lookalikes(&mut fields, changed.chain(edits.names()));
    }
    fields.insert(headers::CDN_LOOP, exchange.hops.next());
    let path_and_query = match (&route.config.rewrite_prefix, &route.config.matches.path) {
        (Some(replacement), PathMatch::Prefix(prefix)) => route::rewrite(&request.path_and_query, prefix, replacement),
        _ => request.path_and_query.clone(),
    };
    Draft { method: request.method.clone(), authority: request.authority.clone(), path_and_query, headers: fields }
}

/// Gives the response its last touches and ties the end of the exchange to the end of its body.
async fn finish(
    snapshot: &WorkerSnapshot,
    exchange: &SharedExchange,
    completion: Completion,
    is_head: bool,
    body: Body,
) -> http::Response<Body> {
    let keeps_headers = completion.run.as_ref().is_some_and(|run| run.reads_later());
    let mut outgoing = http::Response::new(Body::empty());
    let mut barred = SmallVec::new();
    access(exchange, |exchange| {
        let Some(head) = &mut exchange.response else {
            *outgoing.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return;
        };
        head.sent = true;
        *outgoing.status_mut() = head.status;
        let mut fields = if keeps_headers { head.headers.clone() } else { std::mem::take(&mut head.headers) };
        if let Ok(id) = HeaderValue::from_str(&exchange.id) {
            fields.insert(headers::X_REQUEST_ID, id);
        }
        barred = std::mem::take(&mut head.barred);
        let status = head.status;
        if let Some(route) = &completion.route {
            headers::edit(&mut fields, &route.config.response_headers, exchange);
        }
        if let Some(alternative) = snapshot.alt_svc(&exchange.connection) {
            fields.insert(ALT_SVC, alternative);
        }
        // The same length on every protocol. An upstream's answer to HEAD has no body that could tell it, and of another
        // one plugins may have had their part, in answer to GET.
        let filtered = || completion.run.as_ref().is_some_and(|run| run.hides_length());
        let untold = is_head && (exchange.source == ResponseSource::Upstream || filtered());
        let length = body.size_hint().exact().filter(|_| !untold);
        content::tell_length(status, &mut fields, length);
        *outgoing.headers_mut() = fields;
    })
    .await;
    let status = outgoing.status();
    *outgoing.body_mut() = completion.attach(is_head, status, body, barred);
    outgoing
}

/// Puts a response that was made here into the exchange; gives back its body.
fn put_response(exchange: &mut Exchange, source: ResponseSource, made: http::Response<Body>) -> Body {
    let (parts, body) = made.into_parts();
    exchange.source = source;
    exchange.response = Some(ResponseHead::new(parts.status, parts.headers));
    body
}

/// What a failure means that came while the request's body may have been on its way: the client's own mistake explains
/// it best, and a timeout of the whole exchange is its fault while the gateway waits for the rest of its request.
fn explain(completion: &Completion, error: Error) -> Error {
    if let Some(mistake) = completion.request.error.borrow().clone() {
        return mistake;
    }
    match error.kind() {
        ErrorKind::ExchangeTimeout if completion.request.awaiting_client.get() => Error::new(
            ErrorKind::RequestTimeout,
            "the client had not sent its whole body when the route's timeout passed",
        ),
        _ => error,
    }
}

fn declared_length(exchange: &Exchange) -> Option<u64> {
    exchange.request.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Works on the exchange. Waits only while a plugin that reads the request's body is itself waiting for a call.
async fn access<T>(exchange: &SharedExchange, work: impl FnOnce(&mut Exchange) -> T) -> T {
    let mut slot = exchange::lock(exchange).await;
    // A plugin call puts the exchange back before it gives the lock up, also when it traps or is dropped.
    #[allow(clippy::expect_used)]
    work(slot.as_deref_mut().expect("the exchange is in its place"))
}

/// Bounds a part of the exchange by the route's request timeout.
async fn within<T>(
    worker: &Worker,
    deadline: Option<Instant>,
    part: Pin<&mut impl Future<Output = Result<T, Error>>>,
) -> Result<T, Error> {
    let Some(deadline) = deadline else { return part.await };
    let passed = || Err(Error::new(ErrorKind::ExchangeTimeout, "the route's request timeout passed"));
    timer::until(&worker.client.timers, deadline, part).await.unwrap_or_else(passed)
}
