//! The `upstreams` section: services behind the gateway.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::audit::UpstreamData;

/// The protocol spoken to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: by ALPN with TLS, by prior knowledge without.
    Http2,
    /// What ALPN gives; HTTP/1.1 without TLS.
    Auto,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadBalancing {
    /// In turn, by weight.
    RoundRobin,
    /// The less busy of two random ones.
    LeastRequest,
}

/// What goes upstream as Host or `:authority`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// What the client sent.
    Preserve,
    /// The endpoint's own name and port.
    Endpoint,
    /// A fixed name.
    Name(HeaderValue),
}

/// A service behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// At least one.
    pub endpoints: Vec<EndpointConfig>,
    /// The protocol.
    pub protocol: UpstreamProtocol,
    /// Present when connections are encrypted.
    pub tls: Option<UpstreamTls>,
    /// The balancing policy.
    pub load_balancing: LoadBalancing,
    /// Idle connections kept per worker and endpoint. Default 64.
    pub keepalive: usize,
    /// Host sent upstream.
    pub host: UpstreamHost,
    /// When an endpoint is left out for a while.
    pub passive_health: PassiveHealth,
    /// Time limits.
    pub timeouts: UpstreamTimeouts,
    /// Requests in flight, over all workers; `None` = half of what a worker may have, on each.
    pub max_requests: Option<usize>,
    /// How often names are resolved anew. Default 30 s.
    pub dns_refresh: Duration,
    /// What the audit trail says of it.
    pub data: UpstreamData,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// An IP address or a DNS name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Relative share of requests, from 1. Default 1.
    pub weight: u32,
}

/// TLS towards an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The name to verify and to send as SNI; by default the endpoint's name.
    pub server_name: Option<String>,
    /// PEM file of the accepted roots; by default the system's.
    pub ca: Option<PathBuf>,
    /// Keys of which the endpoint must have one; any, where none is here.
    pub pins: Vec<Pin>,
}

/// The SHA-256 of a certificate's SubjectPublicKeyInfo in DER (RFC 7469 section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin(pub [u8; 32]);

/// NGINX's `max_fails` and `fail_timeout`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassiveHealth {
    /// Failures within `fail_timeout` that take an endpoint out; 0 switches it off. Default 3.
    pub max_failures: u32,
    /// The window, and how long the endpoint stays out. Default 10 s.
    pub fail_timeout: Duration,
}

/// Time limits towards an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// TCP and TLS handshakes. Default 5 s.
    pub connect: Duration,
    /// From the end of the request's head (and each piece of its body) to the response's head. Default 30 s.
    pub response: Duration,
    /// Between two pieces of a response body. Default 60 s.
    pub idle: Duration,
}
