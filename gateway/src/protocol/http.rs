//! HTTP/1.1 and HTTP/2 over TCP, with and without TLS, by hyper.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Ending, Group};
use super::cleartext::{self, Opening};
use super::linger::{LINGER, Lingering, PAUSE};
use super::multiplexed::{Stream, Streams};
use super::tracked::{OverTcp, Tracked};
use super::unsent::{Counted, Unsent};
use super::upload::Upload;
use crate::exchange::{ConnectionInfo, Protocol};
use crate::listener::ListenerSettings;
use crate::memory::Window;
use crate::message::Body;
use crate::message::headers::COOKIE_PIECES;
use crate::model::Listener;
use crate::pipeline;
use crate::telemetry::metrics::ListenerMetrics;
use crate::worker::Worker;

/// RFC 9113 section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves one accepted TCP connection until it ends.
pub async fn serve(
    worker: Rc<Worker>,
    settings: &ListenerSettings,
    group: &Rc<Group>,
    stream: TcpStream,
    mut info: ConnectionInfo,
    metrics: &ListenerMetrics,
) {
    let listener = settings.config.clone();
    let activity = worker.connections.add(&listener.limits, group);
    let Some(tls) = settings.tls.clone() else {
        return Box::pin(serve_cleartext(worker, &listener, stream, info, activity, metrics)).await;
    };
    let handshake = handshake(tls, stream);
    let handshaken = tokio::select! {
        biased;
        handshaken = tokio::time::timeout(listener.limits.header_timeout, handshake) => handshaken,
        () = activity.closed() => return metrics.rejected("timeout"),
    };
    let stream = match handshaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(Unencrypted::Refused(stream))) => {
            metrics.rejected("cleartext");
            tracing::debug!(listener = %listener.name, "plain HTTP on a port that speaks TLS");
            return linger_on(stream, &activity).await;
        }
        Ok(Err(Unencrypted::Failed(error))) => {
            metrics.rejected("tls");
            return tracing::debug!(listener = %listener.name, %error, "TLS handshake failed");
        }
        Err(_) => {
            metrics.rejected("timeout");
            return tracing::debug!(listener = %listener.name, "TLS handshake took too long");
        }
    };
    let session = stream.get_ref().1;
    info.sni = session.server_name().map(|name| Arc::from(name.to_ascii_lowercase()));
    let http2 = session.alpn_protocol() == Some(b"h2");
    let io = Tracked::new(stream, activity.clone());
    // Boxes of their own size: a connection keeps room for its own protocol only.
    if http2 {
        Box::pin(serve_http2(worker, &listener, io, info, activity)).await;
    } else if listener.http1 {
        Box::pin(serve_http1(worker, &listener, io, info, activity, metrics)).await;
    }
}

/// Why a connection that was to be encrypted is not.
enum Unencrypted {
    Failed(std::io::Error),
    /// It began with HTTP in clear text, and that has been answered.
    Refused(TcpStream),
}

async fn handshake(tls: Arc<rustls::ServerConfig>, mut stream: TcpStream) -> Result<TlsStream<TcpStream>, Unencrypted> {
    match cleartext::opening(&mut stream).await {
        Opening::Tls => tokio_rustls::TlsAcceptor::from(tls).accept(stream).await.map_err(Unencrypted::Failed),
        Opening::Http { head } => {
            cleartext::refuse(&mut stream, head).await;
            Err(Unencrypted::Refused(stream))
        }
        Opening::Unknown => Err(Unencrypted::Failed(std::io::Error::other("neither TLS nor HTTP"))),
    }
}

