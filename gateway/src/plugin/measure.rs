//! What a plugin's phases cost, measured as the gateway calls them, without a network: time, and the wasm instructions that
//! an exchange takes, which are the same on every machine and in every run.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::artifact::Linked;
use super::call::{Action, BodyMode, Call, Piece};
use super::compile::nameless;
use super::componentize::componentize;
use super::conduct::Way;
use super::engine::Host;
use super::error::{LoadError, PluginError, one_line};
use super::maker::MakeError;
use super::wit::{self, Guest, block_on};
use crate::exchange::{ConnectionInfo, Exchange, Protocol, RequestHead, ResponseHead};
use crate::message::FieldMap;
use crate::message::headers::RequestId;
use crate::model::PluginLimits;
use crate::phase::{Phase, Phases};
use crate::sensitive::no_content;
use precompiled::Code;

/// An exchange to measure with.
#[derive(Clone)]
pub struct Sample {
    /// The request's method.
    pub method: Method,
    /// Path and query, as they are after routing.
    pub target: PathAndQuery,
    /// The request's fields.
    pub request_headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub request_body: Vec<u8>,
    /// The client's address.
    pub client: IpAddr,
    /// What the upstream answers.
    pub status: StatusCode,
    /// The response's fields.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub response_body: Vec<u8>,
}

no_content!(Sample);

/// What one phase costs.
#[derive(Clone, Copy, Debug)]
pub struct PhaseCost {
    /// The phase.
    pub phase: Phase,
    /// Half of the calls took no longer.
    pub median: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// Wasm instructions of a call. What the host does for it is not among them.
    pub instructions: u64,
}

/// A call that was made.
struct Made {
    phase: Phase,
    took: Duration,
    instructions: u64,
}

/// Rounds before anything counts: what is made once is made then.
const WARM_UP: usize = 50;
/// The least number of rounds.
const ROUNDS: usize = 200;

/// Measures for about as long as `time`. Compiles the file in this process: only for files of one's own. Calls to upstreams
/// are denied, and secrets are none.
///
/// # Errors
/// Where the file is no plugin, its config is wrong, or a call fails.
pub fn measure(bytes: &[u8], config: &str, sample: &Sample, time: Duration) -> Result<Vec<PhaseCost>, LoadError> {
    let component = componentize(bytes)?;
    let mut timed: Vec<(Phase, Vec<Duration>)> = Vec::new();
    let mut bench = Bench::new(Host::to_compile(), &component, config)?;
    for _ in 0..WARM_UP {
        bench.round(sample)?;
    }
    let (began, mut rounds) = (Instant::now(), 0);
    while rounds < ROUNDS || began.elapsed() < time {
        for Made { phase, took, .. } in bench.round(sample)? {
            match timed.iter_mut().find(|(known, _)| *known == phase) {
                Some((_, all)) => all.push(took),
                None => timed.push((phase, vec![took])),
            }
        }
        rounds += 1;
    }
    let mut counted = Bench::new(Host::to_count(), &component, config)?;
    counted.round(sample)?;
    let counts = counted.round(sample)?;
    let cost = |(phase, mut all): (Phase, Vec<Duration>)| {
        all.sort_unstable();
        let at = |share: usize| all[(all.len() * share / 100).min(all.len() - 1)];
        let count = counts.iter().find(|made| made.phase == phase);
        PhaseCost { phase, median: at(50), p99: at(99), instructions: count.map_or(0, |made| made.instructions) }
    };
    Ok(timed.into_iter().map(cost).collect())
}

/// An instance, called over and over.
struct Bench {
    guest: Guest,
    phases: Phases,
    // The engine's ticker lives as long as this.
    _host: Arc<Host>,
}

fn failed(error: PluginError) -> LoadError {
    LoadError::Call(error.to_string())
}

