//! One exchange through a plugin, as the gateway runs it.

mod answers;
mod arrival;
mod bodies;
mod codings;
mod request;
mod response;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use plugin_rules::codings::{Accepted, Coding};
use plugin_rules::failure;
use plugin_rules::limits::{HOST_CALLS, shares};
use plugin_rules::notes::MAX_RECORDED;
use plugin_rules::phase::Phase;

use super::TestHost;
use super::data::Data;
use super::data::exchange_calls;
use super::limits::{Given, bounded, with_host_calls};
use super::message::{ClientResponse, Forwarded, TestRequest, TestResponse};
use crate::bindings::edge::gateway::http::Part;
use crate::{Exchange, Failure, FailureAction, LocalResponse, Phases, Plugin};

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It went to the upstream.
    Forwarded(Forwarded),
    /// The plugin answered, or the gateway in its place.
    Responded(ClientResponse),
}

/// One exchange on its way: [`TestHost::run`] has taken it through the request phases. Where the request was forwarded,
/// one of [`Run::respond`], [`Run::fail`] and [`Run::cancel`] takes it to its end. The log phase runs at the end; a run
/// that is dropped before has none.
#[derive(Debug)]
pub struct Run<'p, P: Plugin> {
    host: TestHost,
    plugin: &'p P,
    pub(super) data: Data,
    outcome: Outcome,
    response: Option<ClientResponse>,
    ended: bool,
    asked: Asked,
    started: Duration,
    forwarded_at: Duration,
    /// What the client accepts.
    accepted: Cell<Accepted>,
    /// The coding that was taken off the response.
    decoded: Cell<Option<Coding>>,
}

/// What the client asked for: stored responses go by that, whatever the plugin makes of it.
#[derive(Clone, Debug)]
struct Asked {
    method: String,
    scheme: String,
    authority: String,
    target: String,
}

/// A body that has passed the plugin.
enum Passed {
    Body {
        chunks: Vec<Vec<u8>>,
        /// It was cut; with what the gateway answers where it still can.
        aborted: Option<u16>,
    },
    Respond(LocalResponse),
    /// Given up before anything went out: the gateway answers with this status.
    Refused(u16),
}

impl TestHost {
    /// Takes a request through the plugin's request phases, those that [`Plugin::PHASES`] names. It arrives as at the gateway: the
    /// target has its canonical form, Host is the authority, and the fields that end at this hop are gone; one that the
    /// gateway refuses is answered by it, and reaches no phase. What proxies say of the client (X-Forwarded-For) is as the
    /// test says it, as from a proxy that is trusted.
    pub fn run<'p, P: Plugin>(&self, plugin: &'p P, mut request: TestRequest) -> Run<'p, P> {
        let arrived = arrival::arrive(&mut request);
        let TestRequest { method, scheme, authority, target, headers, chunks, trailers, properties, log_fields, trace } =
            request;
        let asked = Asked {
            method: method.clone(),
            scheme: scheme.clone(),
            authority: authority.clone(),
            target: target.clone(),
        };
        let granted = self.0.upstreams.borrow().keys().cloned().collect();
        let data = Data {
            method: RefCell::new(method),
            scheme,
            authority: RefCell::new(authority),
            target: RefCell::new(target),
            properties: RefCell::new(properties.into_iter().collect()),
            log_fields: RefCell::new(log_fields.into_iter().map(|(name, value)| (name, Some(value))).collect()),
            granted,
            trace,
            ..Data::default()
        };
        *data.part(Part::Request).borrow_mut() = headers;
        for name in ["bytes.in", "bytes.out", "duration.upstream-us", "duration.plugins-us", "upstream.attempts"] {
            data.measures.borrow_mut().insert(name.to_owned(), 0);
        }
        let started = self.0.elapsed();
        let mut run = Run {
            host: self.clone(),
            plugin,
            data,
            // Replaced before anybody sees it.
            outcome: Outcome::Responded(empty_response()),
            response: None,
            ended: false,
            asked,
            started,
            forwarded_at: started,
            accepted: Cell::default(),
            decoded: Cell::default(),
        };
        match arrived {
            Ok(()) => run.request(chunks, trailers),
            Err(status) => run.refuse(status),
        }
        run
    }
}