/// Tells HTTP/2 with prior knowledge (RFC 9113 section 3.3) from HTTP/1 by its first bytes.
async fn serve_cleartext(
    worker: Rc<Worker>,
    listener: &Listener,
    mut stream: TcpStream,
    info: ConnectionInfo,
    activity: Rc<Activity>,
    metrics: &ListenerMetrics,
) {
    if !listener.http2 {
        let io = Tracked::new(stream, activity.clone());
        return Box::pin(serve_http1(worker, listener, io, info, activity, metrics)).await;
    }
    let mut buffer = [0; HTTP2_PREFACE.len()];
    let mut length = 0;
    let read_preface = async {
        while length < buffer.len() && HTTP2_PREFACE.starts_with(&buffer[..length]) {
            match stream.read(&mut buffer[length..]).await {
                Ok(0) | Err(_) => return false,
                Ok(count) => length += count,
            }
        }
        true
    };
    let begun = tokio::select! {
        biased;
        begun = tokio::time::timeout(listener.limits.header_timeout, read_preface) => begun == Ok(true),
        () = activity.closed() => false,
    };
    if !begun {
        return;
    }
    let http2 = buffer[..length] == *HTTP2_PREFACE;
    let io = Tracked::new(stream, activity.clone()).replaying(&buffer[..length]);
    if http2 {
        Box::pin(serve_http2(worker, listener, io, info, activity)).await;
    } else if listener.http1 {
        Box::pin(serve_http1(worker, listener, io, info, activity, metrics)).await;
    }
}

async fn serve_http1<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static>(
    worker: Rc<Worker>,
    listener: &Listener,
    io: Tracked<S>,
    mut info: ConnectionInfo,
    activity: Rc<Activity>,
    metrics: &ListenerMetrics,
) {
    info.protocol = Protocol::Http1;
    let streams = Streams::default();
    // Of a body that nobody reads hyper buffers no more than of a head.
    let buffer = listener.limits.header_bytes.max(8192);
    let window = Window::new(worker.memory.clone(), buffer, buffer);
    let requests = Requests { worker, connection: Arc::new(info), activity: activity.clone(), streams, window };
    let mut connection = http1::Builder::new()
        // Time limits are the sweep's business, see `activity`.
        .header_read_timeout(None)
        // A client that has shut its side gets its answer; that it has left is noticed below, see `tracked`.
        .half_close(true)
        .max_headers(listener.limits.header_count)
        .max_buf_size(buffer)
        .max_header_size(listener.limits.header_bytes)
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(io), requests);
    let mut finishing = false;
    let ended = poll_fn(|cx| {
        let ending = activity.poll_ending(cx);
        if ending == Ending::Close {
            return Poll::Ready(Ok(false));
        }
        // What has arrived comes first: told to shut down, hyper closes an idle connection without a look at its socket.
        // It ends by itself only when everything is written: what is still in its buffer would be lost.
        let polled = Pin::new(&mut connection).poll(cx).map_ok(|()| true);
        let finish = match ending {
            Ending::None => false,
            Ending::Drain => activity.is_busy(),
            Ending::Finish | Ending::Close => activity.is_busy() || !activity.is_reading(),
        };
        if polled.is_ready() || !finish || finishing {
            return polled;
        }
        finishing = true;
        Pin::new(&mut connection).graceful_shutdown();
        Pin::new(&mut connection).poll(cx).map_ok(|()| true)
    });
    let (over, broken) = match ended.await {
        Ok(over) => (over, false),
        Err(error) => {
            tracing::debug!(listener = %listener.name, %error, "connection ended");
            if error.is_parse() {
                // hyper has answered with an empty 400, 414 or 431.
                metrics.rejected("malformed");
            }
            (error.is_parse(), error.is_user())
        }
    };
    // hyper has let go of a body that failed, so the notes know nothing of its response any more.
    let cut = !over && (broken || activity.is_responding());
    let io = connection.into_parts().io.into_inner();
    if cut {
        io.reset();
    } else if over {
        linger_on(io, &activity).await;
    }
}

/// Lets a client read the last response, for as long as a client may go on sending what nobody wants.
async fn linger_on(io: impl AsyncRead + Unpin, activity: &Activity) {
    // In a box: an idle connection must not keep room for it.
    let lingering = Box::pin(linger(io));
    tokio::select! {
        () = activity.closed() => {}
        _ = tokio::time::timeout(LINGER, lingering) => {}
    }
}

/// Closes a connection so that its last response arrives: a socket that is closed with unread bytes in it is reset, and
/// a reset overtakes the response (RFC 9112 section 9.6). hyper has shut its writing half down; a client that is still
/// sending a body which was refused is read for a moment longer.
async fn linger(mut stream: impl AsyncRead + Unpin) {
    const MOST: usize = 4 << 20;
    let mut discarded = 0;
    let mut buffer = [0; 4096];
    while discarded < MOST {
        match tokio::time::timeout(PAUSE, stream.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => discarded += count,
            _ => return,
        }
    }
}

