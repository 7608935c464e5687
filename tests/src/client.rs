//! A client that speaks one chosen protocol over one connection, with a blocking face for plain tests.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::PATIENCE;

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailers.
    pub trailers: Option<http::HeaderMap>,
}

impl Response {
    /// A header field as text; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
    /// The endpoint drives the connection, so it lives as long.
    Http3 {
        sender: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
        _endpoint: quinn::Endpoint,
    },
}

/// A connection to the gateway.
pub struct Client {
    runtime: Runtime,
    connection: Connection,
    base: String,
}

/// The protocols, to run one check over all of them.
pub const PROTOCOLS: [&str; 3] = ["http1", "http2", "http3"];

impl Client {
    /// HTTP/1.1 in clear text.
    pub fn http1(address: SocketAddr) -> Self {
        Self::connect(|| async move {
            let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
            let (sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            Ok((Connection::Http1(sender), format!("http://{address}")))
        })
    }

    /// HTTP/2 in clear text, by prior knowledge.
    pub fn h2c(address: SocketAddr) -> Self {
        Self::connect(|| async move {
            let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            Ok((Connection::Http2(sender), format!("http://{address}")))
        })
    }

    /// HTTP/1.1, HTTP/2 or HTTP/3 over TLS, asking for `name`; any certificate will do.
    pub fn tls(protocol: &str, address: SocketAddr, name: &str) -> Self {
        Self::try_tls(protocol, address, name).unwrap_or_else(|error| panic!("no {protocol} to {address}: {error}"))
    }

    /// The same, with the error.
    pub fn try_tls(protocol: &str, address: SocketAddr, name: &str) -> Result<Self, String> {
        let (protocol, name) = (protocol.to_owned(), name.to_owned());
        Self::try_connect(|| async move {
            let base = format!("https://{name}:{}", address.port());
            if protocol == "http3" {
                return Ok((http3(address, &name).await?, base));
            }
            let alpn: &[u8] = if protocol == "http2" { b"h2" } else { b"http/1.1" };
            let stream = tls_stream(address, &name, alpn).await?;
            let connection = if protocol == "http2" {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .map_err(|error| error.to_string())?;
                tokio::spawn(connection);
                Connection::Http2(sender)
            } else {
                let (sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
                tokio::spawn(connection);
                Connection::Http1(sender)
            };
            Ok((connection, base))
        })
    }

    fn connect<F>(connect: impl FnOnce() -> F) -> Self
    where
        F: Future<Output = Result<(Connection, String), String>>,
    {
        Self::try_connect(connect).unwrap_or_else(|error| panic!("no connection: {error}"))
    }

    fn try_connect<F>(connect: impl FnOnce() -> F) -> Result<Self, String>
    where
        F: Future<Output = Result<(Connection, String), String>>,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (connection, base) =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, connect()).await.map_err(|e| e.to_string())? })?;
        Ok(Self { runtime, connection, base })
    }

    /// GET.
    pub fn get(&mut self, path: &str) -> Response {
        self.send(http::Request::get(path), "")
    }

    /// GET with header fields.
    pub fn get_with(&mut self, path: &str, headers: &[(&str, &str)]) -> Response {
        let request =
            headers.iter().fold(http::Request::get(path), |request, (name, value)| request.header(*name, *value));
        self.send(request, "")
    }

    /// POST of text.
    pub fn post(&mut self, path: &str, content_type: &str, body: impl Into<Bytes>) -> Response {
        self.send(http::Request::post(path).header("content-type", content_type), body)
    }

    /// Any request; its URI is a path.
    pub fn send(&mut self, request: http::request::Builder, body: impl Into<Bytes>) -> Response {
        self.try_send(request, body).unwrap_or_else(|error| panic!("no response: {error}"))
    }

    /// The same, with what went wrong: also when the body was cut short.
    pub fn try_send(&mut self, request: http::request::Builder, body: impl Into<Bytes>) -> Result<Response, String> {
        let body: Bytes = body.into();
        let mut request = request.body(body).map_err(|error| error.to_string())?;
        let path = request.uri().to_string();
        let (connection, base) = (&mut self.connection, self.base.clone());
        self.runtime.block_on(async move {
            let exchange = async {
                match connection {
                    Connection::Http1(sender) => {
                        let authority = base.split("://").nth(1).unwrap_or_default();
                        request.headers_mut().entry("host").or_insert(authority.parse().map_err(|_| "host")?);
                        sender.ready().await.map_err(not_sent)?;
                        let response = sender.try_send_request(request.map(Full::new)).await;
                        collect(response.map_err(|error| failed(&error))?).await
                    }
                    Connection::Http2(sender) => {
                        *request.uri_mut() = format!("{base}{path}").parse().map_err(|_| "a bad URI")?;
                        sender.ready().await.map_err(not_sent)?;
                        let response = sender.try_send_request(request.map(Full::new)).await;
                        collect(response.map_err(|error| failed(&error))?).await
                    }
                    Connection::Http3 { sender, .. } => {
                        *request.uri_mut() = format!("{base}{path}").parse().map_err(|_| "a bad URI")?;
                        exchange3(sender, request).await
                    }
                }
            };
            tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| "the response took too long".to_owned())?
        })
    }
}

