//! Requests to a collector: encoded bodies out, what became of them back. Nothing here knows what is in a body.
//!
//! The exporter of the crate `opentelemetry-otlp` is not used. It takes batches of its own span type, so each span would be
//! copied twice (into `SpanData`, and from there into protobuf) and each try would encode anew; it logs what a collector
//! rejects and does not say how much that was, reads answers of any size, and has a retry of its own behind a feature, which
//! knows nothing of batches before. What is left of it is a POST.

mod connect;
mod grpc;
mod http;
mod route;
mod signal;
mod tls;

use bytes::Bytes;

use crate::failure::Failure;
use crate::settings::Protocol;
pub(crate) use route::Route;
pub(crate) use signal::Signal;
pub use tls::InvalidTls;

/// A connection to a collector, made when it is needed and again after it broke.
#[derive(Debug)]
pub(crate) enum Transport {
    Http(http::Http),
    Grpc(grpc::Grpc),
}

impl Transport {
    /// A way to send this. Has to be called on the runtime that will send.
    pub(crate) fn open(route: &Route, signal: Signal) -> Self {
        match route.settings().protocol {
            Protocol::OtlpHttp | Protocol::Zipkin => Self::Http(http::Http::new(route, signal)),
            Protocol::OtlpGrpc => Self::Grpc(grpc::Grpc::new(route, signal)),
        }
    }

    /// What is sent for an encoded body, by each try alike.
    pub(crate) fn prepare(&self, body: Vec<u8>) -> Bytes {
        match self {
            Self::Http(http) => http.prepare(body),
            Self::Grpc(_) => body.into(),
        }
    }

    /// Sends it once, and says how many items the collector did not take.
    pub(crate) async fn send(&mut self, body: Bytes) -> Result<u64, Failure> {
        match self {
            Self::Http(http) => http.send(body).await,
            Self::Grpc(grpc) => grpc.send(body).await,
        }
    }

    /// Ends the connection: nothing came on it in time.
    pub(crate) fn abandon(&mut self) {
        match self {
            // A request over HTTP/1.1 that is dropped takes its connection along.
            Self::Http(_) => {}
            Self::Grpc(grpc) => grpc.abandon(),
        }
    }
}
