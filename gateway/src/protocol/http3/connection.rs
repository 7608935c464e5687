//! A connection over QUIC, from its handshake to its end.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h3::error::{Code, ConnectionError};
use h3::server::RequestResolver;

use super::codes::var_int;
use super::context::ListenerContext;
use super::goaway::{Goaway, Step};
use super::quic::{self, SideChannel};
use super::request;
use crate::exchange::{ConnectionInfo, Protocol};
use crate::handler::Handler;
use crate::listener::quic as endpoint;
use crate::memory::Unread;
use crate::message::headers;
use crate::protocol::activity::{Activity, Ending};
use crate::protocol::running::Running;

type H3 = h3::server::Connection<quic::QuicConnection, Bytes>;

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

/// Serves one connection until it ends.
pub(super) async fn serve<H: Handler>(context: Rc<ListenerContext<H>>, incoming: quinn::Incoming) {
    let limits = &context.listener.limits;
    let activity = context.server.connections.add(limits, &context.group);
    let shaking = Handshake::begin(&context.handshakes);
    let handshake = async { incoming.accept()?.await };
    let connected = tokio::select! {
        connected = tokio::time::timeout(limits.header_timeout, handshake) => connected,
        // At a drain, one that is under way has a moment.
        () = activity.ended(Ending::Finish) => return context.metrics.rejected("timeout"),
    };
    drop(shaking);
    activity.set_multiplexed();
    activity.note_idle();
    let connected = match connected {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => {
            context.metrics.rejected("tls");
            return tracing::debug!(listener = %context.listener.name, %error, "QUIC handshake failed");
        }
        Err(_) => return context.metrics.rejected("timeout"),
    };
    // Only now: a place is for those who are there.
    let Some(_guard) = context.limit.acquire() else {
        context.metrics.rejected("limit");
        return connected.close(var_int(Code::H3_EXCESSIVE_LOAD.value()), b"too many connections");
    };
    context.metrics.accepted.add(1);
    context.metrics.connections.add(1);
    let info = Arc::new(info(&context, &connected));
    let closed = async {
        activity.closed().await;
        // Before the connection goes, which would tell another code.
        let cut = context.server.connections.are_cut();
        let code = if cut { Code::H3_INTERNAL_ERROR } else { Code::H3_NO_ERROR };
        connected.close(var_int(code.value()), b"");
    };
    let ended = tokio::select! {
        biased;
        () = closed => Ok(()),
        ended = requests(&context, &connected, info, &activity) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(listener = %context.listener.name, %error, "HTTP/3 connection ended");
    }
    context.metrics.connections.add(-1);
}

fn info<H: Handler>(context: &ListenerContext<H>, connected: &quinn::Connection) -> ConnectionInfo {
    let limits = &context.listener.limits;
    let sni = connected
        .handshake_data()
        .and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok())
        .and_then(|data| data.server_name);
    let peer = connected.remote_address();
    ConnectionInfo {
        listener: context.listener.name.clone(),
        peer,
        peer_value: headers::address(peer.ip().to_canonical()),
        local: context.local,
        tls: true,
        sni: sni.map(|name| Arc::from(name.to_ascii_lowercase())),
        protocol: Protocol::Http3,
        max_fields: limits.header_count,
        max_head: limits.header_bytes,
        body_timeout: limits.body_timeout,
    }
}

/// Begins HTTP/3 on a connection. `None`: the client grants no streams for control and QPACK, and would hold it here.
async fn begin(
    connected: &quinn::Connection,
    section: usize,
    patience: Duration,
) -> Result<Option<(H3, SideChannel)>, ConnectionError> {
    let (transport, side) = quic::QuicConnection::new(connected.clone(), section);
    let mut builder = h3::server::builder();
    builder.max_field_section_size(section as u64).send_grease(false);
    match tokio::time::timeout(patience, builder.build::<_, Bytes>(transport)).await {
        Ok(built) => Ok(Some((built?, side))),
        Err(_) => {
            connected.close(var_int(Code::H3_NO_ERROR.value()), b"");
            Ok(None)
        }
    }
}

/// What happens next on a connection.
enum Event {
    Request(Box<RequestResolver<quic::QuicConnection, Bytes>>),
    Step(Step),
    Gone,
}

/// Accepts the requests of a connection. Returns when the client is gone; when the gateway drains, or the connection was
/// idle for too long, once every response has arrived.
async fn requests<H: Handler>(
    context: &Rc<ListenerContext<H>>,
    connected: &quinn::Connection,
    mut info: Arc<ConnectionInfo>,
    activity: &Rc<Activity>,
) -> Result<(), ConnectionError> {
    let limits = &context.listener.limits;
    // More than the listener allows, which the pipeline checks when the cookie is in one piece.
    let section = limits.header_bytes + headers::COOKIE_PIECES;
    let Some((mut connection, side)) = begin(connected, section, limits.header_timeout).await? else { return Ok(()) };
    // Its first request has the time that one over TCP has after the handshake.
    activity.note_idle();
    // What is under way to the client and back.
    let round_trip = || (2 * connected.rtt()).clamp(Duration::from_millis(50), Duration::from_secs(1));
    let (window, send_window) =
        (endpoint::window(&context.server.memory), endpoint::send_window(&context.server.memory));
    let mut goaway = Goaway::new();
    loop {
        let event = tokio::select! {
            biased;
            step = poll_fn(|cx| goaway.poll_step(activity, cx)) => Event::Step(step),
            accepted = connection.accept() => accepted?.map_or(Event::Gone, |resolver| Event::Request(Box::new(resolver))),
        };
        let resolver = match event {
            Event::Request(resolver) => resolver,
            Event::Step(step) => {
                match step {
                    Step::Announce if activity.is_fresh() => {}
                    Step::Announce => go_away(&mut connection, usize::MAX, round_trip()).await?,
                    Step::Refuse => {
                        side.refuse();
                        go_away(&mut connection, 1, round_trip()).await?;
                    }
                    Step::Finish => return Ok(()),
                }
                goaway.wait(round_trip());
                continue;
            }
            Event::Gone => return Ok(()),
        };
        let Some(handle) = side.take() else { return Ok(()) };
        let running = Running::start(activity.clone());
        if info.peer != connected.remote_address() {
            // The client has moved; its new address is validated.
            let peer = connected.remote_address();
            let peer_value = headers::address(peer.ip().to_canonical());
            info = Arc::new(ConnectionInfo { peer, peer_value, ..ConnectionInfo::clone(&info) });
        }
        let (context, info) = (context.clone(), info.clone());
        let (unread, unsent) = (Unread::new(window.clone()), Unread::new(send_window.clone()));
        tokio::task::spawn_local(async move {
            request::serve(&context, info, *resolver, handle, (unread, unsent)).await;
            drop(running);
        });
    }
}

/// Sends GOAWAY; a client that leaves no room for it does not hold the connection.
async fn go_away(connection: &mut H3, more: usize, patience: Duration) -> Result<(), ConnectionError> {
    tokio::time::timeout(patience, connection.shutdown(more)).await.unwrap_or(Ok(()))
}
