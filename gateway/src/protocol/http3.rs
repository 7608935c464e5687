//! HTTP/3 over QUIC, by h3 and quinn.
//!
//! Each worker has an endpoint of its own. A connection is a task, a request is a task. A request's task ends early
//! when the client stops reading its response, which drops whatever the pipeline was doing for it.

mod body;
mod field_section;
mod quic;

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use h3::error::Code;
use h3::server::{RequestResolver, RequestStream};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::{Notify, watch};

use self::body::RequestBody;
use self::field_section::Limits;
use self::quic::{Handle, Stopped};
use crate::config::model::Listener;
use crate::exchange::{ConnectionInfo, Protocol};
use crate::listener::tcp::{ConnectionGuard, ConnectionLimit};
use crate::listener::{ListenerSettings, quic as endpoint};
use crate::message::Body;
use crate::telemetry::metrics::ListenerMetrics;

/// Framing around a head: a HEADERS frame's own head, and small frames of unknown types before it.
const FRAMING: usize = 4 << 10;
/// How long the last packets of a closed connection may take.
const CLOSING: Duration = Duration::from_secs(3);

type Send = RequestStream<quic::SendStream<Bytes>, Bytes>;

/// What the requests of a listener share, until a reload gives later connections other settings.
struct Shared<F> {
    listener: Arc<Listener>,
    local: SocketAddr,
    limit: ConnectionLimit,
    metrics: ListenerMetrics,
    on_request: Rc<F>,
}

/// Serves a listener's HTTP/3 until `stop`, then lets requests finish; returns when all connections are closed.
pub async fn serve<F, R>(
    socket: std::net::UdpSocket,
    mut settings: watch::Receiver<Arc<ListenerSettings>>,
    local: SocketAddr,
    limit: ConnectionLimit,
    metrics: impl Fn(&str) -> ListenerMetrics,
    on_request: F,
    mut stop: watch::Receiver<bool>,
) where
    F: Fn(Arc<ConnectionInfo>, http::Request<Body>) -> R + 'static,
    R: Future<Output = http::Response<Body>> + 'static,
{
    let on_request = Rc::new(on_request);
    let share = |settings: &ListenerSettings| {
        let (listener, metrics) = (settings.config.clone(), metrics(&settings.config.name));
        Rc::new(Shared { listener, local, limit: limit.clone(), metrics, on_request: on_request.clone() })
    };
    let first = settings.borrow_and_update().clone();
    let Some(config) = first.quic.clone() else { return };
    let endpoint = match endpoint::endpoint(socket, config) {
        Ok(endpoint) => endpoint,
        Err(error) => return tracing::error!(listener = %first.config.name, %error, "HTTP/3 can't be served"),
    };
    let mut shared = share(&first);
    let mut earlier = Vec::new();
    loop {
        let incoming = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Ok(()) = settings.changed() => {
                let changed = settings.borrow_and_update().clone();
                endpoint.set_server_config(changed.quic.clone());
                earlier.push(std::mem::replace(&mut shared, share(&changed)));
                earlier.retain(|shared| Rc::strong_count(shared) > 1);
                continue;
            }
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let Some(guard) = shared.limit.acquire() else {
            shared.metrics.rejected("limit");
            incoming.refuse();
            continue;
        };
        tokio::task::spawn_local(connection(shared.clone(), incoming, guard, stop.clone()));
    }
    earlier.push(shared);
    // RFC 9000 section 5.2.2: newcomers are refused while the others finish.
    endpoint.set_server_config(None);
    while earlier.iter().any(|shared| Rc::strong_count(shared) > 1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let _ = tokio::time::timeout(CLOSING, endpoint.wait_idle()).await;
}

async fn connection<F, R>(
    shared: Rc<Shared<F>>,
    incoming: quinn::Incoming,
    _guard: ConnectionGuard,
    mut stop: watch::Receiver<bool>,
) where
    F: Fn(Arc<ConnectionInfo>, http::Request<Body>) -> R + 'static,
    R: Future<Output = http::Response<Body>> + 'static,
{
    let limits = &shared.listener.limits;
    let handshake = async { incoming.accept()?.await };
    let connected = match tokio::time::timeout(limits.header_timeout, handshake).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => {
            shared.metrics.rejected("tls");
            return tracing::debug!(listener = %shared.listener.name, %error, "QUIC handshake failed");
        }
        Err(_) => return shared.metrics.rejected("timeout"),
    };
    shared.metrics.accepted.add(1);
    shared.metrics.connections.add(1);
    let sni = connected
        .handshake_data()
        .and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok())
        .and_then(|data| data.server_name);
    let info = Arc::new(ConnectionInfo {
        listener: shared.listener.name.clone(),
        peer: connected.remote_address(),
        local: shared.local,
        tls: true,
        sni: sni.map(|name| Arc::from(name.to_ascii_lowercase())),
        protocol: Protocol::Http3,
        max_fields: limits.header_count,
        body_timeout: limits.body_timeout,
    });
    if let Err(error) = requests(&shared, connected, &info, &mut stop).await {
        tracing::debug!(listener = %shared.listener.name, %error, "HTTP/3 connection ended");
    }
    shared.metrics.connections.add(-1);
}

