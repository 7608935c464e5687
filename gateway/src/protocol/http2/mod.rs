//! HTTP/2, framed by h2: the requests of a connection, side by side.

mod body;
mod context;
mod flood;
pub(crate) mod frames;
pub(crate) mod hpack;
mod huffman;
mod request;
pub(crate) mod trailers;
mod tunnel;
mod unsent;
mod watched;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use h2::ext::Protocol;
use h2::server::{Builder, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Method;
use tokio::io::{AsyncRead, AsyncWrite};

use self::body::IncomingBody;
use self::context::Connection;
use self::trailers::{Malformed, Trailers};
use self::tunnel::StreamOffer;
use self::unsent::{Piece, Unsent};
use self::watched::Watched;
use super::activity::{Activity, Ending};
use super::allowance::Allowance;
use super::linger;
use super::multiplexed::Task;
use super::running::Running;
use super::server::Server;
use super::tracked::{OverTcp, Tracked};
use super::tunnel::{Accepting, Offer};
use crate::exchange::{ConnectionInfo, Protocol as Version};
use crate::handler::{Handler, Inbound};
use crate::memory::ReceiveWindow;
use crate::message::headers::COOKIE_PIECES;
use crate::message::{Body, ConnectProtocol, Head, Interim};
use crate::model::Listener;
use crate::sanitize::{SafeText, safe};
use crate::telemetry::metrics::ListenerMetrics;

/// What an HTTP/2 client may send on one stream, and on all streams of a connection, before we read it.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What of one response may wait to be written; of all responses of a connection see `unsent`.
const SEND_BUFFER: usize = 256 << 10;

/// What h2 drives.
type Driven<'a, S> = h2::server::Connection<&'a mut Watched<Tracked<S>>, Piece>;

/// Serves one connection until it ends.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static, H: Handler>(
    server: Rc<Server<H>>,
    listener: &Listener,
    io: Tracked<S>,
    mut info: ConnectionInfo,
    activity: Rc<Activity>,
    metrics: &ListenerMetrics,
) {
    info.protocol = Version::Http2;
    activity.set_multiplexed();
    let allowance = Rc::new(Allowance::new(Instant::now()));
    let malformed = Rc::new(Malformed::default());
    let mut io = Watched::new(io, allowance.clone(), Trailers::new(malformed.clone()));
    let (unsent, memory) = (Unsent::new(server.memory.clone()), server.memory.clone());
    let window = ReceiveWindow::new(memory, STREAM_WINDOW as usize, CONNECTION_WINDOW as usize);
    let info = Arc::new(info);
    let connection = Rc::new(Connection { server, info, activity, window, unsent, allowance, malformed });
    let ended = {
        // A box of its own: an open connection keeps no room for its beginning.
        let handshaken = Box::pin(async {
            tokio::select! {
                biased;
                () = connection.activity.ended(Ending::Finish) => None,
                handshaken = builder(listener, connection.server.tunnels).handshake(&mut io) => Some(handshaken.map(Box::new)),
            }
        });
        match handshaken.await {
            Some(Ok(mut driven)) => connection.drive(&mut driven).await,
            // Nothing was said to it, so nothing can get lost.
            Some(Err(error)) => return tracing::debug!(listener = %listener.name, error = %safe!(error), "no HTTP/2"),
            None => return,
        }
    };
    let (flood, error) = (connection.allowance.is_exceeded(), ended.err());
    if flood {
        metrics.rejected("flood");
    }
    if flood || error.is_some() {
        let told = error.as_ref().map_or_else(SafeText::default, |error| safe!(*error));
        tracing::debug!(listener = %listener.name, flood, error = %safe!(told), "connection ended");
    }
    if flood || connection.malformed.is_unreadable() || error.is_some_and(|error| !error.is_io()) {
        // The last frame tells the client why; a reset would overtake it.
        linger::close(&mut io.io, &connection.activity).await;
    }
}

fn builder(listener: &Listener, tunnels: bool) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(listener.limits.streams)
        // More than the listener allows, which the pipeline checks when the cookie is in one piece.
        .max_header_list_size(u32::try_from(listener.limits.header_bytes + COOKIE_PIECES).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
    if tunnels {
        // RFC 8441 section 3.
        builder.enable_connect_protocol();
    }
    builder
}

impl<H: Handler> Connection<H> {
    /// Reads and writes frames until the connection ends.
    async fn drive<S>(self: &Rc<Self>, driven: &mut Driven<'_, S>) -> Result<(), h2::Error>
    where
        S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static,
    {
        let mut pings = driven.ping_pong();
        self.activity.watch_silence();
        let (mut finishing, mut refused) = (false, false);
        poll_fn(|cx| {
            match self.activity.poll_ending(cx) {
                Ending::None => {}
                Ending::Drain | Ending::Finish => {
                    // GOAWAY excludes nothing at first, so what the client has sent already is still served.
                    if !std::mem::replace(&mut finishing, true) {
                        driven.graceful_shutdown();
                    }
                }
                Ending::Close => return Poll::Ready(Ok(())),
            }
            if self.activity.take_silence() {
                ping(&mut pings, cx);
            }
            loop {
                match driven.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending if self.allowance.is_exceeded() && !refused => {
                        refused = true;
                        driven.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    }
                    // h2 has found nothing wrong with it so far.
                    Poll::Pending if self.malformed.is_unreadable() && !refused => {
                        refused = true;
                        driven.abrupt_shutdown(Reason::COMPRESSION_ERROR);
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Has a request answered.
    fn begin(self: &Rc<Self>, request: http::Request<RecvStream>, respond: SendResponse<Piece>) {
        let (running, stream) = Running::on_stream(self.activity.clone());
        let (mut head, body) = request.into_parts();
        // h2 refuses one as long as the builder does not say that they are known here.
        let protocol = head.extensions.remove::<Protocol>().map(|protocol| ConnectProtocol::new(protocol.as_str()));
        let tunnel = self.server.tunnels && head.method == Method::CONNECT;
        let (body, offered) = if tunnel {
            let (offer, upgrade) = Offer::new(Accepting::Success);
            let broken = if protocol.is_some() { Reason::CANCEL } else { Reason::CONNECT_ERROR };
            // RFC 9113 section 8.5: what comes on the stream is the tunnel's.
            (Body::empty(), Some((StreamOffer { offer, stream: body, broken }, upgrade)))
        } else {
            (IncomingBody::of(&head.headers, body, self, &stream), None)
        };
        let mut inbound = Inbound::new(self.info.clone(), Instant::now(), Head { protocol, ..head.into() }, body);
        inbound.interim = Interim::to(stream.clone());
        let offer = offered.map(|(offer, upgrade)| {
            inbound.upgrade = Some(upgrade);
            offer
        });
        let answer = self.server.answers.start((self.server.handler)(inbound));
        let served = request::serve(self.clone(), stream.clone(), running, answer, respond, offer.map(Box::new));
        tokio::task::spawn_local(Task::new(stream, served));
    }
}

/// Asks a client that has been silent for long whether it is still there. Any frame of it is an answer.
fn ping(pings: &mut Option<PingPong>, cx: &mut Context<'_>) {
    if let Some(pings) = pings {
        // The answer to the one before. Without one, that is still under way.
        let _ = pings.poll_pong(cx);
        let _ = pings.send_ping(Ping::opaque());
    }
}