impl<P: Plugin> Run<'_, P> {
    /// What became of the request.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Whether the request went to the upstream.
    pub fn is_forwarded(&self) -> bool {
        matches!(self.outcome, Outcome::Forwarded(_))
    }

    /// The request as the upstream got it.
    ///
    /// # Panics
    /// Where it was answered without the upstream.
    #[track_caller]
    pub fn forwarded(&self) -> &Forwarded {
        match &self.outcome {
            Outcome::Forwarded(request) => request,
            Outcome::Responded(response) => {
                panic!("the request was not forwarded but answered: {} {}", response.status, response.text())
            }
        }
    }

    /// The response as the client got it.
    ///
    /// # Panics
    /// Where there is none (yet).
    #[track_caller]
    pub fn response(&self) -> &ClientResponse {
        match &self.response {
            Some(response) => response,
            None => panic!("there is no response: the request was forwarded, call respond() or fail()"),
        }
    }

    /// The upstream responds: runs the response phases and the log phase.
    ///
    /// # Panics
    /// Where the exchange is over, for example because the plugin answered.
    #[track_caller]
    pub fn respond(&mut self, response: TestResponse) -> ClientResponse {
        self.upstream_was_asked();
        self.measure("upstream.attempts", 1);
        let TestResponse { status, headers, chunks, trailers, cut } = response;
        self.place(status, headers, "upstream");
        self.response_phases(chunks, trailers, cut);
        self.end();
        self.response().clone()
    }

    /// The upstream gives no response: runs the upstream-failure phase; where the plugin leaves the answer to the
    /// gateway, the gateway's response passes the response phases. `Retry` does the same: this stands for the last failure,
    /// after which nothing is asked once more.
    ///
    /// # Panics
    /// Where the exchange is over; for [`Failure::Cancelled`], which is [`Run::cancel`].
    #[track_caller]
    pub fn fail(&mut self, failure: Failure) -> ClientResponse {
        assert_ne!(failure, Failure::Cancelled, "that the client left is told by cancel()");
        self.upstream_was_asked();
        self.measure("upstream.attempts", u64::from(!matches!(failure, Failure::NoEndpoint | Failure::Overload)));
        self.data.failure.set(Some(failure));
        let action = match P::PHASES.contains(Phases::UPSTREAM_FAILURE) {
            true => self.call(Phase::UpstreamFailure, |plugin, exchange| plugin.on_upstream_failure(exchange, failure)),
            false => FailureAction::Continue,
        };
        let answered = match action {
            FailureAction::Respond(response) => {
                self.answer(response);
                true
            }
            FailureAction::RespondStored(key, otherwise) => self.answer_stored(&key, otherwise),
            FailureAction::Continue | FailureAction::Retry => false,
        };
        if !answered {
            self.gateway_answers(failure::Failure::from(failure).status());
        }
        self.end();
        self.response().clone()
    }

    /// The client leaves before there is a response: only the log phase runs. For one that leaves in the middle of a
    /// response, see [`TestResponse::cut`].
    ///
    /// # Panics
    /// Where the exchange is over.
    #[track_caller]
    pub fn cancel(&mut self) {
        self.upstream_was_asked();
        self.measure("upstream.attempts", 1);
        self.data.failure.set(Some(Failure::Cancelled));
        self.end();
    }

    /// The text fields that plugins added to the log record, as it has them: the first 8 KiB of each.
    pub fn log_fields(&self) -> Vec<(String, String)> {
        let cut = |value: String| value[..value.floor_char_boundary(MAX_RECORDED)].to_owned();
        exchange_calls::log_fields(&self.data).into_iter().map(|(name, value)| (name, cut(value))).collect()
    }

    /// One of them.
    pub fn log_field(&self, name: &str) -> Option<String> {
        self.log_fields().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// An attribute that the plugin has set.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.data.properties.borrow().get(&format!("attribute.{name}")).cloned()
    }

    #[track_caller]
    fn upstream_was_asked(&mut self) {
        assert!(!self.ended, "the exchange is over: {:?}", self.response);
        let took = self.host.0.elapsed() - self.forwarded_at;
        self.measure("duration.upstream-us", u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    fn measure(&self, name: &str, value: u64) {
        self.data.measures.borrow_mut().insert(name.to_owned(), value);
    }

    fn call<R: Given>(&self, phase: Phase, call: impl FnOnce(&P, &Exchange<'_>) -> R) -> R {
        self.call_with(0, phase, call)
    }

    /// With so many bytes of a body.
    fn call_with<R: Given>(&self, bytes: usize, phase: Phase, call: impl FnOnce(&P, &Exchange<'_>) -> R) -> R {
        self.data.phase.set(Some(phase));
        let took = self.host.0.elapsed() - self.started;
        self.measure("duration.total-us", u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let host_calls = HOST_CALLS.saturating_mul(shares(bytes));
        let exchange = Exchange::new(&self.data, P::TRAITS);
        let given = self.host.enter(|| with_host_calls(host_calls, || call(self.plugin, &exchange)));
        self.data.trace_notes.borrow_mut().end_open(|| self.host.0.elapsed());
        bounded(given)
    }

    /// Both the record and the log phase: once.
    fn end(&mut self) {
        self.ended = true;
        if P::PHASES.contains(Phases::LOG) {
            self.call(Phase::Log, |plugin, exchange| plugin.on_log(exchange));
        }
    }
}

fn empty_response() -> ClientResponse {
    ClientResponse { status: 0, headers: Vec::new(), chunks: Vec::new(), trailers: Vec::new(), aborted: false }
}