/// What an HTTP/2 client may send on one stream, and on all streams of a connection, before we read it.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What of one response may wait to be written; of all responses of a connection see [`super::unsent`].
const SEND_BUFFER: usize = 256 << 10;

async fn serve_http2<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static>(
    worker: Rc<Worker>,
    listener: &Listener,
    io: Tracked<S>,
    mut info: ConnectionInfo,
    activity: Rc<Activity>,
) {
    info.protocol = Protocol::Http2;
    activity.set_multiplexed();
    let streams = Streams::default();
    let unsent = Unsent::new(worker.memory.clone());
    let window = Window::new(worker.memory.clone(), STREAM_WINDOW as usize, CONNECTION_WINDOW as usize);
    let (connection, streams_of) = (Arc::new(info), streams.clone());
    let requests = Requests { worker, connection, activity: activity.clone(), streams: streams_of, window };
    let requests = OverHttp2 { requests, unsent };
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
struct Requests {
    worker: Rc<Worker>,
    connection: Arc<ConnectionInfo>,
    activity: Rc<Activity>,
    streams: Streams,
    /// What the client may send unread.
    window: Rc<Window>,
}

impl Service<http::Request<Incoming>> for Requests {
    type Response = http::Response<Body>;
    type Error = Infallible;
    // Boxed so that an idle connection does not reserve room for the whole pipeline.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let mut running = Running::start(self.activity.clone());
        self.streams.next(running.stream.clone());
        let (worker, connection) = (self.worker.clone(), self.connection.clone());
        let (activity, window) = (self.activity.clone(), self.window.clone());
        Box::pin(async move {
            let (head, body) = request.into_parts();
            if connection.protocol != Protocol::Http1 {
                let body = Lingering::body(Body::downstream(body, &window), &worker);
                let request = http::Request::from_parts(head, body);
                return Ok(pipeline::handle(worker, connection, request, Some(running)).await);
            }
            let (body, upload) = Upload::watch(&head, body, &window, &worker, &activity, connection.body_timeout);
            running.upload.clone_from(&upload);
            let request = http::Request::from_parts(head, body);
            let mut response = pipeline::handle(worker, connection, request, Some(running)).await;
            let draining = || activity.ending() >= Ending::Drain;
            let stays = match &upload {
                Some(upload) => !draining() && upload.stays(response.status()).await,
                None => true,
            };
            if !stays || draining() {
                // RFC 9112 section 9.6: the client learns that this is the last response before it sends again.
                response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
                if let Some(upload) = &upload {
                    upload.close();
                }
            }
            Ok(response)
        })
    }
}

/// The same with responses whose pieces are counted until they are written.
struct OverHttp2 {
    requests: Requests,
    unsent: Rc<Unsent>,
}

impl Service<http::Request<Incoming>> for OverHttp2 {
    type Response = http::Response<Counted>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: http::Request<Incoming>) -> Answer {
        Answer { response: self.requests.call(request), unsent: self.unsent.clone() }
    }
}

/// A response over HTTP/2, as soon as there is one.
struct Answer {
    response: <Requests as Service<http::Request<Incoming>>>::Future,
    unsent: Rc<Unsent>,
}

impl Future for Answer {
    type Output = Result<http::Response<Counted>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.response.as_mut().poll(cx));
        Poll::Ready(response.map(|response| response.map(|body| self.unsent.body(body))))
    }
}

/// Counts a request as running on its connection until its response has ended.
pub struct Running {
    activity: Rc<Activity>,
    stream: Option<Rc<Stream>>,
    upload: Option<Rc<Upload>>,
}

impl Running {
    fn start(activity: Rc<Activity>) -> Self {
        let stream = activity.request_started();
        Self { activity, stream, upload: None }
    }

    /// The stream of its own that the response has on a multiplexed connection.
    pub fn stream(&self) -> Option<&Stream> {
        self.stream.as_deref()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.activity.request_ended(self.stream.as_deref());
        if let Some(upload) = &self.upload {
            upload.answered();
        }
    }
}
