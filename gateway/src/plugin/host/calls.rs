//! Interface `calls`: HTTP calls to granted upstreams. The plugin host opens no sockets: it hands the call to a task of
//! the worker and waits for the answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::HostState;
use crate::message::headers;
use crate::plugin::phase::bindings::edge::gateway::calls::{self, Error, Request, Response};
use crate::plugin::phase::{Header, Phase};

/// Largest body of a request or a response of a call.
pub const MAX_BODY: usize = 1 << 20;
/// Longest time that a call may take, whatever the plugin says.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an answer is still given to equal calls that come just behind it.
const AFTERGLOW: Duration = Duration::from_millis(100);
/// Used where the plugin says 0.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// A call on its way from a plugin to the worker's task.
#[derive(Debug)]
pub struct OutboundCall {
    /// The upstream; granted to the plugin, and looked up by whoever makes the call.
    pub upstream: String,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Header fields, validated.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Time limit of the whole call.
    pub timeout: Duration,
    /// When that has passed.
    pub deadline: Instant,
    /// Where the answer goes. Its other end is gone when nobody waits any more.
    pub reply: oneshot::Sender<Result<CallResponse, CallError>>,
}

/// The answer to a call.
#[derive(Clone, Debug)]
pub struct CallResponse {
    /// The status.
    pub status: u16,
    /// Header fields.
    pub headers: HeaderMap,
    /// The whole body, at most [`MAX_BODY`].
    pub body: Bytes,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No grant, or not in this phase.
    Denied,
    /// No such upstream.
    UnknownUpstream,
    /// Not in time.
    Timeout,
    /// No connection.
    Connect,
    /// A body above [`MAX_BODY`].
    TooLarge,
    /// The answer broke off.
    Reset,
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Denied => Self::Denied,
            CallError::UnknownUpstream => Self::UnknownUpstream,
            CallError::Timeout => Self::Timeout,
            CallError::Connect => Self::Connect,
            CallError::TooLarge => Self::TooLarge,
            CallError::Reset => Self::Reset,
        }
    }
}

type Outcome = Result<CallResponse, CallError>;

/// Calls with `single-flight` that are under way anywhere in the process.
#[derive(Debug, Default)]
pub(crate) struct Flights(DashMap<String, watch::Receiver<Option<Outcome>>>);

/// Takes the flight off the board when its leader is done, or is dropped.
struct Leader {
    flights: Arc<Flights>,
    key: String,
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.flights.0.remove(&self.key);
    }
}

enum Seat {
    Leads(Leader, watch::Sender<Option<Outcome>>),
    Follows(watch::Receiver<Option<Outcome>>),
}

impl Flights {
    fn board(self: &Arc<Self>, key: &str) -> Seat {
        match self.0.entry(key.to_owned()) {
            Slot::Occupied(flight) => Seat::Follows(flight.get().clone()),
            Slot::Vacant(vacant) => {
                let (sender, receiver) = watch::channel(None);
                vacant.insert(receiver);
                Seat::Leads(Leader { flights: self.clone(), key: key.to_owned() }, sender)
            }
        }
    }

    /// Makes the call, or waits for the equal one that is under way. When its leader was given up, a follower leads.
    async fn share<F: Future<Output = Outcome>>(self: &Arc<Self>, key: &str, call: F) -> Outcome {
        loop {
            match self.board(key) {
                Seat::Leads(leader, sender) => {
                    let outcome = call.await;
                    if outcome.is_ok() {
                        // Whoever looked for the answer's trace (in kv, say) just before this guest left one there
                        // boards now, and would otherwise call a second time.
                        tokio::spawn(async move {
                            tokio::time::sleep(AFTERGLOW).await;
                            drop(leader);
                        });
                    } else {
                        drop(leader);
                    }
                    let _ = sender.send(Some(outcome.clone()));
                    return outcome;
                }
                Seat::Follows(mut receiver) => {
                    if let Ok(outcome) = receiver.wait_for(Option::is_some).await
                        && let Some(outcome) = outcome.clone()
                    {
                        return outcome;
                    }
                }
            }
        }
    }
}

