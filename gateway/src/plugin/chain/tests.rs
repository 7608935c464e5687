//! The rules of a chain, each with a script in place of the guests.

mod bodies;
mod codings;
mod order;
mod stored;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Method, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::Notify;

use super::*;
use crate::error::{ErrorKind, Failure};
use crate::exchange::{ConnectionInfo, Exchange, Protocol, RequestHead, ResponseHead, StoreRequest};
use crate::message::FieldMap;
use crate::message::headers::{RequestId, map};
use crate::model::Storing;
use crate::plugin::call::{Field, LocalResponse, Piece, StoredResponse};

/// What a script does in a phase.
#[derive(Clone, Copy)]
enum Act {
    /// Goes on; a headers phase asks for this of the body.
    Go(BodyMode),
    /// Answers with a status and its own name as the body.
    Respond(u16),
    RespondStored,
    /// Answers with what is stored, and otherwise goes on.
    RespondStoredOrGo,
    Replace(&'static str),
    Abort,
    Retry,
    Fail,
    /// Gives back more than it may.
    TooMuch,
}

const GO: Act = Act::Go(BodyMode::Skip);
const CHUNKS: Act = Act::Go(BodyMode::Chunks);
const WHOLE: Act = Act::Go(BodyMode::Whole);

/// What the scripts of a chain did, one word per call: `NAME:PHASE`, with the bytes of a body and `$` at its end.
type Trail = Rc<RefCell<Vec<String>>>;
type Behaviour = Box<dyn Fn(&'static str, &mut Exchange, usize, &[u8]) -> Act>;

struct Script {
    name: &'static str,
    phases: Phases,
    policy: OnFailure,
    storing: Storing,
    busy: Cell<bool>,
    /// It keeps in its instance what it must remember of a body.
    pins: bool,
    /// Its request-body phase waits for this.
    gate: Option<Rc<Notify>>,
    /// Never gets an instance, and waits for ever.
    stalls: Cell<bool>,
    trail: Trail,
    behave: Behaviour,
}

struct Scripted(Rc<Script>);

/// A link whose phases behave as told; a link needs itself in an `Rc` to lend guests.
struct Place(Rc<Script>);

impl Link for Place {
    type Guest = Scripted;
    fn name(&self) -> &str {
        self.0.name
    }
    fn phases(&self) -> Phases {
        self.0.phases
    }
    fn on_failure(&self) -> OnFailure {
        self.0.policy
    }
    fn storing(&self) -> &Storing {
        &self.0.storing
    }
    fn suspends(&self) -> bool {
        self.0.gate.is_some()
    }
    fn pins(&self) -> bool {
        self.0.pins
    }
    fn idle(&self) -> Option<Scripted> {
        None
    }
    async fn checkout(&self) -> Result<Scripted, Error> {
        self.0.note("checkout");
        if self.0.stalls.get() {
            std::future::pending::<()>().await;
        }
        if self.0.busy.get() {
            return Err(Error::new(ErrorKind::Overload, "busy"));
        }
        Ok(Scripted(self.0.clone()))
    }
    fn warn(&self, error: &Error, passed_by: bool) {
        self.0.note(&format!("warned {} {passed_by}", error.detail()));
    }
}

impl Script {
    fn note(&self, what: &str) {
        self.trail.borrow_mut().push(format!("{}:{what}", self.name));
    }

    fn act(&self, phase: &'static str, of: &mut Lent, index: usize, data: &[u8]) -> Result<Act, Error> {
        match (self.behave)(phase, of.as_deref_mut().expect("an exchange"), index, data) {
            Act::Fail => Err(Error::new(ErrorKind::Plugin, crate::sanitize::safe!(phase, " failed"))),
            Act::TooMuch => Err(Error::new(ErrorKind::PluginAnswer, "too much")),
            act => Ok(act),
        }
    }

    fn local(&self, status: u16) -> LocalResponse {
        let by = Field { name: "x-by".to_owned(), value: self.name.as_bytes().to_vec() };
        LocalResponse { status, headers: vec![by], body: self.name.as_bytes().to_vec() }
    }

    fn stored(&self) -> StoredResponse {
        StoredResponse { key: "k".to_owned(), otherwise: Some(self.local(503)) }
    }

    fn stored_or_nothing(&self) -> StoredResponse {
        StoredResponse { otherwise: None, ..self.stored() }
    }

    fn action(&self, act: Act) -> Action {
        match act {
            Act::Go(mode) => Action::Continue(mode),
            Act::Respond(status) => Action::Respond(self.local(status)),
            Act::RespondStored => Action::RespondStored(self.stored()),
            Act::RespondStoredOrGo => Action::RespondStored(self.stored_or_nothing()),
            Act::Replace(text) => Action::Replace(text.as_bytes().to_vec()),
            Act::Abort => Action::Abort,
            Act::Retry => Action::Retry,
            Act::Fail | Act::TooMuch => panic!("not an action"),
        }
    }
}

impl Guest for Scripted {
    async fn call(&mut self, of: &mut Lent, index: usize, call: Call<'_>) -> Result<Action, Error> {
        let mark = |end| if end { "$" } else { "" };
        let status = of.as_deref().and_then(|of| of.response.as_ref()).map_or(0, |head| head.status.as_u16());
        let (phase, word, data) = match call {
            Call::RequestHeaders { end: true } => ("request", "request $".to_owned(), &[][..]),
            Call::RequestHeaders { end: false } => ("request", "request".to_owned(), &[][..]),
            Call::ResponseHeaders { end } => ("response", format!("response {status}{}", mark(end)), &[][..]),
            Call::UpstreamFailure(_) => ("failure", "failure".to_owned(), &[][..]),
            Call::Log => ("log", "log".to_owned(), &[][..]),
            Call::RequestBody(Piece { data, end, .. }) => {
                ("request body", format!("request body {}{}", String::from_utf8_lossy(data), mark(end)), data)
            }
            Call::ResponseBody(Piece { data, end, .. }) => {
                ("response body", format!("response body {}{}", String::from_utf8_lossy(data), mark(end)), data)
            }
        };
        self.0.note(&word);
        let action = self.0.act(phase, of, index, data).map(|act| self.0.action(act));
        if let (Some(gate), Phase::RequestBody) = (&self.0.gate, call.phase()) {
            gate.notified().await;
        }
        action
    }
}

/// A plugin that wants all phases, with policy `closed`.
fn plugin(name: &'static str, behave: impl Fn(&'static str) -> Act + 'static) -> Script {
    scripted(name, move |phase, _, _, _| behave(phase))
}

fn scripted(name: &'static str, behave: impl Fn(&'static str, &mut Exchange, usize, &[u8]) -> Act + 'static) -> Script {
    Script {
        name,
        phases: Phases::all(),
        policy: OnFailure::Closed,
        storing: Storing { unmarked: true, ..Storing::default() },
        busy: Cell::new(false),
        pins: false,
        gate: None,
        stalls: Cell::new(false),
        trail: Trail::default(),
        behave: Box::new(behave),
    }
}

