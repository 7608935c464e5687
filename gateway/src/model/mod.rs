//! The resolved configuration: every name looked up, every default filled in, every value in its own type.
//! Nothing after `config/` sees YAML.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use ipnet::IpNet;

use crate::config::Hidden;
use crate::message::headers::Template;

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads; by default one per core.
    pub workers: usize,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// Services behind the gateway, by name.
    pub upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    /// The plugin directory and what plugins may reach.
    pub plugins: Plugins,
    /// Routes in the order of the file.
    pub routes: Vec<Arc<Route>>,
    /// Secrets by name, read at load.
    pub secrets: BTreeMap<String, Secret>,
    /// The backend of `kv` and `counters`.
    pub state: State,
    /// The admin listener; `None` when switched off.
    pub admin: Option<Admin>,
    /// One line per request.
    pub access_log: AccessLog,
    /// The gateway's own messages, on stderr.
    pub log: Log,
    /// How client addresses are found and passed on.
    pub forwarding: Forwarding,
    /// Header fields that carry callers' credentials, besides those that do by their name.
    pub credentials: Vec<HeaderName>,
    /// Limits that hold for the whole process.
    pub limits: Limits,
    /// How the gateway stops.
    pub drain: Drain,
}

/// How the gateway stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long new connections are still accepted after SIGTERM, while readiness fails already. Default 0.
    pub delay: Duration,
    /// How long requests in flight may take to finish after that. Default 30 s.
    pub timeout: Duration,
}

/// A bound address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// For logs and metrics.
    pub name: Arc<str>,
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// HTTP/1.1 offered.
    pub http1: bool,
    /// HTTP/2 offered: by ALPN with TLS, by prior knowledge without.
    pub http2: bool,
    /// HTTP/3 offered on the same port over UDP.
    pub http3: bool,
    /// Present when the listener is encrypted.
    pub tls: Option<ListenerTls>,
    /// Limits of its connections.
    pub limits: ListenerLimits,
}

/// Certificates of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Chosen by SNI; the first also serves clients without a matching name.
    pub certificates: Vec<CertificateFiles>,
    /// Names of a development certificate that is made at start.
    pub self_signed: Vec<String>,
    /// Whether TLS 1.2 is offered beside 1.3.
    pub tls12: bool,
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub private_key: PathBuf,
}

/// Limits per connection of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Open connections of this listener, over all workers. Default 65,536.
    pub connections: usize,
    /// Bytes of a request's head. Default 64 KiB.
    pub header_bytes: usize,
    /// Number of header fields. Default 100.
    pub header_count: usize,
    /// From the first byte (or the accept) to the end of the head. Default 15 s.
    pub header_timeout: Duration,
    /// How long a connection may stay without a request. Default 75 s.
    pub idle_timeout: Duration,
    /// How long a client may take to read or write the next piece of a body. Default 60 s.
    pub body_timeout: Duration,
    /// Concurrent streams of an HTTP/2 or HTTP/3 connection. Default 128.
    pub streams: u32,
}

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

/// Settings of the plugin host.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    /// The watched directory; `None` when no route uses a plugin.
    pub directory: Option<PathBuf>,
    /// What each plugin may reach.
    pub grants: BTreeMap<String, Grants>,
    /// Limits by plugin name; others have the defaults.
    pub limits: BTreeMap<String, PluginLimits>,
    /// What compiling one file may use.
    pub compile: Compile,
    /// The directory in which `gateway-plugins/` holds compiled plugins; `None` for where the system keeps such things.
    pub cache: Option<PathBuf>,
}

/// What compiling one plugin file may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compile {
    /// Bytes of memory. Default 1 GiB.
    pub memory: u64,
    /// CPU time. Default 30 s.
    pub time: Duration,
}

impl Default for Compile {
    fn default() -> Self {
        Self { memory: 1 << 30, time: Duration::from_secs(30) }
    }
}

/// What the operator allows a plugin beyond the contract's harmless parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Upstreams that `calls.send` and `set-upstream` may name.
    pub upstreams: Vec<String>,
    /// Secrets that `secrets.get` and `key.from-secret` may read.
    pub secrets: Vec<String>,
}

