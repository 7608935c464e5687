//! Values of header fields that are made per request: text with variables such as `${client.address}`, compiled when the
//! configuration is read.

/// What a template can say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `client.address`
    ClientAddress,
    /// `connection.peer`
    ConnectionPeer,
    /// `connection.port`
    ConnectionPort,
    /// `listener.name`
    ListenerName,
    /// `protocol.name`
    ProtocolName,
    /// `request.host`
    RequestHost,
    /// `request.id`
    RequestId,
    /// `request.method`
    RequestMethod,
    /// `request.path`
    RequestPath,
    /// `request.scheme`
    RequestScheme,
    /// `route.name`
    RouteName,
    /// `tls.server_name`
    TlsServerName,
    /// `upstream.name`
    UpstreamName,
}

/// The variables, with what each gives. Their names hold a dot, which no environment variable does.
pub const VARIABLES: [(&str, Variable, &str); 13] = [
    ("client.address", Variable::ClientAddress, "The client's IP address, as `forwarding.trusted` lets it be known."),
    ("connection.peer", Variable::ConnectionPeer, "IP address and port of the other end of the connection."),
    ("connection.port", Variable::ConnectionPort, "The port that the client, or the proxy in front, connected to."),
    ("listener.name", Variable::ListenerName, "The name of the listener."),
    ("protocol.name", Variable::ProtocolName, "http1, http2 or http3."),
    ("request.host", Variable::RequestHost, "The hostname that was asked for, without a port."),
    ("request.id", Variable::RequestId, "The request id, as in X-Request-Id."),
    ("request.method", Variable::RequestMethod, "The method."),
    ("request.path", Variable::RequestPath, "The normalised path before `rewrite`, without the query."),
    ("request.scheme", Variable::RequestScheme, "http or https: how the client came."),
    ("route.name", Variable::RouteName, "The name of the route."),
    ("tls.server_name", Variable::TlsServerName, "The name that the client asked for in its TLS handshake (SNI)."),
    ("upstream.name", Variable::UpstreamName, "The name of the upstream that was chosen."),
];

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// What a variable gives.
    Variable(Variable),
}

/// A value with at least one variable in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);
