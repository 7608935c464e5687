//! A connection over QUIC, from its handshake to its end.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h3::error::{Code, ConnectionError};
use h3::quic::StreamId;

use super::codes::{connection_error, var_int};
use super::context::{Connection, ListenerContext};
use super::decode::{Decoder, Resolver};
use super::goaway::{Goaway, Step};
use super::one_frame::OneFrame;
use super::peer::Peer;
use super::quic::QuicConnection;
use super::request;
use crate::exchange::{ConnectionInfo, Protocol};
use crate::handler::Handler;
use crate::listener::quic as endpoint;
use crate::message::headers;
use crate::protocol::activity::{Activity, Ending};
use crate::protocol::running::Running;
use crate::sanitize::safe;
use crate::sensitive::Sensitive;

type H3 = h3::server::Connection<QuicConnection, Bytes>;
type Streams = (quinn::SendStream, quinn::RecvStream);

/// From so many requests on that run at once a client may have as many as the listener allows.
const MANY: usize = endpoint::FIRST_STREAMS as usize / 2;

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
    // A box of its own: an open connection keeps no room for its beginning.
    let connected = Box::pin(async {
        tokio::select! {
            connected = tokio::time::timeout(limits.header_timeout, handshake) => Some(connected),
            // At a drain, one that is under way has a moment.
            () = activity.ended(Ending::Finish) => None,
        }
    });
    let connected = connected.await;
    drop(shaking);
    activity.set_multiplexed();
    activity.note_idle();
    let connected = match connected {
        Some(Ok(Ok(connected))) => connected,
        Some(Ok(Err(error))) => {
            context.metrics.rejected("tls");
            return tracing::debug!(listener = %context.listener.name, error = %safe!(error), "QUIC handshake failed");
        }
        Some(Err(_)) | None => return context.metrics.rejected("timeout"),
    };
    // Only now: a place is for those who are there.
    let Some(_guard) = context.limit.acquire() else {
        context.metrics.rejected("limit");
        return connected.close(var_int(Code::H3_EXCESSIVE_LOAD.value()), b"too many connections");
    };
    context.metrics.accepted.add(1);
    context.metrics.connections.add(1);
    let peer = Peer::new(connected.clone());
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
        ended = requests(&context, &peer, &activity) => ended,
    };
    if peer.is_flooding() {
        context.metrics.rejected("flood");
    }
    if let Err(error) = ended {
        tracing::debug!(listener = %context.listener.name, error = %safe!(error), "HTTP/3 connection ended");
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
        peer: peer.into(),
        peer_value: headers::address(peer.ip().to_canonical()).into(),
        local: context.local,
        tls: true,
        sni: sni.map(|name| Sensitive::new(name.to_ascii_lowercase().into())),
        protocol: Protocol::Http3,
        max_fields: limits.header_count,
        max_head: limits.header_bytes,
        body_timeout: limits.body_timeout,
    }
}

/// Begins HTTP/3 on a connection. `None`: the client grants no streams for control and QPACK, and would hold it here.
async fn begin(
    peer: &Rc<Peer>,
    section: u64,
    tunnels: bool,
    patience: Duration,
) -> Result<Option<H3>, ConnectionError> {
    let mut builder = h3::server::builder();
    builder.max_field_section_size(section).enable_extended_connect(tunnels).send_grease(false);
    let Ok(built) = tokio::time::timeout(patience, builder.build(QuicConnection::new(peer.clone()))).await else {
        peer.quinn.close(var_int(Code::H3_NO_ERROR.value()), b"");
        return Ok(None);
    };
    Ok(Some(built?))
}

/// What happens next on a connection.
enum Event {
    Request(Streams),
    Step(Step),
}

