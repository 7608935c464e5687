//! Spans of the tries of an upstream, those that failed as well.

use telemetry_export::model::{Event, KeyValue, Kind, Span, Status, Text};

use super::attributes::*;
use super::build::{Build, Piece};
use crate::exchange::ResponseSource;
use crate::trace::{TryOutcome, TryRecord, numbers};

impl Build<'_> {
    /// A span for each.
    pub(super) fn tries(&self, into: &mut Vec<Span>) {
        let tries = self.record.all_tries();
        for (number, attempt) in (0_u32..).zip(tries) {
            let is_last = usize::try_from(number).is_ok_and(|number| number + 1 == tries.len());
            into.push(self.attempt(number, attempt, is_last));
        }
    }

    fn attempt(&self, number: u32, attempt: &TryRecord, is_last: bool) -> Span {
        let method = self.sanitizer.method(&self.exchange.request.method);
        let address = attempt.endpoint.ip().to_string();
        let mut attributes = vec![
            KeyValue::new(METHOD, method),
            KeyValue::new(SERVER_ADDRESS, address.clone()),
            KeyValue::new(SERVER_PORT, attempt.endpoint.port()),
            KeyValue::new(PEER_ADDRESS, address),
            KeyValue::new(PEER_PORT, attempt.endpoint.port()),
            KeyValue::new(REUSED, attempt.reused),
        ];
        if let Some(upstream) = &self.exchange.upstream {
            attributes.push(KeyValue::new(UPSTREAM, upstream.clone()));
        }
        if number > 0 {
            attributes.push(KeyValue::new(RESEND_COUNT, number));
        }
        let status = self.outcome(attempt, &mut attributes);
        let piece = Piece {
            id: self.trace.span.below(numbers::attempt(number)),
            parent: self.trace.span,
            name: Text::Static(method),
            kind: Kind::Client,
            began: attempt.began,
            ended: attempt.began + self.took(attempt, is_last),
        };
        Span { events: self.events(attempt), ..self.span(piece, attributes, status) }
    }

    /// What it came to. OpenTelemetry's conventions: 4xx and 5xx are errors of a client's span.
    fn outcome(&self, attempt: &TryRecord, attributes: &mut Vec<KeyValue>) -> Status {
        if let Some(status) = attempt.status {
            attributes.push(KeyValue::new(STATUS, status));
        }
        match (attempt.outcome, attempt.status) {
            (TryOutcome::Failed(kind, _), _) => {
                attributes.push(KeyValue::new(ERROR_TYPE, kind.name()));
                Status::Error(Text::EMPTY)
            }
            (TryOutcome::Unfinished, _) => {
                attributes.push(KeyValue::new(ERROR_TYPE, "cancelled"));
                Status::Error(Text::EMPTY)
            }
            (TryOutcome::Answered(_), Some(status @ 400..)) => {
                attributes.push(KeyValue::new(ERROR_TYPE, status.to_string()));
                Status::Error(Text::EMPTY)
            }
            (TryOutcome::Answered(_), _) => Status::Unset,
        }
    }

    /// How long it took. The response's body ends with the exchange, unless something else was sent in its place.
    fn took(&self, attempt: &TryRecord, is_last: bool) -> std::time::Duration {
        let rest = self.end().saturating_duration_since(attempt.began);
        match attempt.outcome {
            TryOutcome::Answered(_) if is_last && self.exchange.source == ResponseSource::Upstream => rest,
            TryOutcome::Answered(took) | TryOutcome::Failed(_, took) => took,
            TryOutcome::Unfinished => rest,
        }
    }

    /// What happened on the way. Names are looked up in the background, not for a request, so there is no event of that.
    fn events(&self, attempt: &TryRecord) -> Vec<Event> {
        let made = attempt.connected.filter(|_| !attempt.reused);
        let tls = attempt.tcp.and(made).filter(|_| self.is_encrypted());
        let answered = match attempt.outcome {
            TryOutcome::Answered(took) => Some(took),
            TryOutcome::Failed(..) | TryOutcome::Unfinished => None,
        };
        let event = |(name, after): (&'static str, Option<std::time::Duration>)| {
            let time = self.unix(attempt.began + after?);
            Some(Event { time, name: name.into(), attributes: Vec::new() })
        };
        [("connect", attempt.tcp), ("tls", tls), ("first_byte", answered)].into_iter().filter_map(event).collect()
    }

    /// Whether connections to the upstream are.
    fn is_encrypted(&self) -> bool {
        self.route.and_then(|route| route.upstream.as_ref()).is_some_and(|upstream| upstream.config().tls.is_some())
    }
}
