//! HTTP/3 over QUIC, by h3 and quinn.
//!
//! Each worker has an endpoint of its own. A connection is a task, a request is a task. A request's task ends early
//! when the client stops reading its response, which drops whatever the pipeline was doing for it.

mod body;
pub(crate) mod field_section;
pub(crate) mod frames;
mod quic;
mod stream;

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::server::{RequestResolver, RequestStream};
use http_body_util::BodyExt;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::body::RequestBody;
use self::quic::{Handle, Stopped};
use super::paced::Paced;
use super::server::Server;
use crate::exchange::{ConnectionInfo, Protocol};
use crate::handler::{Handler, Inbound};
use crate::listener::steering::Seat;
use crate::listener::tcp::ConnectionLimit;
use crate::listener::{ListenerSettings, quic as endpoint};
use crate::memory::Unread;
use crate::message::headers;
use crate::model::Listener;
use crate::telemetry::metrics::ListenerMetrics;

/// How long the last packets of a closed connection may take.
const CLOSING: Duration = Duration::from_secs(3);
/// How long a handshake that is under way may go on when the gateway drains.
const HANDSHAKE_AT_DRAIN: Duration = Duration::from_secs(1);
/// Handshakes at a time above which a client has to show that its address is its own (RFC 9000 section 8.1.2): forged
/// addresses must not take what real clients need.
const UNPROVEN_HANDSHAKES: usize = 64;
/// Handshakes at a time above which more are refused.
const HANDSHAKES: usize = 2048;

type Send = RequestStream<quic::SendStream<Bytes>, Bytes>;

/// What the requests of a listener share, until a reload gives later connections other settings.
struct Shared<H> {
    listener: Arc<Listener>,
    local: SocketAddr,
    limit: ConnectionLimit,
    metrics: ListenerMetrics,
    handshakes: Rc<Cell<usize>>,
    server: Rc<Server<H>>,
}

/// When a listener's HTTP/3 ends.
#[derive(Clone)]
pub struct Ending {
    /// Accept nothing new and let requests finish.
    pub stop: watch::Receiver<bool>,
    /// Close what is left.
    pub cut: watch::Receiver<bool>,
}

/// Serves a listener's HTTP/3 until it is told to stop, then lets requests finish; returns when all connections are
/// closed.
pub async fn serve<H: Handler>(
    server: Rc<Server<H>>,
    (socket, seat): (std::net::UdpSocket, Seat),
    mut settings: watch::Receiver<Arc<ListenerSettings>>,
    local: SocketAddr,
    limit: ConnectionLimit,
    metrics: impl Fn(&str) -> ListenerMetrics,
    mut ending: Ending,
) {
    let open_handshakes = Rc::new(Cell::new(0));
    let share = |settings: &ListenerSettings| {
        let (listener, metrics) = (settings.config.clone(), metrics(&settings.config.name));
        let (limit, handshakes, server) = (limit.clone(), open_handshakes.clone(), server.clone());
        Rc::new(Shared { listener, local, limit, metrics, handshakes, server })
    };
    let first = settings.borrow_and_update().clone();
    let Some(config) = first.quic.clone() else { return };
    let endpoint = match endpoint::endpoint(socket, seat, config) {
        Ok(endpoint) => endpoint,
        Err(error) => return tracing::error!(listener = %first.config.name, %error, "HTTP/3 can't be served"),
    };
    let mut shared = share(&first);
    let mut earlier = Vec::new();
    loop {
        let incoming = tokio::select! {
            biased;
            _ = ending.stop.wait_for(|stop| *stop) => break,
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
        let handshakes = shared.handshakes.get();
        if !incoming.remote_address_validated() && handshakes >= UNPROVEN_HANDSHAKES {
            // Costs no memory here; fails only for a client that has shown its address already.
            let _ = incoming.retry();
        } else if handshakes >= HANDSHAKES || !shared.limit.has_room() {
            shared.metrics.rejected("limit");
            incoming.refuse();
        } else {
            tokio::task::spawn_local(connection(shared.clone(), incoming, ending.stop.clone()));
        }
    }
    earlier.push(shared);
    // RFC 9000 section 5.2.2: newcomers are refused while the others finish.
    endpoint.set_server_config(None);
    let mut cut = false;
    while earlier.iter().any(|shared| Rc::strong_count(shared) > 1) {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
            _ = ending.cut.wait_for(|cut| *cut), if !cut => {
                cut = true;
                endpoint.close(quic::var_int(Code::H3_INTERNAL_ERROR.value()), b"");
            }
        }
    }
    if !cut {
        let _ = tokio::time::timeout(CLOSING, endpoint.wait_idle()).await;
    }
}

