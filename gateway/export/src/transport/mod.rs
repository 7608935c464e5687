//! Requests to a collector: encoded bodies out, what became of them back. Nothing here knows what is in a body.
//!
//! The exporter of the crate `opentelemetry-otlp` is not used. It takes batches of its own span type, so each span would be
//! copied twice (into `SpanData`, and from there into protobuf) and each try would encode anew; it logs what a collector
//! rejects and does not say how much that was, reads answers of any size, and has a retry of its own behind a feature, which
//! knows nothing of batches before. What is left of it is a POST.

mod connect;
mod grpc;
mod http;
mod tls;

use std::sync::Arc;

use bytes::Bytes;

use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::settings::{Protocol, Settings};
use connect::Connector;
pub use tls::InvalidTls;

/// What requests say that they come from.
const USER_AGENT: &str = concat!("telemetry-export/", env!("CARGO_PKG_VERSION"));

/// A kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Logs,
    Metrics,
}

impl Signal {
    /// Its path below the endpoint (OTLP, "OTLP/HTTP Request").
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
            Self::Metrics => "/v1/metrics",
        }
    }

    /// The method that receives it.
    fn method(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    /// What it is made of, in messages.
    pub(crate) fn items(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "log records",
            Self::Metrics => "metrics",
        }
    }
}

/// What the requests of all signals to a collector have in common.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    settings: Arc<Settings>,
    connector: Connector,
}

impl Route {
    pub(crate) fn new(settings: Arc<Settings>) -> Result<Self, InvalidTls> {
        let connector = Connector::new(&settings)?;
        Ok(Self { settings, connector })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn endpoint(&self) -> &Endpoint {
        &self.settings.endpoint
    }

    /// A way to send this. Has to be called on the runtime that will send.
    pub(crate) fn open(&self, signal: Signal) -> Transport {
        match self.settings.protocol {
            Protocol::OtlpHttp | Protocol::Zipkin => Transport::Http(http::Http::new(self, signal)),
            Protocol::OtlpGrpc => Transport::Grpc(grpc::Grpc::new(self, signal)),
        }
    }
}

/// A connection to a collector, made when it is needed and again after it broke.
#[derive(Debug)]
pub(crate) enum Transport {
    Http(http::Http),
    Grpc(grpc::Grpc),
}

impl Transport {
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