/// Limits of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginLimits {
    /// CPU time of one phase call. Default 10 ms.
    pub cpu: Duration,
    /// Linear memory of one instance. Default 16 MiB.
    pub memory: usize,
    /// Host calls of one phase call. Default 10,000.
    pub host_calls: u32,
    /// Bytes of what one phase call gives back. Default 8 MiB.
    pub output: usize,
    /// Instances per worker. Default 64.
    pub instances: usize,
    /// How long a stream may hold an old version after a swap. Default 5 min.
    pub retire_after: Duration,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(10),
            memory: 16 << 20,
            host_calls: 10_000,
            output: 8 << 20,
            instances: 64,
            retire_after: Duration::from_secs(300),
        }
    }
}

/// What happens when a plugin fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// 503.
    #[default]
    Closed,
    /// As if the plugin were not there.
    Open,
}

/// One plugin of a route's chain.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginEntry {
    /// `NAME.wasm` in the plugin directory.
    pub name: Arc<str>,
    /// The entry's config as JSON, `{}` when absent.
    pub config: serde_json::Value,
    /// Where the entry's keys stand in the file, for errors that the plugin reports by JSON pointer.
    pub positions: Positions,
    /// What of the config no message may show, not even the plugin's own.
    pub hidden: Hidden,
    /// The failure policy.
    pub on_failure: OnFailure,
    /// Entries of the same plugin with the same name share kv and counters.
    pub share_state: Option<String>,
    /// What may be stored, and for whom.
    pub storing: Storing,
}

/// What a route entry says of stored responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storing {
    /// They are the same for every caller.
    pub shared: bool,
    /// Also those that don't say how long they are fresh.
    pub unmarked: bool,
    /// Fields that carry credentials, besides those that do by their name; see [`Config::credentials`].
    pub credentials: Vec<HeaderName>,
}

/// Line and column (from 1) of each JSON pointer of a config fragment; the empty pointer is the fragment itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(pub BTreeMap<String, (usize, usize)>);

impl Positions {
    /// The position of the pointer, or of its nearest parent that has one.
    pub fn find(&self, pointer: &str) -> Option<(usize, usize)> {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.0.get(pointer) {
                return Some(*position);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

/// A route: conditions, a chain, and where matching requests go.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// When it applies.
    pub matches: RouteMatch,
    /// The chain, in order.
    pub plugins: Vec<PluginEntry>,
    /// What answers.
    pub action: RouteAction,
    /// Replaces the matched prefix of the path before it goes upstream.
    pub rewrite_prefix: Option<String>,
    /// Static changes of request headers.
    pub request_headers: HeaderEdits,
    /// Static changes of response headers.
    pub response_headers: HeaderEdits,
    /// Time limit of the whole exchange, until the response's head; `None` = no limit. Default 60 s.
    pub request_timeout: Option<Duration>,
    /// Largest request body; also the bound of a body that a plugin wants whole. Default 10 MiB.
    pub max_body: u64,
}

/// Conditions of a route: all must hold.
#[derive(Clone, Debug, Default)]
pub struct RouteMatch {
    /// `http` or `https`, how the client came; `None` = both.
    pub scheme: Option<&'static str>,
    /// Any of these; empty = every hostname. Lower case.
    pub hostnames: Vec<HostnameMatch>,
    /// The path.
    pub path: PathMatch,
    /// Any of these; empty = every method.
    pub methods: Vec<Method>,
    /// All of these.
    pub headers: Vec<(HeaderName, ValueMatch)>,
    /// All of these query parameters.
    pub query: Vec<(String, ValueMatch)>,
}

impl PartialEq for RouteMatch {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

/// A hostname condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostnameMatch {
    /// Exactly this name.
    Exact(String),
    /// `*.example.no`, kept as `example.no`: one or more labels in front.
    Wildcard(String),
}

/// A path condition, on the normalised path.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// Exactly this path.
    Exact(String),
    /// This path or anything below it, on segment borders; `/` matches all.
    Prefix(String),
    /// A regular expression, anchored at both ends.
    Regex(regex::Regex),
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".to_owned())
    }
}

/// A condition on a value.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// Any value.
    Present,
    /// Exactly this value.
    Exact(String),
    /// A regular expression, anchored at both ends.
    Regex(regex::Regex),
}