/// What the guest asked for, checked.
fn validate(request: &Request) -> Result<(Method, HeaderMap), CallError> {
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| CallError::Denied)?;
    let visible = request.path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if matches!(method, Method::CONNECT | Method::TRACE) || !request.path.starts_with('/') || !visible {
        return Err(CallError::Denied);
    }
    if request.body.len() > MAX_BODY || request.headers.len() > 100 {
        return Err(CallError::TooLarge);
    }
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for Header { name, value } in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| CallError::Denied)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| CallError::Denied)?;
        if headers::is_made_here(&name) {
            return Err(CallError::Denied);
        }
        headers.append(name, value);
    }
    Ok((method, headers))
}

/// Everything that makes two calls equal.
fn flight_key(plugin: &str, request: &Request) -> String {
    use std::fmt::Write as _;
    let mut key = String::with_capacity(128);
    // Lengths in front keep values that contain a separator apart; writing to a string cannot fail.
    for part in [plugin, &request.upstream, &request.path] {
        let _ = write!(key, "{}:{part}", part.len());
    }
    for Header { name, value } in &request.headers {
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
            .map(|(name, value)| Header { name: name.as_str().to_owned(), value: value.as_bytes().to_vec() })
            .collect(),
        body: answer.body.to_vec(),
    }
}

impl calls::Host for HostState {
    async fn send(&mut self, of: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.charge()?;
        let granted = self.shared.upstreams.iter().any(|upstream| **upstream == *of.upstream);
        let calls = match &self.calls {
            Some(calls) if granted && self.phase != Phase::Configure => calls.clone(),
            _ => return Ok(Err(Error::Denied)),
        };
        let (method, headers) = match validate(&of) {
            Ok(parts) => parts,
            Err(error) => return Ok(Err(error.into())),
        };
        let timeout = match of.timeout_ms {
            0 => DEFAULT_TIMEOUT,
            millis => Duration::from_millis(u64::from(millis)).min(MAX_TIMEOUT),
        };
        let deadline = Instant::now() + timeout;
        let key = (of.single_flight && method == Method::GET && of.body.is_empty())
            .then(|| flight_key(&self.shared.plugin, &of));
        let call = async move {
            let (reply, answer) = oneshot::channel();
            let Request { upstream, path, body, .. } = of;
            let call = OutboundCall { upstream, method, path, headers, body: body.into(), timeout, deadline, reply };
            calls.send(call).map_err(|_| CallError::Reset)?;
            match answer.await {
                Ok(Ok(response)) if response.body.len() > MAX_BODY => Err(CallError::TooLarge),
                Ok(outcome) => outcome,
                Err(_) => Err(CallError::Reset),
            }
        };
        self.clock.pause();
        let outcome = tokio::time::timeout_at(deadline, async {
            match &key {
                Some(key) => self.shared.flights.share(key, call).await,
                None => call.await,
            }
        })
        .await;
        self.clock.resume();
        Ok(outcome.unwrap_or(Err(CallError::Timeout)).map(response).map_err(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn answer() -> Outcome {
        Ok(CallResponse { status: 200, headers: HeaderMap::new(), body: Bytes::from_static(b"keys") })
    }

    #[tokio::test(start_paused = true)]
    async fn equal_calls_share_one_answer() {
        let flights = Arc::new(Flights::default());
        let made = AtomicUsize::new(0);
        let call = || async {
            made.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            answer()
        };
        let (a, b, c) =
            tokio::join!(flights.share("k", call()), flights.share("k", call()), flights.share("other", call()));
        assert!([a, b, c].into_iter().all(|outcome| outcome.is_ok_and(|answer| answer.body == "keys")));
        assert!(flights.share("k", call()).await.is_ok(), "just behind the answer");
        assert_eq!(made.load(Ordering::Relaxed), 2);
        tokio::time::sleep(AFTERGLOW * 2).await;
        assert!(flights.0.is_empty());
    }

    #[tokio::test]
    async fn a_follower_leads_when_the_leader_was_given_up() {
        let flights = Arc::new(Flights::default());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut leader = Box::pin(flights.share("k", std::future::pending()));
        assert!(leader.as_mut().poll(&mut context).is_pending());
        let follower = flights.share("k", async { answer() });
        let mut follower = Box::pin(follower);
        assert!(follower.as_mut().poll(&mut context).is_pending());
        drop(leader);
        assert!(follower.await.is_ok());
    }
}