/// Counts a handshake while it lasts.
struct Handshake<'a>(&'a Cell<usize>);

impl<'a> Handshake<'a> {
    fn begin(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn connection<H: Handler>(shared: Rc<Shared<H>>, incoming: quinn::Incoming, mut stop: watch::Receiver<bool>) {
    let limits = &shared.listener.limits;
    let shaking = Handshake::begin(&shared.handshakes);
    let handshake = async { incoming.accept()?.await };
    let drained = async {
        let _ = stop.wait_for(|stop| *stop).await;
        tokio::time::sleep(HANDSHAKE_AT_DRAIN).await;
    };
    let connected = tokio::select! {
        connected = tokio::time::timeout(limits.header_timeout, handshake) => connected,
        () = drained => return shared.metrics.rejected("timeout"),
    };
    drop(shaking);
    let connected = match connected {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => {
            shared.metrics.rejected("tls");
            return tracing::debug!(listener = %shared.listener.name, %error, "QUIC handshake failed");
        }
        Err(_) => return shared.metrics.rejected("timeout"),
    };
    // Only now: a place is for those who are there.
    let Some(_guard) = shared.limit.acquire() else {
        shared.metrics.rejected("limit");
        return connected.close(quic::var_int(Code::H3_EXCESSIVE_LOAD.value()), b"too many connections");
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
        max_head: limits.header_bytes,
        body_timeout: limits.body_timeout,
    });
    if let Err(error) = requests(&shared, connected, info, &mut stop).await {
        tracing::debug!(listener = %shared.listener.name, %error, "HTTP/3 connection ended");
    }
    shared.metrics.connections.add(-1);
}

/// Where a connection is on its way to its end.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// It serves requests.
    Open,
    /// The client has been told to send no more; what it had sent before it heard of that is served.
    Announced,
    /// New requests are refused, the others finish.
    Closing,
}

/// Accepts the requests of a connection. Returns when the client is gone; when the gateway drains, or the connection was
/// idle for too long, once every response has arrived.
async fn requests<H: Handler>(
    shared: &Rc<Shared<H>>,
    connected: quinn::Connection,
    mut info: Arc<ConnectionInfo>,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), h3::error::ConnectionError> {
    let limits = &shared.listener.limits;
    // More than the listener allows, which the pipeline checks when the cookie is in one piece.
    let section = limits.header_bytes + headers::COOKIE_PIECES;
    let (transport, hatch) = quic::Connection::new(connected.clone(), section);
    let mut builder = h3::server::builder();
    builder.max_field_section_size(section as u64).send_grease(false);
    // A client that grants no streams for control and QPACK would hold it here.
    let built = tokio::time::timeout(limits.header_timeout, builder.build::<_, Bytes>(transport)).await;
    let Ok(built) = built else {
        connected.close(quic::var_int(Code::H3_NO_ERROR.value()), b"");
        return Ok(());
    };
    let mut connection = built?;
    // What is under way to the client and back.
    let round_trip = || (2 * connected.rtt()).clamp(Duration::from_millis(50), Duration::from_secs(1));

    let window = endpoint::window(&shared.server.memory);
    let running = Rc::new(Cell::new(0usize));
    let ended = Rc::new(Notify::new());
    let mut phase = Phase::Open;
    let mut fresh = true;
    let mut idle_since = Instant::now();
    let mut timer = std::pin::pin!(tokio::time::sleep(limits.header_timeout.min(limits.idle_timeout)));
    loop {
        let resolver = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if phase == Phase::Open => {
                // RFC 9114 section 5.2: first an id that excludes nothing, then the one after the last request.
                if !fresh {
                    go_away(&mut connection, usize::MAX, round_trip()).await?;
                }
                phase = Phase::Announced;
                timer.as_mut().reset(Instant::now() + round_trip());
                continue;
            }
            () = ended.notified() => {
                if running.get() == 0 {
                    idle_since = Instant::now();
                    if phase == Phase::Closing {
                        timer.as_mut().reset(idle_since + round_trip());
                    }
                }
                continue;
            }
            () = &mut timer, if phase != Phase::Closing || running.get() == 0 => {
                let idle_until = idle_since + limits.idle_timeout;
                match phase {
                    Phase::Open if running.get() > 0 => timer.as_mut().reset(Instant::now() + limits.idle_timeout),
                    Phase::Open if !fresh && Instant::now() < idle_until => timer.as_mut().reset(idle_until),
                    Phase::Open | Phase::Announced => {
                        hatch.refuse();
                        go_away(&mut connection, 1, round_trip()).await?;
                        phase = Phase::Closing;
                        // GOAWAY has to arrive before the connection closes, which discards what was not sent.
                        timer.as_mut().reset(Instant::now() + round_trip());
                    }
                    Phase::Closing => return Ok(()),
                }
                continue;
            }
            accepted = connection.accept() => accepted?,
        };
        let (Some(resolver), Some(handle)) = (resolver, hatch.take()) else { return Ok(()) };
        fresh = false;
        running.set(running.get() + 1);
        let task = Task { running: running.clone(), ended: ended.clone() };
        if info.peer != connected.remote_address() {
            // The client has moved; its new address is validated.
            info = Arc::new(ConnectionInfo { peer: connected.remote_address(), ..ConnectionInfo::clone(&info) });
        }
        let (shared, info, unread) = (shared.clone(), info.clone(), Unread::new(window.clone()));
        tokio::task::spawn_local(async move {
            exchange(&shared, info, resolver, handle, unread).await;
            drop(task);
        });
    }
}

