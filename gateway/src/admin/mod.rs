//! The admin listener: health, readiness, metrics and plugins, for the operator and the platform.
//!
//! It runs on the background runtime. Bound to loopback it answers only to loopback names, so that a web page in the
//! operator's browser can't reach it by rebinding a name of its own.

mod negotiation;

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use self::negotiation::Format;
use crate::message::{FieldMap, normalize};
use crate::sanitize::safe;
use crate::telemetry::metrics::Metrics;

/// What the admin listener shows.
pub struct AdminState {
    /// Whether new requests are welcome: false while starting and while draining.
    pub ready: AtomicBool,
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// The plugins as JSON.
    pub plugins: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
}

/// Serves until `shutdown` completes.
pub async fn serve(listener: TcpListener, state: Arc<AdminState>, shutdown: impl Future<Output = ()>) {
    let loopback_only = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: a moment later there may be some.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(&request, &state, loopback_only);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(15));
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(error = %safe!(error), "admin connection");
            }
        });
    }
}

fn answer<B>(request: &Request<B>, state: &AdminState, loopback_only: bool) -> Response<Full<Bytes>> {
    if loopback_only && !is_loopback(request) {
        return problem(StatusCode::MISDIRECTED_REQUEST);
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = problem(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => respond(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
        // A gateway that refuses what it can't record is of no use to a balancer.
        "/readyz" if state.ready.load(Relaxed) && !state.metrics.is_audit_refusing() => {
            respond(StatusCode::OK, "text/plain; charset=utf-8", "ready\n")
        }
        "/readyz" => problem(StatusCode::SERVICE_UNAVAILABLE),
        "/metrics" => metrics(request, &state.metrics),
        "/plugins" => respond(StatusCode::OK, "application/json", (state.plugins)().to_string()),
        _ => problem(StatusCode::NOT_FOUND),
    }
}

/// The page of metrics in the format that the request prefers.
fn metrics<B>(request: &Request<B>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let accept = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (format, page) = (Format::preferred(accept), metrics.page());
    let body = match format {
        Format::Text => Bytes::from(page.text()),
        Format::OpenMetrics => Bytes::from(page.open_metrics()),
        Format::Protobuf => Bytes::from(page.protobuf()),
    };
    let mut response = respond(StatusCode::OK, format.content_type(), body);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Whether the request names this machine.
fn is_loopback<B>(request: &Request<B>) -> bool {
    let fields = FieldMap::from(request.headers().clone());
    let target = normalize::target(request.method(), request.uri(), &fields, request.version());
    target.is_ok_and(|target| {
        let name = normalize::hostname(target.authority.expose());
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        name == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
    })
}

fn problem(status: StatusCode) -> Response<Full<Bytes>> {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = format!(r#"{{"type":"about:blank","title":"{title}","status":{}}}"#, status.as_u16());
    respond(status, "application/problem+json", body)
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(state: &AdminState, method: &str, path: &str, host: &str) -> u16 {
        let request = Request::builder().method(method).uri(path).header("host", host).body(()).unwrap();
        answer(&request, state, true).status().as_u16()
    }

    #[test]
    fn pages_methods_and_hosts() {
        let plugins = Box::new(|| serde_json::json!([]));
        let state = AdminState { ready: AtomicBool::new(false), metrics: Metrics::new(&Default::default()), plugins };
        for (method, path, host, status) in [
            ("GET", "/healthz", "localhost:9901", 200),
            ("HEAD", "/healthz", "127.0.0.1", 200),
            ("GET", "/readyz", "[::1]:9901", 503),
            ("GET", "/metrics", "localhost", 200),
            ("GET", "/plugins", "localhost", 200),
            ("GET", "/nothing", "localhost", 404),
            ("POST", "/healthz", "localhost", 405),
            ("GET", "/healthz", "evil.example", 421),
        ] {
            assert_eq!(ask(&state, method, path, host), status, "{method} {path} {host}");
        }
        state.ready.store(true, Relaxed);
        assert_eq!(ask(&state, "GET", "/readyz", "localhost"), 200);
    }
}
