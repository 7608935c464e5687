//! A scripted upstream: real sockets, HTTP/1.1 and HTTP/2 with prior knowledge, every request recorded.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::watch;

/// A body that a script answers with.
pub type ScriptBody = BoxBody<Bytes, std::io::Error>;

/// What an upstream saw of a request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The target, as it came.
    pub target: String,
    /// Host, or `:authority`.
    pub host: String,
    /// The header fields.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailers.
    pub trailers: Option<http::HeaderMap>,
}

/// A running upstream.
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// A response of text.
pub fn text(status: u16, body: impl Into<Bytes>) -> http::Response<ScriptBody> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed();
    http::Response::builder().status(status).header("content-type", "text/plain").body(body).expect("valid")
}

/// The same, marked so that it may be stored and used again.
pub fn reusable(status: u16, body: impl Into<Bytes>) -> http::Response<ScriptBody> {
    let mut response = text(status, body);
    response.headers_mut().insert("cache-control", http::HeaderValue::from_static("max-age=60"));
    response
}

/// What a script returns to close the connection without an answer.
pub fn hang_up() -> http::Response<ScriptBody> {
    let mut response = text(500, "");
    response.extensions_mut().insert(HangUp);
    response
}

#[derive(Clone, Copy)]
struct HangUp;

impl Upstream {
    /// Answers each request, read whole, by `script`.
    pub fn start(script: impl Fn(&Seen) -> http::Response<ScriptBody> + Send + Sync + 'static) -> Self {
        let script = Arc::new(script);
        Self::start_async(move |request| {
            let response = script(&request);
            async move { response }
        })
    }

    /// The same with an async script, which may wait.
    pub fn start_async<F, R>(script: F) -> Self
    where
        F: Fn(Seen) -> R + Send + Sync + 'static,
        R: Future<Output = http::Response<ScriptBody>> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), script)
    }

    /// The same on a given address: an upstream that comes back.
    pub fn start_at<F, R>(address: SocketAddr, script: F) -> Self
    where
        F: Fn(Seen) -> R + Send + Sync + 'static,
        R: Future<Output = http::Response<ScriptBody>> + Send + 'static,
    {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let connections = Arc::new(AtomicUsize::new(0));
        let (stop, stopped) = watch::channel(false);
        let (bound, address_of) = std::sync::mpsc::sync_channel(1);
        let (record, count) = (seen.clone(), connections.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
                socket.set_reuseaddr(true).expect("an option");
                socket.bind(address).expect("a free address");
                let listener = socket.listen(1024).expect("listening");
                bound.send(listener.local_addr().expect("bound")).expect("the test waits");
                accept(listener, Arc::new(script), record, count, stopped).await;
            });
        });
        let address = address_of.recv().expect("the upstream starts");
        Self { address, seen, connections, stop, thread: Some(thread) }
    }

    /// Its address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no poison").clone()
    }

    /// How many connections were made to it so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Closes the listener and every connection, in the middle of whatever they do.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.end();
    }
}

async fn accept<F, R>(
    listener: tokio::net::TcpListener,
    script: Arc<F>,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    mut stopped: watch::Receiver<bool>,
) where
    F: Fn(Seen) -> R + Send + Sync + 'static,
    R: Future<Output = http::Response<ScriptBody>> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.expect("accepted").0,
            _ = stopped.changed() => break,
        };
        connections.fetch_add(1, Ordering::SeqCst);
        let _ = stream.set_nodelay(true);
        let (script, seen) = (script.clone(), seen.clone());
        tasks.spawn(async move {
            let service = service_fn(move |request: http::Request<Incoming>| {
                let (script, seen) = (script.clone(), seen.clone());
                async move {
                    let (parts, body) = request.into_parts();
                    let Ok(collected) = body.collect().await else {
                        return Ok(text(400, "the request was cut"));
                    };
                    let trailers = collected.trailers().cloned();
                    let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).map(str::to_owned);
                    let host = host.or_else(|| parts.uri.authority().map(ToString::to_string)).unwrap_or_default();
                    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
                    let request = Seen {
                        method: parts.method.to_string(),
                        target,
                        host,
                        headers: parts.headers,
                        body: collected.to_bytes(),
                        trailers,
                    };
                    seen.lock().expect("no poison").push(request.clone());
                    let response = script(request).await;
                    if response.extensions().get::<HangUp>().is_some() {
                        return Err(std::io::Error::other("the script hangs up"));
                    }
                    Ok(response)
                }
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
    tasks.shutdown().await;
}
