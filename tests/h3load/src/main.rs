//! `h3load URL REQUESTS CONNECTIONS STREAMS`: sends exactly so many GET requests over HTTP/3, that many at a time on
//! each connection, and prints the lines of h2load's summary that `cargo xtask` reads. One thread; it accepts any
//! certificate, so it is good for nothing but loopback.

use std::cell::Cell;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Buf as _;
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, DigitallySignedStruct, SignatureScheme};

type Failure = Box<dyn Error>;
type Sender = h3::client::SendRequest<h3_quinn::OpenStreams, bytes::Bytes>;

/// What is left to send, and what came back.
#[derive(Default)]
struct Totals {
    left: Cell<u64>,
    good: Cell<u64>,
    failed: Cell<u64>,
    bytes: Cell<u64>,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, requests, connections, streams] = arguments.as_slice() else {
        return Err("usage: h3load URL REQUESTS CONNECTIONS STREAMS".into());
    };
    let url: http::Uri = url.parse()?;
    let load = (requests.parse()?, connections.parse()?, streams.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run(url, load))
}

async fn run(url: http::Uri, (requests, connections, streams): (u64, u64, u64)) -> Result<(), Failure> {
    let address: SocketAddr = url.authority().ok_or("a URL without an authority")?.as_str().parse()?;
    let mut endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls()?)?)));
    let totals = Rc::new(Totals::default());
    totals.left.set(requests);
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let connection = endpoint.connect(address, "localhost")?.await?;
        let negotiated = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
        if negotiated.and_then(|data| data.protocol).as_deref() != Some(b"h3") {
            return Err("the server did not choose h3".into());
        }
        let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
        tokio::task::spawn_local(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        for _ in 0..streams {
            tasks.push(tokio::task::spawn_local(work(sender.clone(), url.clone(), totals.clone())));
        }
    }
    for task in tasks {
        task.await?;
    }
    let (good, failed, bytes) = (totals.good.get(), totals.failed.get(), totals.bytes.get());
    // quinn does not tell what was negotiated; nothing else was offered.
    println!("TLS Protocol: TLSv1.3\nCipher: TLS_AES_128_GCM_SHA256\nApplication protocol: h3");
    println!("requests: {requests} total, {} done, {good} succeeded, {failed} failed", good + failed);
    println!("status codes: {good} 2xx\ntraffic: ({bytes}) data");
    Ok(())
}

/// One request after the other, until none is left.
async fn work(mut sender: Sender, url: http::Uri, totals: Rc<Totals>) {
    while let Some(left) = totals.left.get().checked_sub(1) {
        totals.left.set(left);
        match exchange(&mut sender, &url).await {
            Ok(bytes) => {
                totals.good.set(totals.good.get() + 1);
                totals.bytes.set(totals.bytes.get() + bytes);
            }
            Err(error) => {
                if totals.failed.replace(totals.failed.get() + 1) == 0 {
                    eprintln!("the first failure: {error}");
                }
            }
        }
    }
}

/// The number of body bytes of a 200.
async fn exchange(sender: &mut Sender, url: &http::Uri) -> Result<u64, Failure> {
    let request = http::Request::get(url.clone()).header("user-agent", "h3load").body(())?;
    let mut stream = sender.send_request(request).await?;
    stream.finish().await?;
    let response = stream.recv_response().await?;
    let mut bytes = 0;
    while let Some(chunk) = stream.recv_data().await? {
        bytes += chunk.remaining() as u64;
    }
    if response.status() == 200 { Ok(bytes) } else { Err(response.status().to_string().into()) }
}

/// TLS 1.3 with one cipher suite and one group, so that every server does the same cryptography.
fn tls() -> Result<rustls::ClientConfig, Failure> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let provider = Arc::new(provider);
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h3".to_vec()];
    Ok(config)
}

/// Accepts every certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

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
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
