//! What an access log can say of an exchange, by its name in a JSON record and as a variable of a template.

use http::HeaderName;

/// One thing to say of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogField {
    /// When its head had been read, as RFC 3339 has it.
    Time,
    /// The same as NCSA has it.
    TimeLocal,
    /// The same in seconds since 1970.
    TimeUnix,
    /// The request id.
    RequestId,
    /// The client's address.
    Client,
    /// The listener's name.
    Listener,
    /// The protocol.
    Protocol,
    /// The scheme.
    Scheme,
    /// The method.
    Method,
    /// The path.
    Path,
    /// The query.
    Query,
    /// Method, target and protocol.
    RequestLine,
    /// The route.
    Route,
    /// The upstream.
    Upstream,
    /// The endpoint.
    Endpoint,
    /// The status.
    Status,
    /// The status with NGINX's numbers where there is none.
    StatusNumber,
    /// Who made the response.
    Source,
    /// The kind of the failure.
    Failure,
    /// The error.
    Error,
    /// The error in words.
    Detail,
    /// Body bytes received.
    BytesIn,
    /// Body bytes sent.
    BytesOut,
    /// Attempts upstream.
    Attempts,
    /// How long all took.
    Duration,
    /// How long the upstream took.
    UpstreamTime,
    /// How long plugins took.
    PluginsTime,
    /// The trace.
    TraceId,
    /// The exchange's span in it.
    SpanId,
    /// Header fields that the configuration names.
    Headers,
    /// What plugins added.
    PluginFields,
}

/// The members of a JSON record in their order, with the variables of the same content.
pub const LOG_MEMBERS: [(&str, LogField, Option<&str>); 26] = [
    ("time", LogField::Time, Some("time.rfc3339")),
    ("request_id", LogField::RequestId, Some("request.id")),
    ("client", LogField::Client, Some("client.address")),
    ("listener", LogField::Listener, Some("listener.name")),
    ("protocol", LogField::Protocol, Some("protocol.name")),
    ("method", LogField::Method, Some("request.method")),
    ("path", LogField::Path, Some("request.path")),
    ("query", LogField::Query, Some("request.query")),
    ("route", LogField::Route, Some("route.name")),
    ("upstream", LogField::Upstream, Some("upstream.name")),
    ("endpoint", LogField::Endpoint, Some("upstream.endpoint")),
    ("status", LogField::Status, Some("response.status")),
    ("source", LogField::Source, Some("response.source")),
    ("failure", LogField::Failure, Some("failure.kind")),
    ("error", LogField::Error, Some("error.kind")),
    ("detail", LogField::Detail, Some("error.detail")),
    ("bytes_in", LogField::BytesIn, Some("request.bytes")),
    ("bytes_out", LogField::BytesOut, Some("response.bytes")),
    ("attempts", LogField::Attempts, Some("upstream.attempts")),
    ("duration_ms", LogField::Duration, Some("duration.ms")),
    ("upstream_ms", LogField::UpstreamTime, Some("upstream.ms")),
    ("plugins_ms", LogField::PluginsTime, Some("plugins.ms")),
    ("trace_id", LogField::TraceId, Some("trace.id")),
    ("span_id", LogField::SpanId, Some("trace.span_id")),
    ("headers", LogField::Headers, None),
    ("fields", LogField::PluginFields, None),
];

/// Variables that no member of a JSON record has.
pub const LOG_VARIABLES: [(&str, LogField); 4] = [
    ("request.line", LogField::RequestLine),
    ("request.scheme", LogField::Scheme),
    ("time.local", LogField::TimeLocal),
    ("time.unix", LogField::TimeUnix),
];

/// A piece of a template of an access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinePiece {
    /// Text as it is, without control characters.
    Text(String),
    /// What is known of the exchange.
    Field(LogField),
    /// A header field of the request that the configuration names.
    RequestHeader(HeaderName),
}
