//! The client of a case.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use plugin_cases::{Request, Response};
use tokio::net::TcpStream;

/// See the module.
pub(super) struct Client;

/// Who the client is where a case does not say.
const SOMEBODY: &str = "192.0.2.1";

impl Client {
    /// Sends a request on a connection of its own, and reads the whole response.
    pub(super) async fn send(address: SocketAddr, host: &str, wanted: &Request) -> Result<Response, String> {
        let failed = |error: &dyn std::fmt::Display| format!("the gateway did not answer: {error}");
        let message = wanted.message().sent();
        let mut request = http::Request::builder()
            .method(wanted.method.as_str())
            .uri(&wanted.target)
            .header("host", host)
            .header("x-forwarded-for", wanted.client.as_deref().unwrap_or(SOMEBODY));
        for (name, value) in &message.headers {
            request = request.header(name, value);
        }
        // A body that comes in one piece has its length, as most clients send it.
        if let [only] = &message.chunks[..] {
            request = request.header("content-length", only.len());
        }
        let frames = message.chunks.into_iter().map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::from(chunk))));
        let frames: Vec<_> = frames.collect();
        let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
        let response = if frames.is_empty() {
            let request = request.body(http_body_util::Empty::<Bytes>::new()).map_err(|error| failed(&error))?;
            exchange(stream, request).await
        } else {
            let body = StreamBody::new(stream::iter(frames));
            exchange(stream, request.body(body).map_err(|error| failed(&error))?).await
        };
        response.map_err(|error| failed(&error))
    }
}

async fn exchange<B>(stream: TcpStream, request: http::Request<B>) -> Result<Response, hyper::Error>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let body = body.collect().await?.to_bytes().to_vec();
        Ok(Response { status: head.status.as_u16(), headers, body })
    };
    let connection = async {
        // How it ends is told by the response, or its absence.
        let _ = connection.await;
    };
    futures_util::pin_mut!(exchange);
    match futures_util::future::select(exchange, Box::pin(connection)).await {
        futures_util::future::Either::Left((response, _)) => response,
        futures_util::future::Either::Right(((), exchange)) => exchange.await,
    }
}