impl Bench {
    fn new(host: Arc<Host>, component: &[u8], config: &str) -> Result<Self, LoadError> {
        let invalid = |error: wasmtime::Error| LoadError::Invalid(one_line(&format!("{error:#}"), 600));
        let runtime = host.runtime().map_err(|error| LoadError::Host(error.to_string()))?;
        let code = Code::compile(&runtime.engine, component).map_err(invalid)?;
        let linked = Linked::new(runtime, host.state(), &code.load(&runtime.engine).map_err(invalid)?)?;
        let context = Arc::new(nameless(&host, PluginLimits::default()));
        let phases = wit::describe(&linked.code, context.clone())?.phases;
        let guest = Guest::make(&linked.code, context, config, None, true).map_err(|error| match error {
            MakeError::Exhausted => LoadError::NoRoom,
            MakeError::Failed(error) => failed(error),
        })?;
        Ok(Self { guest, phases, _host: host })
    }

    /// One exchange, phase by phase.
    fn round(&mut self, sample: &Sample) -> Result<Vec<Made>, LoadError> {
        let mut made = Vec::new();
        let mut exchange = Some(Box::new(exchange(sample)));
        let body = sample.request_body.as_slice();
        let action = self.call(&mut exchange, Call::RequestHeaders { end: body.is_empty() }, &mut made)?;
        if let Some(mode) = reads(&action, body) {
            self.call(&mut exchange, Call::RequestBody(Piece { data: body, end: true, mode }), &mut made)?;
        }
        if let Some(exchange) = &mut exchange {
            exchange.request.sent = true;
            exchange.response = Some(ResponseHead::new(sample.status, fields(&sample.response_headers)));
        }
        let answered = matches!(action, Some(Action::Respond(_) | Action::RespondStored(_)));
        if !answered {
            let body = sample.response_body.as_slice();
            let action = self.call(&mut exchange, Call::ResponseHeaders { end: body.is_empty() }, &mut made)?;
            if let Some(mode) = reads(&action, body) {
                self.call(&mut exchange, Call::ResponseBody(Piece { data: body, end: true, mode }), &mut made)?;
            }
        }
        self.call(&mut exchange, Call::Log, &mut made)?;
        Ok(made)
    }

    /// One call, if the plugin wants it.
    fn call(
        &mut self,
        exchange: &mut Option<Box<Exchange>>,
        call: Call<'_>,
        made: &mut Vec<Made>,
    ) -> Result<Option<Action>, LoadError> {
        let phase = call.phase();
        if !self.phases.contains(phase) {
            return Ok(None);
        }
        let fuel = self.guest.fuel();
        let began = Instant::now();
        let (action, _) = block_on(self.guest.call(exchange, 0, call, Way::Plain, None));
        let action = action.map_err(failed)?;
        let took = began.elapsed();
        made.push(Made { phase, took, instructions: fuel.saturating_sub(self.guest.fuel()) });
        Ok(Some(action))
    }
}

/// How it wants the body, if it is called with one: whole also where there is none.
fn reads(action: &Option<Action>, body: &[u8]) -> Option<BodyMode> {
    match action {
        Some(Action::Continue(BodyMode::Whole)) => Some(BodyMode::Whole),
        Some(Action::Continue(BodyMode::Chunks)) if !body.is_empty() => Some(BodyMode::Chunks),
        _ => None,
    }
}

fn fields(of: &[(HeaderName, HeaderValue)]) -> FieldMap {
    let mut fields = FieldMap::new();
    of.iter().for_each(|(name, value)| fields.append(name.clone(), value.clone()));
    fields
}

fn exchange(sample: &Sample) -> Exchange {
    let headers = fields(&sample.request_headers);
    let (method, target) = (sample.method.clone(), sample.target.clone());
    let request = RequestHead::new(method, "https", "example.test".to_owned(), target, headers);
    let mut exchange =
        Exchange::new(RequestId::random(), ConnectionInfo::local(Protocol::Http1), sample.client, request);
    exchange.route = Some("bench".into());
    exchange.upstream = Some("bench".into());
    exchange
}
