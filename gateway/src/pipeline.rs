//! THE request path: what happens to a request, from its head to the end of its response, as plain async code.
//!
//! Read [`handle`] and [`answer`] from top to bottom. What they call lives in `route/`, `plugin/`, `upstream/` and
//! `message/`; those do not know each other. Every way out passes [`Completion`], which writes the log record.

mod deadline;
mod forward;
mod interim;
mod receive;

use std::pin::pin;
use std::rc::Rc;

use http::{HeaderName, Method, StatusCode};
use http_body::Body as _;

use self::deadline::{explain, within};
use self::forward::forward;
use self::receive::receive;
use crate::audit::{self, Records};
use crate::error::{Error, ErrorKind};
use crate::exchange::{self, Exchange, ResponseHead, ResponseSource, SharedExchange};
use crate::handler::Inbound;
use crate::message::{Body, FieldValue, RequestBody, Response, content, headers, known, normalize};
use crate::model::RouteAction;
use crate::plugin::chain::Flow;
use crate::sensitive::Sensitive;
use crate::serving::{Completion, RouteHandle, Services, WorkerSnapshot, note};
use crate::trace::server_timing;
use crate::{response, route, timer};

/// Serves one request. Never fails: every error becomes a response. The returned body ends with an error when the
/// response was cut short; the protocol's job is then to reset the stream, never to end it well.
pub fn handle(services: Rc<Services>, inbound: Inbound) -> impl Future<Output = Response> {
    let Inbound { connection, arrived, head, body, interim, upgrade: _ } = inbound;
    let snapshot = services.snapshot();
    let is_head = head.method == Method::HEAD;
    let is_grpc = headers::is_grpc(&head.fields);

    let (exchange, accepted) = receive(&services, &snapshot, connection, arrived, head);
    let exchange = SharedExchange::new(exchange);
    let completion = Completion::new(services.clone(), exchange.clone(), interim);
    // From here on, dropping the future is safe at any await: the completion notes that the client left. It has no room for
    // the head as it came, which is in the exchange.
    serve(services, snapshot, exchange, completion, accepted, (is_head, is_grpc), body)
}

