//! What a service does for traces: it goes on with the trace that a request belongs to (W3C Trace Context), and tells a
//! collector of its part.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use telemetry_export::model::{KeyValue, Kind, Resource, Scope, Span, SpanId, Status, TraceId};
use telemetry_export::{Collector, Export, Protocol, QueueSettings, Settings, Sink, Source};
use tokio::net::TcpStream;

/// How long another service may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer of another service that is read.
const MAX_ANSWER: usize = 1 << 20;

/// Makes the traces of a service.
pub(crate) struct Tracer {
    /// The task that sends goes on as long as this is kept.
    export: Option<Export<Span>>,
    name: &'static str,
}

impl Tracer {
    /// Of the service of this name, for the collector at this URL. Without one nothing is traced.
    pub(crate) fn start(name: &'static str, collector: Option<String>) -> Result<Self, String> {
        let Some(url) = collector else { return Ok(Self { export: None, name }) };
        let endpoint = url.parse().map_err(|error| format!("--collector: {error}"))?;
        let collector =
            Collector::new(Settings::new(Protocol::OtlpHttp, endpoint)).map_err(|error| error.to_string())?;
        let resource = Resource { service_name: name.into(), ..Resource::default() };
        let scope = Scope { name: "microservices".into(), version: env!("CARGO_PKG_VERSION").into() };
        let queue = QueueSettings { max_delay: Duration::from_millis(200), ..QueueSettings::default() };
        let export = collector.spans(Source { resource, scope }, queue, &tokio::runtime::Handle::current());
        Ok(Self { export: Some(export), name })
    }

    /// The service's part in the trace of a request.
    pub(crate) fn enter(&self, request: &Parts) -> Trace {
        let Some(export) = &self.export else { return Trace::none() };
        let parent = request.headers.get("traceparent").and_then(|value| Parent::parse(value.to_str().ok()?));
        let Some(parent) = parent.filter(|parent| parent.sampled) else { return Trace::none() };
        // What comes behind the service's name may be a client's: its number of parts says enough.
        let kind = request.uri.path().split('/').nth(1).unwrap_or_default();
        let route = if kind == self.name { format!("/{kind}/…") } else { "/…".to_owned() };
        let span = span(parent.trace, parent.span, format!("{} {route}", request.method), Kind::Server);
        Trace(Some(Entered { span: Mutex::new(span), sink: export.sink() }))
    }
}

/// A service's part in a trace.
pub(crate) struct Trace(Option<Entered>);

struct Entered {
    span: Mutex<Span>,
    sink: Sink<Span>,
}

impl Trace {
    /// No part.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// The service has answered.
    pub(crate) fn leave(self, status: StatusCode) {
        let Some(Entered { span, sink }) = self.0 else { return };
        let span = span.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        sink.send(vec![ended(span, status, status.is_server_error())]);
    }

    /// Asks another service, whose answer is a part of this one's.
    pub(crate) async fn get(&self, service: &'static str, address: SocketAddr, path: &str) -> Result<Bytes, String> {
        let asking = self.0.as_ref().map(|entered| {
            let own = entered.span.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            span(own.trace_id, own.span_id, service.to_owned(), Kind::Client)
        });
        let mut request = Request::get(path).header(header::HOST, address.to_string());
        if let Some(span) = &asking {
            request = request.header("traceparent", traceparent(span));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let answered = tokio::time::timeout(PATIENCE, exchange(address, request)).await;
        let answered = answered.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        if let (Some(span), Some(entered)) = (asking, &self.0) {
            let status = answered.as_ref().map_or(StatusCode::BAD_GATEWAY, |(status, _)| *status);
            entered.sink.send(vec![ended(span, status, !status.is_success())]);
        }
        match answered? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(status.to_string()),
        }
    }
}

/// One request over a connection of its own.
async fn exchange(address: SocketAddr, request: Request<Empty<Bytes>>) -> Result<(StatusCode, Bytes), String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
    Ok((status, body.to_bytes()))
}

/// A span that begins now. Kinds other than the server's belong to it.
fn span(trace_id: TraceId, parent: SpanId, name: String, kind: Kind) -> Span {
    Span {
        trace_id,
        span_id: new_span_id(),
        parent: Some(parent),
        parent_is_remote: kind == Kind::Server,
        flags: 1,
        trace_state: None,
        name: name.into(),
        kind,
        start: now(),
        end: 0,
        attributes: Vec::new(),
        dropped_attributes: 0,
        events: Vec::new(),
        dropped_events: 0,
        status: Status::Unset,
    }
}

fn ended(mut span: Span, status: StatusCode, failed: bool) -> Span {
    span.end = now();
    span.attributes.push(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    if failed {
        span.status = Status::Error("".into());
    }
    span
}

/// The field that makes a request a child of this span.
fn traceparent(span: &Span) -> String {
    let [trace, span] = [u128::from_be_bytes(span.trace_id), u64::from_be_bytes(span.span_id).into()];
    format!("00-{trace:032x}-{span:016x}-01")
}

/// Who asks, by `traceparent`.
#[derive(Debug, PartialEq)]
struct Parent {
    trace: TraceId,
    span: SpanId,
    sampled: bool,
}

impl Parent {
    /// Of version 00, W3C Trace Context section 3.2.
    fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split('-');
        let (Some("00"), Some(trace), Some(span), Some(flags), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        if (trace.len(), span.len(), flags.len()) != (32, 16, 2) {
            return None;
        }
        let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        (trace != 0 && span != 0).then(|| Self { trace: trace.to_be_bytes(), span: span.to_be_bytes(), sampled })
    }
}

/// Random enough to be distinct.
fn new_span_id() -> SpanId {
    use std::hash::{BuildHasher as _, RandomState};
    (RandomState::new().hash_one(now()) | 1).to_be_bytes()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_it_is_written() {
        let value = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = Parent::parse(value).unwrap();
        let own = Span { span_id: parent.span, ..span(parent.trace, parent.span, String::new(), Kind::Client) };
        assert!(parent.sampled && traceparent(&own) == value);
        for wrong in ["", "00-0-0-01", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &value[..54]] {
            assert_eq!(Parent::parse(wrong), None, "{wrong}");
        }
    }
}
