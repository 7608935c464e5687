//! Where telemetry goes: a collector outside of the gateway.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

use super::Secret;

/// A collector, and what it is told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Where it is: `http` or `https`, a host, and a path for the protocols that have one. For OTLP a base URL: the path of a
    /// signal (`/v1/traces`) is appended. For Zipkin the whole.
    pub endpoint: Uri,
    /// What is spoken with it.
    pub protocol: CollectorProtocol,
    /// Fields that go with each request, each with the name of the secret that is its value.
    pub headers: Vec<(HeaderName, String)>,
    /// PEM file with the accepted certificate authorities; by default the system's.
    pub ca: Option<PathBuf>,
    /// How long one export may take. Default 10 s.
    pub timeout: Duration,
    /// Whether what is sent is compressed with gzip. On by default.
    pub gzip: bool,
}

/// What is spoken with a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorProtocol {
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP, as binary protobuf.
    OtlpHttp,
    /// Zipkin's JSON, version 2.
    Zipkin,
}

impl Collector {
    /// The fields that go with each request. Their values don't show themselves in messages.
    pub fn fields(&self, secrets: &BTreeMap<String, Secret>) -> Vec<(HeaderName, HeaderValue)> {
        let field = |(name, secret): &(HeaderName, String)| {
            let mut value = secrets.get(secret)?.header_value()?;
            value.set_sensitive(true);
            Some((name.clone(), value))
        };
        self.headers.iter().filter_map(field).collect()
    }
}
