//! What stands behind the gateway of a case: its upstream, and the upstreams that the plugin calls, told apart by their host.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use plugin_cases::{Answer, Fails, Forwarded};
use tokio::net::{TcpListener, TcpSocket};

/// What is said next, and what was asked last.
#[derive(Default)]
struct Script {
    answer: Answer,
    fails: Option<Fails>,
    calls: BTreeMap<String, Answer>,
    forwarded: Option<Forwarded>,
}

/// See the module. It serves as long as the process runs.
pub(super) struct Origin {
    script: Arc<Mutex<Script>>,
    pub(super) address: SocketAddr,
    /// Bound, and nobody listens: it stays so.
    _dead: TcpSocket,
    pub(super) dead: SocketAddr,
}

/// The host by which an upstream that is called is known.
pub(super) fn host_of(upstream: &str) -> String {
    format!("{upstream}.calls.invalid")
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Origin {
    pub(super) fn start() -> std::io::Result<Self> {
        let script = Arc::<Mutex<Script>>::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let dead_socket = TcpSocket::new_v4()?;
        dead_socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let (dead, shared) = (dead_socket.local_addr()?, script.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("origin".to_owned())
            .spawn(move || runtime.block_on(serve(listener, shared)))?;
        Ok(Self { script, address, _dead: dead_socket, dead })
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the upstreams say that the plugin calls.
    pub(super) fn answer_calls(&self, calls: &BTreeMap<String, Answer>) {
        self.lock().calls = calls.iter().map(|(name, answer)| (host_of(name), answer.clone())).collect();
    }

    /// What the next request gets.
    pub(super) fn script(&self, answer: &Answer, fails: Option<Fails>) {
        let mut script = self.lock();
        (script.answer, script.fails, script.forwarded) = (answer.clone(), fails, None);
    }

    /// What came since then.
    pub(super) fn forwarded(&self) -> Option<Forwarded> {
        self.lock().forwarded.take()
    }
}

async fn serve(listener: std::net::TcpListener, script: Arc<Mutex<Script>>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let script = script.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, script.clone()));
            // A client that leaves, and an answer that is none, are what a case is about.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// No answer: the connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("hung up")]
struct HungUp;

async fn answer(request: http::Request<Incoming>, script: Arc<Mutex<Script>>) -> Result<http::Response<Body>, HungUp> {
    let (head, body) = request.into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let host = head.headers.get("host").map(text).unwrap_or_default();
    let body = body.collect().await.map_err(|_| HungUp)?.to_bytes().to_vec();
    let (answer, fails) = {
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        match script.calls.get(&host) {
            Some(answer) => (answer.clone(), None),
            None => {
                let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
                let (method, target) = (head.method.to_string(), head.uri.to_string());
                script.forwarded = Some(Forwarded { method, target, headers, body });
                (script.answer.clone(), script.fails)
            }
        }
    };
    match fails {
        Some(Fails::Reset) => return Err(HungUp),
        Some(_) => std::future::pending().await,
        None => {}
    }
    let message = answer.message().sent();
    let mut response = http::Response::builder().status(answer.status());
    for (name, value) in &message.headers {
        response = response.header(name, value);
    }
    let body = match <[Vec<u8>; 1]>::try_from(message.chunks) {
        Ok([only]) => Full::new(Bytes::from(only)).boxed_unsync(),
        Err(chunks) => {
            let frames = chunks.into_iter().map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
            StreamBody::new(stream::iter(frames)).boxed_unsync()
        }
    };
    response.body(body).map_err(|_| HungUp)
}
