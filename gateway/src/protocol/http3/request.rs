//! A request over HTTP/3 and its response.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt as _;
use h3::error::Code;
use http::{Method, StatusCode};
use http_body::Body as _;
use tokio::sync::oneshot;

use super::body::IncomingBody;
use super::context::Connection;
use super::decode::{self, NoHead, Resolver};
use super::field_section::Section;
use super::frames::{Frames, Piece};
use super::incoming::{self, Incoming};
use super::reply::{Cut, Exchange, Reply};
use super::tunnel::StreamTunnel;
use crate::exchange::ConnectionInfo;
use crate::handler::{Handler, Inbound};
use crate::memory::Unread;
use crate::message::{Body, FieldMap, Head, Interim, OnUpgrade, Response, Tunnel, headers};
use crate::protocol::paced::Paced;
use crate::protocol::running::Running;
use crate::sanitize::safe;

type StoppedResult = Result<Option<quinn::VarInt>, quinn::StoppedError>;

/// One request and its response. Returning early drops the stream, which resets what is unfinished.
pub(super) async fn serve<H: Handler>(
    connection: Rc<Connection<H>>,
    info: Arc<ConnectionInfo>,
    (send, recv): (quinn::SendStream, quinn::RecvStream),
    resolver: Resolver,
    running: Running,
) {
    let peer = &connection.peer;
    let limits = &connection.listener.listener.limits;
    let exchange = Rc::new(Exchange::default());
    let mut stopped = pin!(send.stopped());
    let mut reply = Reply::new(send, peer.clone(), exchange.clone(), limits.body_timeout);
    let section = limits.header_bytes + headers::COOKIE_PIECES;
    let mut incoming =
        Incoming::new(recv, Frames::of_request(section, connection.listener.server.tunnels), peer.clone());
    let next = tokio::time::timeout(limits.header_timeout, poll_fn(|cx| incoming.poll_next(cx))).await;
    let Ok(next) = next else {
        connection.listener.metrics.rejected("timeout");
        return tracing::debug!(listener = %info.listener, "an HTTP/3 request's head took too long");
    };
    let head = match head(next, resolver) {
        Ok(head) => head,
        Err(why) => return refuse(&connection, reply, incoming, why).await,
    };
    let server = &connection.listener.server;
    let unread = Unread::new(connection.window.clone());
    let mut tunnel = None;
    let mut inbound = if server.tunnels && head.method == Method::CONNECT {
        let (give, take) = oneshot::channel();
        incoming.tunnel();
        tunnel = Some(Box::new((give, incoming, unread)));
        let upgrade: OnUpgrade = Box::pin(async move { take.await.ok() });
        Inbound { upgrade: Some(upgrade), ..Inbound::new(info, Instant::now(), head, Body::empty()) }
    } else {
        let body = IncomingBody::of(&head.fields, incoming, &exchange, &connection.decoder, unread).await;
        Inbound::new(info, Instant::now(), head, body)
    };
    inbound.interim = Interim::to(exchange.clone());
    let mut answer = server.answers.start((server.handler)(inbound));
    let response = loop {
        let (status, fields) = tokio::select! {
            biased;
            response = poll_fn(|cx| answer.poll(cx)) => break response,
            result = &mut stopped => return gone(&connection, &exchange, &result),
            one = exchange.interim.next() => one,
        };
        if interim(&mut reply, status, &fields).await.is_err() {
            return cut(&connection, &exchange, stopped);
        }
    };
    // An open stream does not keep the room of the whole pipeline while its response is written.
    drop(answer);
    exchange.interim.close();
    while let Some((status, fields)) = exchange.interim.take() {
        if interim(&mut reply, status, &fields).await.is_err() {
            return cut(&connection, &exchange, stopped);
        }
    }
    if let Some(tunnel) = tunnel.take()
        && response.status.is_success()
    {
        let (give, incoming, unread) = *tunnel;
        // There is nothing of the response but its head: what follows is the tunnel's.
        if reply.head(response.status, &response.fields).is_ok() && reply.flush().await.is_ok() {
            // Nobody may want it any more.
            let tunnel: Tunnel = Box::pin(StreamTunnel::new(incoming, unread, reply, running));
            drop(give.send(tunnel));
        }
        return;
    }
    match respond(&connection, &mut reply, response, stopped.as_mut()).await {
        // The connection must not close before the client has everything: what is not sent by then is discarded.
        Ok(()) => acknowledged(&connection, &exchange, stopped).await,
        Err(Ended::Cut(Cut)) => cut(&connection, &exchange, stopped),
        Err(Ended::Stopped(result)) => gone(&connection, &exchange, &result),
    }
}

/// The client wants no response any more, or is gone.
fn gone<H: Handler>(connection: &Connection<H>, exchange: &Exchange, result: &StoppedResult) {
    if matches!(result, Ok(Some(_))) {
        exchange.give_up(&connection.peer);
    }
}

/// A response could not be written: perhaps because the client wants none any more.
fn cut<H: Handler>(
    connection: &Connection<H>,
    exchange: &Exchange,
    stopped: Pin<&mut impl Future<Output = StoppedResult>>,
) {
    if let Some(result) = stopped.now_or_never() {
        gone(connection, exchange, &result);
    }
}

