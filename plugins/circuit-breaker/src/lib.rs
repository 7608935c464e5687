//! Circuit breaker: stops asking an upstream that fails, answers from the last good responses meanwhile, and probes.
//!
//! One breaker for all workers: it is an entry in `kv`, changed by compare-and-swap ([`shared`]). The state machine is
//! in [`breaker`]; here exchanges become tickets and outcomes.

pub mod breaker;
pub mod config;
pub mod shared;

use plugin_sdk::metrics;
use plugin_sdk::prelude::*;

use breaker::{Admission, Body, Outcome, StateName, Ticket};
use config::{Config, Settings};

/// The plugin's part of the key of stored responses.
const STORED: &str = "last-good";
/// Largest body that is waited for before its request becomes a probe.
const SMALL: u64 = 64 << 10;

/// The plugin.
#[derive(Debug)]
pub struct CircuitBreaker(Settings);

/// What an exchange keeps between its phases.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    ticket: Ticket,
    reported: Option<Reported>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reported {
    /// A good head; of a probe, whose body has to end well too.
    Answered,
    Success,
    Other,
}

impl CircuitBreaker {
    fn report(&self, exchange: &Exchange, ticket: Ticket, outcome: Outcome) {
        let reported = Some(match outcome {
            Outcome::Success => Reported::Success,
            Outcome::Answered => Reported::Answered,
            Outcome::Failure | Outcome::BrokeOff | Outcome::Unknown => Reported::Other,
        });
        if exchange.set_state(&Kept { ticket, reported }).is_err() {
            log::warn!("the state of an exchange could not be kept: it may be counted twice");
        }
        if let Some(state) = shared::report(exchange, &self.0.policy, ticket, outcome) {
            note(exchange, state);
        }
    }

    /// Lets a request pass, or says what stands in its way. `whole`: nothing of it is still to come.
    fn admit(&self, exchange: &Exchange, whole: bool) -> Result<(), Obstacle> {
        let policy = &self.0.policy;
        let (mut admission, mut state) = shared::admit(exchange, policy, if whole { Body::Whole } else { Body::Small });
        // Only a half-open breaker wants to know how large a body is.
        let asks = !matches!(admission, Admission::Pass(_)) && state == StateName::HalfOpen;
        if asks && !whole && !is_small(exchange) {
            (admission, state) = shared::admit(exchange, policy, Body::Streaming);
        }
        note(exchange, state);
        let retry_after_ms = match admission {
            Admission::Pass(ticket) => {
                if state != StateName::Closed {
                    count(exchange, "probe", state);
                }
                if exchange.set_state(&Kept { ticket, reported: None }).is_err() {
                    log::warn!("the state of an exchange could not be kept: it will not be counted");
                }
                return Ok(());
            }
            Admission::AfterBody => return Err(Obstacle::Body),
            Admission::Reject { retry_after_ms } => retry_after_ms,
        };
        count(exchange, "refused", state);
        exchange.set_trace_attribute("decision", "refused").ok();
        let refusal =
            LocalResponse::problem(503, "Service Unavailable", "The service is failing and is given a pause.")
                .header("retry-after", retry_after_ms.div_ceil(1000).max(1).to_string());
        Err(Obstacle::Refusal(refusal))
    }

    fn may_be_stored(exchange: &Exchange) -> bool {
        matches!(exchange.request().method().as_str(), "GET" | "HEAD")
    }
}

/// Counts what became of a request that did not simply pass.
fn count(exchange: &Exchange, decision: &str, state: StateName) {
    let route = shared::route(exchange);
    let labels = [("route", route.as_str()), ("decision", decision), ("state", state.as_str())];
    metrics::count("circuit_breaker_decisions_total", &labels, 1);
}

/// Why a request doesn't pass (yet).
enum Obstacle {
    /// It may ask again with its whole body.
    Body,
    /// The open answer.
    Refusal(LocalResponse),
}

/// Whether a body is small enough to be waited for. Not one that the gateway would have to change fields for (RFC 9530) or
/// could not hand over (encoded ones).
fn is_small(exchange: &Exchange) -> bool {
    let request = exchange.request();
    let length = request.header("content-length").and_then(|length| length.parse::<u64>().ok());
    let bound = ["content-encoding", "content-digest", "repr-digest", "digest", "content-md5", "signature"];
    length.is_some_and(|length| length <= SMALL) && !bound.iter().any(|name| request.header_bytes(name).is_some())
}

