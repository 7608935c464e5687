//! HTTP/1.1 and HTTP/1.0, by hyper.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::activity::{Activity, Ending};
use super::linger;
use super::paced::Paced;
use super::running::Running;
use super::server::Server;
use super::tracked::{OverTcp, Tracked};
use super::upload::Upload;
use crate::exchange::{ConnectionInfo, Protocol};
use crate::handler::{Handler, Inbound};
use crate::memory::{Credit, ReceiveWindow};
use crate::message::{Head, Response};
use crate::model::Listener;
use crate::telemetry::metrics::ListenerMetrics;

/// Serves one connection until it ends.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static, H: Handler>(
    server: Rc<Server<H>>,
    listener: &Listener,
    io: Tracked<S>,
    mut info: ConnectionInfo,
    activity: Rc<Activity>,
    metrics: &ListenerMetrics,
) {
    info.protocol = Protocol::Http1;
    // Of a body that nobody reads hyper buffers no more than of a head.
    let buffer = listener.limits.header_bytes.max(8192);
    let window = ReceiveWindow::new(server.memory.clone(), buffer, buffer);
    let requests = Requests { server, connection: Arc::new(info), activity: activity.clone(), window };
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
        linger::close(io, &activity).await;
    }
}

/// The requests of one connection.
struct Requests<H> {
    server: Rc<Server<H>>,
    connection: Arc<ConnectionInfo>,
    activity: Rc<Activity>,
    /// What the client may send unread.
    window: Rc<ReceiveWindow>,
}

impl<H: Handler> Service<http::Request<Incoming>> for Requests<H> {
    type Response = http::Response<Paced>;
    type Error = Infallible;
    type Future = Answering<H::Answer>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let mut running = Running::start(self.activity.clone());
        let (parts, body) = request.into_parts();
        let head = Head::from(parts);
        let (connections, patience) = (&self.server.connections, self.connection.body_timeout);
        let (body, upload) = Upload::watch(&head, body, &self.window, connections, &self.activity, patience);
        running.upload.clone_from(&upload);
        let inbound = Inbound::new(self.connection.clone(), head, body);
        Answering {
            answer: Box::pin((self.server.handler)(inbound)),
            response: None,
            staying: None,
            running: Some(running),
            upload,
            activity: self.activity.clone(),
            memory: self.server.memory.clone(),
        }
    }
}

/// A request that is being answered.
struct Answering<A> {
    /// Boxed so that an idle connection does not reserve room for the whole pipeline.
    answer: Pin<Box<A>>,
    /// The response, while it is not known whether the connection stays. Boxed likewise.
    response: Option<Box<http::Response<Paced>>>,
    staying: Option<Pin<Box<dyn Future<Output = bool>>>>,
    running: Option<Running>,
    upload: Option<Rc<Upload>>,
    activity: Rc<Activity>,
    memory: Rc<Credit>,
}

impl<A: Future<Output = Response>> Answering<A> {
    fn is_draining(&self) -> bool {
        self.activity.ending() >= Ending::Drain
    }
}

impl<A: Future<Output = Response>> Future for Answering<A> {
    type Output = Result<http::Response<Paced>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut response = match this.response.take() {
            Some(response) => *response,
            None => {
                let Response { status, fields, body } = ready!(this.answer.as_mut().poll(cx));
                if let Some(upload) = this.upload.clone().filter(|_| !this.is_draining()) {
                    this.staying = Some(Box::pin(async move { upload.stays(status).await }));
                }
                let mut response = http::Response::new(Paced::new(body, false, this.running.take(), &this.memory));
                *response.status_mut() = status;
                *response.headers_mut() = fields.into_map();
                response
            }
        };
        let stays = match this.staying.as_mut().map(|staying| staying.as_mut().poll(cx)) {
            Some(Poll::Ready(stays)) => stays,
            Some(Poll::Pending) => {
                this.response = Some(Box::new(response));
                return Poll::Pending;
            }
            None => this.upload.is_none(),
        };
        if !stays || this.is_draining() {
            // RFC 9112 section 9.6: the client learns that this is the last response before it sends again.
            response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
            if let Some(upload) = &this.upload {
                upload.close();
            }
        }
        Poll::Ready(Ok(response))
    }
}