/// How the error of a request begins that never left the client.
pub const NOT_SENT: &str = "not sent: ";

fn not_sent(error: impl std::fmt::Display) -> String {
    format!("{NOT_SENT}{error}")
}

fn failed<T>(error: &hyper::client::conn::TrySendError<T>) -> String {
    if error.message().is_some() { not_sent(error.error()) } else { error.error().to_string() }
}

async fn collect(response: http::Response<hyper::body::Incoming>) -> Result<Response, String> {
    let (parts, body) = response.into_parts();
    let collected = body.collect().await.map_err(|error| format!("the body was cut: {error}"))?;
    let trailers = collected.trailers().cloned();
    Ok(Response { status: parts.status.as_u16(), headers: parts.headers, body: collected.to_bytes(), trailers })
}

/// A TLS connection for tests that look at the stream itself.
pub async fn tls_stream(
    address: SocketAddr,
    name: &str,
    alpn: &[u8],
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls_config(alpn)));
    let server = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let stream = connector.connect(server, stream).await.map_err(|error| error.to_string())?;
    match stream.get_ref().1.alpn_protocol() {
        Some(chosen) if chosen == alpn => Ok(stream),
        other => Err(format!("ALPN gave {other:?}")),
    }
}

/// Sends requests over HTTP/3.
pub type Http3Sender = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;

async fn http3(address: SocketAddr, name: &str) -> Result<Connection, String> {
    let (sender, endpoint, _) = connect_http3(address, name).await?;
    Ok(Connection::Http3 { sender, _endpoint: endpoint })
}

/// An HTTP/3 connection for tests that look at the stream itself; it lives as long as the endpoint.
pub async fn connect_http3(
    address: SocketAddr,
    name: &str,
) -> Result<(Http3Sender, quinn::Endpoint, quinn::Connection), String> {
    let mut endpoint =
        quinn::Endpoint::client("127.0.0.1:0".parse().expect("an address")).map_err(|e| e.to_string())?;
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(tls_config(b"h3")).map_err(|e| e.to_string())?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
    let connecting = endpoint.connect(address, name).map_err(|error| error.to_string())?;
    let connection = connecting.await.map_err(|error| error.to_string())?;
    let (mut driver, sender) =
        h3::client::new(h3_quinn::Connection::new(connection.clone())).await.map_err(|error| error.to_string())?;
    tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
    Ok((sender, endpoint, connection))
}

async fn exchange3(
    sender: &mut h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    request: http::Request<Bytes>,
) -> Result<Response, String> {
    let (parts, body) = request.into_parts();
    let sent = sender.send_request(http::Request::from_parts(parts, ())).await;
    let mut stream = sent.map_err(|error| match error {
        h3::error::StreamError::RemoteClosing => not_sent(error),
        error => error.to_string(),
    })?;
    // A server may answer, and stop reading, before it has the whole body.
    let sent = async {
        if !body.is_empty() {
            stream.send_data(body).await?;
        }
        stream.finish().await
    };
    let _ = sent.await;
    let response = loop {
        let head = stream.recv_response().await.map_err(|error| error.to_string())?;
        if !head.status().is_informational() {
            break head;
        }
    };
    let mut body = Vec::new();
    while let Some(mut chunk) = stream.recv_data().await.map_err(|error| format!("the body was cut: {error}"))? {
        body.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
    }
    let trailers = stream.recv_trailers().await.map_err(|error| format!("the trailers were cut: {error}"))?;
    let (parts, ()) = response.into_parts();
    Ok(Response { status: parts.status.as_u16(), headers: parts.headers, body: body.into(), trailers })
}

pub(crate) fn tls_config(alpn: &[u8]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

/// Tests that look at certificates use curl with a CA; the others talk to whoever listens on their own port.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
