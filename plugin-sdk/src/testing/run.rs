//! One exchange through a plugin, as the gateway runs it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::data::Data;
use super::message::{ClientResponse, FieldList, Forwarded, TestRequest, TestResponse};
use super::stored::{self, Candidate, Edited, Readers};
use super::{TestHost, owned_by_host};
use crate::bindings::edge::gateway::http::Part;
use crate::{BodyMode, ChunkAction, Exchange, Failure, FailureAction, HeadersAction, LocalResponse, Phases, Plugin};

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
    data: Data,
    outcome: Outcome,
    response: Option<ClientResponse>,
    ended: bool,
    asked: Asked,
    started: Duration,
    forwarded_at: Duration,
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
        aborted: bool,
    },
    Respond(LocalResponse),
    /// Given up before anything went out.
    Refused,
}

/// Which message a body belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Request,
    Response,
}

impl TestHost {
    /// Takes a request through the plugin's request phases, those that [`Plugin::PHASES`] names.
    pub fn run<'p, P: Plugin>(&self, plugin: &'p P, request: TestRequest) -> Run<'p, P> {
        let TestRequest { method, scheme, authority, target, headers, chunks, trailers, properties, log_fields } =
            request;
        let asked = Asked {
            method: method.clone(),
            scheme: scheme.clone(),
            authority: authority.clone(),
            target: target.clone(),
        };
        let granted = self.0.upstreams.borrow().keys().cloned().chain(["test".to_owned()]).collect();
        let data = Data {
            method: RefCell::new(method),
            scheme,
            authority: RefCell::new(authority),
            target: RefCell::new(target),
            properties: RefCell::new(properties.into_iter().collect()),
            log_fields: RefCell::new(log_fields),
            granted,
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
        };
        run.request(chunks, trailers);
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
    /// gateway (`Retry` is not offered yet, and does the same), the gateway's response passes the response phases.
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
            true => self.call(|plugin, exchange| plugin.on_upstream_failure(exchange, failure)),
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
            self.gateway_answers(match failure {
                Failure::Timeout => 504,
                Failure::Overload | Failure::NoEndpoint => 503,
                _ => 502,
            });
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
        let cut = |value: &String| value[..value.floor_char_boundary(8 << 10)].to_owned();
        self.data.log_fields.borrow().iter().map(|(name, value)| (name.clone(), cut(value))).collect()
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

    fn call<R>(&self, phase: impl FnOnce(&P, &Exchange<'_>) -> R) -> R {
        let took = self.host.0.elapsed() - self.started;
        self.measure("duration.total-us", u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.host.enter(|| phase(self.plugin, &Exchange::new(&self.data)))
    }

    fn request(&mut self, chunks: Vec<Vec<u8>>, trailers: FieldList) {
        let end = chunks.is_empty() && trailers.is_empty();
        self.measure("bytes.in", chunks.iter().map(|chunk| chunk.len() as u64).sum());
        let mut mode = BodyMode::Skip;
        if P::PHASES.contains(Phases::REQUEST_HEADERS) {
            match self.call(|plugin, exchange| plugin.on_request_headers(exchange, end)) {
                HeadersAction::Continue(asked) => mode = asked,
                HeadersAction::Respond(response) => {
                    self.answer(response);
                    return self.responded();
                }
                HeadersAction::RespondStored(key, otherwise) => {
                    if self.answer_stored(&key, otherwise) {
                        return self.responded();
                    }
                }
            }
        }
        let reads = !end && mode != BodyMode::Skip && P::PHASES.contains(Phases::REQUEST_BODY);
        if reads && is_encoded(&self.data.part(Part::Request).borrow()) {
            self.gateway_answers(415);
            return self.responded();
        }
        if reads {
            body_may_change(&mut self.data.part(Part::Request).borrow_mut());
        }
        if P::PHASES.contains(Phases::RESPONSE_BODY) {
            // The gateway asks for a response that a plugin can read: unencoded and whole.
            let mut fields = self.data.part(Part::Request).borrow_mut();
            fields.retain(|(name, _)| !["accept-encoding", "range", "if-range"].contains(&name.as_str()));
            fields.push(("accept-encoding".to_owned(), b"identity".to_vec()));
        }
        let passed = match reads {
            true => self.stream(Direction::Request, mode, chunks, trailers),
            false => {
                *self.data.part(Part::RequestTrailers).borrow_mut() = trailers;
                Passed::Body { chunks, aborted: false }
            }
        };
        let (chunks, aborted) = match passed {
            Passed::Body { chunks, aborted } => (chunks, aborted),
            Passed::Respond(response) => {
                self.answer(response);
                return self.responded();
            }
            Passed::Refused => {
                self.gateway_answers(503);
                return self.responded();
            }
        };
        self.data.request_sent.set(true);
        self.forwarded_at = self.host.0.elapsed();
        self.outcome = Outcome::Forwarded(Forwarded {
            method: self.data.method.borrow().clone(),
            authority: self.data.authority.borrow().clone(),
            target: self.data.target.borrow().clone(),
            upstream: self.data.properties.borrow().get("upstream.name").cloned().unwrap_or_default(),
            headers: self.data.part(Part::Request).borrow().clone(),
            chunks,
            trailers: self.data.part(Part::RequestTrailers).borrow().clone(),
            aborted,
        });
        if aborted {
            self.gateway_answers(503);
            self.end();
        }
    }

    /// The exchange ended without the upstream.
    fn responded(&mut self) {
        self.end();
        self.outcome = Outcome::Responded(self.response().clone());
    }

    fn place(&self, status: u16, headers: FieldList, source: &str) {
        *self.data.part(Part::Response).borrow_mut() = headers;
        self.data.part(Part::ResponseTrailers).borrow_mut().clear();
        self.data.responded.set(true);
        self.measure("response.status", status.into());
        self.data.properties.borrow_mut().insert("response.source".to_owned(), source.to_owned());
    }

    fn status(&self) -> u16 {
        let status = self.data.measures.borrow().get("response.status").copied();
        status.and_then(|status| status.try_into().ok()).unwrap_or(0)
    }

    fn has_no_body(&self) -> bool {
        self.asked.method == "HEAD" || matches!(self.status(), 204 | 304)
    }

    /// The gateway's own response, which the response phases see as well.
    fn gateway_answers(&mut self, status: u16) {
        let body = self.place_gateway(status);
        self.response_phases(vec![body], Vec::new(), None);
    }

    fn place_gateway(&self, status: u16) -> Vec<u8> {
        let response = LocalResponse::problem(status, "Error", "").header("cache-control", "no-store");
        self.place(status, response.headers, "gateway");
        response.body
    }

    /// The plugin's own response: its response phases don't see it.
    fn answer(&mut self, response: LocalResponse) {
        let body = self.place_local(response);
        self.deliver(vec![body], false);
    }

    fn place_local(&self, response: LocalResponse) -> Vec<u8> {
        assert!((200..600).contains(&response.status), "answered with a status outside 200 to 599: {response:?}");
        let mut fields = FieldList::new();
        for (name, value) in response.headers {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert!(!name.is_empty() && name.bytes().all(token), "answered with an invalid field name: {name:?}");
            let visible = |byte: &u8| (*byte >= 0x20 || *byte == b'\t') && *byte != 0x7f;
            assert!(value.iter().all(visible), "answered with an invalid value of {name}");
            let name = name.to_ascii_lowercase();
            if !owned_by_host(&name) {
                fields.push((name, value));
            }
        }
        self.place(response.status, fields, "plugin");
        response.body
    }

    /// False where there is neither.
    fn answer_stored(&mut self, key: &str, otherwise: Option<LocalResponse>) -> bool {
        let body = self.place_stored(key, otherwise);
        body.map(|body| self.deliver(vec![body], false)).is_some()
    }

    fn place_stored(&self, key: &str, otherwise: Option<LocalResponse>) -> Option<Vec<u8>> {
        let answered = || self.data.responded.get().then(|| self.status());
        let hit = stored::find(
            &self.host.0.stored.borrow(),
            &self.key(key),
            (&self.asked.method, &self.data.part(Part::Request).borrow()),
            self.data.request_sent.get().then(answered),
            self.host.0.elapsed(),
        );
        match hit {
            Some(hit) => {
                self.place(hit.status, hit.headers, "stored");
                Some(hit.body)
            }
            None => otherwise.map(|response| self.place_local(response)),
        }
    }

    /// The principal; an empty name is none.
    fn principal(&self) -> Option<String> {
        self.attribute("principal").filter(|name| !name.is_empty())
    }

    /// Whose stored responses these are.
    fn readers(&self) -> Readers {
        match self.principal() {
            _ if self.host.0.shared.get() => Readers::All,
            Some(_) => Readers::Principal,
            None => Readers::Unnamed,
        }
    }

    /// What the host adds to the plugin's part of a key.
    fn key(&self, plugin: &str) -> String {
        let Asked { scheme, authority, target, .. } = &self.asked;
        let readers = self.readers();
        let request = self.data.part(Part::Request).borrow();
        let caller = stored::caller(&request, &self.data.edited.borrow(), readers, self.data.named_here.get());
        let principal = self.principal().filter(|_| readers == Readers::Principal);
        format!("{:?}", (scheme, authority, target, readers, principal, caller, plugin))
    }

    fn response_phases(&mut self, chunks: Vec<Vec<u8>>, trailers: FieldList, cut: Option<Failure>) {
        let end = self.has_no_body() || (chunks.is_empty() && trailers.is_empty() && cut.is_none());
        let chunks = if self.has_no_body() { Vec::new() } else { chunks };
        let mut mode = BodyMode::Skip;
        if P::PHASES.contains(Phases::RESPONSE_HEADERS) {
            self.data.may_store.set(true);
            let action = self.call(|plugin, exchange| plugin.on_response_headers(exchange, end));
            self.data.may_store.set(false);
            match action {
                HeadersAction::Continue(asked) => mode = asked,
                HeadersAction::Respond(response) => return self.answer(response),
                HeadersAction::RespondStored(key, otherwise) => {
                    if self.answer_stored(&key, otherwise) {
                        return;
                    }
                }
            }
        }
        let reads = !end && mode != BodyMode::Skip && P::PHASES.contains(Phases::RESPONSE_BODY);
        if reads && is_encoded(&self.data.part(Part::Response).borrow()) {
            let body = self.place_gateway(502);
            return self.deliver(vec![body], false);
        }
        if reads {
            body_may_change(&mut self.data.part(Part::Response).borrow_mut());
        }
        let candidate = self.candidate();
        if cut.is_some() {
            self.data.failure.set(cut);
        }
        let passed = match reads {
            // With the body cut, there is nothing whole to hand over, and the gateway answers.
            true if cut.is_some() && mode == BodyMode::Whole => Passed::Refused,
            true if cut.is_some() => self.stream_until_cut(chunks),
            true => self.stream(Direction::Response, mode, chunks, trailers),
            false => {
                *self.data.part(Part::ResponseTrailers).borrow_mut() = trailers;
                Passed::Body { chunks, aborted: cut.is_some() }
            }
        };
        match passed {
            Passed::Body { chunks, aborted } => {
                let trailers = !self.data.part(Part::ResponseTrailers).borrow().is_empty();
                if let (Some((request, candidate)), false, false) = (candidate, aborted, trailers) {
                    let edited = self.data.edited.borrow();
                    let candidate = Candidate { request: &request, edited: &edited, ..candidate };
                    candidate.keep(chunks.concat(), self.host.0.elapsed(), &mut self.host.0.stored.borrow_mut());
                }
                self.deliver(chunks, aborted);
            }
            Passed::Respond(response) => self.answer(response),
            Passed::Refused => {
                let body = self.place_gateway(if cut.is_some() { 502 } else { 503 });
                self.deliver(vec![body], false);
            }
        }
    }

    /// What is to be kept, as the response's head stands after the plugin.
    fn candidate(&self) -> Option<(FieldList, Candidate<'static>)> {
        static NO_FIELDS: FieldList = FieldList::new();
        static NO_NAMES: Edited = Edited::new();
        let (key, ttl_ms) = self.data.store.borrow_mut().take()?;
        let from_upstream = self.data.properties.borrow().get("response.source").is_some_and(|by| by == "upstream");
        let candidate = Candidate {
            key: self.key(&key),
            readers: self.readers(),
            unmarked: self.host.0.unmarked.get(),
            identity: P::PHASES.contains(Phases::RESPONSE_BODY),
            get: self.asked.method == "GET" && *self.data.method.borrow() == "GET",
            request: &NO_FIELDS,
            edited: &NO_NAMES,
            status: self.status(),
            headers: self.data.part(Part::Response).borrow().clone(),
            ttl: Duration::from_millis(ttl_ms),
        };
        from_upstream.then(|| (self.data.part(Part::Request).borrow().clone(), candidate))
    }

    /// The client gets the response.
    fn deliver(&mut self, chunks: Vec<Vec<u8>>, aborted: bool) {
        let mut chunks = if self.has_no_body() { Vec::new() } else { chunks };
        chunks.retain(|chunk| !chunk.is_empty());
        self.data.response_sent.set(true);
        self.measure("bytes.out", chunks.iter().map(|chunk| chunk.len() as u64).sum());
        self.response = Some(ClientResponse {
            status: self.status(),
            headers: self.data.part(Part::Response).borrow().clone(),
            chunks,
            trailers: self.data.part(Part::ResponseTrailers).borrow().clone(),
            aborted,
        });
    }

    /// Both the record and the log phase: once.
    fn end(&mut self) {
        self.ended = true;
        if P::PHASES.contains(Phases::LOG) {
            self.call(|plugin, exchange| plugin.on_log(exchange));
        }
    }

    /// A body through the plugin.
    fn stream(&self, of: Direction, mode: BodyMode, mut chunks: Vec<Vec<u8>>, trailers: FieldList) -> Passed {
        if mode == BodyMode::Whole {
            chunks = vec![chunks.concat()];
        } else if !trailers.is_empty() && chunks.last().is_none_or(|last| !last.is_empty()) {
            // Trailers are a frame of their own after the last bytes.
            chunks.push(Vec::new());
        }
        let part = if of == Direction::Request { Part::RequestTrailers } else { Part::ResponseTrailers };
        let last = chunks.len().saturating_sub(1);
        let mut out = Vec::new();
        for (at, data) in chunks.into_iter().enumerate() {
            let end = at == last;
            if data.is_empty() && !end {
                continue;
            }
            if end {
                self.data.part(part).borrow_mut().clone_from(&trailers);
            }
            match self.chunk(of, data, end, &mut out) {
                None => {}
                Some(passed) => return passed,
            }
        }
        Passed::Body { chunks: out, aborted: false }
    }

    fn stream_until_cut(&self, chunks: Vec<Vec<u8>>) -> Passed {
        let mut out = Vec::new();
        for data in chunks.into_iter().filter(|data| !data.is_empty()) {
            if let Some(passed) = self.chunk(Direction::Response, data, false, &mut out) {
                return passed;
            }
        }
        if out.is_empty() { Passed::Refused } else { Passed::Body { chunks: out, aborted: true } }
    }

    /// One call of a body phase; `Some` where the stream ends with it.
    fn chunk(&self, of: Direction, data: Vec<u8>, end: bool, out: &mut Vec<Vec<u8>>) -> Option<Passed> {
        let given = data.clone();
        let action = match of {
            Direction::Request => self.call(|plugin, exchange| plugin.on_request_body(exchange, given, end)),
            Direction::Response => self.call(|plugin, exchange| plugin.on_response_body(exchange, given, end)),
        };
        let bytes = match action {
            ChunkAction::Pass => data,
            ChunkAction::Replace(bytes) => bytes,
            ChunkAction::Respond(response) if out.is_empty() => return Some(Passed::Respond(response)),
            // An answer after bytes have gone out can only end the stream.
            ChunkAction::Respond(_) | ChunkAction::Abort if !out.is_empty() => {
                return Some(Passed::Body { chunks: std::mem::take(out), aborted: true });
            }
            ChunkAction::Respond(_) | ChunkAction::Abort => return Some(Passed::Refused),
        };
        if !bytes.is_empty() {
            out.push(bytes);
            // With the first bytes, the head has gone out.
            let sent: &Cell<bool> =
                if of == Direction::Request { &self.data.request_sent } else { &self.data.response_sent };
            sent.set(true);
        }
        None
    }
}

fn empty_response() -> ClientResponse {
    ClientResponse { status: 0, headers: Vec::new(), chunks: Vec::new(), trailers: Vec::new(), aborted: false }
}

/// Whether the content is encoded (RFC 9110 section 8.4), so that a plugin would see gibberish.
fn is_encoded(fields: &FieldList) -> bool {
    let codings = fields.iter().filter(|(name, _)| name == "content-encoding").map(|(_, value)| value);
    codings
        .flat_map(|value| value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Drops what holds only for the body as it came.
fn body_may_change(fields: &mut FieldList) {
    const STALE: [&str; 7] =
        ["content-length", "etag", "accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"];
    fields.retain(|(name, _)| !STALE.contains(&name.as_str()));
}