/// Accepts the requests of a connection. Returns when the client is gone; when the gateway drains, or the connection was
/// idle for too long, once every response has arrived.
async fn requests<H: Handler>(
    listener: &Rc<ListenerContext<H>>,
    peer: &Rc<Peer>,
    activity: &Rc<Activity>,
) -> Result<(), ConnectionError> {
    let limits = &listener.listener.limits;
    // More than the listener allows, which the pipeline checks when the cookie is in one piece.
    let section = (limits.header_bytes + headers::COOKIE_PIECES) as u64;
    let tunnels = listener.server.tunnels;
    let Some(mut h3) = Box::pin(begin(peer, section, tunnels, limits.header_timeout)).await? else { return Ok(()) };
    // Its first request has the time that one over TCP has after the handshake.
    activity.note_idle();
    let quinn = &peer.quinn;
    let mut info = Arc::new(info(listener, quinn));
    let memory = &listener.server.memory;
    let (window, send_window) = (endpoint::window(memory), endpoint::send_window(memory));
    let decoder = Rc::new(Decoder::new(h3.inner.shared.clone(), section));
    let (listener, peer) = (listener.clone(), peer.clone());
    let connection = Rc::new(Connection { listener, peer, decoder, window, send_window });
    let mut accepting = pin!(quinn.accept_bi());
    let mut ending = GoingAway { goaway: Goaway::new(), next: 0, said: None, refusing: false };
    loop {
        let event = poll_fn(|cx| poll_event(activity, &mut ending.goaway, &mut h3, accepting.as_mut(), cx)).await?;
        let streams = match event {
            Event::Request(streams) => streams,
            Event::Step(step) => {
                // A box of its own, as well as the beginning: an open connection keeps no room for either.
                if Box::pin(ending.take(step, &mut h3, quinn, activity)).await? {
                    return Ok(());
                }
                continue;
            }
        };
        accepting.set(quinn.accept_bi());
        // Each request that runs holds the connection.
        if limits.streams > endpoint::FIRST_STREAMS && Rc::strong_count(&connection) == MANY {
            quinn.set_max_concurrent_bi_streams(quinn::VarInt::from_u32(limits.streams));
        }
        let Some((send, recv)) = ending.admit(streams) else { continue };
        let resolver: Resolver = h3.create_resolver(OneFrame::none());
        let running = Running::start(activity.clone());
        if info.peer != quinn.remote_address() {
            // The client has moved; its new address is validated.
            let peer = Sensitive::new(quinn.remote_address());
            let peer_value = headers::address(peer.expose().ip().to_canonical()).into();
            info = Arc::new(ConnectionInfo { peer, peer_value, ..ConnectionInfo::clone(&info) });
        }
        let (connection, info) = (connection.clone(), info.clone());
        // In a box: a task is moved as a whole several times, and this one is large.
        tokio::task::spawn_local(Box::pin(request::serve(connection, info, (send, recv), resolver, running)));
    }
}

/// Waits for a request, or for what its end asks of the connection; meanwhile h3 reads the control stream.
fn poll_event(
    activity: &Activity,
    goaway: &mut Goaway,
    h3: &mut H3,
    accepting: Pin<&mut impl Future<Output = Result<Streams, quinn::ConnectionError>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Event, ConnectionError>> {
    if let Poll::Ready(step) = goaway.poll_step(activity, cx) {
        return Poll::Ready(Ok(Event::Step(step)));
    }
    if let Poll::Ready(accepted) = accepting.poll(cx) {
        let accepted = accepted.map(Event::Request);
        return Poll::Ready(accepted.map_err(|error| ConnectionError::Remote(connection_error(error))));
    }
    // It knows of no request, so the only news is that the client wants to leave (RFC 9114 section 5.2).
    if h3.poll_accept_request_stream(cx)?.is_ready() {
        activity.end(Ending::Finish);
    }
    Poll::Pending
}

/// The way of a connection to its end.
struct GoingAway {
    goaway: Goaway,
    /// The id that the next request will have.
    next: u64,
    /// What the client was told.
    said: Option<StreamId>,
    refusing: bool,
}

impl GoingAway {
    /// Takes a step. True after the last one.
    async fn take(
        &mut self,
        step: Step,
        h3: &mut H3,
        quinn: &quinn::Connection,
        activity: &Activity,
    ) -> Result<bool, ConnectionError> {
        /// The last id that a client could use.
        const NO_LIMIT: u64 = (1 << 62) - 4;
        let last = match step {
            Step::Announce if activity.is_fresh() => None,
            Step::Announce => Some(NO_LIMIT),
            Step::Refuse => {
                self.refusing = true;
                Some(self.next)
            }
            Step::Finish => return Ok(true),
        };
        // What is under way to the client and back.
        let round_trip = (2 * quinn.rtt()).clamp(Duration::from_millis(50), Duration::from_secs(1));
        if let Some(id) = last.and_then(|id| StreamId::try_from(id).ok()) {
            // A client that leaves no room for it does not hold the connection.
            let told = tokio::time::timeout(round_trip, h3.inner.shutdown(&mut self.said, id)).await;
            told.unwrap_or(Ok(()))?;
        }
        self.goaway.wait(round_trip);
        Ok(false)
    }

    /// A request that is served. Later ones are refused as not processed (RFC 9114 section 4.1.1), so that the client may
    /// send them elsewhere.
    fn admit(&mut self, (mut send, mut recv): Streams) -> Option<Streams> {
        if self.refusing {
            let rejected = var_int(Code::H3_REQUEST_REJECTED.value());
            // An error says that the stream is over already.
            let (_, _) = (send.reset(rejected), recv.stop(rejected));
            return None;
        }
        self.next = u64::from(send.id()) + 4;
        Some((send, recv))
    }
}
