//! HTTP/1.1 and HTTP/2 over TCP, with and without TLS, by hyper.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::activity::{Activity, Command, Group, Tracked};
use crate::config::model::Listener;
use crate::exchange::{ConnectionInfo, Protocol};
use crate::listener::ListenerSettings;
use crate::message::Body;
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
        return Box::pin(serve_cleartext(worker, &listener, stream, info, activity)).await;
    };
    let handshake = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
    let stream = match tokio::time::timeout(listener.limits.header_timeout, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
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
        Box::pin(serve_http1(worker, &listener, io, info, activity)).await;
    }
}

/// Tells HTTP/2 with prior knowledge (RFC 9113 section 3.3) from HTTP/1 by its first bytes.
async fn serve_cleartext(
    worker: Rc<Worker>,
    listener: &Listener,
    mut stream: TcpStream,
    info: ConnectionInfo,
    activity: Rc<Activity>,
) {
    if !listener.http2 {
        let io = Tracked::new(stream, activity.clone());
        return Box::pin(serve_http1(worker, listener, io, info, activity)).await;
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
    if !matches!(tokio::time::timeout(listener.limits.header_timeout, read_preface).await, Ok(true)) {
        return;
    }
    let http2 = buffer[..length] == *HTTP2_PREFACE;
    let io = Tracked::new(stream, activity.clone()).replaying(&buffer[..length]);
    if http2 {
        Box::pin(serve_http2(worker, listener, io, info, activity)).await;
    } else if listener.http1 {
        Box::pin(serve_http1(worker, listener, io, info, activity)).await;
    }
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: Rc<Worker>,
    listener: &Listener,
    io: Tracked<S>,
    mut info: ConnectionInfo,
    activity: Rc<Activity>,
) {
    info.protocol = Protocol::Http1;
    let requests = Requests { worker, connection: Arc::new(info), activity: activity.clone() };
    let mut connection = http1::Builder::new()
        // Time limits are the sweep's business, see `activity`.
        .header_read_timeout(None)
        .max_headers(listener.limits.header_count)
        .max_buf_size(listener.limits.header_bytes.max(8192))
        .max_header_size(listener.limits.header_bytes)
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(io), requests);
    let ended = poll_fn(|cx| {
        match activity.take_command(cx) {
            Some(Command::Drain) => Pin::new(&mut connection).graceful_shutdown(),
            Some(Command::Close) => return Poll::Ready(Ok(false)),
            None => {}
        }
        connection.poll_without_shutdown(cx).map_ok(|()| true)
    });
    match ended.await {
        // In a box: an idle connection must not keep room for it.
        Ok(true) => Box::pin(linger(connection.into_parts().io.into_inner())).await,
        Ok(false) => {}
        Err(error) => tracing::debug!(listener = %listener.name, %error, "connection ended"),
    }
}

/// Closes a connection so that its last response arrives: a socket that is closed with unread bytes in it is reset, and
/// a reset overtakes the response (RFC 9112 section 9.6). A client that is still sending a body which was refused is
/// read for a moment longer.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    const PAUSE: Duration = Duration::from_secs(1);
    const MOST: usize = 4 << 20;
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut discarded = 0;
    let mut buffer = [0; 4096];
    while discarded < MOST {
        match tokio::time::timeout(PAUSE, stream.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => discarded += count,
            _ => return,
        }
    }
}

async fn serve_http2<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: Rc<Worker>,
    listener: &Listener,
    io: Tracked<S>,
    mut info: ConnectionInfo,
    activity: Rc<Activity>,
) {
    info.protocol = Protocol::Http2;
    activity.set_multiplexed();
    let requests = Requests { worker, connection: Arc::new(info), activity: activity.clone() };
    let mut connection = pin!(
        http2::Builder::new(LocalExecutor)
            .max_concurrent_streams(listener.limits.streams)
            .max_header_list_size(u32::try_from(listener.limits.header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(256 << 10)
            .initial_connection_window_size(1 << 20)
            .max_send_buf_size(256 << 10)
            // A client that vanished without a FIN is noticed while its streams run.
            .keep_alive_interval(Some(listener.limits.idle_timeout))
            .keep_alive_timeout(listener.limits.header_timeout)
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(io), requests)
    );
    let ended = poll_fn(|cx| {
        match activity.take_command(cx) {
            Some(Command::Drain) => connection.as_mut().graceful_shutdown(),
            Some(Command::Close) => return Poll::Ready(Ok(())),
            None => {}
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(listener = %listener.name, %error, "connection ended");
    }
}

/// Runs the streams of an HTTP/2 connection as tasks of this worker.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// The requests of one connection.
struct Requests {
    worker: Rc<Worker>,
    connection: Arc<ConnectionInfo>,
    activity: Rc<Activity>,
}

impl Service<http::Request<Incoming>> for Requests {
    type Response = http::Response<Body>;
    type Error = Infallible;
    // Boxed so that an idle connection does not reserve room for the whole pipeline.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let running = Running::start(self.activity.clone());
        let (worker, connection) = (self.worker.clone(), self.connection.clone());
        Box::pin(async move {
            let request = request.map(Body::downstream);
            Ok(pipeline::handle(worker, connection, request, Some(running)).await)
        })
    }
}

/// Counts a request as running on its connection until its response has ended.
pub struct Running(Rc<Activity>);

impl Running {
    fn start(activity: Rc<Activity>) -> Self {
        activity.request_started();
        Self(activity)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}
