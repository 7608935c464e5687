//! The upstream side against real sockets on loopback, with upstreams that follow a script.

mod http1;
mod http2;
mod resolve;
mod shared;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{AttemptOutcome, Capacity, Client, Outbound, Report, Upstream};
use crate::error::Error;
use crate::memory::{Budget, Credit};
use crate::message::{Body, FieldMap, Interim, Response};
use crate::model::{
    EndpointConfig, LoadBalancing, PassiveHealth, Upstream as Config, UpstreamHost, UpstreamProtocol, UpstreamTimeouts,
};
use crate::telemetry::metrics::Metrics;

/// Runs a test as a worker does: one thread, local tasks. Nothing may take long.
fn run<T>(test: impl Future<Output = T> + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("in time") })
}

fn config(addresses: &[SocketAddr]) -> Config {
    let endpoint = |a: &SocketAddr| EndpointConfig { host: a.ip().to_string(), port: a.port(), weight: 1 };
    Config {
        name: "test".into(),
        endpoints: addresses.iter().map(endpoint).collect(),
        protocol: UpstreamProtocol::Http1,
        tls: None,
        load_balancing: LoadBalancing::RoundRobin,
        keepalive: 8,
        host: UpstreamHost::Preserve,
        passive_health: PassiveHealth { max_failures: 3, fail_timeout: Duration::from_secs(30) },
        timeouts: UpstreamTimeouts {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(10),
            idle: Duration::from_secs(10),
        },
        max_requests: None,
        dns_refresh: Duration::from_secs(30),
        data: crate::model::UpstreamData::default(),
    }
}

async fn upstream(config: Config) -> Arc<Upstream> {
    Upstream::new_or_reuse(Arc::new(config), None).await.unwrap()
}

fn client() -> Rc<Client> {
    counted_in(&Metrics::new(&Default::default()))
}

/// The same, which counts where the test looks.
fn counted_in(metrics: &Arc<Metrics>) -> Rc<Client> {
    let memory = Credit::new(Budget::new(usize::MAX / 2));
    Client::new(metrics.worker(), memory, Capacity { requests: 1000, workers: 1 })
}

fn outbound(method: Method, body: Body) -> Outbound<'static> {
    Outbound {
        method,
        authority: Some("example.no"),
        path_and_query: PathAndQuery::from_static("/a?b=c"),
        headers: FieldMap::new(),
        body,
        key: None,
        interim: Interim::default(),
        trace: None,
    }
}

async fn send(client: &Rc<Client>, upstream: &Arc<Upstream>, method: Method, body: Body) -> (Answer, Report) {
    let report = Report::new(std::time::Instant::now());
    let result = client.send(upstream, outbound(method, body), &report).await;
    (result, report)
}

type Answer = Result<Response, Error>;

async fn get(client: &Rc<Client>, upstream: &Arc<Upstream>) -> (Answer, Report) {
    send(client, upstream, Method::GET, Body::empty()).await
}

/// Whether the last try was over a connection that had been there before.
fn reused(report: &Report) -> bool {
    report.attempts().last().is_some_and(|attempt| attempt.reused)
}

async fn text(response: Response) -> Result<String, Error> {
    Ok(String::from_utf8_lossy(&response.body.collect().await?.to_bytes()).into_owned())
}

/// A request body that is fed by the test.
fn channel() -> (mpsc::UnboundedSender<&'static str>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel::<&'static str>();
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        let text = receiver.recv().await?;
        Some((Ok::<_, Error>(http_body::Frame::data(Bytes::from_static(text.as_bytes()))), receiver))
    });
    (sender, Body::boxed(http_body_util::StreamBody::new(stream.boxed_local())))
}

/// An upstream that hands accepted sockets to a script, one after the other. The script gets the connection's number.
async fn raw<F: Future<Output = ()> + 'static>(script: impl Fn(usize, Socket) -> F + 'static) -> SocketAddr {
    listening(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
}

/// The same with a listener of the test's own.
fn listening<F: Future<Output = ()> + 'static>(
    listener: TcpListener,
    script: impl Fn(usize, Socket) -> F + 'static,
) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        for number in 0.. {
            let Ok((io, _)) = listener.accept().await else { return };
            tokio::task::spawn_local(script(number, Socket { io, seen: String::new() }));
        }
    });
    address
}

/// An accepted socket of a scripted upstream.
struct Socket {
    io: TcpStream,
    seen: String,
}

impl Socket {
    /// Reads until the text has been seen; gives everything up to it. `None` at the end of the stream.
    async fn until(&mut self, text: &str) -> Option<String> {
        let mut from = 0;
        loop {
            if let Some(at) = self.seen[from..].find(text).map(|at| from + at) {
                let rest = self.seen.split_off(at + text.len());
                return Some(std::mem::replace(&mut self.seen, rest));
            }
            // Scripts speak ASCII, so every offset is a character's.
            from = self.seen.len().saturating_sub(text.len());
            let mut buffer = [0; 16 << 10];
            let n = self.io.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    }

    async fn head(&mut self) -> Option<String> {
        self.until("\r\n\r\n").await
    }

    async fn write(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
    }
}

/// What scripts noted.
type Notes = Rc<RefCell<Vec<String>>>;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An address at which nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
