//! Interface `calls`: HTTP calls to granted upstreams. The plugin host opens no sockets: it hands the call to a task of
//! the worker and waits for the answer.

use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Method};
use plugin_rules::calls::{MAX_AT_ONCE, Refusal, check_request, may_have};
use plugin_rules::same_variants;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::calls_trace::Traced;
use crate::message::{FieldMap, known};
use crate::phase::Phase;
use crate::plugin::grants::Need;
use crate::plugin::host::calls::{CallError, CallResponse, MAX_BODY, OutboundCall};
use crate::plugin::host::flights::CallResult;
use crate::plugin::wit::bindings::edge::gateway::calls::{self, Error, Request, Response};
use crate::plugin::wit::bindings::edge::gateway::types::Header;
use crate::plugin::wit::state::HostState;

/// Longest time that a call may take, whatever the plugin says.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// Used where the plugin says 0.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Denied => Self::Denied,
            CallError::UnknownUpstream => Self::UnknownUpstream,
            CallError::Timeout => Self::Timeout,
            // `refused_here` tells the two apart: the enum is one that old plugins were compiled against.
            CallError::Connect | CallError::Busy => Self::Connect,
            CallError::TooLarge => Self::TooLarge,
            CallError::Reset => Self::Reset,
        }
    }
}

same_variants!(Refusal => CallError { Denied TooLarge });

/// What the guest asked for, checked.
fn validate(request: &Request) -> Result<(Method, FieldMap), CallError> {
    check_request(&request.method, &request.path, request.headers.len(), request.body.len())?;
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| CallError::Denied)?;
    let mut headers = FieldMap::new();
    for Header { name, value } in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| CallError::Denied)?;
        if !may_have(name.as_str(), value) {
            return Err(CallError::Denied);
        }
        headers.append(name, HeaderValue::from_bytes(value).map_err(|_| CallError::Denied)?);
    }
    Ok((method, headers))
}

fn is_cache_control(header: &Header) -> bool {
    header.name.eq_ignore_ascii_case("cache-control")
}

/// Everything that makes two calls equal. `passed`: how often their requests have been here. A call that leads back to its
/// own gateway, and there to an equal one, must not wait for itself.
fn flight_key(plugin: &str, passed: usize, request: &Request) -> String {
    use std::fmt::Write as _;
    let mut key = String::with_capacity(128);
    let _ = write!(key, "{passed};");
    // Lengths in front keep values that contain a separator apart; writing to a string cannot fail.
    for part in [plugin, &request.upstream, &request.path] {
        let _ = write!(key, "{}:{part}", part.len());
    }
    // What is asked for is the same, whether anew or not.
    for Header { name, value } in request.headers.iter().filter(|header| !is_cache_control(header)) {
        let _ = write!(key, "{}:{}{}:{}", name.len(), name, value.len(), value.escape_ascii());
    }
    key
}

fn response(answer: CallResponse) -> Response {
    Response {
        status: answer.status,
        headers: answer
            .headers
            .iter()
            .map(|(name, value)| Header { name: name.expose_str().to_owned(), value: value.expose().to_vec() })
            .collect(),
        body: answer.body.to_vec(),
    }
}

/// The outcome of a call for which there was no room.
fn not_made() -> (CallResult, Instant) {
    (Err(CallError::Busy), Instant::now())
}

impl HostState {
    fn is_granted(&self, upstream: &str) -> bool {
        self.context.upstreams.iter().any(|granted| **granted == *upstream)
    }