/// Accepts the requests of a connection. Returns when the client is gone, or when the gateway drains and every response
/// has arrived.
async fn requests<F, R>(
    shared: &Rc<Shared<F>>,
    connected: quinn::Connection,
    info: &Arc<ConnectionInfo>,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), h3::error::ConnectionError>
where
    F: Fn(Arc<ConnectionInfo>, http::Request<Body>) -> R + 'static,
    R: Future<Output = http::Response<Body>> + 'static,
{
    let limits = &shared.listener.limits;
    let bounds = Limits { buffered: limits.header_bytes + FRAMING, fields: limits.header_count };
    let (transport, latest) = quic::Connection::new(connected, bounds);
    let mut connection = h3::server::builder()
        .max_field_section_size(limits.header_bytes as u64)
        .send_grease(false)
        .build::<_, Bytes>(transport)
        .await?;
    let running = Rc::new(Cell::new(0usize));
    let ended = Rc::new(Notify::new());
    let mut draining = false;
    loop {
        if draining && running.get() == 0 {
            return Ok(());
        }
        let resolver = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if !draining => {
                draining = true;
                // GOAWAY (RFC 9114 section 5.2) names the first request that is not served: the one after the last.
                connection.shutdown(1).await?;
                continue;
            }
            () = ended.notified(), if draining => continue,
            accepted = connection.accept() => accepted?,
        };
        let (Some(resolver), Some(handle)) = (resolver, latest.take()) else { return Ok(()) };
        running.set(running.get() + 1);
        let task = Task { running: running.clone(), ended: ended.clone() };
        let (shared, info) = (shared.clone(), info.clone());
        tokio::task::spawn_local(async move {
            exchange(&shared, info, resolver, handle).await;
            drop(task);
        });
    }
}

/// Counts a request's task.
struct Task {
    running: Rc<Cell<usize>>,
    ended: Rc<Notify>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.running.set(self.running.get() - 1);
        self.ended.notify_one();
    }
}

/// One request and its response. Returning early drops the stream, which resets what is unfinished.
async fn exchange<F, R>(
    shared: &Shared<F>,
    info: Arc<ConnectionInfo>,
    resolver: RequestResolver<quic::Connection, Bytes>,
    Handle { mut stopped, budget, engaged }: Handle,
) where
    F: Fn(Arc<ConnectionInfo>, http::Request<Body>) -> R + 'static,
    R: Future<Output = http::Response<Body>> + 'static,
{
    let limits = &shared.listener.limits;
    let resolved = tokio::time::timeout(limits.header_timeout, resolver.resolve_request()).await;
    let (request, stream) = match resolved {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => return tracing::debug!(listener = %info.listener, %error, "malformed HTTP/3 request"),
        Err(_) => return tracing::debug!(listener = %info.listener, "an HTTP/3 request's head took too long"),
    };
    budget.refill();
    engaged.store(true, Ordering::Relaxed);
    let (mut send, recv) = stream.split();
    let request = RequestBody::attach(request, recv, budget).await;
    let is_head = request.method() == http::Method::HEAD;
    let response = tokio::select! {
        biased;
        response = (shared.on_request)(info, request) => response,
        true = &mut stopped => return,
    };
    if respond(&mut send, response, is_head, limits.body_timeout, &mut stopped).await.is_ok() {
        // The connection must not close before the client has everything; one that has vanished is not waited for.
        let _ = tokio::time::timeout(CLOSING, stopped).await;
    }
}

/// The response is not going to be complete.
struct Cut;

async fn respond(
    send: &mut Send,
    response: http::Response<Body>,
    is_head: bool,
    patience: Duration,
    stopped: &mut Stopped,
) -> Result<(), Cut> {
    let (parts, mut body) = response.into_parts();
    let mut head = http::Response::new(());
    *head.status_mut() = parts.status;
    *head.headers_mut() = parts.headers;
    if let (Some(length), false, true) = (body.size_hint().exact(), is_head, bears_content(parts.status)) {
        head.headers_mut().entry(http::header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    within(patience, send.send_response(head)).await?;
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            true = &mut *stopped => return Err(Cut),
        };
        match frame {
            None => return within(patience, send.finish()).await,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => within(patience, send.send_data(data)).await?,
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        within(patience, send.send_trailers(trailers)).await?;
                    }
                    return within(patience, send.finish()).await;
                }
            },
            Some(Err(_)) => {
                // RFC 9114 section 4.1: a response cut short is reset, never finished.
                send.stop_stream(Code::H3_INTERNAL_ERROR);
                return Err(Cut);
            }
        }
    }
}

/// RFC 9110 section 8.6: no Content-Length with these.
fn bears_content(status: http::StatusCode) -> bool {
    !status.is_informational() && status != http::StatusCode::NO_CONTENT && status != http::StatusCode::NOT_MODIFIED
}

/// A write that a client must not delay for longer than `patience`.
async fn within<E>(patience: Duration, write: impl Future<Output = Result<(), E>>) -> Result<(), Cut> {
    match tokio::time::timeout(patience, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Cut),
    }
}