/// Does nothing in any phase.
fn quiet(name: &'static str) -> Script {
    plugin(name, |_| GO)
}

/// A chain with one exchange on its way.
struct Trip {
    run: ChainRun<Place>,
    exchange: SharedExchange,
    trail: Trail,
    places: Vec<Rc<Script>>,
    stored: Arc<StoredResponses>,
}

fn exchange(method: Method) -> Exchange {
    let request = RequestHead::new(
        method,
        "https",
        "a.example".to_owned(),
        http::uri::PathAndQuery::from_static("/t"),
        FieldMap::new(),
    );
    Exchange::new(RequestId::random(), ConnectionInfo::local(Protocol::Http2), [192, 0, 2, 1].into(), request)
}

/// Of plugins in chain order; the exchange is a GET.
fn trip(plugins: Vec<Script>) -> Trip {
    trip_with(plugins, Method::GET, &Arc::new(StoredResponses::new(1 << 20)))
}

fn trip_with(plugins: Vec<Script>, method: Method, stored: &Arc<StoredResponses>) -> Trip {
    let trail = Trail::default();
    let places: Vec<_> = plugins
        .into_iter()
        .map(|mut script| {
            script.trail = trail.clone();
            Rc::new(script)
        })
        .collect();
    let links = places.iter().map(|script| Rc::new(Place(script.clone()))).collect();
    let limits = RouteLimits { max_body: 10, decoded_ratio: 100, ..RouteLimits::default() };
    let chain = Chain::new("route", links, stored.clone(), Budget::new(16 << 20), limits);
    let exchange = SharedExchange::new(Box::new(exchange(method)));
    Trip { run: chain.start(exchange.clone()), exchange, trail, places, stored: stored.clone() }
}