/// Why a request has no head.
enum Headless {
    /// The client sent none that is good.
    Cut(incoming::Cut),
    /// It ended the stream before it.
    Ended,
    Undecoded(NoHead),
}

/// The head of a request, from the first piece on its stream.
fn head(first: Result<Option<Piece>, incoming::Cut>, resolver: Resolver) -> Result<Head, Headless> {
    match first.map_err(Headless::Cut)? {
        Some(Piece::Fields { section: Section::Head { .. }, bytes, protocol }) => {
            decode::head(resolver, bytes, protocol).map_err(Headless::Undecoded)
        }
        // Nothing else comes first.
        Some(_) | None => Err(Headless::Ended),
    }
}

/// Ends a stream on which there is no request.
async fn refuse<H: Handler>(connection: &Connection<H>, mut reply: Reply, mut incoming: Incoming, why: Headless) {
    let listener = &connection.listener;
    let code = match why {
        Headless::Cut(incoming::Cut::Reset) => return connection.peer.gave_up(),
        Headless::Cut(incoming::Cut::Lost) => return,
        Headless::Cut(incoming::Cut::Refused(violation)) => {
            tracing::debug!(listener = %listener.listener.name, why = violation.what, "no HTTP/3 request");
            violation.code
        }
        // RFC 9114 section 4.1.
        Headless::Ended => Code::H3_REQUEST_INCOMPLETE,
        Headless::Undecoded(NoHead::Malformed(why)) => {
            tracing::debug!(listener = %listener.listener.name, why = %safe!(why), "no HTTP/3 request");
            Code::H3_MESSAGE_ERROR
        }
        Headless::Undecoded(NoHead::Fatal(why)) => {
            return tracing::debug!(listener = %listener.listener.name, why = %safe!(why), "no HTTP/3 request");
        }
        Headless::Undecoded(NoHead::TooLarge) => {
            listener.metrics.rejected("malformed");
            let too_large = reply.head(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, &FieldMap::new());
            if too_large.is_ok() {
                let _ = reply.finish(None).await;
            }
            return;
        }
    };
    listener.metrics.rejected("malformed");
    incoming.stop(code);
    reply.reset(code);
}

/// Sends a response before the response, unless it is larger than what the client takes: it can do without.
async fn interim(reply: &mut Reply, status: StatusCode, fields: &FieldMap) -> Result<(), Cut> {
    match reply.head(status, fields) {
        Ok(()) => reply.flush().await,
        Err(Cut) => Ok(()),
    }
}

/// Why a response has not gone out in full.
enum Ended {
    Cut(Cut),
    /// The client does not want it.
    Stopped(StoppedResult),
}

impl From<Cut> for Ended {
    fn from(cut: Cut) -> Self {
        Self::Cut(cut)
    }
}

async fn respond<H: Handler>(
    connection: &Connection<H>,
    reply: &mut Reply,
    response: Response,
    mut stopped: Pin<&mut impl Future<Output = StoppedResult>>,
) -> Result<(), Ended> {
    let Response { status, mut fields, body } = response;
    headers::set_date(&mut fields, SystemTime::now);
    let mut body = Paced::new(body, true, None, &connection.listener.server.memory);
    let mut unsent = Unread::new(connection.send_window.clone());
    reply.head(status, &fields)?;
    drop(fields);
    loop {
        let next = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
        let frame = match next {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                // What is there goes with what follows at once, and waits for nothing.
                reply.flush().await?;
                tokio::select! {
                    biased;
                    frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)) => frame,
                    result = &mut stopped => return Err(Ended::Stopped(result)),
                }
            }
        };
        match frame {
            None => return Ok(reply.finish(None).await?),
            Some(Ok(frame)) => match frame.into_data() {
                // No piece is so large that a client which takes it in time would be too slow: see `paced`.
                Ok(data) => reply.data(data, &mut unsent).await?,
                Err(frame) => return Ok(reply.finish(frame.trailers_ref()).await?),
            },
            Some(Err(_)) => {
                // RFC 9114 section 4.1: a response cut short is reset, never finished.
                reply.reset(Code::H3_INTERNAL_ERROR);
                return Err(Ended::Cut(Cut));
            }
        }
    }
}

/// Waits until the client has all of a finished stream, or wants no more of it. What is under way is sent again until
/// somebody acknowledges it, so a client that says nothing for a while has vanished.
async fn acknowledged<H: Handler>(
    connection: &Connection<H>,
    exchange: &Exchange,
    mut stopped: Pin<&mut impl Future<Output = StoppedResult>>,
) {
    const SILENCE: Duration = Duration::from_secs(3);
    let acknowledged = || connection.peer.quinn.stats().frame_rx.acks;
    let mut before = acknowledged();
    loop {
        if let Ok(result) = tokio::time::timeout(SILENCE, &mut stopped).await {
            return gone(connection, exchange, &result);
        }
        let now = acknowledged();
        if now == before {
            return;
        }
        before = now;
    }
}