/// Sends GOAWAY; a client that leaves no room for it does not hold the connection.
async fn go_away(
    connection: &mut h3::server::Connection<quic::Connection, Bytes>,
    more: usize,
    patience: Duration,
) -> Result<(), h3::error::ConnectionError> {
    tokio::time::timeout(patience, connection.shutdown(more)).await.unwrap_or(Ok(()))
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
async fn exchange<H: Handler>(
    shared: &Shared<H>,
    info: Arc<ConnectionInfo>,
    resolver: RequestResolver<quic::Connection, Bytes>,
    Handle { mut stopped, notes, delivery }: Handle,
    unread: Unread,
) {
    let limits = &shared.listener.limits;
    let resolved = tokio::time::timeout(limits.header_timeout, resolver.resolve_request()).await;
    let (request, stream) = match resolved {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => {
            // The others are a client's that left before its head was whole.
            if notes.is_refused() || matches!(error, StreamError::StreamError { .. } | StreamError::HeaderTooBig { .. })
            {
                shared.metrics.rejected("malformed");
            }
            return tracing::debug!(listener = %info.listener, %error, "no HTTP/3 request");
        }
        Err(_) => {
            shared.metrics.rejected("timeout");
            return tracing::debug!(listener = %info.listener, "an HTTP/3 request's head took too long");
        }
    };
    notes.engage();
    let (mut send, recv) = stream.split();
    let request = RequestBody::attach(request, recv, notes, unread).await;
    let response = tokio::select! {
        biased;
        response = (shared.server.handler)(Inbound::new(info, request)) => response,
        true = &mut stopped => return,
    };
    let response = response.map(|body| Paced::new(body, true, None, &shared.server.memory));
    if respond(&mut send, response, limits.body_timeout, &mut stopped).await.is_ok() {
        // The connection must not close before the client has everything: what is not sent by then is discarded.
        delivery.finished(stopped).await;
    }
}

/// The response is not going to be complete.
struct Cut;

async fn respond(
    send: &mut Send,
    response: http::Response<Paced>,
    patience: Duration,
    stopped: &mut Stopped,
) -> Result<(), Cut> {
    let (parts, mut body) = response.into_parts();
    let mut head = http::Response::new(());
    *head.status_mut() = parts.status;
    *head.headers_mut() = parts.headers;
    // hyper does so by itself.
    headers::set_date(head.headers_mut(), SystemTime::now());
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
                // No piece is so large that a client which takes it in time would be too slow: see `paced`.
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

/// A write that a client must not delay for longer than `patience`.
async fn within<E>(patience: Duration, write: impl Future<Output = Result<(), E>>) -> Result<(), Cut> {
    match tokio::time::timeout(patience, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Cut),
    }
}