impl Trip {
    /// The words of the trail since the last look, without checkouts.
    fn trail(&self) -> Vec<String> {
        let mut words = std::mem::take(&mut *self.trail.borrow_mut());
        words.retain(|word| !word.ends_with(":checkout"));
        words
    }

    fn with<T>(&self, work: impl FnOnce(&mut Exchange) -> T) -> T {
        work(self.exchange.try_lock().expect("nobody works on it").as_deref_mut().expect("it is in its place"))
    }

    fn request_fields(&self, fields: &[(&'static str, &'static str)]) {
        self.with(|exchange| exchange.request.headers = map(fields));
    }

    fn response_field(&self, name: &str) -> Option<String> {
        self.with(|exchange| {
            let value = exchange.response.as_ref()?.headers.get(name)?;
            Some(value.expose_str().expect("text").to_owned())
        })
    }

    /// The request phases, with this body.
    fn request(&mut self, body: Body) -> Result<Flow<Body>, Error> {
        wait(async {
            match self.run.request_headers(body.is_end_stream()).await? {
                Flow::Continue(()) => self.run.request_body(body).await,
                Flow::Respond(answer) => Ok(Flow::Respond(answer)),
            }
        })
    }

    /// The response phases over a response of this source.
    fn response(
        &mut self,
        source: ResponseSource,
        status: u16,
        fields: &[(&'static str, &'static str)],
        body: Body,
    ) -> Result<Body, Error> {
        self.with(|exchange| {
            let status = StatusCode::from_u16(status).expect("valid");
            exchange.response = Some(ResponseHead::new(status, map(fields)));
            exchange.source = source;
        });
        wait(self.run.response(source, body))
    }

    fn upstream(&mut self, body: Body) -> Result<Body, Error> {
        self.response(ResponseSource::Upstream, 200, &[], body)
    }
}

/// A body that comes in these pieces.
fn chunks(pieces: &[&'static str]) -> Body {
    framed(pieces, None)
}

fn framed(pieces: &[&'static str], trailers: Option<FieldMap>) -> Body {
    let data = pieces.iter().map(|piece| Frame::data(Bytes::from_static(piece.as_bytes())));
    let frames: Vec<Result<_, Error>> =
        data.chain(trailers.map(FieldMap::into_map).map(Frame::trailers)).map(Ok).collect();
    Body::boxed(StreamBody::new(stream::iter(frames)))
}

/// What a body comes to: its bytes, and its trailers, or the error that cuts it.
fn read(body: Body) -> Result<(String, Option<FieldMap>), Error> {
    wait(async {
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned().map(FieldMap::from);
        Ok((String::from_utf8(collected.to_bytes().to_vec()).expect("text"), trailers))
    })
}

fn text(body: Body) -> Result<String, Error> {
    read(body).map(|(text, _)| text)
}

/// Nothing here waits for a clock or a socket, so one poll after the other gets there.
fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn continues(flow: Result<Flow<Body>, Error>) -> Body {
    match flow {
        Ok(Flow::Continue(body)) => body,
        Ok(Flow::Respond(_)) => panic!("answered"),
        Err(error) => panic!("{error}"),
    }
}

fn answers(flow: Result<Flow<Body>, Error>) -> Answer {
    match flow {
        Ok(Flow::Respond(answer)) => answer,
        Ok(Flow::Continue(_)) => panic!("went on"),
        Err(error) => panic!("{error}"),
    }
}

fn fails<T>(result: Result<T, Error>) -> Error {
    result.err().expect("an error")
}
