//! Names of attributes: OpenTelemetry's conventions for HTTP
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>, stable), and our own below `gateway.`.

pub(super) const CLIENT_ADDRESS: &str = "client.address";
pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const METHOD: &str = "http.request.method";
pub(super) const RESEND_COUNT: &str = "http.request.resend_count";
pub(super) const ROUTE: &str = "http.route";
pub(super) const STATUS: &str = "http.response.status_code";
pub(super) const PEER_ADDRESS: &str = "network.peer.address";
pub(super) const PEER_PORT: &str = "network.peer.port";
pub(super) const PROTOCOL: &str = "network.protocol.name";
pub(super) const PROTOCOL_VERSION: &str = "network.protocol.version";
pub(super) const SERVER_ADDRESS: &str = "server.address";
pub(super) const SERVER_PORT: &str = "server.port";
pub(super) const URL_PATH: &str = "url.path";
pub(super) const URL_QUERY: &str = "url.query";
pub(super) const URL_SCHEME: &str = "url.scheme";
pub(super) const USER_AGENT: &str = "user_agent.original";

/// What the gateway itself answered for, by the kind of error.
pub(super) const ERROR: &str = "gateway.error";
pub(super) const REQUEST_ID: &str = "gateway.request.id";
pub(super) const GATEWAY_ROUTE: &str = "gateway.route";
pub(super) const UPSTREAM: &str = "gateway.upstream";
pub(super) const LISTENER: &str = "gateway.listener";
/// Phases and calls that there was no room for.
pub(super) const DROPPED: &str = "gateway.dropped_spans";
/// Whether the connection had been there before.
pub(super) const REUSED: &str = "gateway.connection.reused";
pub(super) const PLUGIN: &str = "gateway.plugin.name";
pub(super) const PLUGIN_VERSION: &str = "gateway.plugin.version";
pub(super) const PHASE: &str = "gateway.plugin.phase";
pub(super) const ACTION: &str = "gateway.plugin.action";
pub(super) const HOST_CALLS: &str = "gateway.plugin.host_calls";
/// Calls of the phase: more than one where a body came in pieces.
pub(super) const CALLS: &str = "gateway.plugin.calls";
/// Milliseconds inside of the plugin, where calls lie apart.
pub(super) const BUSY: &str = "gateway.plugin.busy_ms";
