//! Names of attributes, the same in spans and in log records: OpenTelemetry's conventions for HTTP
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>), and our own below `gateway.`.

use crate::exchange::Protocol;

pub(crate) const CLIENT_ADDRESS: &str = "client.address";
pub(crate) const ERROR_TYPE: &str = "error.type";
pub(crate) const METHOD: &str = "http.request.method";
pub(crate) const RESEND_COUNT: &str = "http.request.resend_count";
pub(crate) const ROUTE: &str = "http.route";
pub(crate) const STATUS: &str = "http.response.status_code";
pub(crate) const PEER_ADDRESS: &str = "network.peer.address";
pub(crate) const PEER_PORT: &str = "network.peer.port";
pub(crate) const PROTOCOL: &str = "network.protocol.name";
pub(crate) const PROTOCOL_VERSION: &str = "network.protocol.version";
pub(crate) const SERVER_ADDRESS: &str = "server.address";
pub(crate) const SERVER_PORT: &str = "server.port";
pub(crate) const REQUEST_BODY: &str = "http.request.body.size";
/// With the name of a header field behind it.
pub(crate) const REQUEST_HEADER: &str = "http.request.header.";
pub(crate) const RESPONSE_BODY: &str = "http.response.body.size";
pub(crate) const URL_PATH: &str = "url.path";
pub(crate) const URL_QUERY: &str = "url.query";
pub(crate) const URL_SCHEME: &str = "url.scheme";
pub(crate) const USER_AGENT: &str = "user_agent.original";

/// What the gateway itself answered for, by the kind of error.
pub(crate) const ERROR: &str = "gateway.error";
/// The same in words.
pub(crate) const ERROR_DETAIL: &str = "gateway.error.detail";
/// Why there is no (complete) response from the upstream.
pub(crate) const FAILURE: &str = "gateway.failure";
pub(crate) const REQUEST_ID: &str = "gateway.request.id";
pub(crate) const GATEWAY_ROUTE: &str = "gateway.route";
pub(crate) const UPSTREAM: &str = "gateway.upstream";
/// Address and port of the last attempt.
pub(crate) const ENDPOINT: &str = "gateway.endpoint";
pub(crate) const ATTEMPTS: &str = "gateway.attempts";
/// Who made the response.
pub(crate) const SOURCE: &str = "gateway.response.source";
pub(crate) const DURATION: &str = "gateway.duration_ms";
pub(crate) const UPSTREAM_DURATION: &str = "gateway.upstream_ms";
pub(crate) const PLUGINS_DURATION: &str = "gateway.plugins_ms";
/// With the name behind it that a plugin gave to a field of the access log.
pub(crate) const FIELD: &str = "gateway.field.";
pub(crate) const LISTENER: &str = "gateway.listener";
/// Phases and calls that there was no room for.
pub(crate) const DROPPED: &str = "gateway.dropped_spans";
/// Whether the connection had been there before.
pub(crate) const REUSED: &str = "gateway.connection.reused";
pub(crate) const PLUGIN: &str = "gateway.plugin.name";
pub(crate) const PLUGIN_VERSION: &str = "gateway.plugin.version";
pub(crate) const PHASE: &str = "gateway.plugin.phase";
pub(crate) const ACTION: &str = "gateway.plugin.action";
pub(crate) const HOST_CALLS: &str = "gateway.plugin.host_calls";
/// Calls of the phase: more than one where a body came in pieces.
pub(crate) const CALLS: &str = "gateway.plugin.calls";
/// Milliseconds inside of the plugin, where calls lie apart.
pub(crate) const BUSY: &str = "gateway.plugin.busy_ms";

/// `network.protocol.version` of what the client speaks.
pub(crate) const fn protocol_version(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "1.1",
        Protocol::Http2 => "2",
        Protocol::Http3 => "3",
    }
}
