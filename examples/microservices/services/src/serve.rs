//! The HTTP server that all services share.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::trace::{Trace, Tracer};

/// Largest request body that a service reads.
const MAX_BODY: usize = 1 << 20;

/// What a service answers.
pub(crate) type Answer = Response<Full<Bytes>>;

/// A service: its answers, given requests that have been read whole.
pub(crate) trait Service: Send + Sync + 'static {
    /// Its name in traces.
    const NAME: &str;

    /// The answer to a request, which is a part of this trace.
    fn answer(&self, request: &Parts, body: &[u8], trace: &Trace) -> impl Future<Output = Answer> + Send;
}

/// Serves until the process is ended; says on standard output where. Spans go to the collector at this URL.
pub(crate) fn run<S: Service>(address: SocketAddr, collector: Option<String>, service: S) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(address).await.map_err(|error| error.to_string())?;
        // For whoever asked for port 0. A reader that is gone is no reason to end.
        let bound = listener.local_addr().map_err(|error| error.to_string())?;
        let _ = writeln!(std::io::stdout(), "listening on {bound}");
        let tracer = Tracer::start(S::NAME, collector)?;
        let (service, reached, tracer) = (Arc::new(service), Arc::new(Reached::default()), Arc::new(tracer));
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (service, reached, tracer) = (Arc::clone(&service), Arc::clone(&reached), Arc::clone(&tracer));
            tokio::spawn(async move {
                let respond = service_fn(move |request| {
                    let (service, reached, tracer) = (Arc::clone(&service), Arc::clone(&reached), Arc::clone(&tracer));
                    async move { Ok::<_, Infallible>(respond(&*service, &reached, &tracer, request).await) }
                });
                // A client that leaves is no news.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await;
            });
        }
    })
}

/// What came through, for those who want to see that an open breaker lets nothing pass, and what else does.
#[derive(Default)]
struct Reached {
    requests: AtomicU64,
    last: Mutex<String>,
}

impl Reached {
    /// The last target.
    fn last(&self) -> MutexGuard<'_, String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn respond<S: Service>(service: &S, reached: &Reached, tracer: &Tracer, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n");
    };
    match parts.uri.path() {
        "/-/requests" => return json(StatusCode::OK, &json!({"requests": reached.requests.load(Relaxed)})),
        "/-/last" => return json(StatusCode::OK, &json!({"target": *reached.last()})),
        path if path.starts_with("/-/") => return service.answer(&parts, &body.to_bytes(), &Trace::none()).await,
        _ => {
            reached.requests.fetch_add(1, Relaxed);
            *reached.last() = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        }
    }
    let trace = tracer.enter(&parts);
    let answer = service.answer(&parts, &body.to_bytes(), &trace).await;
    trace.leave(answer.status());
    answer
}

/// An empty answer in protobuf, which is a message whose fields have their defaults.
pub(crate) fn protobuf(status: StatusCode) -> Answer {
    respond_with(status, "application/x-protobuf", String::new())
}

/// A JSON response.
pub(crate) fn json(status: StatusCode, value: &Value) -> Answer {
    respond_with(status, "application/json", format!("{value}\n"))
}

/// A plain response.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Answer {
    respond_with(status, "text/plain; charset=utf-8", text.to_owned())
}

fn respond_with(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// What a request reached us with, as far as a service behind a gateway wants to know it.
pub(crate) fn seen(request: &Parts) -> Value {
    let field = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    json!({
        "x_real_ip": field("x-real-ip"),
        "x_forwarded_proto": field("x-forwarded-proto"),
        "x_request_id": field("x-request-id"),
        "subject": field("x-auth-subject"),
    })
}
