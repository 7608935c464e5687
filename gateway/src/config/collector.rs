//! The settings of a collector: the same objects wherever telemetry goes to one.

use std::time::Duration;

use http::{HeaderName, Uri};

use super::context::Placed;
use super::fields::Fields;
use super::types::{At, Choice, ExistingFile, Named, Time, text};
use super::{names, secrecy};
use crate::message::headers::is_made_here;
use crate::model::{Collector, CollectorProtocol};

/// Whoever waits longer holds what could be dropped and counted.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// `otlp`: a collector that speaks OpenTelemetry's protocol.
pub(super) fn otlp(fields: &mut Fields<'_, '_>) -> Option<Collector> {
    let endpoint = fields.required(
        "endpoint",
        "The collector's base URL, http or https; /v1/traces, /v1/metrics or /v1/logs is appended.",
        At(text(url)),
    );
    let protocol = fields.default(
        "protocol",
        "grpc, or http: protobuf over HTTP/1.1.",
        Choice(&[("grpc", CollectorProtocol::OtlpGrpc), ("http", CollectorProtocol::OtlpHttp)]),
        "grpc",
    );
    let compression = fields.default(
        "compression",
        "How what is sent is compressed: gzip or none.",
        Choice(&[("gzip", true), ("none", false)]),
        "gzip",
    );
    let collector = collector(fields, endpoint, protocol, compression)?;
    if collector.protocol == CollectorProtocol::OtlpGrpc && !matches!(collector.endpoint.path(), "" | "/") {
        let message = "the URL of a gRPC collector has no path; remove it, or write protocol: http";
        fields.error(fields.position("endpoint"), message);
        return None;
    }
    let path = collector.endpoint.path().trim_end_matches('/');
    if let Some(signal) = ["/v1/traces", "/v1/metrics", "/v1/logs"].iter().find(|signal| path.ends_with(**signal)) {
        let message = format!("the URL ends with {signal}, which is appended to it; remove it here");
        fields.error(fields.position("endpoint"), message);
        return None;
    }
    Some(collector)
}

/// `zipkin`: a collector that takes Zipkin's spans.
pub(super) fn zipkin(fields: &mut Fields<'_, '_>) -> Option<Collector> {
    let endpoint = fields.required(
        "endpoint",
        "Where spans are posted to, http or https; without a path /api/v2/spans.",
        At(text(url)),
    );
    let mut collector = collector(fields, endpoint, Some(CollectorProtocol::Zipkin), Some(false))?;
    if matches!(collector.endpoint.path(), "" | "/") {
        let mut parts = collector.endpoint.into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/api/v2/spans"));
        collector.endpoint = Uri::from_parts(parts).ok()?;
    }
    Some(collector)
}

/// What collectors have in common.
fn collector(
    fields: &mut Fields<'_, '_>,
    endpoint: Option<Placed<Uri>>,
    protocol: Option<CollectorProtocol>,
    gzip: Option<bool>,
) -> Option<Collector> {
    let headers = fields.default(
        "headers",
        "Header fields that go with each request, such as authorization, each with the name of the secret that is its value.",
        Named { key: header, value: At(text(names::name)) },
        "{}",
    );
    let ca = fields.optional(
        "ca",
        "PEM file with the accepted certificate authorities; by default the system's.",
        ExistingFile,
    );
    let timeout = fields.default(
        "timeout",
        "How long sending once may take.",
        Time(Duration::from_millis(1)..=MAX_TIMEOUT),
        "10s",
    );
    let (endpoint, protocol, gzip, timeout) = (endpoint?, protocol?, gzip?, timeout?);
    if ca.is_some() && endpoint.value.scheme() != Some(&http::uri::Scheme::HTTPS) {
        fields.error(
            fields.position("ca"),
            "the collector is in clear text; write https:// in \"endpoint\", or remove \"ca\"",
        );
    }
    let mut named = Vec::new();
    for (key, secret) in headers? {
        let name = HeaderName::from_bytes(key.value.as_bytes()).ok()?;
        let secret = secret?;
        named.push((name, secret.value.clone()));
        fields.context()?.sent_secrets.push(secret);
    }
    let valid = fields.is_valid();
    let collector = Collector { endpoint: endpoint.value, protocol, headers: named, ca, timeout, gzip };
    valid.then_some(collector)
}

/// A field that may be told to go with each request.
fn header(text: &str) -> Result<(), String> {
    let name = names::header_name(text)?;
    match name.as_str() {
        "host" | "content-type" | "content-encoding" | "te" | "user-agent" | "grpc-timeout" | "grpc-encoding" => {
            Err("can't be set; the exporter sets it".to_owned())
        }
        _ if is_made_here(&name) => Err("can't be set; the exporter sets it".to_owned()),
        _ => Ok(()),
    }
}

/// `http://HOST:PORT` with a path or without.
fn url(text: &str) -> Result<Uri, String> {
    const EXPECTED: &str = "write http:// or https://, a host and a port, for example http://127.0.0.1:4317";
    if secrecy::has_userinfo(text) {
        return Err("has a user in it; what proves who you are goes into \"headers\"".to_owned());
    }
    if text.contains(['?', '#']) {
        return Err("has a query or a fragment, which a collector's URL has not; remove it".to_owned());
    }
    let wrong = || format!("is not a URL; {EXPECTED}");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let host = uri.host().filter(|host| names::host(host).is_ok());
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"));
    let port = uri.authority().is_some_and(|authority| authority.as_str().ends_with(':')) || uri.port_u16() == Some(0);
    if host.is_none() || scheme.is_none() || port {
        return Err(wrong());
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_collectors() {
        for text in [
            "http://127.0.0.1:4317",
            "https://otel.internal",
            "https://[::1]:4318/base/",
            "http://a.no:9411/api/v2/spans",
        ] {
            assert!(url(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:4317",
            "localhost",
            "grpc://a:4317",
            "unix:/run/a.sock",
            "http://",
            "http://:4317",
            "http://a:0",
            "http://a:",
            "http://a b",
            "http://u:p@a",
            "http://u@a",
            "http://a/?x",
            "http://a/#x",
            "http://1.2.3:80",
            "/v1",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fields_that_the_exporter_makes_are_its_own() {
        assert!(header("authorization").is_ok() && header("x-api-key").is_ok());
        for name in ["host", "Content-Type", "content-length", "transfer-encoding", "te", "a b", ""] {
            assert!(header(name).is_err(), "{name}");
        }
    }
}