/// Has a request answered, and finishes what comes of it.
async fn serve(
    services: Rc<Services>,
    snapshot: Rc<WorkerSnapshot>,
    exchange: SharedExchange,
    mut completion: Completion,
    accepted: Result<(), Error>,
    (is_head, is_grpc): (bool, bool),
    body: Body,
) -> Response {
    let answered = match accepted {
        Ok(()) => answer(&services, &snapshot, &exchange, &mut completion, body).await,
        Err(error) => Err(error),
    };
    let fail = async |error: Error| {
        exchange
            .access(|exchange| {
                note(exchange, &error);
                let known_as =
                    response::KnownAs { request: &exchange.id, trace: exchange.trace.as_ref().map(|trace| trace.id) };
                let synthetic = response::problem(error.kind(), is_grpc, snapshot.rules.via_name(), known_as);
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
        let limit = completion.route.as_ref().and_then(|route| route.config.limits.request_timeout);
        let started = exchange.access(|exchange| exchange.started).await;
        let deadline = limit.map(|limit| started + limit);
        let mut source = source;
        body = loop {
            // A statement of its own: what was given up must have let go of the exchange before anybody else wants it.
            let passed = within(&services, deadline, pin!(run.response(source, body))).await;
            match passed {
                Ok(body) => break body,
                Err(error) => (source, body) = (ResponseSource::Gateway, fail(error).await),
            }
        };
    }
    if let Some(records) = completion.audit.take() {
        body = match Box::pin(audit::seal(records, is_head, body)).await {
            Ok(body) => body,
            Err(error) => fail(error).await,
        };
    }
    let (mut outgoing, barred) = finish(&snapshot, &exchange, &completion, is_head, &body).await;
    outgoing.body = completion.attach(is_head, outgoing.status, body, barred);
    outgoing
}

/// Finds out what answers the request, and lets it answer. On success the head is in `exchange.response`.
async fn answer(
    services: &Services,
    snapshot: &WorkerSnapshot,
    exchange: &SharedExchange,
    completion: &mut Completion,
    body: Body,
) -> Result<(ResponseSource, Body), Error> {
    // Route.
    let (found, declared, started, patience) = exchange
        .access(|exchange| {
            let patience = exchange.connection.body_timeout;
            (find_route(snapshot, exchange), declared_length(exchange), exchange.started, patience)
        })
        .await;
    let (route, last_hop) = found?;
    completion.route = Some(route.clone());
    if let Some(audited) = &route.audit {
        let progress = completion.request.get_or_insert_default().clone();
        completion.audit = Some(Records::begin(audited, exchange, progress).await);
    }

    // The body: refused at once where its declared length is too large, counted where it is not declared.
    let limit = route.config.limits.max_body;
    if declared.is_some_and(|length| length > limit) {
        return Err(ErrorKind::BodyTooLarge.into());
    }
    let ended = body.is_end_stream();
    let mut body = if ended {
        body
    } else {
        let patience = timer::Stopwatch::new(services.client.timers.clone(), patience);
        RequestBody::wrap(body, limit, patience, completion.request.get_or_insert_default().clone())
    };
    let deadline = route.config.limits.request_timeout.map(|timeout| started + timeout);

    // Plugins: all request-headers phases, then the body through those that asked for it.
    if !route.chain.is_empty() {
        let run = completion.run.insert(route.chain.start(exchange.clone()));
        match within(services, deadline, pin!(run.request_headers(ended))).await? {
            Flow::Continue(()) => {}
            Flow::Respond(answer) => return Ok((answer.source, answer.body)),
        }
        if run.reads_request() {
            let passed = within(services, deadline, pin!(run.request_body(body))).await;
            match passed.map_err(|error| explain(completion, error))? {
                Flow::Continue(filtered) => body = filtered,
                Flow::Respond(answer) => return Ok((answer.source, answer.body)),
            }
        }
    }

    // The action.
    match &route.config.action {
        RouteAction::Redirect(redirect) => {
            exchange
                .access(|exchange| {
                    let answer = response::redirect(redirect, &exchange.request)?;
                    Ok((ResponseSource::Route, put_response(exchange, ResponseSource::Route, answer)))
                })
                .await
        }
        RouteAction::Respond(fixed) => Ok(exchange
            .access(|exchange| {
                (ResponseSource::Route, put_response(exchange, ResponseSource::Route, response::fixed(fixed)))
            })
            .await),
        RouteAction::Upstream(_) if last_hop => Ok(exchange
            .access(|exchange| {
                let answer = response::options(&route.config.matches.methods);
                (ResponseSource::Route, put_response(exchange, ResponseSource::Route, answer))
            })
            .await),
        RouteAction::Upstream(_) => forward(services, snapshot, exchange, completion, &route, deadline, body).await,
    }
}

/// The request's route, and whether the request may go no further than here.
fn find_route(snapshot: &WorkerSnapshot, exchange: &mut Exchange) -> Result<(Rc<RouteHandle>, bool), Error> {
    let options = exchange.request.method == Method::OPTIONS;
    let last_hop = options && headers::count_down_max_forwards(&mut exchange.request.headers)?;
    let request = &exchange.request;
    let query = route::Query {
        scheme: request.scheme,
        hostname: normalize::hostname(request.authority.expose()),
        path: request.path().into_exposed(),
        query: request.query().map(Sensitive::into_exposed),
        method: request.method.expose(),
        headers: &request.headers,
    };
    let found = snapshot.shared.router.find(&query).ok_or(ErrorKind::NoRoute)?;
    let route = snapshot.routes[*found].clone();
    exchange.route = Some(route.config.name.clone());
    if let Some(tracing) = &snapshot.tracing {
        tracing.settle(&mut exchange.trace, route.sampling, !route.chain.is_empty());
    }
    if let RouteAction::Upstream(name) = &route.config.action {
        exchange.upstream = Some(name.clone());
    }
    Ok((route, last_hop))
}

/// Gives the response's head its last touches: the response without its body, and what trailers may not bring.
async fn finish(
    snapshot: &WorkerSnapshot,
    exchange: &SharedExchange,
    completion: &Completion,
    is_head: bool,
    body: &Body,
) -> (Response, Vec<HeaderName>) {
    let keeps_headers = completion.run.as_ref().is_some_and(|run| run.reads_later());
    let mut outgoing = Response::new(Body::empty());
    let mut barred = Vec::new();
    exchange
        .access(|exchange| {
            let Some(head) = &mut exchange.response else {
                outgoing.status = StatusCode::INTERNAL_SERVER_ERROR;
                return;
            };
            head.sent = true;
            outgoing.status = head.status;
            let mut fields = if keeps_headers { head.headers.clone() } else { std::mem::take(&mut head.headers) };
            fields.insert(known::X_REQUEST_ID, exchange.id.value());
            barred = std::mem::take(head.barred.expose_mut());
            let status = head.status;
            if let Some(route) = &completion.route {
                exchange::header_edits::edit(&mut fields, &route.config.response_headers, exchange);
            }
            if let Some(alternative) = snapshot.alt_svc(&exchange.connection) {
                fields.insert(known::ALT_SVC, alternative);
            }
            if snapshot.tracing.as_ref().is_some_and(|tracing| tracing.server_timing)
                && let Some(trace) = &exchange.trace
            {
                let text = server_timing(trace, exchange.measures.plugins, exchange.measures.upstream);
                if let Some(value) = FieldValue::of(text.as_bytes()) {
                    fields.append(known::SERVER_TIMING, value);
                }
            }
            // The same length on every protocol. An upstream's answer to HEAD has no body that could tell it, and of another
            // one plugins may have had their part, in answer to GET.
            let filtered = || completion.run.as_ref().is_some_and(|run| run.hides_length());
            let untold = is_head && (exchange.source == ResponseSource::Upstream || filtered());
            let length = body.size_hint().exact().filter(|_| !untold);
            content::tell_length(status, &mut fields, length);
            outgoing.fields = fields;
        })
        .await;
    (outgoing, barred)
}

/// Puts a response that was made here into the exchange; gives back its body.
fn put_response(exchange: &mut Exchange, source: ResponseSource, made: Response) -> Body {
    exchange.source = source;
    exchange.response = Some(ResponseHead::new(made.status, made.fields));
    made.body
}

fn declared_length(exchange: &Exchange) -> Option<u64> {
    exchange.request.headers.get(known::CONTENT_LENGTH)?.expose_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<F: Future>(_: impl FnOnce() -> F) -> usize {
        size_of::<F>()
    }

    /// It is allocated and filled for each request, and all that are under way lie in the caches of their worker. Whatever
    /// few requests need (what failures and uploads lead to) belongs in a box of its own.
    #[test]
    #[allow(unreachable_code, clippy::diverging_sub_expression)]
    fn a_request_takes_no_more_room_than_its_usual_way_needs() {
        let bytes = size(|| handle(unreachable!(), unreachable!()));
        assert!(bytes <= 4608, "{bytes} bytes");
    }
}