/// What answers a route's requests.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteAction {
    /// The upstream of this name.
    Upstream(Arc<str>),
    /// A redirect.
    Redirect(Redirect),
    /// A fixed response.
    Respond(FixedResponse),
}

/// A redirect: what is `None` stays as it is in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// The hostname.
    pub hostname: Option<String>,
    /// The port; a changed scheme without a port uses the scheme's own.
    pub port: Option<u16>,
    /// The whole path; the query stays.
    pub path: Option<String>,
    /// 301, 302, 303, 307 or 308. Default 308.
    pub status: StatusCode,
}

/// A response from the config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedResponse {
    /// The status.
    pub status: StatusCode,
    /// The `Content-Type`; default `text/plain; charset=utf-8`.
    pub content_type: HeaderValue,
    /// The body; its clones share the bytes.
    pub body: Bytes,
}

/// A route's header changes: removals first, then values that replace what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Fields to remove.
    pub remove: Vec<HeaderName>,
    /// Fields to set to the same value in every message.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields whose values are made per request.
    pub computed: Vec<(HeaderName, Template)>,
}

impl HeaderEdits {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.computed.is_empty()
    }

    /// The names of the fields that are changed.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let set = self.set.iter().map(|(name, _)| name);
        self.remove.iter().chain(set).chain(self.computed.iter().map(|(name, _)| name))
    }
}

/// A secret's bytes; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where `kv` and `counters` live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Largest number of entries per namespace. Default 100,000.
    pub max_entries: usize,
    /// Bytes per namespace. Default 64 MiB.
    pub max_bytes: usize,
    /// Bytes of stored responses over all routes. Default 64 MiB.
    pub stored_responses: usize,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Loopback by default.
    pub address: SocketAddr,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to and reopened on SIGHUP.
    File(PathBuf),
    /// Nowhere.
    Off,
}

/// The access log. Personal data is off until it is named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where it goes.
    pub target: LogTarget,
    /// Whole client addresses instead of /24 and /48.
    pub full_address: bool,
    /// The query, and path segments that look like personal data.
    pub full_path: bool,
    /// Request header fields whose values are logged.
    pub request_headers: Vec<HeaderName>,
}

/// The error log's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The error log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: tracing::Level,
    /// The format.
    pub format: LogFormat,
}

/// What is believed of, and told to, other proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// Networks whose `X-Forwarded-For`, `Forwarded` and `X-Request-Id` are believed.
    pub trusted: Vec<IpNet>,
    /// Send `Forwarded` (RFC 7239) beside the `X-Forwarded-*` fields.
    pub forwarded: bool,
    /// The name in `Via`, `CDN-Loop` and `Proxy-Status`. Default `gateway`.
    pub via: String,
    /// Fields that are passed on as any peer sends them, though they say what only a proxy can know.
    pub keep: Vec<HeaderName>,
    /// Whether names pass that some servers read as those of framing or forwarding fields (`X_Forwarded_For`).
    pub keep_lookalikes: bool,
    /// How often a request may have passed gateways of this name before it is refused. Default 5.
    pub max_hops: usize,
}

impl Default for Forwarding {
    fn default() -> Self {
        let via = "gateway".to_owned();
        Self { trusted: Vec::new(), forwarded: false, via, keep: Vec::new(), keep_lookalikes: false, max_hops: 5 }
    }
}

impl Forwarding {
    /// Whether what this peer says of other addresses is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&peer))
    }
}

/// Limits of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in flight per worker; above it new ones get 503 with Retry-After. Default 10,000.
    pub requests_per_worker: usize,
    /// Bytes of bodies that may be held at a time; `None` = a share of the machine's memory.
    pub body_memory: Option<u64>,
    /// Bytes that plugins' instances may have together; `None` = a share of the machine's memory.
    pub plugin_memory: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_stands_at_its_nearest_known_parent() {
        let positions = Positions([(String::new(), (3, 5)), ("/limits/0".to_owned(), (4, 9))].into());
        for (pointer, place) in [("/limits/0/per", (4, 9)), ("/other", (3, 5)), ("", (3, 5))] {
            assert_eq!(positions.find(pointer), Some(place), "{pointer}");
        }
        assert_eq!(Positions::default().find("/a"), None);
    }
}
