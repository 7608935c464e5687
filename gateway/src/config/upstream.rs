//! The `upstreams` section.

use std::sync::Arc;
use std::time::Duration;

use super::audit;
use super::fields::{Fields, Object};
use super::names;
use super::types::{Choice, ExistingFile, Integer, NonEmpty, ObjectOr, Several, Time, text, time};
use crate::model::{
    EndpointConfig, LoadBalancing, PassiveHealth, Pin, Upstream, UpstreamHost, UpstreamProtocol, UpstreamTimeouts,
    UpstreamTls,
};

/// One value of `upstreams`; its name is filled in by the caller, who knows the key.
pub(super) fn upstream(fields: &mut Fields<'_, '_>) -> Option<Upstream> {
    let endpoints = fields.required(
        "endpoints",
        "Its addresses, each HOST:PORT or {address, weight}.",
        NonEmpty(ObjectOr { object: Object(endpoint), other: text(plain_endpoint).hint(names::host_and_port_hint) }),
    );
    let protocol = fields.default(
        "protocol",
        "http1, http2 (by ALPN with TLS, by prior knowledge without), or auto: what ALPN gives, http1 without TLS.",
        Choice(&[
            ("http1", UpstreamProtocol::Http1),
            ("http2", UpstreamProtocol::Http2),
            ("auto", UpstreamProtocol::Auto),
        ]),
        "auto",
    );
    let tls = fields.optional("tls", "Makes the connections encrypted and verified; {} for the defaults.", Object(tls));
    let load_balancing = fields.default(
        "load_balancing",
        "round_robin (in turn, by weight) or least_request (the less busy of two random ones).",
        Choice(&[("round_robin", LoadBalancing::RoundRobin), ("least_request", LoadBalancing::LeastRequest)]),
        "round_robin",
    );
    let keepalive =
        fields.default("keepalive", "Idle connections kept per worker and endpoint.", Integer(0..=100_000), "64");
    let host = fields.default(
        "host",
        "Host sent upstream: preserve (what the client sent), endpoint (the endpoint's own), or a name.",
        text(host),
        "preserve",
    );
    let passive_health = fields.default(
        "passive_health",
        "Leaves an endpoint out for a while after failed requests; never the only one, and never all of them.",
        Object(passive_health),
        "{}",
    );
    let timeouts = fields.default("timeouts", "Time limits towards the upstream.", Object(timeouts), "{}");
    let limits = fields.default("limits", "What it is asked to do at a time.", Object(limits), "{}");
    let dns_refresh = fields.default(
        "dns_refresh",
        "How often DNS names of endpoints are resolved anew.",
        Time(Duration::from_secs(1)..=Duration::from_secs(86_400)),
        "30s",
    );
    let data = fields.default(
        "data",
        "What the audit trail says of it as a recipient of personal data.",
        Object(audit::of_upstream),
        "{}",
    );
    if fields.has("tls") && tls.is_none() {
        return None;
    }
    Some(Upstream {
        name: Arc::from(""),
        endpoints: endpoints?,
        protocol: protocol?,
        tls,
        load_balancing: load_balancing?,
        keepalive: usize::try_from(keepalive?).ok()?,
        host: host?,
        passive_health: passive_health?,
        timeouts: timeouts?,
        max_requests: limits?,
        dns_refresh: dns_refresh?,
        data: data?,
    })
}

fn plain_endpoint(text: &str) -> Result<EndpointConfig, String> {
    names::host_and_port(text).map(|(host, port)| EndpointConfig { host, port, weight: 1 })
}

fn endpoint(fields: &mut Fields<'_, '_>) -> Option<EndpointConfig> {
    let address = fields.required(
        "address",
        "HOST:PORT, IPv6 addresses in brackets.",
        text(plain_endpoint).hint(names::host_and_port_hint),
    );
    let weight = fields.default("weight", "Its share of requests, relative to the others.", Integer(1..=65_535), "1");
    Some(EndpointConfig { weight: u32::try_from(weight?).ok()?, ..address? })
}

fn tls(fields: &mut Fields<'_, '_>) -> Option<UpstreamTls> {
    let server_name = fields.optional(
        "server_name",
        "The name to verify and to send as SNI; by default the endpoint's host.",
        text(names::host),
    );
    let ca = fields.optional(
        "ca",
        "PEM file with the accepted certificate authorities; by default the system's.",
        ExistingFile,
    );
    let pins = fields.default("verify", "How else the endpoint proves who it is.", Object(verify), "{}");
    fields.is_valid().then_some(UpstreamTls { server_name, ca, pins: pins.unwrap_or_default() })
}

fn verify(fields: &mut Fields<'_, '_>) -> Option<Vec<Pin>> {
    let pins = fields.optional(
        "pin",
        "sha256/ and the SHA-256 of the certificate's public key in base64, as curl's --pinnedpubkey has it; or a list, any of \
         which will do. Without ca the key alone counts: issuer, name and dates don't. With ca both must hold.",
        Several(text(names::pin)),
    );
    Some(pins.unwrap_or_default())
}

fn host(text: &str) -> Result<UpstreamHost, String> {
    match text {
        "preserve" => Ok(UpstreamHost::Preserve),
        "endpoint" => Ok(UpstreamHost::Endpoint),
        name => names::authority(name).map(UpstreamHost::Name),
    }
}

fn passive_health(fields: &mut Fields<'_, '_>) -> Option<PassiveHealth> {
    let max_failures = fields.default(
        "max_failures",
        "Failures that take an endpoint out; 0 switches it off. A success forgets them, once the last is more than \
         fail_timeout ago.",
        Integer(0..=1_000_000),
        "3",
    );
    let fail_timeout = fields.default(
        "fail_timeout",
        "How long the endpoint stays out. Then one request per fail_timeout tries it.",
        time(),
        "10s",
    );
    Some(PassiveHealth { max_failures: u32::try_from(max_failures?).ok()?, fail_timeout: fail_timeout? })
}

/// The largest number of requests in flight.
fn limits(fields: &mut Fields<'_, '_>) -> Option<Option<usize>> {
    let requests = fields.optional(
        "requests",
        "Requests in flight to it, over all workers, to the end of their responses; by default half of what other upstreams \
         leave of limits.requests_per_worker, on each worker. Above it: 503 with Retry-After.",
        Integer(1..=10_000_000),
    );
    if !fields.is_valid() {
        return None;
    }
    Some(requests.and_then(|requests| usize::try_from(requests).ok()))
}

fn timeouts(fields: &mut Fields<'_, '_>) -> Option<UpstreamTimeouts> {
    let connect = fields.default("connect", "TCP and TLS handshakes.", time(), "5s");
    let response = fields.default(
        "response",
        "From the end of the request's head (and each piece of its body) to the response's head.",
        time(),
        "30s",
    );
    let idle = fields.default("idle", "Between two pieces of a response body.", time(), "60s");
    Some(UpstreamTimeouts { connect: connect?, response: response?, idle: idle? })
}