    /// A call that may be made, ready to be waited for.
    fn prepare(
        &self,
        of: Request,
        number: usize,
    ) -> Result<(Traced, impl Future<Output = (CallResult, Instant)> + Send + use<>), CallError> {
        let granted = self.is_granted(&of.upstream);
        if !granted {
            self.context.refuse(Need::Upstreams, &of.upstream);
        }
        let callers = match &self.callers {
            Some(callers) if granted && self.phase != Phase::Configure => callers,
            _ => return Err(CallError::Denied),
        };
        let (method, mut headers) = validate(&of)?;
        let calls = callers.calls().clone();
        // On behalf of the request: a plugin that calls its own gateway must come to an end.
        let hops = self.exchange.as_ref().map(|exchange| exchange.hops.clone()).unwrap_or_default();
        headers.insert(known::CDN_LOOP, hops.next());
        let traced = self.trace(&of.upstream, &method, number, &mut headers);
        let passed = hops.passed;
        let timeout = match of.timeout_ms {
            0 => DEFAULT_TIMEOUT,
            millis => Duration::from_millis(u64::from(millis)).min(MAX_TIMEOUT),
        };
        let deadline = Instant::now() + timeout;
        let key = (of.single_flight && method == Method::GET && of.body.is_empty())
            .then(|| flight_key(&self.context.plugin, passed, &of));
        let news = of.headers.iter().any(|header| is_cache_control(header) && header.value == b"no-cache");
        let call = async move {
            let (reply, answer) = oneshot::channel();
            let Request { upstream, path, body, .. } = of;
            let call = OutboundCall { upstream, method, path, headers, body: body.into(), timeout, deadline, reply };
            calls.send(call).map_err(|_| CallError::Reset)?;
            match timeout_at(deadline, answer).await {
                Ok(Ok(Ok(response))) if response.body.len() > MAX_BODY => Err(CallError::TooLarge),
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(CallError::Reset),
                Err(_) => Err(CallError::Timeout),
            }
        };
        let flights = self.context.flights.clone();
        let call = async move {
            // Whoever shares a call waits no longer than its own time, which may be shorter than the call's.
            let outcome = timeout_at(deadline, async {
                match &key {
                    Some(key) => flights.share(key, news, call).await,
                    None => call.await,
                }
            });
            (outcome.await.unwrap_or(Err(CallError::Timeout)), Instant::now())
        };
        Ok((traced, call))
    }

    /// Waits with the instance, whose time does not count meanwhile; none where too many wait already.
    async fn wait_for<T>(&mut self, calls: impl Future<Output = T>) -> Option<T> {
        let permit = self.callers.as_ref()?.permit()?;
        self.clock.pause();
        let outcome = calls.await;
        self.clock.resume();
        drop(permit);
        Some(outcome)
    }
}

impl calls::Host for HostState {
    fn granted(&mut self, upstream: String) -> wasmtime::Result<bool> {
        self.charge()?;
        Ok(self.is_granted(&upstream))
    }

    fn refused_here(&mut self) -> wasmtime::Result<bool> {
        self.charge()?;
        Ok(self.call_refused)
    }

    async fn send(&mut self, of: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.charge()?;
        self.call_refused = false;
        let (traced, call) = match self.prepare(of, 0) {
            Ok(call) => call,
            Err(error) => return Ok(Err(error.into())),
        };
        let (outcome, ended) = self.wait_for(call).await.unwrap_or_else(not_made);
        self.note(traced, &outcome, ended);
        self.call_refused = matches!(outcome, Err(CallError::Busy));
        Ok(outcome.map(response).map_err(Into::into))
    }

    async fn send_all(&mut self, of: Vec<Request>) -> wasmtime::Result<Vec<Result<Response, Error>>> {
        if of.len() > MAX_AT_ONCE {
            return Err(wasmtime::Error::msg(format!("calls.send-all: at most {MAX_AT_ONCE} calls at once")));
        }
        self.call_refused = false;
        // What may not be sent says why by itself, also where nothing else can be sent now.
        let (mut denied, mut calls, mut traced) = (Vec::with_capacity(of.len()), Vec::new(), Vec::new());
        for request in of {
            self.charge()?;
            match self.prepare(request, calls.len()) {
                Ok((of, call)) => {
                    denied.push(None);
                    calls.push(call);
                    traced.push(of);
                }
                Err(error) => denied.push(Some(error)),
            }
        }
        let sent = if calls.is_empty() { None } else { self.wait_for(join_all(calls)).await };
        let (mut sent, mut traced) = (sent.into_iter().flatten(), traced.into_iter());
        let outcome = |denied: Option<CallError>| match denied {
            Some(error) => Err(error),
            None => {
                let (outcome, ended) = sent.next().unwrap_or_else(not_made);
                self.note(traced.next().flatten(), &outcome, ended);
                outcome
            }
        };
        let outcomes: Vec<_> = denied.into_iter().map(outcome).collect();
        self.call_refused = outcomes.iter().any(|outcome| matches!(outcome, Err(CallError::Busy)));
        Ok(outcomes.into_iter().map(|outcome| outcome.map(response).map_err(Into::into)).collect())
    }
}