/// The state for the log record and for other plugins.
fn note(exchange: &Exchange, state: StateName) {
    if exchange.set_attribute("circuit_breaker", state.as_str()).is_err() {
        log::warn!("there are too many attributes: later plugins are not told the breaker's state");
    }
    exchange.set_log_field("circuit_breaker", Some(state.as_str()));
    // A closed one does nothing that a trace could tell.
    if state != StateName::Closed {
        exchange.set_trace_attribute("state", state.as_str()).ok();
    }
}

/// Failures of the upstream; the others say nothing of it.
fn outcome(failure: Failure) -> Outcome {
    match failure {
        Failure::Dns
        | Failure::Connect
        | Failure::Tls
        | Failure::Timeout
        | Failure::Reset
        | Failure::Protocol
        | Failure::NoEndpoint => Outcome::Failure,
        // `Other` is what clients, plugins and the gateway itself did wrong.
        Failure::Cancelled | Failure::Overload | Failure::Other => Outcome::Unknown,
    }
}

#[plugin]
impl Plugin for CircuitBreaker {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, ConfigErrors> {
        config.check().map(Self)
    }

    fn on_request_headers(&self, exchange: &Exchange, end: bool) -> RequestAction {
        match self.admit(exchange, end) {
            Ok(()) => RequestAction::next(),
            Err(Obstacle::Body) => RequestAction::read_body(BodyMode::Whole),
            Err(Obstacle::Refusal(refusal)) => match self.0.store_for {
                Some(_) if Self::may_be_stored(exchange) => RequestAction::respond_stored(STORED, refusal),
                _ => refusal.into(),
            },
        }
    }

    /// Only of a request that would be a probe: its client has sent all of it, so it can't keep others waiting.
    fn on_request_body(&self, exchange: &Exchange, _data: Vec<u8>, _end: bool) -> ChunkAction {
        match self.admit(exchange, true) {
            Ok(()) | Err(Obstacle::Body) => ChunkAction::pass(),
            Err(Obstacle::Refusal(refusal)) => ChunkAction::respond(refusal),
        }
    }

    fn on_response_headers(&self, exchange: &Exchange, end: bool) -> ResponseAction {
        let Some(Kept { ticket, reported: None }) = exchange.state() else { return ResponseAction::next() };
        // Answers of later plugins, of the store and of the gateway itself say nothing of the upstream.
        let from_upstream = exchange.property("response.source").is_none_or(|source| source == "upstream");
        let status = exchange.response().status().filter(|_| from_upstream);
        let Some(status) = status else {
            self.report(exchange, ticket, Outcome::Unknown);
            return ResponseAction::next();
        };
        if !self.0.statuses.iter().any(|statuses| statuses.contain(status)) {
            // A probe has to come to its end: an upstream that cuts its bodies is not back.
            let outcome = if ticket.is_probe() && !end { Outcome::Answered } else { Outcome::Success };
            self.report(exchange, ticket, outcome);
            if let Some(ttl) = self.0.store_for
                && (200..400).contains(&status)
                && Self::may_be_stored(exchange)
            {
                exchange.store_response(STORED, ttl);
            }
            return ResponseAction::next();
        }
        self.report(exchange, ticket, Outcome::Failure);
        if self.0.on_status && Self::may_be_stored(exchange) {
            let otherwise = LocalResponse::problem(status, "Upstream Failure", "The service answered with an error.");
            return ResponseAction::respond_stored(STORED, otherwise);
        }
        ResponseAction::next()
    }

    fn on_upstream_failure(&self, exchange: &Exchange, failure: Failure) -> FailureAction {
        if let Some(Kept { ticket, reported: None }) = exchange.state() {
            self.report(exchange, ticket, outcome(failure));
        }
        if self.0.on_failure && failure != Failure::Cancelled && Self::may_be_stored(exchange) {
            // Where nothing is stored, the gateway's own error says best what went wrong.
            return FailureAction::respond_stored_or_next(STORED);
        }
        FailureAction::next()
    }

    fn on_log(&self, exchange: &Exchange) {
        let Some(kept) = exchange.state::<Kept>() else { return };
        let failed = exchange.failure().map(outcome);
        match (kept.reported, failed) {
            // Given up before there was an answer: frees a probe's place.
            (None, failed) => self.report(exchange, kept.ticket, failed.unwrap_or(Outcome::Unknown)),
            (Some(Reported::Answered), None) => self.report(exchange, kept.ticket, Outcome::Success),
            (Some(Reported::Answered | Reported::Success), Some(Outcome::Failure)) => {
                self.report(exchange, kept.ticket, Outcome::BrokeOff);
            }
            (Some(Reported::Answered), Some(_)) => self.report(exchange, kept.ticket, Outcome::Unknown),
            _ => {}
        }
    }
}

plugin_sdk::export!(CircuitBreaker);
