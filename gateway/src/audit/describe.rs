//! What the records of an exchange say of it. Pure: nothing here looks at a clock or writes.

use ::audit::record::{Bytes, Closing, Note, Opening, RequestId, TraceId};
use ::audit::subjects::Caller;
use ::audit::vocabulary::{Action, Auth, Outcome, Place};
use plugin_rules::audit as told;

use super::route::AuditedRoute;
use crate::error::{Error, ErrorKind, Failure, Side};
use crate::exchange::{Exchange, ResponseSource};

/// How far a response has come when its closing record is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing is missing but its last byte.
    Ready,
    /// It was given up before.
    GivenUp,
}

/// The id in both records: that of the exchange where it has the form of one.
pub(super) fn request_id(exchange: &Exchange) -> RequestId {
    RequestId::of(&exchange.id).unwrap_or_else(|| RequestId(fastrand::u128(..).to_be_bytes()))
}

/// Who calls, where a plugin has found that out.
pub(super) fn caller(route: &AuditedRoute, exchange: &Exchange) -> Option<Caller> {
    exchange.principal().map(|principal| route.trail.keys().caller(principal.expose().as_bytes()))
}

/// The opening record; `upstream` is the one that the request is about to go to.
pub(super) fn opening(
    route: &AuditedRoute,
    exchange: &Exchange,
    request: RequestId,
    upstream: Option<&str>,
) -> Opening {
    Opening {
        request,
        route: route.declared.clone(),
        trace: exchange.trace.as_ref().map(|trace| TraceId(trace.id.bytes())),
        upstream: upstream.and_then(|name| route.upstreams.get(name)).cloned(),
    }
}

/// The closing record.
pub(super) fn closing(
    route: &AuditedRoute,
    exchange: &Exchange,
    request: RequestId,
    bytes: Bytes,
    end: End,
) -> Closing {
    let status = exchange.response.as_ref().map_or(0, |response| response.status.as_u16());
    let mut closing = Closing::new(request, status, outcome(exchange, end));
    closing.auth = auth(exchange);
    closing.bytes = bytes;
    closing.endpoint = exchange.endpoint;
    closing.omitted = exchange.audit_notes.dropped();
    for note in exchange.audit_notes.as_slice() {
        let category = route.trail.vocabulary.find(&note.category);
        match category.zip(route.plugins.get(note.by)) {
            Some((category, by)) => closing.note(Note {
                action: action(note.action),
                by: by.clone(),
                category: category.clone(),
                count: note.count,
                place: place(note.place),
            }),
            None => closing.omitted += 1,
        }
    }
    closing
}

fn outcome(exchange: &Exchange, end: End) -> Outcome {
    if end == End::GivenUp {
        return match exchange.error.as_ref().map(Error::kind) {
            Some(kind) => of_error(kind),
            None if exchange.failure == Some(Failure::Timeout) => Outcome::TimedOut,
            None => Outcome::ClientLeft,
        };
    }
    let went_upstream = exchange.measures.attempts > 0;
    match exchange.source {
        ResponseSource::Upstream | ResponseSource::Route => Outcome::Complete,
        ResponseSource::Stored(_) => Outcome::Stored,
        ResponseSource::Plugin(_) if went_upstream && exchange.error.is_some() => Outcome::UpstreamFailed,
        // In place of what the upstream had answered.
        ResponseSource::Plugin(_) if went_upstream => Outcome::Complete,
        ResponseSource::Plugin(_) => Outcome::Refused,
        ResponseSource::Gateway | ResponseSource::None => {
            exchange.error.as_ref().map_or(Outcome::Ended, |error| match of_error(error.kind()) {
                Outcome::Ended if !went_upstream => Outcome::Refused,
                outcome => outcome,
            })
        }
    }
}

fn of_error(kind: ErrorKind) -> Outcome {
    match kind {
        ErrorKind::ClientGone => Outcome::ClientLeft,
        ErrorKind::RequestTimeout
        | ErrorKind::ConnectTimeout
        | ErrorKind::ResponseTimeout
        | ErrorKind::ExchangeTimeout => Outcome::TimedOut,
        // It has room for no more, and was not asked.
        ErrorKind::UpstreamLimit => Outcome::Ended,
        kind if kind.side() == Side::Upstream => Outcome::UpstreamFailed,
        _ => Outcome::Ended,
    }
}

/// The field of the log in which an auth plugin says why it let nobody in.
const REFUSED: &str = "auth.refused";
/// The attribute by which one says how the caller proved who it is.
const METHOD: &str = "auth.method";

fn auth(exchange: &Exchange) -> Auth {
    let status = exchange.response.as_ref().map_or(0, |response| response.status.as_u16());
    let by_plugin = matches!(exchange.source, ResponseSource::Plugin(_));
    let mut said = exchange.log_fields.iter();
    let refused = said.any(|field| field.name.expose() == REFUSED && field.value.is_some());
    // An optional credential that nobody sent.
    let is_known = exchange.attribute(METHOD).is_some_and(|method| *method.expose() != "none");
    match status {
        500..=599 if refused && by_plugin => Auth::Unavailable,
        _ if refused => Auth::Deny,
        401 | 403 | 407 if by_plugin => Auth::Deny,
        _ if exchange.principal().is_some() || is_known => Auth::Allow,
        _ => Auth::None,
    }
}

const fn place(place: told::Place) -> Place {
    match place {
        told::Place::RequestBody => Place::RequestBody,
        told::Place::RequestHeader => Place::RequestHeader,
        told::Place::RequestPath => Place::Path,
        told::Place::RequestQuery => Place::Query,
        told::Place::ResponseBody => Place::ResponseBody,
        told::Place::ResponseHeader => Place::ResponseHeader,
    }
}

const fn action(action: told::Action) -> Action {
    match action {
        // Nobody says that it was taken out, so it went on.
        told::Action::Found | told::Action::Passed => Action::Pass,
        told::Action::Masked => Action::Mask,
        told::Action::Blocked => Action::Block,
        told::Action::Pseudonymised => Action::Pseudonymise,
    }
}
