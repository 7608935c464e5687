//! HTTP/2, by hyper.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::activity::{Activity, Ending};
use super::linger::Lingering;
use super::multiplexed::Streams;
use super::paced::Paced;
use super::running::Running;
use super::server::Server;
use super::tracked::{OverTcp, Tracked};
use super::unsent::{Counted, Unsent};
use crate::exchange::{ConnectionInfo, Protocol};
use crate::handler::{Handler, Inbound};
use crate::memory::{Credit, ReceiveWindow};
use crate::message::headers::COOKIE_PIECES;
use crate::message::{Body, Response};
use crate::model::Listener;

/// What an HTTP/2 client may send on one stream, and on all streams of a connection, before we read it.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What of one response may wait to be written; of all responses of a connection see `unsent`.
const SEND_BUFFER: usize = 256 << 10;

/// Serves one connection until it ends.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static, H: Handler>(
    server: Rc<Server<H>>,
    listener: &Listener,
    io: Tracked<S>,
    mut info: ConnectionInfo,
    activity: Rc<Activity>,
) {
    info.protocol = Protocol::Http2;
    activity.set_multiplexed();
    let streams = Streams::default();
    let unsent = Unsent::new(server.memory.clone());
    let window = ReceiveWindow::new(server.memory.clone(), STREAM_WINDOW as usize, CONNECTION_WINDOW as usize);
    let (connection, streams_of) = (Arc::new(info), streams.clone());
    let requests = Requests { server, connection, activity: activity.clone(), streams: streams_of, window, unsent };
    let mut connection = pin!(
        http2::Builder::new(streams)
            .max_concurrent_streams(listener.limits.streams)
            // More than the listener allows, which the pipeline checks when the cookie is in one piece.
            .max_header_list_size(u32::try_from(listener.limits.header_bytes + COOKIE_PIECES).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            // A client that vanished without a FIN is noticed while its streams run.
            .keep_alive_interval(Some(listener.limits.idle_timeout))
            .keep_alive_timeout(listener.limits.header_timeout)
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(io), requests)
    );
    let mut finishing = false;
    let ended = poll_fn(|cx| {
        match activity.poll_ending(cx) {
            Ending::None => {}
            Ending::Drain | Ending::Finish => {
                // GOAWAY excludes nothing at first, so what the client has sent already is still served.
                if !std::mem::replace(&mut finishing, true) {
                    connection.as_mut().graceful_shutdown();
                }
            }
            Ending::Close => return Poll::Ready(Ok(())),
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(listener = %listener.name, %error, "connection ended");
    }
}

/// The requests of one connection.
struct Requests<H: Handler> {
    server: Rc<Server<H>>,
    connection: Arc<ConnectionInfo>,
    activity: Rc<Activity>,
    streams: Streams,
    /// What the client may send unread.
    window: Rc<ReceiveWindow>,
    /// What of the responses waits to be written.
    unsent: Rc<Unsent>,
}

impl<H: Handler> Service<http::Request<Incoming>> for Requests<H> {
    type Response = http::Response<Counted>;
    type Error = Infallible;
    type Future = Answering<H::Answer>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let running = Running::on_stream(self.activity.clone());
        self.streams.next(running.stream.clone());
        let (head, body) = request.into_parts();
        let body = Lingering::body(Body::downstream(body, &self.window), &self.server.connections);
        let inbound = Inbound::new(self.connection.clone(), head.into(), body);
        Answering {
            answer: Box::pin((self.server.handler)(inbound)),
            running: Some(running),
            unsent: self.unsent.clone(),
            memory: self.server.memory.clone(),
        }
    }
}

/// A request that is being answered.
struct Answering<A> {
    /// Boxed so that an open stream does not reserve room for the whole pipeline while its response is written.
    answer: Pin<Box<A>>,
    running: Option<Running>,
    unsent: Rc<Unsent>,
    memory: Rc<Credit>,
}

impl<A: Future<Output = Response>> Future for Answering<A> {
    type Output = Result<http::Response<Counted>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Response { status, fields, body } = ready!(this.answer.as_mut().poll(cx));
        let paced = Paced::new(body, true, this.running.take(), &this.memory);
        let mut response = http::Response::new(this.unsent.body(paced));
        *response.status_mut() = status;
        *response.headers_mut() = fields.into_map();
        Poll::Ready(Ok(response))
    }
}
