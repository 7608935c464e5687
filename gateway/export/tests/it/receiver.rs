//! A collector for tests: takes all three signals over one of the protocols, keeps what it got, answers by a script.

mod authority;
mod grpc;
mod http;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::HeaderMap;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use telemetry_export::{Protocol, Settings};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub(crate) use authority::Authority;

/// What is known of a request.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) message: Message,
}

/// What was in it.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Traces(ExportTraceServiceRequest),
    Logs(ExportLogsServiceRequest),
    Metrics(ExportMetricsServiceRequest),
    Zipkin(serde_json::Value),
}

impl Message {
    /// The names of the spans, in order.
    pub(crate) fn spans(&self) -> Vec<String> {
        let Self::Traces(request) = self else { panic!("not spans: {self:?}") };
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans).map(|span| span.name.clone()).collect()
    }
}

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// It is taken.
    Take,
    /// It is taken but for so many.
    Partly(i64),
    /// 503 or `Unavailable`, with a time to wait.
    Busy(Option<Duration>),
    /// 400 or `InvalidArgument`, with words that repeat the secret header.
    Refuse,
    /// A success with an answer that is none.
    Garbage,
    /// A success with an answer without end.
    Endless,
    /// No answer at all.
    Hang,
}

/// What the connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    script: Mutex<VecDeque<Reply>>,
    requests: watch::Sender<Vec<Received>>,
}

impl Shared {
    fn next(&self, received: Received) -> Reply {
        self.requests.send_modify(|requests| requests.push(received));
        self.script.lock().expect("a script").pop_front().unwrap_or(Reply::Take)
    }
}

/// The collector. Gone, with its connections, when dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    protocol: Protocol,
    pub(crate) port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long anything may take that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

impl Receiver {
    /// One that answers by `script`, and takes everything afterwards.
    pub(crate) async fn start(protocol: Protocol, script: &[Reply]) -> Self {
        Self::bind(protocol, script, 0, None).await
    }

    pub(crate) async fn bind(protocol: Protocol, script: &[Reply], port: u16, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            script: Mutex::new(script.iter().copied().collect()),
            requests: watch::Sender::new(Vec::new()),
        });
        let task = tokio::spawn(accept(protocol, listener, tls, shared.clone()));
        Self { protocol, port, shared, task }
    }

    /// Settings by which it is exported to, with short pauses.
    pub(crate) fn settings(&self) -> Settings {
        settings(self.protocol, self.port)
    }

    /// The first requests, when there are so many.
    pub(crate) async fn requests(&self, count: usize) -> Vec<Received> {
        let mut seen = self.shared.requests.subscribe();
        let seen = tokio::time::timeout(PATIENCE, seen.wait_for(|requests| requests.len() >= count)).await;
        seen.expect("requests in time").expect("a receiver").clone()
    }

    /// How many requests there were so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.requests.borrow().len()
    }
}

pub(crate) fn settings(protocol: Protocol, port: u16) -> Settings {
    let endpoint = format!("http://127.0.0.1:{port}").parse().expect("an endpoint");
    let mut settings = Settings::new(protocol, endpoint);
    settings.retry.initial = Duration::from_millis(10);
    settings.retry.max = Duration::from_millis(50);
    settings
}

/// Takes connections until dropped; they are dropped with it.
async fn accept(protocol: Protocol, listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (tls, shared) = (tls.clone(), shared.clone());
        connections.spawn(async move {
            match tls {
                None => serve(protocol, stream, shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(protocol, stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn serve(protocol: Protocol, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, shared: Arc<Shared>) {
    match protocol {
        Protocol::OtlpGrpc => grpc::serve(stream, shared).await,
        Protocol::OtlpHttp | Protocol::Zipkin => http::serve(stream, shared).await,
    }
}
